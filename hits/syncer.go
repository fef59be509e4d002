package hits

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// syncer calls fsync beside the writer: a slow disk delays the promise, not the
// writer.
type syncer struct {
	dir    string
	log    *zap.Logger
	errors *atomic.Uint64
	wake   chan struct{}
	done   chan struct{}

	mu      sync.Mutex
	due     *os.File
	retired []*os.File // to be synced and closed
	newName bool       // a file was made: the directory is due too
	closed  bool

	complain seldom
}

func newSyncer(dir string, log *zap.Logger, errs *atomic.Uint64) *syncer {
	s := &syncer{dir: dir, log: log, errors: errs, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go s.run()
	return s
}

// created asks for the directory to be synced with the next file.
func (s *syncer) created() {
	s.mu.Lock()
	s.newName = true
	s.mu.Unlock()
}

// sync asks for f to be synced soon.
func (s *syncer) sync(f *os.File) { s.ask(func() { s.due = f }) }

// retire hands f over, to be synced and closed.
func (s *syncer) retire(f *os.File) {
	s.ask(func() {
		s.retired = append(s.retired, f)
		if s.due == f {
			s.due = nil
		}
	})
}

// close finishes what was asked for and waits for it.
func (s *syncer) close() {
	s.ask(func() { s.closed = true })
	<-s.done
}

func (s *syncer) ask(change func()) {
	s.mu.Lock()
	change()
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *syncer) run() {
	defer close(s.done)
	for range s.wake {
		s.mu.Lock()
		due, retired, newName, closed := s.due, s.retired, s.newName, s.closed
		s.due, s.retired, s.newName = nil, nil, false
		s.mu.Unlock()

		for _, f := range retired {
			s.check(f.Sync())
			f.Close()
		}
		if due != nil {
			s.check(due.Sync())
		}
		if newName {
			s.check(syncDir(s.dir))
		}
		if closed {
			return
		}
	}
}

func (s *syncer) check(err error) {
	if err == nil || errors.Is(err, os.ErrClosed) {
		return
	}
	s.errors.Add(1)
	if s.complain.now(time.Now()) {
		s.log.Error("syncing the hit journal to disk failed: a power cut may lose the last hits", zap.Error(err))
	}
}

// seldom lets one message a minute through.
type seldom struct{ next time.Time }

func (s *seldom) now(t time.Time) bool {
	if t.Before(s.next) {
		return false
	}
	s.next = t.Add(time.Minute)
	return true
}
