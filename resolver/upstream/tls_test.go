package upstream_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/upstream"
)

func TestOverTLS(t *testing.T) {
	a := newAuthority(t)
	query := make(chan []byte, 1)
	p := startTLS(t, a.config(peerName), func(p *tlsPeer, conn *tls.Conn, _ int64) {
		for q := p.next(conn); q != nil; q = p.next(conn) {
			query <- q
			conn.Write(framed(answer(q, truth)))
		}
	})
	f := secureForwarder(t, a, 5*time.Second, p.server(peerName))
	for range 3 {
		got, reply := exchange(t, f, "wWw.eXample.com.")
		if got != truth || reply.Transport != "tls" || reply.Server.String() != p.server(peerName) {
			t.Errorf("got %q over %s from %s, want %q over tls from %s", got, reply.Transport, reply.Server, truth, p.server(peerName))
		}
		isPadded(t, <-query, true)
	}
	s := f.Stats()[0]
	if c := s.Connections; c == nil || c.Opened != 1 || c.Open != 1 || s.Replies != 3 || s.Server.String() != p.server(peerName) {
		t.Errorf("want one connection for three replies: %+v, %+v", s, c)
	}
}

// The certificate is checked whatever the notation, and nothing is asked before.
func TestCertificates(t *testing.T) {
	a := newAuthority(t)
	tests := []struct {
		name   string
		cert   tls.Certificate
		server string // with the address for %s
		want   string // in the error; empty: an answer
	}{
		{"the name", a.issue(peerName, time.Now().Add(time.Hour)), "%s#dns.example", ""},
		{"the name in capitals", a.issue(peerName, time.Now().Add(time.Hour)), "%s#DNS.Example.", ""},
		{"the address", a.issue("127.0.0.1", time.Now().Add(time.Hour)), "%s", ""},
		{"another name", a.issue("other.example", time.Now().Add(time.Hour)), "%s#dns.example", "valid for other.example, not dns.example"},
		{"a name without an address", a.issue(peerName, time.Now().Add(time.Hour)), "%s", "doesn't contain any IP SANs"},
		{"another address", a.issue("127.0.0.2", time.Now().Add(time.Hour)), "%s", "valid for 127.0.0.2, not 127.0.0.1"},
		{"expired", a.issue(peerName, time.Now().Add(-time.Hour)), "%s#dns.example", "expired"},
		{"another authority", newAuthority(t).issue(peerName, time.Now().Add(time.Hour)), "%s#dns.example", "unknown authority"},
	}
	for _, over := range []string{"tls", "https", "quic"} {
		for _, test := range tests {
			t.Run(over+" "+test.name, func(t *testing.T) {
				t.Parallel()
				config := &tls.Config{Certificates: []tls.Certificate{test.cert}}
				var addr string
				var asked, plain *atomic.Int64
				path := ""
				for plain == nil { // until the port is free over UDP too
					switch over {
					case "tls":
						p := startTLS(t, config, honestTLS)
						addr, asked = p.Addr().String(), &p.queries
					case "https":
						p := startHTTPS(t, config, honestHTTPS)
						addr, asked, path = p.Listener.Addr().String(), &p.queries, "/dns-query"
					case "quic":
						p := startQUIC(t, config, honestQUIC)
						addr, asked = p.Addr().String(), &p.queries
					}
					plain = startPlainAt(t, addr, over != "quic")
				}
				server := over + "://" + fmt.Sprintf(strings.ReplaceAll(test.server, "%s", "%s"+path), addr)
				f := secureForwarder(t, a, 5*time.Second, server)
				reply, err := f.Exchange(t.Context(), newQuery(t, "www.example.com."))
				switch {
				case test.want == "" && err != nil:
					t.Errorf("%s: %v", server, err)
				case test.want == "" && address(t, reply.Msg) != truth:
					t.Errorf("%s: not the truth", server)
				case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || asked.Load() != 0):
					t.Errorf("%s: got error %v and %d queries, want %q in it and none", server, err, asked.Load(), test.want)
				}
				if test.want != "" && f.Stats()[0].Healthy {
					t.Error("the server counts as healthy")
				}
				if n := plain.Load(); n != 0 {
					t.Errorf("%d datagrams came without encryption", n)
				}
			})
		}
	}
}

