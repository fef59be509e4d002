package upstream

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
)

// A server that leads back to us is left out, looked at again after 30 s, doubled up to 10
// minutes, and taken back when its answer comes from elsewhere. One that leads elsewhere
// is looked at every 10 minutes, one that does not tell sooner.
func TestLoopStates(t *testing.T) {
	r := &roster{}
	one, other := newServer(netip.MustParseAddrPort("192.0.2.1:53"), zap.NewNop()), newServer(netip.MustParseAddrPort("192.0.2.2:53"), zap.NewNop())
	all := []*server{one, other}
	now := time.Unix(1000, 0)
	expect := func(what string, got, want []*server) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d servers, want %d", what, len(got), len(want))
		}
	}
	expect("due at first", r.dueForLoops(all, now), all)
	expect("due while they are looked at", r.dueForLoops(all, now.Add(time.Hour)), nil)
	r.looped(one)
	r.seen(one, now, false)
	r.seen(other, now, true)
	expect("usable", r.usable(slices.Clone(all)), all[1:])
	for _, wait := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute} {
		expect("due too early", r.dueForLoops(all, now.Add(wait-1)), nil)
		now = now.Add(wait)
		expect("due once more", r.dueForLoops(all, now), all[:1])
		r.seen(one, now, false)
	}
	now = now.Add(4 * time.Minute)
	expect("due again", r.dueForLoops(all, now), all[:1])
	r.seen(one, now, true)
	expect("usable after all", r.usable(slices.Clone(all)), all)
	expect("due before 10 minutes", r.dueForLoops(all[:1], now.Add(10*time.Minute-1)), nil)
	expect("due after 10 minutes, and a new one", r.dueForLoops(all, now.Add(10*time.Minute)), all)
	if len(r.loops) != 2 || one.counters.loops.Load() != 1 {
		t.Errorf("%d states, %d loops", len(r.loops), one.counters.loops.Load())
	}
}
