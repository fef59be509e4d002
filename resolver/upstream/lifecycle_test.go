package upstream_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"sinkhole/resolver/upstream"
)

func TestCancelledContext(t *testing.T) {
	received := make(chan struct{}, 10)
	silent := startPeer(t, "127.0.0.1", func([]byte, func([]byte), netip.AddrPort) { received <- struct{}{} }, nil)
	f := newForwarder(t, 5*time.Second, silent.String())
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-received
		cancel()
	}()
	start := time.Now()
	_, err := f.Exchange(ctx, newQuery(t, "www.example.com."))
	if took := time.Since(start); !errors.Is(err, context.Canceled) || took > time.Second {
		t.Errorf("got error %v after %v, want context.Canceled at once", err, took)
	}
	if s := f.Stats()[0]; s.Abandoned != 1 || !s.Healthy {
		t.Errorf("got %d abandoned, healthy %v; want 1, true", s.Abandoned, s.Healthy)
	}

	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err = f.Exchange(ctx, newQuery(t, "www.example.com.")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want context.DeadlineExceeded", err)
	}
}

// Callers that always give up before the timeout must not keep a dead server in
// front.
func TestImpatientCallerStillFindsADeadServer(t *testing.T) {
	silent := startPeer(t, "127.0.0.1", nil, nil)
	f := newForwarder(t, 400*time.Millisecond, silent.String())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	f.Exchange(ctx, newQuery(t, "www.example.com."))
	if f.Stats()[0].Healthy {
		t.Error("a server that was silent for longer than a retransmission counts as healthy")
	}
}

func TestCloseEndsExchanges(t *testing.T) {
	received := make(chan struct{}, 10)
	silent := startPeer(t, "127.0.0.1", func([]byte, func([]byte), netip.AddrPort) { received <- struct{}{} }, nil)
	f := newForwarder(t, 5*time.Second, silent.String())
	failed := make(chan error, 1)
	go func() {
		_, err := f.Exchange(context.Background(), newQuery(t, "www.example.com."))
		failed <- err
	}()
	<-received
	start := time.Now()
	f.Close()
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got error %v, want net.ErrClosed", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("Close took %v", took)
	}
	if _, err := f.Exchange(t.Context(), newQuery(t, "www.example.com.")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: got error %v, want net.ErrClosed", err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// Neither goroutines nor descriptors are left, however exchanges end.
func TestNothingIsLeftBehind(t *testing.T) {
	silent := startPeer(t, "127.0.0.1", nil, nil)
	stuck := startPeer(t, "127.0.0.1", truncate, func(_ []byte, conn net.Conn) { conn.Read(make([]byte, 1)) })
	good := startPeer(t, "127.0.0.1", honest, nil)
	goroutines, files := runtime.NumGoroutine(), openFiles(t)

	f := newForwarder(t, 300*time.Millisecond, silent.String(), stuck.String(), good.String())
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*10*time.Millisecond)
			defer cancel()
			f.Exchange(ctx, newQuery(t, "www.example.com."))
		})
	}
	wg.Wait()
	f.Close()
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > goroutines || openFiles(t) > files {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines and %d files, %d and %d before\n%s", runtime.NumGoroutine(), openFiles(t), goroutines, files,
				stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	return len(entries)
}

// State changes are logged once, and no name is logged at any level.
func TestLog(t *testing.T) {
	t.Parallel()
	silent := startPeer(t, "127.0.0.1", nil, nil)
	good := startPeer(t, "127.0.0.1", honest, nil)
	core, logs := observer.New(zapcore.DebugLevel)
	f := forwarder(t, upstream.Options{
		Servers: []string{silent.String(), good.String()}, Timeout: 5 * time.Second, Logger: zap.New(core),
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { f.Exchange(context.Background(), newQuery(t, "secret.example.com.")) })
	}
	wg.Wait()
	lines := logs.All()
	if len(lines) != 1 || lines[0].Level != zap.WarnLevel || lines[0].ContextMap()["server"] != silent.String() {
		t.Errorf("got %d lines, want one warning about %s: %v", len(lines), silent, lines)
	}
	for _, line := range lines {
		text, _ := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "m"}).EncodeEntry(line.Entry, line.Context)
		if strings.Contains(text.String(), "secret") {
			t.Errorf("a name was logged: %s", text)
		}
	}
}

func BenchmarkExchange(b *testing.B) {
	p := startPeer(b, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		query[2] |= 0x80
		send(query)
	}, nil)
	f := newForwarder(b, 2*time.Second, p.String())
	query := newQuery(b, "www.example.com.")
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := f.Exchange(context.Background(), query); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