// startPlainAt counts datagrams at an address, where it is free for them; nil: somebody
// else has it.
func startPlainAt(t *testing.T, addr string, free bool) *atomic.Int64 {
	count := new(atomic.Int64)
	if !free {
		return count
	}
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		for {
			if _, _, err := c.ReadFrom(make([]byte, 1)); err != nil {
				return
			}
			count.Add(1)
		}
	}()
	return count
}

// Queries share a connection, and each gets its own answer although they come in
// another order.
func TestPipelining(t *testing.T) {
	const many = 60
	a := newAuthority(t)
	p := startTLS(t, a.config(peerName), func(p *tlsPeer, conn *tls.Conn, _ int64) {
		var queries [][]byte
		for len(queries) < many {
			q := p.next(conn)
			if q == nil {
				return
			}
			queries = append(queries, q)
		}
		slices.Reverse(queries)
		var all []byte
		for _, q := range queries {
			var m dns.Msg
			if err := m.Unpack(q); err != nil {
				t.Error(err)
			}
			all = append(all, framed(answer(q, "198.18.0."+strings.TrimSuffix(m.Question[0].Name, ".example.")))...)
		}
		conn.Write(all)
		silentTLS(p, conn, 0)
	})
	f := secureForwarder(t, a, 10*time.Second, p.server(peerName))
	var asking sync.WaitGroup
	for i := range many {
		asking.Go(func() {
			if got, _ := exchange(t, f, fmt.Sprintf("%d.example.", i)); got != fmt.Sprintf("198.18.0.%d", i) {
				t.Errorf("%d.example. has the address %s", i, got)
			}
		})
	}
	asking.Wait()
	if n := p.accepted.Load(); n != 1 {
		t.Errorf("got %d connections, want one", n)
	}
}

// A server that closes, or is started anew, costs no failure and no wait.
func TestClosedConnectionIsReplaced(t *testing.T) {
	a := newAuthority(t)
	tests := map[string]func(p *tlsPeer, conn *tls.Conn, number int64){
		"after each answer": func(p *tlsPeer, conn *tls.Conn, _ int64) {
			if q := p.next(conn); q != nil {
				conn.Write(framed(answer(q, truth)))
			}
		},
		"under the second query": func(p *tlsPeer, conn *tls.Conn, _ int64) {
			conn.Write(framed(answer(p.next(conn), truth)))
			p.next(conn)
		},
		"within the second answer": func(p *tlsPeer, conn *tls.Conn, _ int64) {
			conn.Write(framed(answer(p.next(conn), truth)))
			if q := p.next(conn); q != nil {
				conn.Write(framed(answer(q, lie))[:20])
			}
		},
		"with a reset under the second query": func(p *tlsPeer, conn *tls.Conn, _ int64) {
			conn.Write(framed(answer(p.next(conn), truth)))
			p.next(conn)
			conn.NetConn().(*net.TCPConn).SetLinger(0)
			conn.NetConn().Close()
		},
		"with the first connection": func(p *tlsPeer, conn *tls.Conn, number int64) {
			if number > 1 {
				honestTLS(p, conn, number)
			}
		},
	}
	for name, handle := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startTLS(t, a.config(peerName), handle)
			f := secureForwarder(t, a, 10*time.Second, p.server(peerName))
			for range 6 {
				if got, reply := exchange(t, f, "www.example.com."); got != truth || reply.RTT > 5*time.Second {
					t.Errorf("got %q after %v, want %q", got, reply.RTT, truth)
				}
			}
			s := f.Stats()[0]
			if !s.Healthy || s.Replies != 6 || s.Network != 0 || s.Timeouts != 0 {
				t.Errorf("want six replies and no failure: %+v", s)
			}
			if strings.Contains(name, "second") && s.Connections.Requeried == 0 {
				t.Errorf("no query was sent again: %+v", s.Connections)
			}
		})
	}
}

