// Package cache keeps packed upstream answers, as the upstream gave them and
// never as policy changed them, within a bound on memory. DESIGN.md describes
// how memory is counted and who owns what.
package cache

import (
	"hash/maphash"
	"math/bits"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// minShardMemory keeps a shard large enough for the largest entries.
	minShardMemory = 1 << 20
	// fairShare is the part of a shard that one entry may take: 1/fairShare.
	fairShare = 8
	// shardsPerCPU makes it unlikely that two CPUs want the same shard.
	shardsPerCPU = 8
)

// Options are the limits of a [Cache].
type Options struct {
	// Memory is the bound on what all entries together cost in the heap, in
	// bytes. With 0 or less nothing is kept.
	Memory int64
	// Stale is for how long after its end an entry is still kept, for [Cache.Stale].
	Stale time.Duration
	// Shards is the number of independently locked parts, rounded up to a power
	// of two; 0 picks one for this machine and Memory.
	Shards int
}

// Cache maps keys (see [AppendKey]) to entries. When it is full the entries that
// were not asked for the longest are dropped. Its methods may be called by any
// number of goroutines.
type Cache struct {
	seed    maphash.Seed // per process: nobody can aim at one shard
	mask    uint64
	shards  []shard
	denials denials

	flushes atomic.Uint64 // see Generation
	flushed atomic.Uint64 // entries
}

// New makes an empty cache.
func New(o Options) *Cache {
	n := shardCount(o)
	memory := max(o.Memory, 0)
	c := &Cache{seed: maphash.MakeSeed(), mask: uint64(n - 1), shards: make([]shard, n), denials: newDenials(memory)}
	for i := range c.shards {
		c.shards[i].init((memory-c.denials.size())/int64(n), int64(max(o.Stale, 0)))
	}
	return c
}

func shardCount(o Options) int {
	n := o.Shards
	if n <= 0 {
		n = min(shardsPerCPU*runtime.GOMAXPROCS(0), int(max(o.Memory, 0)/minShardMemory))
		n = max(n, 1)
		return 1 << (bits.Len(uint(n)) - 1) // down: a shard has no less than minShardMemory
	}
	return 1 << bits.Len(uint(n-1))
}

// Get returns the entry of key that has not expired at now (Unix nanoseconds),
// or nil. The entry is shared: nothing but Clean may be changed in it. Get
// allocates nothing and keeps no reference to key.
func (c *Cache) Get(key []byte, now int64) *Entry {
	h := maphash.Bytes(c.seed, key)
	return c.shards[h&c.mask].get(h, key, now)
}

// TryGet is Get without a lock nearly always, and counts nothing: neither a hit,
// which is left to the caller to count, nor a miss, of a caller that is going to Get
// again, or calls Missed, before it asks anyone.
func (c *Cache) TryGet(key []byte, now int64) *Entry {
	h := maphash.Bytes(c.seed, key)
	return c.shards[h&c.mask].tryGet(h, key, now)
}

// Stale returns the entry of key also where it has expired at now, but by no more than
// Options.Stale; nil where there is none. It is shared, as that of Get is. It is no
// look-up: nothing is counted.
func (c *Cache) Stale(key []byte, now int64) *Entry {
	h := maphash.Bytes(c.seed, key)
	return c.shards[h&c.mask].old(h, key, now)
}

// Put keeps a copy of e, in memory of its own, in place of what its key had: the
// caller may reuse e and its slices at once. An entry that is larger than a
// fair share of its shard, or expires as it is stored, is not kept.
func (c *Cache) Put(e *Entry) { c.PutSince(e, c.Generation()) }

// PutSince is Put for what was asked for when [Cache.Generation] was so: after a
// flush since then it keeps nothing, since the answer may be of before. It gives the
// copy that is kept, shared as that of Get is; nil: none is.
func (c *Cache) PutSince(e *Entry, generation uint64) *Entry {
	return c.put(e, generation, func(*Entry) bool { return true })
}

// Restore is PutSince for an entry of before a restart, unless it is no more of use at
// now (Unix nanoseconds), or something newer has come since. It tells whether it is
// kept.
func (c *Cache) Restore(e *Entry, generation uint64, now int64) bool {
	if e.Expires+c.shards[0].stale <= now {
		return false
	}
	return c.put(e, generation, func(was *Entry) bool { return was.Stored < e.Stored }) != nil
}

// put replaces what the key has only where replaces says so, and gives what it keeps.
func (c *Cache) put(e *Entry, generation uint64, replaces func(was *Entry) bool) *Entry {
	if e.Expires <= e.Stored {
		return nil
	}
	h := maphash.Bytes(c.seed, e.Key)
	s := &c.shards[h&c.mask]
	if e.roughCost() > s.entryLimit {
		s.refuse()
		return nil
	}
	kept, cost := e.clone()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Generation() != generation { // with the lock: a flush under way comes to this shard later
		return nil
	}
	was, ok := s.lru.Peek(h)
	if ok && !replaces(was.entry) || !s.put(h, kept, cost, was) {
		return nil
	}
	c.denials.note(c.seed, kept)
	return kept
}

// Missed counts a miss that TryGet left to its caller, who does not Get again.
func (c *Cache) Missed(key []byte) {
	s := &c.shards[maphash.Bytes(c.seed, key)&c.mask]
	s.mu.Lock()
	s.stats.Misses++
	s.mu.Unlock()
}

// Len is the number of entries, expired ones that nobody asked for included.
func (c *Cache) Len() int { return c.Stats().Entries }

// Stats are the counts of a [Cache] since it was made. Each shard's are taken at
// one moment, those of several shards one after the other.
type Stats struct {
	Hits      uint64
	Misses    uint64 // nothing there, Expired not counted
	Expired   uint64 // look-ups that found an entry past its time
	Evictions uint64 // entries dropped to make room
	Refused   uint64 // entries too large to be kept
	Flushed   uint64 // entries dropped by a flush
	Entries   int
	Bytes     int64 // what the entries cost in the heap
}

// Stats sums up the shards.
func (c *Cache) Stats() Stats {
	sum := Stats{Flushed: c.flushed.Load()}
	for i := range c.shards {
		c.shards[i].addTo(&sum)
	}
	return sum
}
