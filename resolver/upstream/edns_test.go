package upstream_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// withoutEDNS is a server from before EDNS: it declines a query with OPT in the
// way given, and answers one without.
func withoutEDNS(decline func(query []byte) []byte) onUDP {
	return func(query []byte, send func([]byte), _ netip.AddrPort) {
		var q dns.Msg
		if err := q.Unpack(query); err != nil {
			panic(err)
		}
		if q.IsEdns0() != nil {
			send(decline(query))
			return
		}
		send(answer(query, truth))
	}
}

// RFC 6891 section 6.2.2.
func TestServerWithoutEDNS(t *testing.T) {
	tests := map[string]func(query []byte) []byte{
		"FORMERR with question": func(query []byte) []byte {
			m := reply(query)
			m.Rcode, m.Extra = dns.RcodeFormatError, nil
			return pack(m)
		},
		"FORMERR as a bare header": func(query []byte) []byte {
			return []byte{query[0], query[1], 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0}
		},
	}
	for name, decline := range tests {
		t.Run(name, func(t *testing.T) {
			p := startPeer(t, "127.0.0.1", withoutEDNS(decline), nil)
			f := newForwarder(t, 5*time.Second, p.String())
			if got, _ := exchange(t, f, "www.example.com."); got != truth {
				t.Errorf("got %q, want %q", got, truth)
			}
			if n := p.overUDP.Load(); n != 2 {
				t.Errorf("the server was asked %d times, want once with and once without OPT", n)
			}
			exchange(t, f, "www.example.com.")
			if n := p.overUDP.Load(); n != 3 {
				t.Errorf("the server was asked %d times, want 3: it is known not to have EDNS", n)
			}
		})
	}
}

// FORMERR to the query as such says nothing about EDNS.
func TestFormErrWithAndWithoutOPT(t *testing.T) {
	decline := func(query []byte, send func([]byte), _ netip.AddrPort) {
		m := reply(query)
		m.Rcode, m.Extra = dns.RcodeFormatError, nil
		send(pack(m))
	}
	p := startPeer(t, "127.0.0.1", decline, nil)
	f := newForwarder(t, 5*time.Second, p.String())
	for i := int64(1); i <= 2; i++ {
		_, reply := exchange(t, f, "www.example.com.")
		if got := reply.Msg[3] & 0x0f; got != dns.RcodeFormatError {
			t.Errorf("got RCODE %d, want FORMERR", got)
		}
		if n := p.overUDP.Load(); n != 2*i {
			t.Errorf("the server was asked %d times, want %d", n, 2*i)
		}
	}
}

// A FORMERR with OPT comes from a server that knows EDNS.
func TestFormErrWithOPTIsNotRetried(t *testing.T) {
	p := startPeer(t, "127.0.0.1", rcode(dns.RcodeFormatError), nil)
	f := newForwarder(t, 5*time.Second, p.String())
	exchange(t, f, "www.example.com.")
	if n := p.overUDP.Load(); n != 1 {
		t.Errorf("the server was asked %d times, want once", n)
	}
}

// A bare error is returned with the question that it lacks.
func TestBareErrorGetsItsQuestion(t *testing.T) {
	p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		send([]byte{query[0], query[1], 0x81, 0x84, 0, 0, 0, 0, 0, 0, 0, 0})
	}, nil)
	f := newForwarder(t, 5*time.Second, p.String())
	_, reply := exchange(t, f, "wWw.example.com.")
	var m dns.Msg
	if err := m.Unpack(reply.Msg); err != nil {
		t.Fatal(err)
	}
	if m.Rcode != dns.RcodeNotImplemented || len(m.Question) != 1 || m.Question[0].Name != "wWw.example.com." {
		t.Errorf("got %v, want NOTIMP with the question", &m)
	}
}

// A reply may be as large as the query's OPT allows.
func TestReplyAsLargeAsTheOPTAllows(t *testing.T) {
	for _, size := range []uint16{4096, 20000} {
		var q dns.Msg
		q.SetQuestion("www.example.com.", dns.TypeTXT)
		q.SetEdns0(size, false)
		p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
			m := reply(query)
			m.Extra = nil
			for m.Len()+len("www.example.com.")+80 < int(size) {
				m.Answer = append(m.Answer, newTXT(m.Question[0].Name))
			}
			send(pack(m))
		}, nil)
		f := newForwarder(t, 5*time.Second, p.String())
		reply, err := f.Exchange(t.Context(), pack(&q))
		if err != nil || len(reply.Msg) < int(size)-200 || reply.Transport != "udp" {
			t.Errorf("size %d: got %d octets over %s and error %v", size, len(reply.Msg), reply.Transport, err)
		}
	}
}
