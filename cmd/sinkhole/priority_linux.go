package main

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Nice values, on Linux each thread's own. The readers of queries, and the journal's
// writer, keep that with which the process was started.
const (
	// besideNice is for all but these: with it they have about a
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

// shortSlice is the time that a preferred thread asks for at once, in nanoseconds: the least
// that the kernel gives. From Linux 6.12 a thread that wakes and asks for little
// need not wait for one that asks for more.
const shortSlice = 100_000

// prefer shortens the time slice of some threads, and lowers the priority of all
// others. Preferred are the readers, and the journal's writer: what it does is little
// and bounded, but on a processor that a flood fills the readers' queues of hits last
// for some 60 ms only. A thread that is started later has the priority of the one that
// starts it, which is never a preferred one: those are locked to their goroutines,
// and the runtime starts no thread from a locked one.
func prefer(threads []int) error {
	for _, thread := range threads {
		attr, err := unix.SchedGetAttr(thread, 0)
		if err != nil {
			return err
		}
		attr.Runtime = shortSlice
		if err := unix.SchedSetAttr(thread, attr, 0); err != nil {
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
			if err != nil || lowered[thread] || slices.Contains(threads, thread) {
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

// onThread has work done on a thread of its own, and gives that thread.
func onThread(work func()) (thread int) {
	started := make(chan int)
	go func() {
		runtime.LockOSThread() // until work ends, and the thread with it
		started <- unix.Gettid()
		work()
	}()
	return <-started
}
