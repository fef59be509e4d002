package resolver

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// What is no DNS over HTTPS gets a status and a text that says what was expected.
func TestDoHMisuseIsExplained(t *testing.T) {
	t.Parallel()
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	query := queryOf(t, "bad.example.", dns.TypeA)
	text := base64.RawURLEncoding.EncodeToString(query)
	cases := []struct {
		method, target, kind string
		body                 []byte
		status               int
		says                 string
	}{
		{"GET", dohPath + "?dns=" + text, "", nil, 200, ""},
		{"GET", dohPath + "?dns=" + text + "==", "", nil, 200, ""}, // padding is forgiven
		{"HEAD", dohPath + "?dns=" + text, "", nil, 200, ""},
		{"POST", dohPath, dohMediaType, query, 200, ""},
		{"GET", "/", "", nil, 404, dohPath},
		{"GET", dohPath + "/", "", nil, 404, dohPath},
		{"GET", "/resolve?name=bad.example", "", nil, 404, dohPath},
		{"GET", dohPath, "", nil, 400, "found 0 parameters dns"},
		{"GET", dohPath + "?dns=" + text + "&dns=" + text, "", nil, 400, "found 2 parameters dns"},
		{"GET", dohPath + "?dns=%21", "", nil, 400, "found no base64url"},
		{"GET", dohPath + "?dns=", "", nil, 400, "found 0 octets that are no DNS query"},
		{"GET", dohPath + "?dns=" + base64.RawURLEncoding.EncodeToString(header(0, 1<<15, 1)), "", nil, 400, "with QR 0"},
		{"GET", dohPath + "?dns=" + strings.Repeat("A", 6000), "", nil, 414, "found 6000 characters, expected at most 5462"},
		{"PUT", dohPath, dohMediaType, query, 405, `found method "PUT"`},
		{"DELETE", dohPath, "", nil, 405, "DELETE"},
		{"OPTIONS", dohPath, "", nil, 405, "OPTIONS"},
		{"POST", dohPath, "application/json", query, 415, `found content type "application/json"`},
		{"POST", dohPath, "", query, 415, dohMediaType},
		{"POST", dohPath, dohMediaType + "; charset=utf-8", query, 200, ""},
		{"POST", dohPath, dohMediaType, nil, 400, "found 0 octets"},
		{"POST", dohPath, dohMediaType, make([]byte, 65536), 413, "65535 at most"},
		{"POST", dohPath, dohMediaType, make([]byte, 70_000), 413, "65535 at most"},
		{"POST", dohPath, dohMediaType, []byte("hello"), 400, "found 5 octets"},
	}
	for version, client := range map[string]*http.Client{"h2": k.h2(t, "127.0.0.1"), "http/1.1": k.h2(t, "127.0.0.1", "http/1.1"), "h3": k.h3(t, "127.0.0.1")} {
		for _, c := range cases {
			what := fmt.Sprintf("%s %s %.60s (%s)", version, c.method, c.target, c.kind)
			r, err := http.NewRequestWithContext(t.Context(), c.method, "https://"+k.https.Addr().String()+c.target, bytes.NewReader(c.body))
			check(t, err)
			if len(c.body) == 70_000 {
				r.ContentLength = -1 // it comes in pieces
			}
			if c.kind != "" {
				r.Header.Set("Content-Type", c.kind)
			}
			r.Header.Set("X-Forwarded-For", "192.0.2.99")
			r.Header.Set("Forwarded", "for=192.0.2.99")
			answer, err := client.Do(r)
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil || answer.StatusCode != c.status || !strings.Contains(string(body), c.says) {
				t.Errorf("%s: %s %q %v, expected %d with %q", what, answer.Status, body, err, c.status, c.says)
			}
			if answer.Header.Get("Server") != "" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: headers %v", what, answer.Header)
			}
			if alt := answer.Header.Get("Alt-Svc"); (alt == "") != (version == "h3") {
				t.Errorf("%s: Alt-Svc %q", what, alt)
			}
			if c.status == 405 && answer.Header.Get("Allow") != "GET, HEAD, POST" {
				t.Errorf("%s: Allow %q", what, answer.Header.Get("Allow"))
			}
			if c.status != 200 {
				continue
			}
			if got := answer.Header.Get("Content-Type"); got != dohMediaType {
				t.Errorf("%s: content type %q", what, got)
			}
			if got := answer.Header.Get("Cache-Control"); got != "private, max-age=60" {
				t.Errorf("%s: Cache-Control %q, expected the TTL of the sinkhole", what, got)
			}
			if c.method == "HEAD" && len(body) != 0 {
				t.Errorf("%s: a body of %d octets", what, len(body))
			}
		}
	}
	if k.Stats().Encrypted.Rejected == 0 {
		t.Error("no request counted as rejected")
	}
	for _, r := range k.hits(t) {
		if ip := fieldOf(r.Raw, "client.ip"); ip != "127.0.0.1" {
			t.Errorf("client.ip is %s: a header was believed", ip)
		}
	}
}

