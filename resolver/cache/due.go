package cache

import "time"

const (
	// popular is how often an entry must have been asked for since it was stored to be
	// worth asking for again before it ends.
	popular = 2
	// lastPart is the end of an entry's life in which that is done: 1/lastPart of it,
	// leastLast at least. An entry of less than leastLife is not worth it: every
	// answer would be asked for twice.
	lastPart  = 10
	leastLast = int64(2 * time.Second)
	leastLife = int64(10 * time.Second)
)

// Due is to be asked for each time that a client gets the entry, at now (Unix
// nanoseconds). It says yes once in the entry's life: where the entry is popular and
// near its end, and somebody should ask for it again. Of a popular entry it costs a
// load and a comparison, and writes nothing.
func (e *Entry) Due(now int64) bool {
	n := e.uses.Load()
	return n <= popular && (n < popular || now >= e.last()) && e.use(n, now)
}

// last is when the last part of its life begins.
func (e *Entry) last() int64 { return e.Expires - max((e.Expires-e.Stored)/lastPart, leastLast) }

// use counts, and loses a count to another look-up at the same time at worst.
func (e *Entry) use(n uint32, now int64) bool {
	if n < popular {
		if !e.uses.CompareAndSwap(n, n+1) || n+1 < popular {
			return false
		}
		n++
	}
	return now >= e.last() && now < e.Expires && e.Expires-e.Stored >= leastLife && e.uses.CompareAndSwap(n, n+1)
}
