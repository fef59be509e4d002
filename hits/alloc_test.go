//go:build !race

package hits

import "testing"

// Under the race detector the runtime itself allocates.
func TestRecordDoesNotAllocate(t *testing.T) {
	j := openJournal(t, Options{QueueLength: 4})
	for name, b := range map[string]*bell{"journal": j.bell, "other": newBell()} {
		q := newQueue(1024, b)
		h := testHit(func(h *Hit) { h.Group = "north" })
		if n := testing.AllocsPerRun(5000, func() { q.Record(h) }); n != 0 {
			t.Errorf("%s: Record allocates %v times", name, n)
		}
		if q.full.Load() == 0 {
			t.Errorf("%s: the queue was never full", name)
		}
	}
}
