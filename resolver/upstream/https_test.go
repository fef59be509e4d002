package upstream_test

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// httpsPeer is a server over HTTPS.
type httpsPeer struct {
	*httptest.Server
	queries atomic.Int64
}

type onHTTPS func(query []byte, w http.ResponseWriter, r *http.Request)

func startHTTPS(t testing.TB, config *tls.Config, handle onHTTPS) *httpsPeer {
	t.Helper()
	p := &httpsPeer{}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		p.queries.Add(1)
		handle(query, w, r)
	}))
	p.TLS = config.Clone()
	p.EnableHTTP2 = true
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.StartTLS()
	t.Cleanup(func() {
		p.CloseClientConnections()
		p.Close()
	})
	return p
}

func (p *httpsPeer) server() string {
	return "https://" + p.Listener.Addr().String() + "/dns-query#" + peerName
}

func honestHTTPS(query []byte, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/dns-message")
	w.Write(answer(query, truth))
}

func silentHTTPS(_ []byte, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestOverHTTPS(t *testing.T) {
	a := newAuthority(t)
	for _, proto := range []string{"HTTP/2.0", "HTTP/1.1"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			conns := map[string]bool{}
			var mu sync.Mutex
			handle := func(q []byte, w http.ResponseWriter, r *http.Request) {
				isPadded(t, q, false)
				mu.Lock()
				conns[r.RemoteAddr] = true
				mu.Unlock()
				if r.Proto != proto || r.Method != http.MethodPost || r.RequestURI != "/dns-query" || !strings.HasPrefix(r.Host, peerName+":") ||
					r.Header.Get("Content-Type") != "application/dns-message" || r.Header.Get("Accept") != "application/dns-message" || len(r.Header["User-Agent"]) > 0 || q[0]|q[1] != 0 {
					t.Errorf("got %s %s %s of %s with %v and ID %x", r.Proto, r.Method, r.RequestURI, r.Host, r.Header, q[:2])
				}
				honestHTTPS(q, w, r)
			}
			p := startHTTPS(t, a.config(peerName, map[string][]string{"HTTP/2.0": {"h2"}, "HTTP/1.1": {"http/1.1"}}[proto]...), handle)
			f := secureForwarder(t, a, 5*time.Second, p.server())
			for range 3 {
				got, reply := exchange(t, f, "wWw.eXample.com.")
				if got != truth || reply.Transport != "https" || reply.Server.String() != p.server() {
					t.Errorf("got %q over %s from %s, want %q over https from %s", got, reply.Transport, reply.Server, truth, p.server())
				}
			}
			if s := f.Stats()[0]; len(conns) != 1 || s.Connections.Opened != 1 || s.Connections.Open != 1 || s.Replies != 3 {
				t.Errorf("want one connection for three replies: %+v, %+v", s, s.Connections)
			}
			var asking sync.WaitGroup
			for range 50 {
				asking.Go(func() { exchange(t, f, "www.example.com.") })
			}
			asking.Wait()
			if most := map[string]int{"HTTP/2.0": 1, "HTTP/1.1": 16}[proto]; len(conns) > most {
				t.Errorf("got %d connections, want at most %d", len(conns), most)
			}
		})
	}
}

