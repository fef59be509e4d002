package wire_test

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// hotPath are the steps that every query or every reply goes through. Buffers
// are reused, as the resolver does.
func hotPath(tb testing.TB) map[string]func() {
	query := pack(tb, ask("WwW.some.Example.", dns.TypeA, withOPT(&dns.EDNS0_COOKIE{Code: 10, Cookie: "0123456789abcdef"})))
	edns := func(m *dns.Msg) { m.SetEdns0(1232, true) }
	positive := reply{question: "www.some.example. A", answer: []string{
		"www.some.example. 60 CNAME some.cdn.test.", "some.cdn.test. 20 A 192.0.2.1", "some.cdn.test. 20 A 192.0.2.2"}, change: edns}.pack(tb)
	negative := reply{question: "www.some.example. HTTPS", ns: []string{"example. 300 SOA ns. mail. 1 2 3 4 60"}, change: edns}.pack(tb)
	https := reply{question: "www.some.example. HTTPS", answer: []string{"www.some.example. HTTPS 1 pool.example. alpn=h2 ipv4hint=192.0.2.1"},
		extra: []string{"pool.example. A 192.0.2.1"}, change: edns}.pack(tb)

	var q wire.Query
	if err := q.Parse(query); err != nil {
		tb.Fatal(err)
	}
	var r wire.Reply
	if err := r.Parse(positive); err != nil {
		tb.Fatal(err)
	}
	packed := r.Strip(append([]byte(nil), positive...))
	ttls := append([]uint16(nil), r.TTLs...)
	buf, work := make([]byte, 0, 1500), make([]byte, 0, 1500)
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("64:ff9b::c000:221")
	nat64 := netip.MustParsePrefix("64:ff9b::/96")
	ede := wire.EDE{Code: 15, Text: "blocked"}
	parse := func(msg []byte) func() {
		return func() {
			if err := r.Parse(msg); err != nil {
				tb.Error(err)
			}
		}
	}
	return map[string]func(){
		"query": func() {
			if q.Parse(query) != nil {
				tb.Error("not parsed")
			}
		},
		"sinkhole answer": func() {
			b := wire.AppendOPT(wire.AppendA(q.AppendResponse(buf, 0, 0), 60, v4), 1232, true, 0, &ede)
			wire.SetCounts(b, 1, 0, 1)
		},
		"negative answer": func() {
			b := wire.AppendSOA(q.AppendResponse(buf, wire.RCodeNXDomain, 0), 60)
			b = wire.AppendHINFO8482(wire.AppendAAAA(b, 60, v6), 60)
			wire.SetCounts(wire.AppendRR(b, dns.TypeTXT, 1, 60, packed[:1]), 0, 1, 0)
		},
		"cached answer":  func() { wire.Age(q.AppendReply(buf, packed), ttls, 5, 1) },
		"clamp":          func() { wire.Clamp(append(work, packed...), ttls, 0, 3600) },
		"upstream query": func() { wire.AppendQuery(buf, &q, 1232) },
		"question":       func() { wire.QuestionEqual(positive, query) },
		"positive reply": parse(positive),
		"negative reply": parse(negative),
		"HTTPS reply":    parse(https),
		"strip": func() {
			msg := append(work, positive...)
			if err := r.Parse(msg); err != nil {
				tb.Error(err)
			}
			r.Strip(msg)
		},
		"NAT64": func() { wire.EmbeddedIPv4(v6, nat64) },
		"names": func() {
			for s := q.QName(); s != nil; s = wire.Parent(s) {
				wire.IsSubdomain(q.QName(), s)
			}
		},
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	for name, step := range hotPath(t) {
		if n := testing.AllocsPerRun(100, step); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkHotPath(b *testing.B) {
	for name, step := range hotPath(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
}
