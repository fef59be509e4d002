package feed

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

// unusedName is a file in the directory of a list that was not in use at a start:
// how long that is ago is its age.
const unusedName = "unused"

// Prune removes the directories of lists that are not among names, were not the
// last time either, and in which nothing was written for longer than unused. Call
// it at each start, after the lists in use were opened.
func (s *Store) Prune(names []string, unused time.Duration) error {
	if s.readOnly {
		return ErrReadOnly
	}
	used := dirNames(names)
	all, err := os.ReadDir(s.dir)
	if err != nil {
		return storeError(err)
	}
	var faults []error
	for _, d := range all {
		path := filepath.Join(s.dir, d.Name())
		mark := filepath.Join(path, unusedName)
		_, err := os.Lstat(mark)
		marked := err == nil
		switch {
		case !isListDir(d.Name()):
		case used[d.Name()] && marked:
			faults = append(faults, os.Remove(mark))
		case used[d.Name()]:
		case !marked:
			faults = append(faults, os.WriteFile(mark, nil, fileMode))
		case time.Since(newestIn(path)) >= unused:
			s.log.Info("what is kept of a list that is configured no more is removed", zap.String("directory", d.Name()))
			faults = append(faults, os.RemoveAll(path))
		}
	}
	return errors.Join(faults...)
}

// newestIn is when something was last written in a directory; now where that
// cannot be told.
func newestIn(dir string) (newest time.Time) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return time.Now()
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest
}
