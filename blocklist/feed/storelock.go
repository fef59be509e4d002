package feed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const storeLock = "lists.lock"

// lockStore keeps other processes from writing to a store. The kernel releases
// the lock when the file is closed or the process ends, so none is ever stale.
func lockStore(dir string) (*os.File, error) {
	path := filepath.Join(dir, storeLock)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, storeError(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking the list store by %s: %w", path, err)
		}
		return nil, fmt.Errorf("%s: the list store is in use by another process%s: stop it, or set list_store to another directory", dir, holder(f))
	}
	// Only for the message above, so a failure does not matter.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

func holder(f *os.File) string {
	var b [32]byte
	n, _ := f.ReadAt(b[:], 0)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n]))); err == nil {
		return fmt.Sprintf(" (process %d)", pid)
	}
	return ""
}

// storeError says what the directory has to be for this process to write there.
func storeError(err error) error {
	return fmt.Errorf("list store: %w: list_store has to be a directory in which user ID %d may write, with room for every list twice", err, os.Geteuid())
}
