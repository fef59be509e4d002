package feed

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestReadSecret(t *testing.T) {
	for text, want := range map[string]string{
		"s3cret\n": "", "  s3cret\r\n": "",
		"":                                  "found nothing, expected one line",
		" \n\n":                             "found nothing, expected one line",
		"s3cret\ns3cret\n":                  "found several lines or a control character, expected one line",
		"s3\x00cret":                        "found several lines or a control character, expected one line",
		strings.Repeat("s3cret", maxSecret): "found more than 4096 octets, expected one line",
	} {
		path := writeSecret(t, text)
		secret, err := readSecret(path)
		if want == "" {
			if secret != "s3cret" || err != nil {
				t.Errorf("%q: got %q, %v", text, secret, err)
			}
			continue
		}
		if err == nil || secret != "" || err.Error() != "the secret: "+path+": "+want {
			t.Errorf("%.20q: got %q, %v, want %s", text, secret, err, want)
		}
	}
	checkSays(t, func() error { _, err := readSecret(t.TempDir()); return err }(), "is a directory")
}

func writeSecret(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// A key that was mended is sent with the next request, whoever asks for that.
func TestSecretOfEachFetch(t *testing.T) {
	o := newOrigin(t, nil)
	o.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "n3w" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "a.example\n")
	})
	r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots()})
	path := writeSecret(t, "0ld")
	spec := RemoteSpec{URL: o.URL + "/list", Header: "X-Key", SecretFile: path}
	checkSays(t, r.list(spec), "401", "does not accept the key", "auth.secret_file")
	worker := r.workers["feed"]
	must(t, os.WriteFile(path, []byte("n3w\n"), 0o600))
	must(t, r.refresh())
	if got := r.take(); got != "a.example\n" {
		t.Errorf("judged %q", got)
	}
	must(t, os.Remove(path))
	checkSays(t, r.refresh(), "the secret: "+path, "no such file")
	must(t, os.WriteFile(path, nil, 0o600))
	checkSays(t, r.refresh(), path, "found nothing")
	if r.workers["feed"] != worker || r.good(spec) != "a.example\n" {
		t.Error("the list began anew, or has lost its copy")
	}
	if said := r.logged(); strings.Contains(said, "0ld") || strings.Contains(said, "n3w") {
		t.Errorf("a secret is told: %s", said)
	}
	// What is wrong with the spec itself is told at once.
	checkSays(t, r.Set([]RemoteSpec{{Name: "feed", URL: spec.URL, SecretFile: path}}), "auth.header")
}

// Ask has what is fetched with another key fetched at once, not by the schedule.
func TestAsk(t *testing.T) {
	o := newOrigin(t, status(http.StatusUnauthorized))
	r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots()})
	checkSays(t, r.list(RemoteSpec{URL: o.URL + "/list"}), "401")
	o.answer(text("a.example\n"))
	r.Ask("feed")
	r.Ask("nobody")
	until(t, patience, "the list is fetched", func() bool { return r.state().Error == "" && r.state().Good != nil })
}

func TestZoneSecretOfEachTransfer(t *testing.T) {
	t.Parallel()
	const secret, other = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ=", "b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItMTI="
	b := newBIND(t, "", fmt.Sprintf(`
key "k" { algorithm hmac-sha256; secret %q; };
zone "rpz.test" { type primary; file "DIR/rpz.test"; allow-transfer { key k; }; allow-query { key k; }; };`, secret))
	b.write(t, "rpz.test", policyZone(7, 3600, 600, 86400, 10))
	b.start(t)
	path := writeSecret(t, other)
	w := newZoneOwner(t, t.TempDir(), ZoneOptions{})
	w.set(ZoneSpec{Name: "l", Source: sourceOf(b), TSIG: TSIG{Name: "k", Algorithm: "hmac-sha256"}, SecretFile: path})
	w.waitError("l", "another secret", "tsig.secret_file")
	primary := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 53)
	notify := func(secret string) int {
		t.Helper()
		m := new(dns.Msg).SetNotify("rpz.test.")
		m.SetTsig("k.", dns.HmacSHA256, 300, time.Now().Unix())
		raw, _, err := dns.TsigGenerate(m, secret, "", false)
		must(t, err)
		reply := new(dns.Msg)
		must(t, reply.Unpack(w.zones.Notify(raw, primary)))
		return reply.Rcode
	}
	if code := notify(secret); code != dns.RcodeNotAuth {
		t.Errorf("a NOTIFY with another secret got %s", dns.RcodeToString[code])
	}

	must(t, os.WriteFile(path, []byte(secret+"\n"), 0o600))
	w.zones.Ask("l")
	w.zones.Ask("nobody")
	w.waitSerial("l", 7)
	if code := notify(secret); code != dns.RcodeSuccess {
		t.Errorf("a NOTIFY with the secret got %s", dns.RcodeToString[code])
	}
	must(t, os.Remove(path))
	checkSays(t, w.zones.Refresh(t.Context(), "l"), "the secret: "+path)
	checkSays(t, w.zones.Set([]ZoneSpec{{Name: "l", Source: sourceOf(b), SecretFile: path}}), "TSIG key")
}

// TestFirstFailure is an error in the log, once: nothing serves in its place.
func TestFirstFailure(t *testing.T) {
	o := newOrigin(t, status(http.StatusNotFound))
	r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots()})
	spec := RemoteSpec{URL: o.URL + "/list"}
	checkSays(t, r.list(spec), "404")
	checkSays(t, r.refresh(), "404")
	if said := r.logged(); strings.Count(said, `"level":"error"`) != 1 || strings.Count(said, `"level":"warn"`) != 1 {
		t.Errorf("logged %s", said)
	}
	o.answer(text("a.example\n"))
	must(t, r.refresh())
	o.answer(status(http.StatusNotFound))
	checkSays(t, r.refresh(), "404")
	if said := r.logged(); strings.Count(said, `"level":"error"`) != 1 {
		t.Errorf("a failure with a copy at hand is an error: %s", said)
	}
}
