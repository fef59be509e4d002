//go:build !linux

package main

func atDirectory(path string, fn func(path string) error) error { return fn(path) }
