package feed

import (
	"math/rand/v2"
	"time"
)

const (
	firstRetry    = 10 * time.Second // after the first failure
	firstRejudge  = 10 * time.Minute // after content that was rejected: it is hardly another a moment later
	maxRetry      = time.Hour        // or refresh, if that is less
	maxRetryAfter = 24 * time.Hour   // what a server may ask for
	maxSpread     = time.Minute      // of overdue lists at the start
)

// schedule says when a list is asked for next. Every wait has a part by chance,
// so that many resolvers with one configuration do not ask at once.
type schedule struct {
	refresh  time.Duration
	failures int            // since the last success
	chance   func() float64 // in [0, 1)
}

func newSchedule(refresh time.Duration) schedule {
	return schedule{refresh: refresh, chance: rand.Float64}
}

// start is how long to wait at first, where the source last said at confirmed
// that the copy is current. The zero time: there is none, or it is not known to
// be.
func (s *schedule) start(confirmed, now time.Time) time.Duration {
	if confirmed.IsZero() {
		return 0
	}
	age := now.Sub(confirmed)
	if wait := s.about(s.refresh) - age; age >= 0 && wait > 0 {
		return wait
	}
	// Overdue, or from a time to come: this machine's clock was set.
	return time.Duration(s.chance() * float64(min(s.refresh/10, maxSpread)))
}

// succeeded is how long to wait after an answer.
func (s *schedule) succeeded() time.Duration {
	s.failures = 0
	return s.about(s.refresh)
}

// failed is how long to wait after a failure: twice as long each time, from
// first on. Asked is what the server asked for, 0 for nothing.
func (s *schedule) failed(first, asked time.Duration) time.Duration {
	most := min(s.refresh, maxRetry)
	wait := most
	if doubled := first << min(s.failures, 16); doubled < most {
		wait = doubled
	}
	s.failures++
	wait = max(wait, min(asked, maxRetryAfter))
	return wait + time.Duration(s.chance()*float64(wait/4))
}

// about is d, 10 % more or less.
func (s *schedule) about(d time.Duration) time.Duration {
	return d + time.Duration((s.chance()-0.5)*float64(d/5))
}
