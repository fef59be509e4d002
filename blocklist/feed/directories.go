package feed

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

// directories is the set of directories that the system tells events of. Where
// the system refuses, it warns once and does without: polling goes on.
type directories struct {
	log     *zap.Logger
	fs      *fsnotify.Watcher // nil while the system gives none
	refused bool              // it was asked for and not given
	watched map[string]place
	failed  map[string]bool // directories that were warned of
	forgot  bool            // a watch was given up since keep
}

// place tells a directory from another one at the same path.
type place struct{ device, inode uint64 }

func newDirectories(log *zap.Logger) *directories {
	d := &directories{log: log, watched: make(map[string]place), failed: make(map[string]bool)}
	d.open()
	return d
}

// open asks the system for a source of events, unless there is one.
func (d *directories) open() {
	if d.fs != nil {
		return
	}
	w, err := fsnotify.NewWatcher()
	switch {
	case err == nil:
		d.fs = w
		if d.refused {
			d.log.Info("the system tells changes of list files again")
		}
	case !d.refused:
		d.log.Warn("the system tells no changes of list files, they are found by polling only: "+
			"raise fs.inotify.max_user_instances, or the limit of open files", zap.Error(err))
	}
	d.refused = err != nil
}

func (d *directories) events() <-chan fsnotify.Event {
	if d.fs == nil {
		return nil
	}
	return d.fs.Events
}

func (d *directories) errors() <-chan error {
	if d.fs == nil {
		return nil
	}
	return d.fs.Errors
}

// watch asks for the events of dir, also where it did before: another directory
// may have taken the path since. files is true if files of a list stand there.
func (d *directories) watch(dir string, files bool) {
	if d.fs == nil {
		return
	}
	now, err := Stat(dir)
	if err != nil {
		return // gone again, which its parent tells
	}
	here := place{now.Device, now.Inode}
	if before, ok := d.watched[dir]; ok && before != here {
		d.forget(dir)
	}
	if err := d.fs.Add(dir); err != nil {
		d.warn(dir, files, err)
		return
	}
	d.watched[dir] = here
	delete(d.failed, dir)
}

func (d *directories) warn(dir string, files bool, err error) {
	delete(d.watched, dir)
	switch {
	case d.failed[dir], errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return
	case errors.Is(err, syscall.ENOSPC):
		d.log.Warn("the system watches no more directories, changes are found by polling: raise fs.inotify.max_user_watches",
			zap.String("directory", dir), zap.Error(err))
	case files:
		d.log.Warn("cannot watch the directory, changes in it are found by polling: let the server's user read it",
			zap.String("directory", dir), zap.Error(err))
	default:
		d.log.Debug("cannot watch a directory above lists", zap.String("directory", dir), zap.Error(err))
	}
	d.failed[dir] = true
}

// keep gives up the directories that are not in wanted.
func (d *directories) keep(wanted map[string]bool) {
	for dir := range d.watched {
		if !wanted[dir] {
			d.forget(dir)
		}
	}
	for dir := range d.failed {
		if !wanted[dir] {
			delete(d.failed, dir)
		}
	}
	// The system has one watch for a directory, under the path that was asked
	// for first. Where one was moved from one wanted path to another, giving up
	// the old path took the watch from the new one too: ask again.
	for tries := 0; d.forgot && tries < 3; tries++ {
		d.forgot = false
		for dir := range d.watched {
			d.watch(dir, false)
		}
	}
}

// forget gives up a directory. An error means that the system has dropped the
// watch already, with the directory.
func (d *directories) forget(dir string) {
	// fsnotify 1.10.1 panics (its lock released, the path forgotten) if the path
	// was taken over by a directory that is also watched under another one, in
	// the moment between our look and Add.
	defer func() { _ = recover() }()
	d.forgot = true
	delete(d.watched, dir)
	_ = d.fs.Remove(dir)
}

func (d *directories) close() error {
	if d.fs == nil {
		return nil
	}
	return d.fs.Close()
}