// A server that never answers but closes is asked twice, and then is at fault.
func TestClosingServerFails(t *testing.T) {
	a := newAuthority(t)
	p := startTLS(t, a.config(peerName), func(p *tlsPeer, conn *tls.Conn, _ int64) { p.next(conn) })
	f := secureForwarder(t, a, 5*time.Second, p.server(peerName))
	_, err := f.Exchange(t.Context(), newQuery(t, "www.example.com."))
	if err == nil || !strings.Contains(err.Error(), "closed the connection after 0 octets") {
		t.Errorf("got error %v", err)
	}
	if s := f.Stats()[0]; s.Healthy || s.Network != 1 || p.queries.Load() != 2 {
		t.Errorf("got %d queries, want 2, and one failure: %+v", p.queries.Load(), s)
	}
}

// A connection that has fallen silent gets no further query; the exchange is saved
// by the next attempt, on another one.
func TestSilentConnectionIsReplaced(t *testing.T) {
	a := newAuthority(t)
	tests := map[string]func(p *tlsPeer, conn *tls.Conn){
		"silent": func(p *tlsPeer, conn *tls.Conn) { silentTLS(p, conn, 0) },
		"half an answer": func(p *tlsPeer, conn *tls.Conn) {
			conn.Write(framed(answer(p.next(conn), lie))[:20])
			silentTLS(p, conn, 0)
		},
		"half of a length": func(p *tlsPeer, conn *tls.Conn) { p.next(conn); conn.Write([]byte{0}); silentTLS(p, conn, 0) },
	}
	for name, handle := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startTLS(t, a.config(peerName), func(p *tlsPeer, conn *tls.Conn, number int64) {
				if number == 1 {
					handle(p, conn)
				} else {
					honestTLS(p, conn, number)
				}
			})
			const timeout = 2 * time.Second
			f := secureForwarder(t, a, timeout, p.server(peerName))
			got, reply := exchange(t, f, "www.example.com.")
			if got != truth || p.accepted.Load() != 2 {
				t.Errorf("got %q after %v over %d connections, want %q over the second", got, reply.RTT, p.accepted.Load(), truth)
			}
			eventually(t, "the silent connection is closed", func() bool { return f.Stats()[0].Connections.Open == 1 })
			for range 3 {
				exchange(t, f, "www.example.com.")
			}
			if p.accepted.Load() != 2 {
				t.Errorf("got %d connections, want two", p.accepted.Load())
			}
		})
	}
}

// A slow name holds up nobody else: the connection is alive, and used.
func TestSlowNameOverTLS(t *testing.T) {
	a := newAuthority(t)
	p := startTLS(t, a.config(peerName), func(p *tlsPeer, conn *tls.Conn, _ int64) {
		for q := p.next(conn); q != nil; q = p.next(conn) {
			if q[13] != 's' { // of slow
				conn.Write(framed(answer(q, truth)))
			}
		}
	})
	f := secureForwarder(t, a, time.Second, p.server(peerName))
	failed := make(chan error)
	go func() {
		_, err := f.Exchange(t.Context(), newQuery(t, "slow.example.com."))
		failed <- err
	}()
	var err error
	for asking := true; asking; {
		exchange(t, f, "www.example.com.")
		select {
		case err = <-failed:
			asking = false
		default:
		}
	}
	var e *upstream.Error
	if !errors.As(err, &e) || e.Kind != upstream.NoReply {
		t.Errorf("the slow name: got error %v, want no reply", err)
	}
	if s := f.Stats()[0]; p.accepted.Load() != 1 || !s.Healthy {
		t.Errorf("got %d connections, want one, and a healthy server: %+v", p.accepted.Load(), s)
	}
}

func TestSessionsAreResumed(t *testing.T) {
	a := newAuthority(t)
	p := startTLS(t, a.config(peerName), func(p *tlsPeer, conn *tls.Conn, _ int64) {
		conn.Write(framed(answer(p.next(conn), truth)))
	})
	f := secureForwarder(t, a, 5*time.Second, p.server(peerName))
	for range 4 {
		exchange(t, f, "www.example.com.")
	}
	if c := f.Stats()[0].Connections; c.Opened < 4 || c.Resumed != c.Opened-1 {
		t.Errorf("got %d of %d connections resumed, want all but the first", c.Resumed, c.Opened)
	}
}

