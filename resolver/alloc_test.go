//go:build !race

package resolver

import (
	"net/netip"
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
		still:   true, queue: 12 * runs,
	})
	cachedNames(t, k)
	answer := make([]byte, 0, 4096)
	settings := sinkSettings()
	settings.Forwarders, settings.Expected = settings.Allow, settings.Allow
	settings.IPv4, settings.IPv6 = prefixSink("203.0.113.0/24"), prefixSink("2001:db8:5::/64")
	k.Configure(*settings) // the dearest of clients: one who says who asks, and each hit with its own address
	reader, now := newPrompt(k), time.Now()
	for _, test := range respondCases {
		q := newRequest(t, k, test.name, test.typ, time.Now())
		q.EDNS, q.UDPSize = true, 1232
		if n := testing.AllocsPerRun(runs, func() { k.respond(q, answer) }); n != 0 {
			t.Errorf("%s: %v allocations", test.what, n)
		}
		msg := withOptions(t, test.name, test.typ, everyOption...)
		if n := testing.AllocsPerRun(runs, func() { reader.answer(msg, &fuzzPeer, now, answer) }); n != 0 {
			t.Errorf("%s, by the reader: %v allocations", test.what, n)
		}
		batch := func(int) (netip.Addr, []byte) { return fuzzPeer.remote.Addr(), msg }
		if n := testing.AllocsPerRun(runs, func() {
			reader.look(2, batch)
			reader.answerSeen(reader.ahead.at(1), msg, &fuzzPeer, now, answer)
		}); n != 0 {
			t.Errorf("%s, one of a batch: %v allocations", test.what, n)
		}
	}
	if s := k.journal.Stats(); s.Lost != 0 || s.Queued == 0 {
		t.Errorf("%d hits queued, %d lost: expected that recording was measured", s.Queued, s.Lost)
	}
}

// A name below one that does not exist costs no memory: there may be a flood of them.
func TestCutDoesNotAllocate(t *testing.T) {
	k := newRig(t, rigOptions{forward: answering(nxdomain, deniedSOA)})
	respondAt(t, k, "gone.example.", time.Now())
	k.forward = nil // all else is a fault of the test
	p, now, room, msg := newPrompt(k), time.Now(), make([]byte, 0, 4096), queryOf(t, "a.b.gone.example.", dns.TypeA)
	if n := testing.AllocsPerRun(1000, func() { p.answer(msg, &fuzzPeer, now, room) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Nor does a popular name in the last part of its life that is asked for already.
func TestPrefetchUnderWayDoesNotAllocate(t *testing.T) {
	f := &fickle{answer: answering(nil, "good.example. 1000 A 192.0.2.1")}
	k := newRig(t, rigOptions{forward: f.exchange})
	askNow(t, k, "good.example.")
	age(t, k, "good.example.", 990*time.Second, time.Minute)
	hold := make(chan struct{})
	f.waiting.Store(&hold)
	p, now, room, msg := newPrompt(k), time.Now(), make([]byte, 0, 4096), queryOf(t, "good.example.", dns.TypeA)
	for range 3 {
		p.answer(msg, &fuzzPeer, now, room)
	}
	eventually(t, "it is asked again", func() bool { return f.asked.Load() == 2 })
	if n := testing.AllocsPerRun(1000, func() { p.answer(msg, &fuzzPeer, now, room) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	close(hold)
}
