package feed

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// A system that gives no inotify is warned of once; polling finds the changes,
// and inotify is used as soon as there is some.
func TestWatcherWithoutInotify(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	list := filepath.Join(t.TempDir(), "list")
	o := Options{Settle: 10 * time.Millisecond, Poll: 50 * time.Millisecond, Logger: zap.New(core)}

	var w *watched
	withoutDescriptors(t, func() { w = watch(t, o) })
	if logs.FilterMessageSnippet("found by polling only").FilterLevelExact(zapcore.WarnLevel).Len() != 1 {
		t.Errorf("no warning: %v", logs.All())
	}
	w.Set([]string{list})
	put(t, list, "a")
	w.expect(list)
	if logs.FilterMessageSnippet("changes of list files again").Len() != 1 {
		t.Errorf("not told that inotify is there again: %v", logs.All())
	}
	put(t, list, "ab")
	w.expect(list)
}

// withoutDescriptors runs f while the process can open nothing.
func withoutDescriptors(t *testing.T, f func()) {
	t.Helper()
	var limit syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: limit.Max}))
	defer func() { must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)) }()
	f()
}
