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

// While a server is down, one caller in each backoff finds out about it.
func TestDownServerIsProbedByOneCaller(t *testing.T) {
	var h health
	now := time.Unix(1000, 0)
	if !h.preferred(now) {
		t.Fatal("the zero value is not up")
	}
	h.failed(now, now)
	probes := 0
	for ms := range 10_000 {
		if h.preferred(now.Add(time.Duration(ms) * time.Millisecond)) {
			probes++
		}
	}
	if probes != 4 { // at 2, 4, 6 and 8 seconds
		t.Errorf("got %d probes in 10s with a backoff of 2s, want 4", probes)
	}
	if !h.answered(now.Add(10*time.Second)) || !h.preferred(now.Add(10*time.Second)) {
		t.Error("an answer does not bring the server back")
	}
	if h.answered(now.Add(11 * time.Second)) {
		t.Error("a server that is up came back")
	}
}