// A server says how long it keeps a connection (RFC 7828): we end it then.
func TestKeepaliveTimeout(t *testing.T) {
	a := newAuthority(t)
	for units, queries := range map[uint16]int64{0: 1, 1: 3} { // of 100 ms
		t.Run(fmt.Sprint(units), func(t *testing.T) {
			t.Parallel()
			ended := make(chan int64, 10)
			p := startTLS(t, a.config(peerName), func(p *tlsPeer, conn *tls.Conn, _ int64) {
				served := int64(0)
				for q := p.next(conn); q != nil; q = p.next(conn) {
					m := reply(q)
					m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE, Timeout: units, Length: 2})
					packed := pack(m)
					if units == 0 { // the library leaves 0 out
						m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: dns.EDNS0TCPKEEPALIVE, Data: []byte{0, 0}}}
						packed = pack(m)
					}
					conn.Write(framed(packed))
					served++
				}
				ended <- served
			})
			f := secureForwarder(t, a, 5*time.Second, p.server(peerName))
			for range 3 {
				exchange(t, f, "www.example.com.")
			}
			select {
			case served := <-ended:
				if served > queries {
					t.Errorf("the connection had %d queries, want %d", served, queries)
				}
			case <-time.After(10 * time.Second):
				t.Error("the connection was not closed")
			}
		})
	}
}

// What is no answer to a query ends that query, not the others on the connection.
func TestBadReplyOverTLS(t *testing.T) {
	a := newAuthority(t)
	tests := []struct {
		name  string
		bad   func(q []byte) []byte // with the length before it
		want  string
		conns int64
	}{
		{"another question", func(q []byte) []byte { return framed(answer(patch(q, 13, q[13]+1), lie)) }, "another query", 1},
		{"another case", func(q []byte) []byte { return framed(answer(patch(q, 13, q[13]^0x20), lie)) }, "another query", 1},
		{"the query itself", framed, "another query", 1},
		{"no message", func(q []byte) []byte { return framed(answer(q, lie)[:len(q)-60]) }, "no DNS message", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := startTLS(t, a.config(peerName), func(p *tlsPeer, conn *tls.Conn, _ int64) {
				for q := p.next(conn); q != nil; q = p.next(conn) {
					if strings.HasPrefix(string(q[13:]), "bad") {
						conn.Write(test.bad(q))
					} else {
						conn.Write(framed(answer(q, truth)))
					}
				}
			})
			f := secureForwarder(t, a, 5*time.Second, p.server(peerName))
			exchange(t, f, "www.example.com.")
			_, err := f.Exchange(t.Context(), newQuery(t, "bad.example.com."))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q in it", err, test.want)
			}
			exchange(t, f, "www.example.com.")
			if s := f.Stats()[0]; p.accepted.Load() != test.conns || !s.Healthy || s.Mismatched+s.Malformed != 1 {
				t.Errorf("got %d connections, want %d and a healthy server: %+v", p.accepted.Load(), test.conns, s)
			}
		})
	}
}

func patch(msg []byte, at int, octet byte) []byte {
	msg = slices.Clone(msg)
	msg[at] = octet
	return msg
}

// Messages that nobody asked for do no harm; after some of them the connection is
// not trusted.
func TestUnaskedMessages(t *testing.T) {
	a := newAuthority(t)
	p := startTLS(t, a.config(peerName), func(p *tlsPeer, conn *tls.Conn, number int64) {
		for q := p.next(conn); q != nil; q = p.next(conn) {
			stray := answer(patch(q, 0, q[0]^0xff), lie)
			if number == 1 {
				conn.Write(slices.Concat(framed(stray), framed(stray), framed(stray)))
			}
			conn.Write(append(framed(stray), framed(answer(q, truth))...))
		}
	})
	f := secureForwarder(t, a, 5*time.Second, p.server(peerName))
	for range 2 {
		if got, _ := exchange(t, f, "www.example.com."); got != truth {
			t.Errorf("got %q, want %q", got, truth)
		}
	}
	if s := f.Stats()[0]; s.Mismatched != 5 || p.accepted.Load() != 2 || !s.Healthy {
		t.Errorf("got %d connections, want 2, and five messages counted: %+v", p.accepted.Load(), s)
	}
}

