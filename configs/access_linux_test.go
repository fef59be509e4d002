package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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

func TestUnpermittedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret.yaml")
	if err := os.WriteFile(path, nil, 0); err != nil {
		t.Fatal(err)
	}
	var err error
	asNobody(t, func() { _, err = Load(path) })
	if want := fmt.Sprintf("%s: permission denied: let the user (uid %d) read the file and enter the directories above it", path, os.Geteuid()); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
