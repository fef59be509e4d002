package landing

import (
	"strings"
	"testing"

	"sinkhole/hits"
)

func TestRequestsAreRecorded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 5000)
	for name, c := range map[string]struct {
		send, method, host, path, version, query, agent, referrer string
	}{
		"plain": {send: "GET /gate.php?id=7&x=%00 HTTP/1.1\r\nHost: A.Bad.Example.:8080\r\nUser-Agent: bot/1\r\nReferer: http://u:p@x.example/a?secret#f\r\n\r\n",
			method: "GET", host: "a.bad.example", path: "/gate.php", version: "1.1", query: "id=7&x=%00", agent: "bot/1", referrer: "http://x.example/a"},
		"HTTP/1.0 without Host": {send: "GET / HTTP/1.0\r\n\r\n", method: "GET", path: "/", version: "1.0"},
		"absolute form":         {send: "GET http://b.bad.example/p?q HTTP/1.1\r\nHost: other.example\r\n\r\n", method: "GET", host: "b.bad.example", path: "/p", version: "1.1", query: "q"},
		"CONNECT":               {send: "CONNECT c.bad.example:443 HTTP/1.1\r\nHost: c.bad.example:443\r\n\r\n", method: "CONNECT", host: "c.bad.example", version: "1.1"},
		"POST":                  {send: "POST /up HTTP/1.1\r\nHost: bad.example\r\nContent-Length: 6\r\n\r\nstolen", method: "POST", host: "bad.example", path: "/up", version: "1.1"},
		"HEAD":                  {send: "HEAD / HTTP/1.1\r\nHost: bad.example\r\n\r\n", method: "HEAD", host: "bad.example", path: "/", version: "1.1"},
		"an address":            {send: "GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", method: "GET", host: "2001:db8::1", path: "/", version: "1.1"},
		"long": {send: "GET /" + long + " HTTP/1.1\r\nHost: bad.example\r\nUser-Agent: " + long + "\r\n\r\n",
			method: "GET", host: "bad.example", path: "/" + long[1:longestText], version: "1.1", agent: long[:longestText]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			answer := r.send(c.send)
			if !strings.HasPrefix(answer, "HTTP/1.1 403 Forbidden\r\n") || !strings.Contains(answer, "\r\nConnection: close\r\n") {
				t.Errorf("answered %.80q", answer)
			}
			if got := strings.Contains(answer, "This address is blocked"); got != (c.method != "HEAD") {
				t.Errorf("the notice is in the answer: %v", got)
			}
			x := r.one()
			check(t, "protocol", x.Network.Protocol, "http")
			check(t, "evidence", x.Sinkhole.Evidence, hits.EvidenceSent)
			check(t, "method", x.HTTP.Request.Method, c.method)
			check(t, "version", x.HTTP.Version, c.version)
			check(t, "host", x.URL.Domain, c.host)
			check(t, "path", x.URL.Path, c.path)
			check(t, "agent", x.UserAgent.Original, c.agent)
			check(t, "referrer", x.HTTP.Request.Referrer, c.referrer)
			check(t, "bytes", x.Sinkhole.Bytes, len(c.send))
			check(t, "hash", x.Sinkhole.FirstSHA256, hexSum(c.send[:min(len(c.send), firstOctets)]))
			check(t, "payload", len(x.Sinkhole.Payload), 0)
			check(t, "destination", x.Destination, hits.RecordServer{IP: r.at.Addr(), Port: r.at.Port()})
			want := ""
			if c.query != "" {
				want = hexSum(c.query)
				if strings.Contains(string(x.Raw), c.query+`"`) {
					t.Errorf("the query string is in %s", x.Raw)
				}
			}
			check(t, "query", x.Sinkhole.QuerySHA256, want)
		})
	}
}

func TestWhatIsNoRequestIsRecordedAsItCame(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]string{
		"binary":           "\x00\x01\x02beacon",
		"SSH":              "SSH-2.0-Go\r\n",
		"a bad request":    "GET nothing\r\n\r\n",
		"half a request":   "POST / HTTP/1.1\r\nHost: bad.exa",
		"a word":           "GET",
		"a long word":      strings.Repeat("A", 5000),
		"TLS of one octet": "\x16",
		"TLS that is none": "\x16\x03\x01\x00\x05\x02\x00\x00\x00\x00",
		"HTTP/2":           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(l *Landing) { l.o.KeepPayload = true })
			answer := r.send(send)
			x := r.one()
			if name == "HTTP/2" {
				check(t, "protocol", x.Network.Protocol, "http")
				return
			}
			check(t, "answer", answer, "")
			check(t, "protocol", x.Network.Protocol, "tcp")
			check(t, "evidence", x.Sinkhole.Evidence, hits.EvidenceSent)
			check(t, "bytes", x.Sinkhole.Bytes, len(send))
			check(t, "hash", x.Sinkhole.FirstSHA256, hexSum(send[:min(len(send), firstOctets)]))
			check(t, "payload", string(x.Sinkhole.Payload), send[:min(len(send), firstOctets)])
			check(t, "noise", x.Sinkhole.Noise, true)
		})
	}
}

func TestOwnNoticeIsAnswered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for file, contentType := range map[string]string{"n.html": "text/html", "n.txt": "text/plain"} {
		write(t, dir+"/"+file, "call the helpdesk")
		n, err := ReadNotice(dir + "/" + file)
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, func(l *Landing) { l.o.Notice = n })
		if got := r.send("GET / HTTP/1.0\r\n\r\n"); !strings.HasSuffix(got, "\r\n\r\ncall the helpdesk") || !strings.Contains(got, "Content-Type: "+contentType+"; charset=utf-8\r\n") {
			t.Errorf("%s: found %q", file, got)
		}
	}
	write(t, dir+"/empty", "")
	write(t, dir+"/large", strings.Repeat("x", maxNotice+1))
	for file, want := range map[string]string{"empty": "found nothing", "large": "more than 64 KiB", "missing": "no such file", ".": "is a directory"} {
		if _, err := ReadNotice(dir + "/" + file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, expected %q", file, err, want)
		}
	}
}
