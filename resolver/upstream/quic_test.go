package upstream_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

// quicPeer is a server over QUIC. Its handler has each query with its stream.
type quicPeer struct {
	*quic.Listener
	accepted, queries atomic.Int64
}

type onQUIC func(query []byte, stream *quic.Stream, conn *quic.Conn)

func startQUIC(t testing.TB, config *tls.Config, handle onQUIC) *quicPeer {
	t.Helper()
	config = config.Clone()
	config.NextProtos = []string{"doq"}
	l, err := quic.ListenAddr("127.0.0.1:0", config, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &quicPeer{Listener: l}
	var serving sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	serving.Go(func() {
		for {
			conn, err := l.Accept(ctx)
			if err != nil {
				return
			}
			p.accepted.Add(1)
			context.AfterFunc(ctx, func() { conn.CloseWithError(0, "") })
			serving.Go(func() { p.serve(conn, handle) })
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		serving.Wait()
	})
	return p
}

func (p *quicPeer) serve(conn *quic.Conn, handle onQUIC) {
	for {
		stream, err := conn.AcceptStream(context.Background())
		if err != nil {
			return
		}
		go func() {
			var one tlsPeer
			if query := one.next(stream); query != nil {
				p.queries.Add(1)
				handle(query, stream, conn)
			}
		}()
	}
}

func (p *quicPeer) server() string { return "quic://" + p.Addr().String() + "#" + peerName }

func honestQUIC(query []byte, stream *quic.Stream, _ *quic.Conn) {
	stream.Write(framed(answer(query, truth)))
	stream.Close()
}

func silentQUIC([]byte, *quic.Stream, *quic.Conn) {}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

func TestOverQUIC(t *testing.T) {
	a := newAuthority(t)
	queries := make(chan []byte, 1)
	p := startQUIC(t, a.config(peerName), func(q []byte, stream *quic.Stream, conn *quic.Conn) {
		queries <- q
		honestQUIC(q, stream, conn)
	})
	f := secureForwarder(t, a, 5*time.Second, p.server())
	for range 3 {
		got, reply := exchange(t, f, "wWw.eXample.com.")
		if got != truth || reply.Transport != "quic" || reply.Server.String() != p.server() {
			t.Errorf("got %q over %s from %s, want %q over quic from %s", got, reply.Transport, reply.Server, truth, p.server())
		}
		q := <-queries
		isPadded(t, q, false)
		if q[0] != 0 || q[1] != 0 {
			t.Errorf("the query has an ID: %x", q[:2])
		}
	}
	if s := f.Stats()[0]; s.Connections.Opened != 1 || s.Replies != 3 {
		t.Errorf("want one connection for three replies: %+v, %+v", s, s.Connections)
	}
	var asking sync.WaitGroup
	for range 50 {
		asking.Go(func() { exchange(t, f, "www.example.com.") })
	}
	go func() {
		for range 50 {
			<-queries
		}
	}()
	asking.Wait()
	if n := p.accepted.Load(); n != 1 {
		t.Errorf("got %d connections, want one", n)
	}
}

// What ends one query, and what the connection.
func TestBadReplyOverQUIC(t *testing.T) {
	a := newAuthority(t)
	tests := []struct {
		name  string
		bad   onQUIC
		want  string
		conns int64 // afterwards
	}{
		{"reset", func(_ []byte, s *quic.Stream, _ *quic.Conn) { s.CancelWrite(1) }, "DOQ_INTERNAL_ERROR", 1},
		{"reset within the answer", func(q []byte, s *quic.Stream, _ *quic.Conn) {
			s.Write(framed(answer(q, lie))[:20])
			s.CancelWrite(5)
		}, "DOQ_UNSPECIFIED_ERROR", 1},
		{"another question", func(q []byte, s *quic.Stream, _ *quic.Conn) {
			s.Write(framed(answer(patch(q, 13, 'x'), lie)))
			s.Close()
		}, "another query", 1},
		{"ended within the answer", func(q []byte, s *quic.Stream, _ *quic.Conn) {
			s.Write(framed(answer(q, lie))[:20])
			s.Close()
		}, "after 18", 2},
		{"ended without an answer", func(_ []byte, s *quic.Stream, _ *quic.Conn) { s.Close() }, "after 0 octets", 2},
		{"an ID", func(q []byte, s *quic.Stream, _ *quic.Conn) {
			s.Write(framed(answer(patch(q, 0, 7), lie)))
			s.Close()
		}, "expected 0", 2},
		{"keepalive", func(q []byte, s *quic.Stream, _ *quic.Conn) {
			m := reply(q)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE, Timeout: 9, Length: 2}}
			s.Write(framed(pack(m)))
			s.Close()
		}, "edns-tcp-keepalive", 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := startQUIC(t, a.config(peerName), func(q []byte, s *quic.Stream, c *quic.Conn) {
				if strings.HasPrefix(string(q[13:]), "bad") {
					test.bad(q, s, c)
				} else {
					honestQUIC(q, s, c)
				}
			})
			f := secureForwarder(t, a, 5*time.Second, p.server())
			exchange(t, f, "www.example.com.")
			_, err := f.Exchange(t.Context(), newQuery(t, "bad.example.com."))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q in it", err, test.want)
			}
			exchange(t, f, "www.example.com.")
			if n := p.accepted.Load(); n != test.conns {
				t.Errorf("got %d connections, want %d", n, test.conns)
			}
		})
	}
}

