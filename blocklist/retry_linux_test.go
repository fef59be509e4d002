package blocklist

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRetry has lists that cannot be opened for a while, and nothing else that
// would have them read again.
func TestRetry(t *testing.T) {
	path, missing := filepath.Join(t.TempDir(), "list"), filepath.Join(t.TempDir(), "missing")
	write(t, path, "evil.example\n")
	l := open(t, Options{Configuration: specsOf(spec("feed", path), spec("missing", missing)), Watch: true})
	tried := func(after time.Time) Status {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if s := status(t, l, "feed"); s.Tried.After(after) {
				return s
			}
		}
		t.Fatal("the list was not read again within 10 s")
		return Status{}
	}
	withoutDescriptors(t, func() {
		if _, err := l.Reload(); err != nil {
			t.Fatal(err)
		}
		s := status(t, l, "feed")
		if s.State != StateStale || !strings.Contains(s.Error, "too many open files") {
			t.Fatalf("status %+v, expected too many open files", s)
		}
		policy, other := l.Policy(), status(t, l, "missing").Tried
		if s = tried(s.Tried); s.State != StateStale {
			t.Errorf("the list is %s without a descriptor", s.State)
		}
		if l.Policy() != policy {
			t.Error("a retry in vain made a new policy")
		}
		if !status(t, l, "missing").Tried.Equal(other) {
			t.Error("a list whose failure does not pass was tried again")
		}
	})
	if s := tried(status(t, l, "feed").Tried); s.State != StateOK || s.Error != "" {
		t.Errorf("status %+v", s)
	}
	expect(t, l, "evil.example", "enforce sinkhole feed:1")
	l.updating.Lock()
	defer l.updating.Unlock()
	if len(l.retries.waiting) != 0 || l.retries.timer.Stop() {
		t.Error("a retry waits after the success")
	}
}

func TestCloseEndsRetries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, "evil.example\n")
	var l *Lists
	withoutDescriptors(t, func() { l = open(t, Options{Configuration: specsOf(spec("feed", path)), Watch: true}) })
	if len(l.retries.waiting) != 1 {
		t.Fatalf("%v wait, expected the list", l.retries.waiting)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l.retries.timer.Stop() {
		t.Error("the timer runs after Close")
	}
	before := status(t, l, "feed").Tried
	l.retry() // a timer that fired before
	if !status(t, l, "feed").Tried.Equal(before) {
		t.Error("a list was read again after Close")
	}
	withoutDescriptors(t, func() {
		if _, err := l.Reload(); err != nil {
			t.Fatal(err)
		}
	})
	if l.retries.timer.Stop() {
		t.Error("a reload after Close started the timer")
	}
}

// withoutDescriptors runs f while the process can open nothing.
func withoutDescriptors(t *testing.T, f func()) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}()
	f()
}
