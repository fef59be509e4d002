package feed

import "time"

// burst times a series of events: it is over when nothing came for settle, or
// when longest has passed since the first. The zero start means that none is on.
type burst struct {
	settle, longest time.Duration
	start           time.Time
}

// event notes that something happened, and returns how long to wait from now.
func (b *burst) event(now time.Time) time.Duration {
	if b.start.IsZero() {
		b.start = now
	}
	return max(0, min(b.settle, b.start.Add(b.longest).Sub(now)))
}

// again goes on for settle from now, whatever still happens.
func (b *burst) again(now time.Time) { b.start = now.Add(b.settle - b.longest) }

func (b *burst) end() { b.start = time.Time{} }
