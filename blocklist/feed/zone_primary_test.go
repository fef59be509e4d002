package feed

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// fakePrimary answers queries over TCP as a function says, for what no real
// primary does.
type fakePrimary struct {
	address netip.AddrPort

	mu     sync.Mutex
	answer func(q *dns.Msg, send func(*dns.Msg)) // called for each query
	asked  []uint16                              // types
}

func newFakePrimary(t testing.TB, answer func(q *dns.Msg, send func(*dns.Msg))) *fakePrimary {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &fakePrimary{address: l.Addr().(*net.TCPAddr).AddrPort(), answer: answer}
	var running sync.WaitGroup
	var conns sync.Map
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Store(c, nil)
			running.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Range(func(c, _ any) bool {
			c.(net.Conn).Close()
			return true
		})
		running.Wait()
	})
	return p
}

func (p *fakePrimary) source() string { return "rpz://" + p.address.String() + "/rpz.test" }

func (p *fakePrimary) serve(c net.Conn) {
	defer c.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		raw := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(c, raw); err != nil {
			return
		}
		q := new(dns.Msg)
		if err := q.Unpack(raw); err != nil {
			return
		}
		p.mu.Lock()
		answer := p.answer
		p.asked = append(p.asked, q.Question[0].Qtype)
		p.mu.Unlock()
		failed := false
		answer(q, func(m *dns.Msg) {
			if failed {
				return
			}
			m.Compress = true
			out, err := m.Pack()
			if err != nil {
				failed = true
				return
			}
			_ = c.SetWriteDeadline(time.Now().Add(20 * time.Second))
			_, err = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...))
			failed = err != nil
		})
		if failed {
			return
		}
	}
}

func (p *fakePrimary) set(answer func(q *dns.Msg, send func(*dns.Msg))) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

// types are the queries that came so far.
func (p *fakePrimary) types() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := ""
	for _, kind := range p.asked {
		text += dns.TypeToString[kind] + " "
	}
	return text
}

// rrs reads records, one a line, relative to rpz.test.; "SOA n" is short for an
// SOA record with the serial n.
func rrs(t testing.TB, lines ...string) []dns.RR {
	t.Helper()
	var all []dns.RR
	for _, line := range lines {
		var serial string
		if len(line) > 4 && line[:4] == "SOA " {
			serial, line = line[4:], ""
			line = "rpz.test. 300 IN SOA ns.rpz.test. root.rpz.test. " + serial + " 3600 600 86400 60"
		}
		rr, err := dns.NewRR("$ORIGIN rpz.test.\n$TTL 300\n" + line + "\n")
		if err != nil || rr == nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, rr)
	}
	return all
}

// replies sends an answer to q in as many messages as there are groups.
func replies(q *dns.Msg, send func(*dns.Msg), groups ...[]dns.RR) {
	for _, group := range groups {
		m := new(dns.Msg)
		m.SetReply(q)
		m.Authoritative = true
		m.Answer = group
		send(m)
	}
}
