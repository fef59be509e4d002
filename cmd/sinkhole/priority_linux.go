package main

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Nice values, on Linux each thread's own. What counts is how far they are apart: a
// thread of five more has a third of the share of a processor that is full, of ten
// more a tenth, and none of the time that the other needs on one that is not.
const (
	// raised is the readers' where the process may raise its threads: by
	// CAP_SYS_NICE, or LimitNICE of systemd. Elsewhere they keep what it was started with.
	raised = -10
	// writerBelow is how far the journal's writer is below the readers: with half of
	// their share it keeps up with what they can record.
	writerBelow = 3
	// besideBelow is how far all other threads are.
	besideBelow = 10
	// backgroundBelow is how far background work is below these. A list still gets
	// updated on a machine whose processors are all busy.
	backgroundBelow = 5
	lowest          = 19
)

// lowerPriority makes the calling thread one of the background.
func lowerPriority() error {
	now, err := niceOf(0)
	if err != nil {
		return err
	}
	return share(0, min(now+backgroundBelow, lowest), 0)
}

// niceOf is the nice value of a thread; 0: the calling one.
func niceOf(thread int) (int, error) {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, thread)
	return 20 - raw, err // as the kernel tells it
}

// shortSlice is the time that a preferred thread asks for at once, in nanoseconds: the least
// that the kernel gives. From Linux 6.12 a thread that wakes and asks for little
// need not wait for one that asks for more.
const shortSlice = 100_000

// prefer gives the readers of queries, and after them the journal's writer, preference over
// all other threads, and short time slices to all: a reader that the runtime has stopped goes
// on only when some thread hands it a processor, which must not wait for a third to be done. One that is started later has the
// priority of the one that starts it, which is never a preferred one: those are
// locked to their goroutines, and the runtime starts no thread from a locked one.
func prefer(readers []int, writer int) error {
	if len(readers) == 0 {
		return nil
	}
	usual, err := niceOf(readers[0])
	if err != nil {
		return err
	}
	top := usual
	if top > raised && unix.Setpriority(unix.PRIO_PROCESS, readers[0], raised) == nil {
		top = raised
	}
	for _, thread := range readers {
		if err := share(thread, top, shortSlice); err != nil {
			return err
		}
	}
	if err := share(writer, min(top+writerBelow, lowest), shortSlice); err != nil {
		return err
	}
	return lowerOthers(append(readers, writer), usual, top+besideBelow)
}

// share gives a thread a nice value, and how long it runs at once, in nanoseconds; 0: as
// long as the kernel gives who asks for nothing.
func share(thread, nice int, slice uint64) error {
	attr, err := unix.SchedGetAttr(thread, 0)
	if err != nil {
		return err
	}
	attr.Runtime, attr.Nice = slice, int32(nice)
	return unix.SchedSetAttr(thread, attr, 0)
}

// lowerOthers gives all threads but some a nice value, and those that are in the
// background by now, below the usual one, that of background work.
func lowerOthers(favoured []int, usual, nice int) error {
	seen := map[int]bool{}
	for more := true; more; {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		more = false
		for _, task := range tasks {
			thread, err := strconv.Atoi(task.Name())
			if err != nil || seen[thread] || slices.Contains(favoured, thread) {
				continue
			}
			seen[thread], more = true, true // look again: it may have started another meanwhile
			to := nice
			if now, err := niceOf(thread); err == nil && now > usual {
				to += backgroundBelow
			}
			err = share(thread, min(to, lowest), shortSlice)
			if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EPERM) { // it has ended; it is lower already
				return err
			}
		}
	}
	return nil
}

// yield has the kernel choose anew whom the processor is for. Otherwise it does so when
// somebody wakes, and then up to 4 ms later: a reader that has just used up its share
// would wait as long for the writer, which is due much less.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

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
