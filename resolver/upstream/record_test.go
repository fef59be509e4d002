package upstream

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func sampleReply(t testing.TB) []byte {
	m := new(dns.Msg).SetQuestion("dns.example.", dns.TypeA)
	m.Response, m.Compress = true, true
	for _, text := range []string{
		"dns.example. 300 IN CNAME alias.example.", "alias.example. 60 IN A 192.0.2.1", "alias.example. 90 IN A 192.0.2.2", "alias.example. 30 CH A 192.0.2.3",
		"alias.example. 30 IN AAAA 2001:db8::1",
	} {
		r, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, r)
	}
	m.SetEdns0(1232, true)
	m.IsEdns0().Option = []dns.EDNS0{
		&dns.EDNS0_PADDING{Padding: make([]byte, 9)}, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE, Timeout: 150, Length: 2},
	}
	return packed(t, m)
}

func TestRecords(t *testing.T) {
	msg := sampleReply(t)
	addrs, ttl := addressesIn(msg, typeA)
	if want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}; !slices.Equal(addrs, want) || ttl != 30*time.Second {
		t.Errorf("got %v for %v, want %v for 30s", addrs, ttl, want)
	}
	if kept, said := keepaliveOf(msg); !said || kept != 15*time.Second {
		t.Errorf("got keepalive %v, %v, want 15s", kept, said)
	}
}

// FuzzRecords holds what is read of a message to what the library reads. What
// cannot be read is left out, and never harms.
func FuzzRecords(f *testing.F) {
	f.Add(sampleReply(f), uint32(45))
	f.Add([]byte("\x00\x00\x80\x00\x00\x00\x00\x01\x00\x00\x00\x00"), uint32(1))
	f.Fuzz(func(t *testing.T, msg []byte, age uint32) {
		before := slices.Clone(msg)
		addrs4, _ := addressesIn(msg, typeA)
		addrs6, _ := addressesIn(msg, typeAAAA)
		kept, said := keepaliveOf(msg)
		growOlder(msg, age)
		if len(msg) != len(before) {
			t.Fatal("the message has another length")
		}
		var m, older dns.Msg
		if m.Unpack(before) != nil || m.Truncated {
			return
		}
		if err := older.Unpack(msg); err != nil {
			t.Fatalf("the older message does not unpack: %v", err)
		}
		var want4, want6 []netip.Addr
		for i, r := range m.Answer {
			switch r := r.(type) {
			case *dns.A:
				if addr, ok := netip.AddrFromSlice(r.A); ok && r.Hdr.Class == dns.ClassINET {
					want4 = append(want4, addr.Unmap())
				}
			case *dns.AAAA:
				if addr, ok := netip.AddrFromSlice(r.AAAA); ok && r.Hdr.Class == dns.ClassINET {
					want6 = append(want6, addr.Unmap())
				}
			}
			ttl := r.Header().Ttl
			if ttl >= 1<<31 {
				ttl = 0
			}
			if r.Header().Rrtype != dns.TypeOPT && older.Answer[i].Header().Ttl != ttl-min(ttl, age) {
				t.Errorf("a TTL of %d is %d after %d s", ttl, older.Answer[i].Header().Ttl, age)
			}
		}
		if !slices.Equal(addrs4, want4) || !slices.Equal(addrs6, want6) {
			t.Errorf("got %v and %v, want %v and %v", addrs4, addrs6, want4, want6)
		}
		if o := m.IsEdns0(); o != nil && said {
			for _, option := range o.Option {
				if k, ok := option.(*dns.EDNS0_TCP_KEEPALIVE); ok && kept == time.Duration(k.Timeout)*100*time.Millisecond {
					return
				}
			}
			for _, r := range m.Extra {
				if other, ok := r.(*dns.OPT); ok && other != o {
					return // several OPT records
				}
			}
			t.Errorf("got keepalive %v, want one of %v", kept, o.Option)
		}
	})
}

func TestPadded(t *testing.T) {
	for length := range 200 {
		m := new(dns.Msg)
		m.SetQuestion("example.", dns.TypeA)
		m.SetEdns0(1232, true)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: 65001, Data: make([]byte, length)}}
		q, err := parseQuery(packed(t, m))
		if err != nil {
			t.Fatal(err)
		}
		for _, keepalive := range []bool{false, true} {
			p := q.clone().padded(keepalive)
			var back dns.Msg
			if err := back.Unpack(p.msg); err != nil || len(p.msg)%paddedTo != 0 || len(p.msg)-len(q.msg) >= paddedTo+8 {
				t.Fatalf("%d octets become %d, error %v", len(q.msg), len(p.msg), err)
			}
			options := back.IsEdns0().Option
			want := 2
			if keepalive {
				want = 3
			}
			if len(options) != want || !back.IsEdns0().Do() || back.IsEdns0().UDPSize() != 1232 {
				t.Errorf("got %v", back.IsEdns0())
			}
			if again, err := parseQuery(p.msg); err != nil || again.opt != q.opt {
				t.Errorf("the padded query is not read as before: %v", err)
			}
		}
	}
	m := new(dns.Msg)
	m.SetQuestion("example.", dns.TypeA)
	q, err := parseQuery(packed(t, m))
	if err != nil {
		t.Fatal(err)
	}
	if p := q.padded(true); len(p.msg) != len(q.msg) {
		t.Error("a query without OPT was changed")
	}
}
