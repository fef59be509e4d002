package upstream

import "sync"

// works counts what runs for an owner. It begins under mu, so that nothing can begin once
// the owner waits for the end of all.
type works struct {
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// join counts the caller in, until it calls running.Done; false: the owner closes.
func (w *works) join() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.running.Add(1)
	}
	return !w.closed
}

// start runs work, unless the owner closes.
func (w *works) start(work func()) bool {
	if !w.join() {
		return false
	}
	go func() {
		defer w.running.Done()
		work()
	}()
	return true
}

// close has nothing begin any more.
func (w *works) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
}
