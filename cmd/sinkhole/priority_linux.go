package main

import "golang.org/x/sys/unix"

// backgroundNice is low enough to yield to queries at once and high enough
// (about a tenth of the share of a normal thread) that a list still gets
// updated on a machine whose processors are all busy.
const backgroundNice = 10

// lowerPriority acts on the calling thread only: on Linux the nice value is
// each thread's own.
func lowerPriority() error {
	return unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), backgroundNice)
}
