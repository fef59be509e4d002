package hits

import (
	"math/bits"
	"sync/atomic"
)

// Queue carries hits from one listener to the journal's writer: a bounded ring
// in which producers claim a slot by a compare-and-swap and never wait (the
// array queue of D. Vyukov), read by the writer alone. Record is safe for
// concurrent use.
type Queue struct {
	slots []slot
	mask  uint64
	// rings the bell each time the tail has moved by so much, whether the
	// writer sleeps or not, so that a burst does not wait for the writer's pace
	burst uint64
	bell  *bell

	_    [64]byte // tail alone on its cache line
	tail atomic.Uint64
	_    [64]byte

	head uint64 // the writer's

	full atomic.Uint64 // hits lost since the queue was full
	late atomic.Uint64 // hits lost since the journal was closed
}

// slot is free for position p when turn is p, and filled when it is p+1.
type slot struct {
	turn     atomic.Uint64
	hit      Hit
	identity Identity // of hit
}

func (s *slot) set(h *Hit) {
	s.hit.set(h)
	if h.Identity != nil {
		s.identity = *h.Identity
		s.hit.Identity = &s.identity
	}
}

// closedBit of the tail makes every later claim fail.
const closedBit = 1 << 63

func newQueue(length int, b *bell) *Queue {
	n := uint64(1) << bits.Len(uint(max(length, 2)-1))
	q := &Queue{slots: make([]slot, n), mask: n - 1, burst: max(n/4, 1) - 1, bell: b}
	for i := range q.slots {
		q.slots[i].turn.Store(uint64(i))
	}
	return q
}

// Record copies the hit into the queue, or counts it as lost when the queue is
// full. It never blocks and allocates nothing.
func (q *Queue) Record(h *Hit) {
	pos := q.tail.Load()
	for {
		if pos&closedBit != 0 {
			q.late.Add(1)
			return
		}
		s := &q.slots[pos&q.mask]
		turn := s.turn.Load()
		if turn == pos {
			if q.tail.CompareAndSwap(pos, pos+1) {
				s.set(h)
				s.turn.Store(pos + 1)
				break
			}
		} else if turn < pos {
			// Still holds the hit of the round before, unless the tail read is
			// old and others have gone on.
			if now := q.tail.Load(); now == pos {
				q.full.Add(1)
				return
			}
		}
		pos = q.tail.Load()
	}
	if pos&q.burst == q.burst {
		q.bell.ring()
	} else {
		q.bell.wake()
	}
}

// Beyond reports whether more than of/parts of the queue were taken and not released a
// moment ago, for producers.
func (q *Queue) Beyond(of, parts uint64) bool {
	n := uint64(len(q.slots))
	held := n * of / parts
	pos := q.tail.Load() &^ closedBit
	return q.slots[(pos+n-1-held)&q.mask].turn.Load() != pos+n-1-held
}

// peek returns the oldest hit, nil if there is none. It stays in the queue's
// memory until release.
func (q *Queue) peek() *Hit {
	s := &q.slots[q.head&q.mask]
	if s.turn.Load() != q.head+1 {
		return nil
	}
	return &s.hit
}

// release frees the slot of the hit that peek returned, and what it refers to: a
// policy that was replaced must not live on in an idle queue.
func (q *Queue) release() {
	s := &q.slots[q.head&q.mask]
	s.hit.Value, s.hit.Chain, s.hit.Evidence, s.hit.Group = nil, nil, nil, ""
	s.turn.Store(q.head + uint64(len(q.slots)))
	q.head++
}

// crowded reports whether the queue is more than half full.
func (q *Queue) crowded() bool { return (q.taken()-q.head)*2 > uint64(len(q.slots)) }

// close makes every later Record count its hit as lost.
func (q *Queue) close() {
	q.tail.Or(closedBit)
}

// taken is the number of hits that were ever accepted.
func (q *Queue) taken() uint64 { return q.tail.Load() &^ closedBit }

// drained reports whether every accepted hit was released.
func (q *Queue) drained() bool { return q.head == q.taken() }
