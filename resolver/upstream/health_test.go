package upstream

import (
	"testing"
	"time"
)

// outage fails an attempt that began just now.
func outage(h *health, now time.Time) time.Duration {
	backoff, _ := h.failed(now, now.Add(time.Second))
	return backoff
}

func TestBackoffDoublesUpToItsBound(t *testing.T) {
	var h health
	now := time.Unix(1000, 0)
	for i, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
		if got := outage(&h, now); got != want*time.Second {
			t.Errorf("failure %d: got %v, want %v", i+1, got, want*time.Second)
		}
		now = now.Add(time.Minute + 2*time.Second)
	}
	h.answered(now)
	if got := outage(&h, now.Add(time.Second)); got != backoffFirst {
		t.Errorf("after an answer: got %v, want %v", got, backoffFirst)
	}
}

// A thousand exchanges that notice one outage are one failure.
func TestOneOutageCountsOnce(t *testing.T) {
	var h health
	now := time.Unix(1000, 0)
	firsts := 0
	for i := range 1000 {
		started := now.Add(time.Duration(i) * time.Millisecond)
		if _, first := h.failed(started, started.Add(2*time.Second)); first {
			firsts++
		}
	}
	if firsts != 1 || h.backoff != backoffFirst {
		t.Errorf("got %d outages and backoff %v, want 1 and %v", firsts, h.backoff, backoffFirst)
	}
}

// A server that answers others while one name takes too long is alive.
func TestSlowNameIsNoOutage(t *testing.T) {
	var h health
	now := time.Unix(1000, 0)
	h.answered(now.Add(time.Second))
	if backoff, first := h.failed(now, now.Add(2*time.Second)); backoff != 0 || first || !h.up() {
		t.Errorf("got backoff %v, first %v, up %v; want 0, false, true", backoff, first, h.up())
	}
}

// A reader's silence makes nobody down, and is told once there is something to find
// out; a probe that fails after an outage was noticed confirms it, the next one doubles.
func TestStandings(t *testing.T) {
	var h health
	now := time.Unix(1000, 0)
	expect := func(what string, want standing) {
		t.Helper()
		if got := h.standing(); got != want {
			t.Errorf("%s: got standing %d, want %d", what, got, want)
		}
	}
	expect("the zero value", up)
	h.answered(now.Add(time.Second))
	if h.missed(now) {
		t.Error("a server that answered since is doubted")
	}
	expect("a slow name", up)
	if !h.missed(now.Add(2 * time.Second)) {
		t.Error("silence is not noticed")
	}
	expect("silence", silent)
	if h.answered(now.Add(3 * time.Second)) {
		t.Error("a server that was silent only came back")
	}
	expect("an answer", up)
	h.missed(now.Add(4 * time.Second))
	if wait, first := h.unanswered(now.Add(4*time.Second), now.Add(6*time.Second)); wait != backoffFirst || !first {
		t.Errorf("a probe after silence: got %v, %v", wait, first)
	}
	expect("silence and a probe", dead)
	h.answered(now.Add(7 * time.Second))
	h.failed(now.Add(8*time.Second), now.Add(9*time.Second))
	expect("a failure", down)
	if h.missed(now.Add(9 * time.Second)) {
		t.Error("a server that is down is probed twice")
	}
	for i, want := range []time.Duration{2, 4, 8} {
		started := now.Add(time.Duration(10+20*i) * time.Second)
		if wait, first := h.unanswered(started, started.Add(2*time.Second)); wait != want*time.Second || first {
			t.Errorf("probe %d: got %v, %v, want %v", i+1, wait, first, want*time.Second)
		}
		expect("probes", dead)
	}
	if !h.answered(now.Add(time.Hour)) {
		t.Error("an answer does not bring the server back")
	}
	expect("an answer to a probe", up)
}
