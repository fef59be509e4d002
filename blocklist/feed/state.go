package feed

import (
	"io/fs"
	"math"
	"os"
	"time"
)

// State is what a file looked like at one moment. Two states are compared with
// ==: equal states mean the same file with the same content, as far as that can
// be told without reading it. The zero State is that of a missing file.
type State struct {
	Device, Inode    uint64 // zero where the system has none
	Size             int64
	Modified, Change int64 // mtime and ctime, nanoseconds since 1970
}

// Age is how long ago the file was modified by this machine's clock; a time to
// come is as old as can be, since clocks differ and times can be set.
func (s State) Age() time.Duration {
	age := time.Since(time.Unix(0, s.Modified))
	if age < 0 {
		return math.MaxInt64
	}
	return age
}

// Stat is the state of the file at path, symbolic links followed.
func Stat(path string) (State, error) {
	info, err := os.Stat(path)
	if err != nil {
		return State{}, err
	}
	return stateOf(info), nil
}

// portableState is what every system tells.
func portableState(info fs.FileInfo) State {
	modified := info.ModTime().UnixNano()
	return State{Size: info.Size(), Modified: modified, Change: modified}
}
