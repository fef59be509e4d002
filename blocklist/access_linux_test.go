package blocklist

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// asNobody runs f without root's right to read everything, if we are root.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	runtime.LockOSThread() // the identity is this thread's alone
	defer runtime.UnlockOSThread()
	for _, uid := range []int{65534, 0} {
		if err := syscall.Setfsuid(uid); err != nil {
			t.Fatal(err)
		}
		if uid != 0 {
			f()
		}
	}
}

func TestNoAccess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, "evil.example\n")
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	var l *Lists
	asNobody(t, func() { l = open(t, Options{Configuration: specsOf(spec("feed", path))}) })
	if s := status(t, l, "feed"); s.State != StateFailed || !strings.Contains(s.Error, "permission denied") {
		t.Errorf("status %+v", s)
	}
}
