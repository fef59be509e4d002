package resolver

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// respondCases are the queries that the fast path is to answer.
var respondCases = []struct {
	what, name string
	typ        uint16
}{
	{"blocked A", "bad.example.", dns.TypeA},
	{"blocked below", "a.b.c.bad.example.", dns.TypeAAAA},
	{"blocked HTTPS", "bad.example.", dns.TypeHTTPS},
	{"blocked ANY", "bad.example.", dns.TypeANY},
	{"cached", "good.example.", dns.TypeA},
	{"cached and blocked by address", "evil.example.", dns.TypeA},
}

func BenchmarkRespond(b *testing.B) {
	k := newRig(b, rigOptions{
		specs:   specsOf(list(b, "stealers", trapList), list(b, "addresses", "198.51.100.0/24\n")),
		forward: answering(nil, "good.example. A 192.0.2.1", "good.example. A 192.0.2.2"),
	})
	cachedNames(b, k)
	answer := make([]byte, 0, 4096)
	for _, test := range respondCases {
		b.Run(test.what, func(b *testing.B) {
			q := newRequest(b, k, test.name, test.typ, time.Now())
			q.EDNS, q.UDPSize = true, 1232
			b.ReportAllocs()
			for b.Loop() {
				k.respond(q, answer)
			}
		})
	}
}

// BenchmarkPolicyAnswer is the building of an answer alone, without judgement
// and record.
func BenchmarkPolicyAnswer(b *testing.B) {
	k := newRig(b, rigOptions{specs: specsOf(list(b, "stealers", trapList))})
	q := newRequest(b, k, "bad.example.", dns.TypeA, time.Now())
	q.EDNS, q.UDPSize = true, 1232
	s, p := k.settings.Load(), k.policy()
	v := verdictOf(k, q)
	answer := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		k.sinkhole(q, s, p, &v, answer)
	}
}

// BenchmarkLoopback is a whole query over a socket: some are under way at a time,
// as many as a batch takes. The client's part is in it.
func BenchmarkLoopback(b *testing.B) {
	k := newRig(b, rigOptions{
		specs:   specsOf(list(b, "stealers", trapList), list(b, "addresses", "198.51.100.0/24\n")),
		forward: answering(nil, "good.example. A 192.0.2.1", "good.example. A 192.0.2.2"),
	})
	cachedNames(b, k)
	for _, test := range respondCases {
		b.Run(test.what, func(b *testing.B) {
			const underWay = 64
			c := dialUDP(b, k)
			query, answer := queryOf(b, test.name, test.typ), make([]byte, 4096)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				write(b, c, query)
				if i >= underWay {
					read(b, c, answer)
				}
			}
		})
	}
}

func write(b *testing.B, c net.Conn, query []byte) {
	if _, err := c.Write(query); err != nil {
		b.Fatal(err)
	}
}

func read(b *testing.B, c net.Conn, answer []byte) {
	if n, err := c.Read(answer); err != nil || n < dns.MinMsgSize/64 {
		b.Fatal(n, err)
	}
}
