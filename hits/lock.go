package hits

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const lockName = "journal.lock"

// dirLock keeps other processes from writing to a journal's directory. The
// kernel releases it with the process, so there are no stale locks.
type dirLock struct {
	dir  string
	file *os.File
}

func lockDir(dir string) (*dirLock, error) {
	l := &dirLock{dir: dir}
	return l, l.take()
}

func (l *dirLock) take() error {
	path := filepath.Join(l.dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return writeError("locking the hit journal", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("locking the hit journal by %s: %w", path, err)
		}
		return fmt.Errorf("the hit journal in %s is being written by another process%s: stop it, or set hits.journal.path to another directory",
			l.dir, holder(f))
	}
	// Only for the message above, so a failure does not matter.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	l.file = f
	return nil
}

func holder(f *os.File) string {
	var b [32]byte
	n, _ := f.ReadAt(b[:], 0)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n]))); err == nil {
		return fmt.Sprintf(" (process %d)", pid)
	}
	return ""
}

// renew makes the directory and takes its lock again where someone removed
// them.
func (l *dirLock) renew() error {
	if l.file != nil {
		held, err1 := l.file.Stat()
		there, err2 := os.Stat(filepath.Join(l.dir, lockName))
		if err1 == nil && err2 == nil && os.SameFile(held, there) {
			return nil
		}
		l.release()
	}
	// Not its parents: an absent one is more likely a file system that is not
	// mounted, to be left empty.
	if err := os.Mkdir(l.dir, dirMode); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return l.take()
}

func (l *dirLock) release() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}
