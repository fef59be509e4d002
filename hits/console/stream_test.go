package console

import (
	"bufio"
	"context"
	"testing"
	"time"
)

// Tails have no end by themselves, and hold up no stop.
func TestShutdownEndsStreams(t *testing.T) {
	r := newRig(t, nil)
	a := r.request("GET", "/api/v1/events/stream", "")
	eventually(t, "it is open", func() bool { return r.server.Stats().Streams == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	begin := time.Now()
	r.server.Shutdown(ctx)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
	for lines := bufio.NewScanner(a.Body); lines.Scan(); {
	}
	if s := r.server.Stats(); s.Streams != 0 {
		t.Errorf("%+v", s)
	}
}

// Whoever's token goes loses the tail with its next sign of life.
func TestRevokedTokenEndsItsStream(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: it lasts as long as a tail may be silent")
	}
	t.Parallel()
	path, token := withTokens(t)
	r := newRig(t, func(o *Options) { o.TokensFile = path })
	q := "Bearer " + token["viewer"]
	r.request("GET", "/api/v1/events/stream", "", "Authorization", q)
	eventually(t, "it is open", func() bool { return r.server.Stats().Streams == 1 })
	put(t, path, "")
	within(t, "it is over", 2*alive, func() bool { return r.server.Stats().Streams == 0 })
}

func within(t testing.TB, what string, most time.Duration, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(most); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", most, what)
		}
	}
}
