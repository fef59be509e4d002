//go:build !linux

package main

// Elsewhere than on Linux priorities are those of whole processes.

func lowerPriority() error { return nil }

func preferReaders([]int) error { return nil }