// Connections and the queries on each are bounded; all get their answer.
func TestConnectionsAreBounded(t *testing.T) {
	const queries = 350
	a := newAuthority(t)
	var most atomic.Int64
	release := make(chan struct{})
	p := startTLS(t, a.config(peerName), func(p *tlsPeer, conn *tls.Conn, _ int64) {
		var writing sync.Mutex
		var inFlight atomic.Int64
		for q := p.next(conn); q != nil; q = p.next(conn) {
			for n := inFlight.Add(1); n > most.Load(); {
				most.Store(n)
			}
			go func() {
				<-release
				inFlight.Add(-1)
				writing.Lock()
				defer writing.Unlock()
				conn.Write(framed(answer(q, truth)))
			}()
		}
	})
	silent := startTLS(t, a.config(peerName), silentTLS)
	f := secureForwarder(t, a, 20*time.Second, p.server(peerName), silent.server(peerName))
	var asking sync.WaitGroup
	for range queries {
		asking.Go(func() { exchange(t, f, "www.example.com.") })
	}
	eventually(t, "all queries have come", func() bool { return p.queries.Load() == queries })
	close(release)
	asking.Wait()
	if most.Load() > 100 || p.accepted.Load() != 4 {
		t.Errorf("got %d connections with up to %d queries, want 4 with at most 100", p.accepted.Load(), most.Load())
	}
}

func TestFullConnectionsAreALocalShortage(t *testing.T) {
	const most = 16 * 100
	a := newAuthority(t)
	p := startTLS(t, a.config(peerName), silentTLS)
	f := secureForwarder(t, a, 4*time.Second, p.server(peerName))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asking sync.WaitGroup
	for range most + 50 {
		asking.Go(func() { f.Exchange(ctx, newQuery(t, "www.example.com.")) })
	}
	eventually(t, "all places are taken", func() bool { return f.Stats()[0].Connections.Crowded > 0 && p.queries.Load() == most })
	if n := p.accepted.Load(); n != 16 {
		t.Errorf("got %d connections, want 16", n)
	}
	cancel()
	asking.Wait()
}

// Nothing is left of connections, however exchanges end.
func TestNothingIsLeftOfConnections(t *testing.T) {
	a := newAuthority(t)
	good, silent := startTLS(t, a.config(peerName), honestTLS), startTLS(t, a.config(peerName), silentTLS)
	web, hung := startHTTPS(t, a.config(peerName), honestHTTPS), startHTTPS(t, a.config(peerName), silentHTTPS)
	streams, mute := startQUIC(t, a.config(peerName), honestQUIC), startQUIC(t, a.config(peerName), silentQUIC)
	files := openFiles(t)
	f, err := upstream.New(upstream.Options{Timeout: 300 * time.Millisecond, RootCAs: a.roots(), Servers: []string{
		silent.server(peerName), hung.server(), mute.server(), good.server(peerName), web.server(), streams.server(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	var asking sync.WaitGroup
	for i := range 60 {
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*10*time.Millisecond)
			defer cancel()
			f.Exchange(ctx, newQuery(t, "www.example.com."))
		})
	}
	asking.Wait()
	start := time.Now()
	f.Close()
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("Close took %v", took)
	}
	for _, s := range f.Stats() {
		eventually(t, "no connection to "+s.Server.String()+" is open", func() bool { return s.Connections.Open == 0 || f.Stats()[0].Connections.Open == 0 })
	}
	eventually(t, "no goroutine works on", func() bool {
		return !strings.Contains(stacks(), "upstream.(*pipe)") && !strings.Contains(stacks(), "upstream.(*pool)")
	})
	eventually(t, "no file is open", func() bool { return openFiles(t) <= files })
}

func BenchmarkExchangeOverTLS(b *testing.B) {
	a := newAuthority(b)
	p := startTLS(b, a.config(peerName), func(p *tlsPeer, conn *tls.Conn, _ int64) {
		in := bufio.NewReader(conn)
		for q := p.next(in); q != nil; q = p.next(in) {
			q[2] |= 0x80
			conn.Write(framed(q))
		}
	})
	f := secureForwarder(b, a, 2*time.Second, p.server(peerName))
	query := newQuery(b, "www.example.com.")
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := f.Exchange(context.Background(), query); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
