//go:build !race

package resolver

import (
	"net/netip"
	"testing"
	"time"
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
	k.Configure(*settings) // the dearest of clients: one who says who asks
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
