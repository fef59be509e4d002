package upstream_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"sinkhole/resolver/upstream"
)

func TestTruncatedReplyIsFetchedOverTCP(t *testing.T) {
	p := startPeer(t, "127.0.0.1", truncate, honestTCP)
	f := newForwarder(t, 5*time.Second, p.String())
	got, reply := exchange(t, f, "www.example.com.")
	if got != truth || reply.Transport != "tcp" || reply.Server != p.addr {
		t.Errorf("got %q over %s from %s, want %q over tcp from %s", got, reply.Transport, reply.Server, truth, p)
	}
	if s := f.Stats()[0]; s.Truncated != 1 || s.OverTCP != 1 || s.Replies != 1 || s.Exchanges != 1 {
		t.Errorf("got %d truncated, %d over TCP, %d replies, %d exchanges; want 1 each", s.Truncated, s.OverTCP, s.Replies, s.Exchanges)
	}
}

// RFC 7766 allows the length in a segment of its own, and any other split.
func TestReplyInPiecesOverTCP(t *testing.T) {
	p := startPeer(t, "127.0.0.1", truncate, func(query []byte, conn net.Conn) {
		for _, octet := range framed(answer(query, truth)) {
			conn.Write([]byte{octet})
		}
	})
	f := newForwarder(t, 5*time.Second, p.String())
	if got, _ := exchange(t, f, "www.example.com."); got != truth {
		t.Errorf("got %q, want %q", got, truth)
	}
}

func TestReplyOf64KOverTCP(t *testing.T) {
	p := startPeer(t, "127.0.0.1", truncate, func(query []byte, conn net.Conn) {
		m := reply(query)
		m.Extra = nil
		for {
			m.Answer = append(m.Answer, newTXT(m.Question[0].Name))
			if m.Len() > 65535 {
				m.Answer = m.Answer[:len(m.Answer)-1]
				break
			}
		}
		conn.Write(framed(pack(m)))
	})
	f := newForwarder(t, 5*time.Second, p.String())
	reply, err := f.Exchange(t.Context(), newQuery(t, "www.example.com."))
	if err != nil || len(reply.Msg) < 65000 {
		t.Errorf("got %d octets and error %v, want about 65,535", len(reply.Msg), err)
	}
}

// What goes wrong over TCP ends the attempt with an error that says it.
func TestBadReplyOverTCP(t *testing.T) {
	silence := func(conn net.Conn) { conn.Read(make([]byte, 1)) } // until the client closes
	tests := []struct {
		name   string
		answer onTCP
		want   string // in the error's text
		kind   upstream.Kind
	}{
		{"closed at once", func([]byte, net.Conn) {}, "closed the connection after 0 octets", upstream.Network},
		{"closed in the length", func(_ []byte, c net.Conn) { c.Write([]byte{0}) }, "closed the connection after 1 octets", upstream.Network},
		{"closed in the message", func(q []byte, c net.Conn) { c.Write(framed(answer(q, lie))[:22]) }, "and closed the connection after 20", upstream.Network},
		{"length too large and closed", func(q []byte, c net.Conn) { c.Write(append([]byte{1, 244}, answer(q, lie)...)) }, "announced a message of 500 octets", upstream.Network},
		{"length too large and silent", func(q []byte, c net.Conn) {
			c.Write(append([]byte{1, 244}, answer(q, lie)...))
			silence(c)
		}, "announced a message of 500 octets and sent only", upstream.NoReply},
		{"length too small", func(q []byte, c net.Conn) { c.Write(append([]byte{0, 40}, answer(q, lie)...)) }, "40 octets that are no DNS message", upstream.Network},
		{"length below a header", func(q []byte, c net.Conn) { c.Write(append([]byte{0, 3}, answer(q, lie)...)) }, "announced a message of 3 octets", upstream.Network},
		{"length 0", func(_ []byte, c net.Conn) { c.Write([]byte{0, 0}) }, "announced a message of 0 octets", upstream.Network},
		{"silent", func(_ []byte, c net.Conn) { silence(c) }, "no answer", upstream.NoReply},
		{"wrong ID", func(q []byte, c net.Conn) {
			msg := answer(q, lie)
			msg[0] ^= 0xff
			c.Write(framed(msg))
		}, "another query", upstream.Network},
		{"wrong case", func(q []byte, c net.Conn) {
			msg := answer(q, lie)
			msg[13] ^= 0x20
			c.Write(framed(msg))
		}, "another query", upstream.Network},
		{"the query itself", func(q []byte, c net.Conn) { c.Write(framed(q)) }, "another query", upstream.Network},
		{"refused", nil, "connection refused", upstream.Network},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			timeout := 5 * time.Second
			if test.kind == upstream.NoReply {
				timeout = 300 * time.Millisecond
			}
			p := startPeer(t, "127.0.0.1", truncate, test.answer)
			f := newForwarder(t, timeout, p.String())
			start := time.Now()
			_, err := f.Exchange(t.Context(), newQuery(t, "www.example.com."))
			took := time.Since(start)
			var failed *upstream.Error
			if !errors.As(err, &failed) {
				t.Fatalf("got error %v, want an *upstream.Error", err)
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), p.String()+" over tcp") || failed.Kind != test.kind {
				t.Errorf("got %q of kind %d, want %q over tcp of kind %d", err, failed.Kind, test.want, test.kind)
			}
			if took > 2*timeout+time.Second {
				t.Errorf("took %v with a timeout of %v", took, timeout)
			}
		})
	}
}

// A server that cannot be had over TCP is not held down for it: it is there.
func TestFailureOverTCPFailsOver(t *testing.T) {
	first := startPeer(t, "127.0.0.1", truncate, nil)
	second := startPeer(t, "127.0.0.1", truncate, honestTCP)
	f := newForwarder(t, 5*time.Second, first.String(), second.String())
	got, reply := exchange(t, f, "www.example.com.")
	if got != truth || reply.Server != second.addr {
		t.Errorf("got %q from %s, want %q from %s", got, reply.Server, truth, second)
	}
	if s := f.Stats()[0]; !s.Healthy || s.Refused != 1 {
		t.Errorf("got healthy %v and %d refused, want true and 1", s.Healthy, s.Refused)
	}
}
