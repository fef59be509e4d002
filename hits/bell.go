package hits

import (
	"sync/atomic"
	"time"
)

// bell wakes the writer. While the writer is at work it paces itself, and a
// Record costs one load of a rarely written word.
type bell struct {
	asleep atomic.Bool
	alarm  *alarm
}

func newBell() (*bell, error) {
	s, err := newAlarm()
	return &bell{alarm: s}, err
}

// wake rings if the writer sleeps.
func (b *bell) wake() {
	if b.asleep.Load() && b.asleep.CompareAndSwap(true, false) {
		b.ring()
	}
}

// ring ends the writer's wait, or the next one. It may be called at any time, also when
// nobody waits any more.
func (b *bell) ring() { b.alarm.raise() }

// wait waits until somebody rings, for d at most.
func (b *bell) wait(d time.Duration) { b.alarm.wait(d) }
