//go:build !race

package resolver

import (
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Under the race detector the runtime itself allocates. The journal's writer,
// which does, stands still, and its queue has room.
func TestRespondDoesNotAllocate(t *testing.T) {
	const runs = 1000
	k := newRig(t, rigOptions{
		specs:   specsOf(list(t, "stealers", trapList), list(t, "addresses", "198.51.100.0/24\n")),
		forward: answering(nil, "good.example. A 192.0.2.1", "good.example. A 192.0.2.2"),
		still:   true, queue: 8 * runs,
	})
	cachedNames(t, k)
	answer := make([]byte, 0, 4096)
	reader, now := newPrompt(k), time.Now()
	for _, test := range respondCases {
		q := newRequest(t, k, test.name, test.typ, time.Now())
		q.EDNS, q.UDPSize = true, 1232
		if n := testing.AllocsPerRun(runs, func() { k.respond(q, answer) }); n != 0 {
			t.Errorf("%s: %v allocations", test.what, n)
		}
		msg := queryOf(t, test.name, test.typ)
		if n := testing.AllocsPerRun(runs, func() { reader.answer(msg, &fuzzPeer, now, answer) }); n != 0 {
			t.Errorf("%s, by the reader: %v allocations", test.what, n)
		}
	}
	if s := k.journal.Stats(); s.Lost != 0 || s.Queued == 0 {
		t.Errorf("%d hits queued, %d lost: expected that recording was measured", s.Queued, s.Lost)
	}
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
