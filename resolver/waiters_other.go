//go:build !linux

package resolver

// waiters are for systems with batches of datagrams: elsewhere the library has
// all queries that wait.
type waiters struct{}

func newWaiters(*prompt, *datagrams) *waiters { return nil }

func (w *waiters) take(*request, []byte) fate { return forLibrary }

func (w *waiters) next() ([]byte, *peer) { return nil, nil }

func (w *waiters) close() {}
