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
	silent  bool          // a reader's query was not answered in good time
	backoff time.Duration // pause between probes; 0: up
	down    time.Time     // when the last failure that counted was noticed
	dead    bool          // a probe brought nothing either
}

// standing is how much a server is worth asking; better ones are less.
type standing uint8

const (
	up standing = iota
	silent
	down
	dead // and probes find so
)

func (h *health) standing() standing {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.dead:
		return dead
	case h.backoff > 0:
		return down
	case h.silent:
		return silent
	}
	return up
}

// answered notes a checked reply; true if the server was down until now.
func (h *health) answered(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = now
	recovered := h.backoff > 0
	h.backoff, h.silent, h.dead = 0, false, false
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
	return h.backoff, first
}

// missed notes that a query sent at started was not answered in good time; true if
// nothing else tells that the server is there, or that it is not.
func (h *health) missed(started time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.backoff > 0 || h.heard.After(started) {
		return false
	}
	h.silent = true
	return true
}

// unanswered notes a probe without a reply, as failed does; the first one after an
// outage was noticed only confirms it. It returns the pause until the next one.
func (h *health) unanswered(started, now time.Time) (backoff time.Duration, first bool) {
	h.mu.Lock()
	confirms := h.backoff > 0 && !h.dead
	h.mu.Unlock()
	if !confirms {
		backoff, first = h.failed(started, now)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dead = h.backoff > 0
	return h.backoff, first
}

func (h *health) up() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.backoff == 0
}
