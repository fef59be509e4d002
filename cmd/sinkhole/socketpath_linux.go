package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// maxSocketPath is what a Unix socket's address holds.
const maxSocketPath = 107

// atDirectory calls fn with a path of the socket that is short enough for a
// Unix address, however deep its directory lies.
func atDirectory(path string, fn func(path string) error) error {
	if len(path) <= maxSocketPath {
		return fn(path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return fn(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}
