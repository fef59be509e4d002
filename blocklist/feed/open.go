package feed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// openRegular opens the regular file at path. It looks before it opens, since
// opening a device can act on it, and again after, since the file may have been
// exchanged in between.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, refuse(path, err)
	}
	if err := regular(path, info); err != nil {
		return nil, nil, err
	}
	// O_NONBLOCK: a FIFO put there meanwhile must not make us wait.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, refuse(path, err)
	}
	info, err = file.Stat()
	if err == nil {
		err = regular(path, info)
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

func regular(path string, info fs.FileInfo) error {
	var found string
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return fmt.Errorf("%s: is a directory, expected a file: name a file in it, or %s for all of them", path, allIn(path))
	case mode&fs.ModeNamedPipe != 0:
		found = "a named pipe"
	case mode&fs.ModeSocket != 0:
		found = "a socket"
	case mode&fs.ModeDevice != 0:
		found = "a device"
	default:
		found = "not a regular file"
	}
	return fmt.Errorf("%s: is %s, expected a regular file: write the list to a file and name that", path, found)
}

// allIn is the glob for the files of a directory.
func allIn(dir string) string {
	for len(dir) > 1 && os.IsPathSeparator(dir[len(dir)-1]) {
		dir = dir[:len(dir)-1]
	}
	if dir == string(os.PathSeparator) {
		return dir + "*"
	}
	return dir + string(os.PathSeparator) + "*"
}

// refuse words the error of a file that cannot be opened.
func refuse(path string, err error) error {
	switch err := cause(err); {
	case errors.Is(err, fs.ErrNotExist):
		if target, linkErr := os.Readlink(path); linkErr == nil {
			return fmt.Errorf("%s: is a symbolic link to %s, which leads nowhere (%w): correct the link", path, target, err)
		}
		return fmt.Errorf("%s: %w, expected a list: correct the path, or put the file there", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w: let the server's user (uid %d) read the file and enter the directories above it", path, err, os.Geteuid())
	default:
		return fmt.Errorf("%s: %w, expected a file that can be read", path, err)
	}
}

// cause is the error below the operation and path that package os puts before
// it, since our messages name the path themselves.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
