package hits

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxConnections bounds the connections that wait for the writer, of some 8 KiB each
	// at most.
	maxConnections = 4096
	// landBatch bounds those that are made lines of between two looks into the queues.
	landBatch = 64
	// actionConnection is the event.action of them.
	actionConnection = "connection"
)

// connectionQueue is what the landing found, on its way to the writer.
type connectionQueue struct {
	count    *counters
	recorded atomic.Uint64

	mu     sync.Mutex // not the data path's
	queue  []*Connection
	closed bool
}

// put tells whether there was room.
func (q *connectionQueue) put(c *Connection) bool {
	q.recorded.Add(1)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.queue) >= maxConnections {
		q.count.landingsLost.Add(1)
		return false
	}
	q.queue = append(q.queue, c)
	return true
}

// take removes the oldest few.
func (q *connectionQueue) take() (some []*Connection) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.queue), landBatch)
	if n == 0 {
		return nil
	}
	some = append(some, q.queue[:n]...)
	rest := copy(q.queue, q.queue[n:])
	clear(q.queue[rest:])
	q.queue = q.queue[:rest]
	return some
}

func (q *connectionQueue) waiting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queue) > 0
}

func (q *connectionQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// land makes lines of the oldest connections, and tells of how many.
func (w *writer) land(now time.Time) int {
	some := w.j.landings.take()
	for _, c := range some {
		if w.out.full() {
			w.j.count.landingsLost.Add(1)
			continue
		}
		w.out.buf = w.enc.appendConnection(w.out.buf, c, now)
		w.out.held.connections++
		w.work(lineWork)
		if len(w.out.buf) >= flushSize {
			w.write(now)
		}
	}
	return len(some)
}
