package feed

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"testing"
)

// asNobody runs f without root's right to read everything.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	// The identity is this thread's alone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	must(t, syscall.Setfsuid(65534))
	defer func() { must(t, syscall.Setfsuid(0)) }()
	f()
}

func TestContentUnreadable(t *testing.T) {
	path := file(t, []byte("a.example\n"))
	must(t, os.Chmod(path, 0))
	asNobody(t, func() {
		_, err := Open(path, Limits{})
		checkMessage(t, err, path, "permission denied", "let the server's user (uid ")
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v is not fs.ErrPermission", err)
		}
	})
}

func TestExpandUnreadableDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	must(t, os.Mkdir("lists", 0o311))
	asNobody(t, func() {
		_, err := Expand("lists/*.txt")
		checkMessage(t, err, "lists/*.txt", "cannot list the directory lists", "permission denied")
	})
}

// A file in /proc says that it is empty and is not.
func TestContentSizeIsNotBelieved(t *testing.T) {
	text, digest, err := readAll("/proc/self/status", Limits{})
	must(t, err)
	if text == "" || digest != sum([]byte(text)) {
		t.Errorf("read %d bytes, digest %s", len(text), digest)
	}
	_, _, err = readAll("/proc/self/status", Limits{File: 100})
	checkMessage(t, err, "/proc/self/status", "expected at most 100 B")
}
