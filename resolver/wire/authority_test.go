package wire

import (
	"testing"

	"github.com/miekg/dns"
)

// The library's reading of the same message is the measure.
func FuzzAuthorityOwner(f *testing.F) {
	m := new(dns.Msg).SetQuestion("a.b.example.", dns.TypeA)
	m.Answer = []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: "a.b.example.", Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: "c.example."}}
	m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: "example.", Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: "ns.example.", Mbox: "m.example."}}
	for _, compress := range []bool{true, false} {
		m.Compress = compress
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
		f.Add(packed[:len(packed)-1])
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var buffer [MaxName]byte
		got := AuthorityOwner(msg, &buffer)
		var m dns.Msg
		if m.Unpack(msg) != nil || len(m.Question) != 1 || len(m.Ns) == 0 {
			return
		}
		var want [MaxName]byte
		n, err := dns.PackDomainName(dns.CanonicalName(m.Ns[0].Header().Name), want[:], 0, nil, false)
		if err == nil && string(got) != string(want[:n]) {
			t.Fatalf("%x, expected %x", got, want[:n])
		}
	})
}