// An answer may be kept as long as its smallest TTL, a negative one as its SOA says,
// and a failure not at all.
func TestDoHFreshness(t *testing.T) {
	t.Parallel()
	zone := "@ SOA ns.example. root.example. 1 2 3 4 120\nexample. 300 SOA ns.example. root.example. 1 2 3 4 90\n" +
		"good.example. 200 A 192.0.2.1\ngood.example. 200 A 192.0.2.2\nchain.example. 40 CNAME good.example.\n;! fails.example. A rcode=SERVFAIL\nfails.example. A 192.0.2.1\n"
	zone = strings.TrimPrefix(zone, "@ SOA ns.example. root.example. 1 2 3 4 120\n")
	k := newEncryptedRig(t, rigOptions{servers: []string{newZone(t, zone).addr}})
	client := k.h2(t, "127.0.0.1")
	for name, most := range map[string]int{"good.example.": 200, "chain.example.": 40, "none.example.": 90, "fails.example.": 0, "localhost.": localTTL} {
		answer, err := client.Post(k.url(), dohMediaType, bytes.NewReader(queryOf(t, name, dns.TypeA)))
		check(t, err)
		answer.Body.Close()
		got := answer.Header.Get("Cache-Control")
		if most == 0 {
			if got != "no-store" {
				t.Errorf("%s: Cache-Control %q, expected no-store", name, got)
			}
			continue
		}
		var age int
		if _, err := fmt.Sscanf(got, "private, max-age=%d", &age); err != nil || age > most || age < most-3 {
			t.Errorf("%s: Cache-Control %q, expected max-age=%d", name, got, most)
		}
	}
}

// A body that does not come is given up, and others are answered meanwhile.
func TestDoHStalledBodies(t *testing.T) {
	t.Parallel()
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	query := queryOf(t, "bad.example.", dns.TypeA)
	for version, client := range map[string]*http.Client{"h2": k.h2(t, "127.0.0.1"), "h3": k.h3(t, "127.0.0.1")} {
		client.Timeout = 0
		reader, writer := io.Pipe()
		stalled := make(chan error, 1)
		before := k.Stats().Encrypted.Stalled
		go func() {
			r, err := http.NewRequestWithContext(t.Context(), "POST", k.url(), reader)
			if err == nil {
				r.Header.Set("Content-Type", dohMediaType)
				r.ContentLength = int64(len(query))
				var answer *http.Response
				if answer, err = client.Do(r); err == nil {
					answer.Body.Close()
					if answer.StatusCode != http.StatusRequestTimeout {
						err = fmt.Errorf("status %s", answer.Status)
					}
				}
			}
			stalled <- err
		}()
		_, err := writer.Write(query[:1])
		check(t, err)
		if got, err := client.Post(k.url(), dohMediaType, bytes.NewReader(query)); err != nil || got.StatusCode != 200 {
			t.Errorf("%s: another query: %v", version, err)
		}
		eventually(t, version+": the query is given up", func() bool { return k.Stats().Encrypted.Stalled > before })
		select {
		case err := <-stalled:
			if err != nil {
				t.Logf("%s: the stalled request ended with %v", version, err) // or was reset
			}
		case <-time.After(patience):
			t.Errorf("%s: the stalled request was not answered", version)
		}
		writer.Close()
	}
	eventually(t, "nothing is under way", func() bool { s := k.Stats().Encrypted; return s.TLS.Queries+s.QUIC.Queries == 0 })
}

// HTTP/3 streams without a whole request are given up.
func TestDoH3StalledStreams(t *testing.T) {
	t.Parallel()
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	c, err := k.quicDialer(t, "127.0.0.1").Dial(t.Context(), k.https.quic.socket.LocalAddr(), k.tlsClient("h3"), nil)
	check(t, err)
	for range maxStreams {
		s, err := c.OpenStream()
		check(t, err)
		_, err = s.Write([]byte{1}) // a HEADERS frame begins
		check(t, err)
	}
	eventually(t, "all streams are under way", func() bool { return k.Stats().Encrypted.QUIC.Queries == maxStreams })
	eventually(t, "all are given up", func() bool { return k.Stats().Encrypted.QUIC.Queries == 0 })
}
