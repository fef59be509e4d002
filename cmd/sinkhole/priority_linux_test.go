package main

import (
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// Readers, writer and all else ask for short slices, at nice values apart; what the
// background does asks for none.
func TestPriorities(t *testing.T) {
	p := startProcess(t, t.TempDir(), "hits: {journal: {path: hits}}")
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/task")
	if err != nil {
		t.Fatal(err)
	}
	short, nices := 0, map[int32]int{}
	for _, task := range tasks {
		thread, err := strconv.Atoi(task.Name())
		if err != nil {
			t.Fatal(err)
		}
		attr, err := unix.SchedGetAttr(thread, 0)
		if err != nil {
			continue // it has ended
		}
		nices[attr.Nice]++
		if attr.Runtime == shortSlice {
			short++
		}
	}
	if len(nices) < 3 {
		t.Errorf("nice values %v: expected those of readers, of the writer and of all else to differ", nices)
	}
	if before612(t) {
		t.Skip("skipped the rest: this kernel has no slices of a thread's own (Linux 6.12)")
	}
	if short < len(tasks)/2 {
		t.Errorf("%d of %d threads ask for short slices", short, len(tasks))
	}
}

// before612 tells of kernels that forget what slice a thread asked for.
func before612(t *testing.T) bool {
	t.Helper()
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return attr.Runtime == 0
}
