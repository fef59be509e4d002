package wire

import (
	"testing"

	"github.com/miekg/dns"
)

func packed(t testing.TB, options ...dns.EDNS0) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion("www.bad.example.", dns.TypeA)
	m.Answer = []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: "www.bad.example.", Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: "bad.example."}}
	m.Compress = true
	m.SetEdns0(1232, true)
	m.IsEdns0().Option = options
	msg, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func TestHasOption(t *testing.T) {
	t.Parallel()
	keepalive := &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}
	for name, c := range map[string]struct {
		msg  []byte
		want bool
	}{
		"alone":          {packed(t, keepalive), true},
		"behind another": {packed(t, &dns.EDNS0_PADDING{Padding: make([]byte, 9)}, keepalive), true},
		"another":        {packed(t, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}), false},
		"none":           {packed(t), false},
		"no message":     {[]byte{1, 2, 3}, false},
	} {
		if got := HasOption(c.msg, OptionKeepalive); got != c.want {
			t.Errorf("%s: %v, expected %v", name, got, c.want)
		}
	}
}

// What the library unpacks, and packs again to the same octets, has an option here if it
// has it there; all else ends without a fault.
func FuzzHasOption(f *testing.F) {
	f.Add(packed(f, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}))
	f.Add(packed(f, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}))
	f.Add(packed(f))
	f.Add([]byte{0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xC0, 12, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, msg []byte) {
		got := HasOption(msg, OptionKeepalive)
		var m dns.Msg
		if m.Unpack(msg) != nil {
			return
		}
		want := false
		for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
			for _, rr := range section {
				opt, ok := rr.(*dns.OPT)
				if !ok || opt.Hdr.Name != "." {
					continue
				}
				for _, o := range opt.Option {
					want = want || o.Option() == dns.EDNS0TCPKEEPALIVE
				}
			}
		}
		if got != want {
			t.Errorf("%v, expected %v as in %v", got, want, &m)
		}
	})
}
