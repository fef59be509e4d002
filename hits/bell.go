package hits

import (
	"sync/atomic"
	"time"
)

// bell wakes the writer. While the writer is at work it paces itself, and a
// Record costs one load of a rarely written word.
type bell struct {
	asleep atomic.Bool
	c      chan struct{}
}

func newBell() *bell { return &bell{c: make(chan struct{}, 1)} }

// wake rings if the writer sleeps.
func (b *bell) wake() {
	if b.asleep.Load() && b.asleep.CompareAndSwap(true, false) {
		b.ring()
	}
}

// ring ends the writer's wait, or the next one. It may be called at any time, also when
// nobody waits any more.
func (b *bell) ring() {
	select {
	case b.c <- struct{}{}:
	default:
	}
}

// wait waits until somebody rings, for d at most. It is not a wait in the kernel: for a
// thread that is in a system call for a while the scheduler looks every 20 us whether to
// take its processor, which costs readers a tenth of theirs.
func (b *bell) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-b.c:
	case <-timer.C:
	}
}
