package upstream

import (
	"sync"
	"time"
)

const (
	backoffFirst = 2 * time.Second
	backoffMax   = 60 * time.Second
)

// health is what recent attempts say about a server. The zero value is a
// server that is up.
type health struct {
	mu      sync.Mutex
	heard   time.Time     // the last checked reply
	backoff time.Duration // 0: up
	down    time.Time     // when the last failure that counted was noticed
	retry   time.Time     // from when on one exchange may try it in its old place
}

// answered notes a checked reply; true if the server was down until now.
func (h *health) answered(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = now
	recovered := h.backoff > 0
	h.backoff = 0
	return recovered
}

// failed notes that an attempt begun at started brought nothing, and returns
// how long the server is avoided from now on: 0 if the failure does not count.
// A server that answered anything since then is alive, and the name asked for
// slow; a server that was marked down since then is not marked twice for one
// outage. first is true if the server was up until now.
func (h *health) failed(started, now time.Time) (backoff time.Duration, first bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first = h.backoff == 0
	if h.heard.After(started) || !first && started.Before(h.down) {
		return 0, false
	}
	h.backoff = min(max(2*h.backoff, backoffFirst), backoffMax)
	h.down = now
	h.retry = now.Add(h.backoff)
	return h.backoff, first
}

// preferred is true for a server that is up, and to one caller in each backoff
// for a server that is down: that caller finds out.
func (h *health) preferred(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.backoff == 0 {
		return true
	}
	if now.Before(h.retry) {
		return false
	}
	h.retry = now.Add(h.backoff)
	return true
}

// state tells whether the server is up, and of one that is down whether it is to
// be tried now.
func (h *health) state(now time.Time) (up, due bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.backoff == 0, h.backoff > 0 && !now.Before(h.retry)
}

func (h *health) up() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.backoff == 0
}
