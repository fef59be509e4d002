//go:build !linux

package hits

import "time"

// alarm is raised for one who waits, or is going to.
type alarm struct{ c chan struct{} }

func newAlarm() (*alarm, error) { return &alarm{c: make(chan struct{}, 1)}, nil }

func (s *alarm) raise() {
	select {
	case s.c <- struct{}{}:
	default:
	}
}

func (s *alarm) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.c:
	case <-timer.C:
	}
}
