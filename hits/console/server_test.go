package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
)

func get(t *testing.T, s *Server, path string) (status int, body string) {
	t.Helper()
	r, err := http.Get(fmt.Sprintf("http://%s%s", s.Addr(), path))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, strings.TrimSpace(string(text))
}

func TestHealth(t *testing.T) {
	var why atomic.Pointer[error]
	s, err := Listen(Options{
		Addr: netip.MustParseAddrPort("127.0.0.1:0"), Logger: zap.NewNop(),
		Ready: func() error {
			if e := why.Load(); e != nil {
				return *e
			}
			return nil
		},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metric 1") }),
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); s.Serve() }()
	stopping := errors.New("stopping")
	for _, c := range []struct {
		path   string
		why    error
		status int
		body   string
	}{
		{"/healthz", nil, 200, "ok"},
		{"/readyz", nil, 200, "ready"},
		{"/readyz", stopping, 503, "stopping"},
		{"/healthz", stopping, 200, "ok"},
		{"/metrics", nil, 200, "metric 1"},
		{"/nothing", nil, 404, "404 page not found"},
	} {
		why.Store(nil)
		if c.why != nil {
			why.Store(&c.why)
		}
		if status, body := get(t, s, c.path); status != c.status || body != c.body {
			t.Errorf("%s (%v): %d %q, want %d %q", c.path, c.why, status, body, c.status, c.body)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s.Shutdown(ctx)
	<-served
}

// A server that never served gives its address back.
func TestShutdownBeforeServe(t *testing.T) {
	o := Options{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Logger: zap.NewNop(), Ready: func() error { return nil }}
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	o.Addr = s.Addr()
	if _, err := Listen(o); err == nil {
		t.Fatal("two servers on one address")
	}
	s.Shutdown(t.Context())
	again, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	again.Shutdown(t.Context())
}

// A client that connects and says nothing does not hold up the end.
func TestShutdownDoesNotWaitForTheSilent(t *testing.T) {
	s, err := Listen(Options{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Logger: zap.NewNop(), Ready: func() error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); s.Serve() }()
	get(t, s, "/healthz")
	silent, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	s.Shutdown(ctx)
	<-served
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the end took %v", took)
	}
}
