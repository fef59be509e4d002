package main

import (
	"errors"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Nice values, on Linux each thread's own. The readers of queries keep that with
// which the process was started.
const (
	// besideNice is for all but the readers of queries: with it they have about a
	// third of a reader's share of a processor that is full, and none of the time
	// that a reader needs on one that is not.
	besideNice = 5
	// backgroundNice is low enough to yield to queries at once and high enough
	// (about a tenth of the share of a reader) that a list still gets updated on
	// a machine whose processors are all busy.
	backgroundNice = 10
)

// lowerPriority makes the calling thread one of the background.
func lowerPriority() error {
	return unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), backgroundNice)
}

// readerSlice is the time that a reader asks for at once, in nanoseconds: the least
// that the kernel gives. From Linux 6.12 a thread that wakes and asks for little
// need not wait for one that asks for more.
const readerSlice = 100_000

// preferReaders shortens the readers' time slice and lowers the priority of all threads but the readers. A thread that
// is started later has the priority of the one that starts it, which is never a
// reader: those are locked to their goroutines, and the runtime starts no thread
// from a locked one.
func preferReaders(readers []int) error {
	for _, reader := range readers {
		attr, err := unix.SchedGetAttr(reader, 0)
		if err != nil {
			return err
		}
		attr.Runtime = readerSlice
		if err := unix.SchedSetAttr(reader, attr, 0); err != nil {
			return err
		}
	}
	lowered := map[int]bool{}
	for more := true; more; {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		more = false
		for _, task := range tasks {
			thread, err := strconv.Atoi(task.Name())
			if err != nil || lowered[thread] || slices.Contains(readers, thread) {
				continue
			}
			lowered[thread], more = true, true // look again: it may have started another meanwhile
			err = unix.Setpriority(unix.PRIO_PROCESS, thread, besideNice)
			if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EACCES) { // it has ended; it is lower already
				return err
			}
		}
	}
	return nil
}
