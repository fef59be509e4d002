//go:build !linux

package main

// lowerPriority does nothing where priorities are those of whole processes.
func lowerPriority() error { return nil }