// An answer is taken although the server leaves its stream open; when it allows no
// further one, another connection is opened.
func TestOpenStreamOverQUIC(t *testing.T) {
	a := newAuthority(t)
	p := startQUIC(t, a.config(peerName), func(q []byte, s *quic.Stream, _ *quic.Conn) { s.Write(framed(answer(q, truth))) })
	f := secureForwarder(t, a, 5*time.Second, p.server())
	for range 300 { // more than the server takes at a time
		if got, _ := exchange(t, f, "www.example.com."); got != truth {
			t.Fatalf("got %q, want %q", got, truth)
		}
	}
}

func TestClosedQUICIsReplacedAndResumed(t *testing.T) {
	a := newAuthority(t)
	p := startQUIC(t, a.config(peerName), func(q []byte, s *quic.Stream, c *quic.Conn) {
		if strings.HasPrefix(string(q[13:]), "end") && q[16] == '0' {
			c.CloseWithError(4, "")
			return
		}
		honestQUIC(q, s, c)
	})
	f := secureForwarder(t, a, 5*time.Second, p.server())
	exchange(t, f, "www.example.com.")
	_, err := f.Exchange(t.Context(), newQuery(t, "end0.example.com."))
	if err == nil || !strings.Contains(err.Error(), "DOQ_EXCESSIVE_LOAD") {
		t.Errorf("got error %v, want DOQ_EXCESSIVE_LOAD in it", err)
	}
	exchange(t, f, "www.example.com.")
	s := f.Stats()[0]
	if c := s.Connections; c.Requeried != 1 || c.Opened != 3 || c.Resumed != 2 || s.Network != 1 {
		t.Errorf("want a second try and two resumed connections: %+v, %+v", s, c)
	}
}

func TestSilentQUICIsReplaced(t *testing.T) {
	a := newAuthority(t)
	var first atomic.Pointer[quic.Conn]
	p := startQUIC(t, a.config(peerName), func(q []byte, s *quic.Stream, c *quic.Conn) {
		if !first.CompareAndSwap(nil, c) && first.Load() != c {
			honestQUIC(q, s, c)
		}
	})
	f := secureForwarder(t, a, 2*time.Second, p.server())
	if got, reply := exchange(t, f, "www.example.com."); got != truth {
		t.Errorf("got %q after %v, want %q", got, reply.RTT, truth)
	}
}

// Where nobody listens the next server is asked at once.
func TestRefusedQUICFailsOverAtOnce(t *testing.T) {
	good := startPeer(t, "127.0.0.1", honest, nil)
	within(t, 300*time.Millisecond, func() {
		f := newForwarder(t, 5*time.Second, "quic://"+deadServer(t)+"#"+peerName, good.String())
		if got, _ := exchange(t, f, "www.example.com."); got != truth {
			t.Errorf("got %q, want %q", got, truth)
		}
		if s := f.Stats()[0]; s.Refused != 1 || s.Healthy {
			t.Errorf("want it refused and not healthy: %+v", s)
		}
	})
}

func TestManyOverQUIC(t *testing.T) {
	a := newAuthority(t)
	p := startQUIC(t, a.config(peerName), func(q []byte, s *quic.Stream, c *quic.Conn) {
		var m dns.Msg
		if err := m.Unpack(q); err != nil {
			t.Error(err)
		}
		s.Write(framed(answer(q, "198.18.0."+strings.TrimSuffix(m.Question[0].Name, ".example."))))
		s.Close()
	})
	f := secureForwarder(t, a, 10*time.Second, p.server())
	var asking sync.WaitGroup
	for i := range 250 {
		asking.Go(func() {
			if got, _ := exchange(t, f, fmt.Sprintf("%d.example.", i)); got != fmt.Sprintf("198.18.0.%d", i) {
				t.Errorf("%d.example. has the address %s", i, got)
			}
		})
	}
	asking.Wait()
}
