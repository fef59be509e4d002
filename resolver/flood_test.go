package resolver

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// A flood of hits while the disk takes nothing: every query is answered, and each hit
// waits in the queue or is counted as lost.
func TestFloodOfHitsWithoutADisk(t *testing.T) {
	t.Parallel()
	const queries, room = 5000, 1024
	k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), still: true, queue: room})
	c := dialUDP(t, k)
	query := queryOf(t, "bad.example.", dns.TypeA)
	for range queries {
		check(t, c.SetDeadline(time.Now().Add(patience)))
		send(t, c, query)
		if reply := receive(t, c); wire.Flags(reply)&wire.RCodeMask != 0 || wire.Flags(reply)&wire.QR == 0 {
			t.Fatalf("%x", reply)
		}
	}
	s := k.journal.Stats()
	if s.Verdicts != queries || s.Queued+s.Lost != queries || s.Queued == 0 || s.LostQueueFull != s.Lost || s.Lost == 0 {
		t.Errorf("%+v, expected that %d hits are queued or counted as lost", s, queries)
	}
}