func TestBadReplyOverHTTPS(t *testing.T) {
	a := newAuthority(t)
	status := func(code int) onHTTPS {
		return func(q []byte, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/dns-message")
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(code)
			w.Write(answer(q, lie))
		}
	}
	content := func(kind string, change func([]byte) []byte) onHTTPS {
		return func(q []byte, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Write(change(answer(q, lie)))
		}
	}
	same := func(msg []byte) []byte { return msg }
	tests := map[string]struct {
		handle onHTTPS
		want   string
	}{
		"500":           {status(500), "HTTP status 500 Internal Server Error, expected 200"},
		"404":           {status(404), "HTTP status 404 Not Found"},
		"204":           {status(204), "HTTP status 204"},
		"redirection":   {status(307), "307, a redirection, which is not followed"},
		"HTML":          {content("text/html; charset=utf-8", same), `"text/html; charset=utf-8", expected application/dns-message`},
		"JSON":          {content("application/dns-json", same), "application/dns-json"},
		"bad type":      {content(";;", same), "expected application/dns-message"},
		"huge":          {content("application/dns-message", func([]byte) []byte { return make([]byte, 1<<20) }), "more than 65535 octets"},
		"a little huge": {content("application/dns-message", func([]byte) []byte { return make([]byte, 65536) }), "more than 65535 octets"},
		"empty":         {content("application/dns-message", func([]byte) []byte { return nil }), "0 octets that are no DNS message"},
		"cut":           {content("application/dns-message", func(m []byte) []byte { return m[:len(m)-1] }), "no DNS message"},
		"another ID":    {content("application/dns-message", func(m []byte) []byte { return patch(m, 0, 7) }), "another query"},
		"another name":  {content("application/dns-message", func(m []byte) []byte { return patch(m, 13, 'x') }), "another query"},
		"no response":   {content("application/dns-message", func(m []byte) []byte { return patch(m, 2, m[2]&0x7f) }), "another query"},
		"huge, in pieces": {func(_ []byte, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/dns-message")
			for r.Context().Err() == nil {
				w.Write(make([]byte, 4096))
				w.(http.Flusher).Flush()
			}
		}, "more than 65535 octets"},
		"a huge header": {func(_ []byte, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
			w.WriteHeader(200)
		}, "HTTP exchange"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startHTTPS(t, a.config(peerName), test.handle)
			good := startPeer(t, "127.0.0.1", honest, nil)
			f := secureForwarder(t, a, 5*time.Second, p.server())
			_, err := f.Exchange(t.Context(), newQuery(t, "www.example.com."))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q in it", err, test.want)
			}
			if f.Stats()[0].Healthy {
				t.Error("the server counts as healthy")
			}
			// With another server it costs nobody an answer.
			f = secureForwarder(t, a, 5*time.Second, p.server(), good.String())
			if got, _ := exchange(t, f, "www.example.com."); got != truth {
				t.Errorf("got %q, want %q", got, truth)
			}
		})
	}
}

// A connection that ends under a request is no fault of the server's.
func TestClosedHTTPSIsReplaced(t *testing.T) {
	a := newAuthority(t)
	for _, proto := range []string{"h2", "http/1.1"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			var p *httpsPeer
			var cut atomic.Bool
			p = startHTTPS(t, a.config(peerName, proto), func(q []byte, w http.ResponseWriter, r *http.Request) {
				if q[13] == 'e' && !cut.Swap(true) {
					p.CloseClientConnections()
					return
				}
				honestHTTPS(q, w, r)
			})
			f := secureForwarder(t, a, 5*time.Second, p.server())
			for _, name := range []string{"www.example.com.", "end.example.com.", "www.example.com."} {
				if got, _ := exchange(t, f, name); got != truth {
					t.Errorf("%s: got %q, want %q", name, got, truth)
				}
			}
			if s := f.Stats()[0]; !s.Healthy || s.Replies != 3 || s.Network != 0 || s.Connections.Opened != 2 {
				t.Errorf("want three replies over two connections, no failure: %+v, %+v", s, s.Connections)
			}
		})
	}
}

func TestSilentHTTPSIsReplaced(t *testing.T) {
	a := newAuthority(t)
	var first atomic.Value
	p := startHTTPS(t, a.config(peerName), func(q []byte, w http.ResponseWriter, r *http.Request) {
		first.CompareAndSwap(nil, r.RemoteAddr)
		if first.Load() == r.RemoteAddr {
			silentHTTPS(q, w, r)
			return
		}
		honestHTTPS(q, w, r)
	})
	f := secureForwarder(t, a, 2*time.Second, p.server())
	if got, reply := exchange(t, f, "www.example.com."); got != truth {
		t.Errorf("got %q after %v, want %q", got, reply.RTT, truth)
	}
	eventually(t, "the silent connection is closed", func() bool { return f.Stats()[0].Connections.Open == 1 })
}

// What lay in a cache of HTTP has grown older there.
func TestAgeOverHTTPS(t *testing.T) {
	a := newAuthority(t)
	for age, want := range map[string]uint32{"": 60, "0": 60, "59": 1, "60": 0, "4000000000": 0, "-1": 60, "x": 60, "99999999999": 60} {
		p := startHTTPS(t, a.config(peerName), func(q []byte, w http.ResponseWriter, r *http.Request) {
			if age != "" {
				w.Header().Set("Age", age)
			}
			honestHTTPS(q, w, r)
		})
		f := secureForwarder(t, a, 5*time.Second, p.server())
		_, reply := exchange(t, f, "www.example.com.")
		var m dns.Msg
		if err := m.Unpack(reply.Msg); err != nil || m.Answer[0].Header().Ttl != want || m.IsEdns0() == nil || m.IsEdns0().Header().Ttl != 0 {
			t.Errorf("age %q: got %v (error %v), want a TTL of %d", age, m.Answer, err, want)
		}
	}
}
