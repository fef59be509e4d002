//go:build !linux

package main

// Elsewhere than on Linux priorities are those of whole processes.

func lowerPriority() error { return nil }

func prefer([]int, int) error { return nil }

func onThread(work func()) int {
	go work()
	return 0
}

func yield() {}
