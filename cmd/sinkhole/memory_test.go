package main

import (
	"runtime"
	"runtime/debug"
	"testing"

	"go.uber.org/zap"
)

// The heap may always grow by 16 MiB, and never doubles when it is large.
func TestGCPercent(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, 1600}, {mib, 1600}, {4 * mib, 400}, {16 * mib, 100}, {32 * mib, 50}, {64 * mib, 25}, {1024 * mib, 25},
	} {
		if got := gcPercent(c.live); got != c.want {
			t.Errorf("%d MiB: %d %%, expected %d %%", c.live/mib, got, c.want)
		}
	}
}

// What an operator says in GOGC holds.
func TestMemoryLeavesGOGC(t *testing.T) {
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "77")
	newMemory(zap.NewNop()).settle()
	if got := debug.SetGCPercent(77); got != 77 {
		t.Errorf("GOGC is %d, expected 77", got)
	}
	t.Setenv("GOGC", "")
	large := make([]byte, 64<<20)
	newMemory(zap.NewNop()).settle()
	if got := debug.SetGCPercent(77); got > 30 || got < 20 {
		t.Errorf("GOGC is %d with 64 MiB in use, expected a quarter", got)
	}
	runtime.KeepAlive(large)
}
