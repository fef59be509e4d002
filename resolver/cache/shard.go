package cache

import (
	"bytes"
	"math"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// shard is a part of the cache under a lock of its own. golang-lru orders the
// entries; it can bound only their number, so the bound on bytes is kept here.
type shard struct {
	// What look-ups read, and nobody writes but for turn, rarely.
	near near
	turn atomic.Uint32 // see touch
	_    [64]byte      // the lock is on another cache line

	mu    sync.Mutex
	lru   *simplelru.LRU[uint64, slot] // by hash of the key
	bytes int64
	fresh int   // entries put in this turn
	stats Stats // Entries and Bytes unused

	limit      int64
	entryLimit int64
	stale      int64 // nanoseconds for which an entry is kept after its end

	_ [64]byte // the next shard is on another cache line
}

// slot is what the list holds: an entry and its cost in the heap.
type slot struct {
	entry *Entry
	cost  int64
}

// turnsPerRound is how many turns it takes until as many entries were put as there
// are.
const turnsPerRound = 8

// touch brings an entry that is asked for to the front of the list, unless it was
// there in this turn already: changing the list for each look-up costs more than
// the look-up, and matters only as far as entries push others out. What was asked
// for in a turn stays before all that was not.
func (s *shard) touch(h uint64, e *Entry) {
	if turn := s.turn.Load(); e.turn.Load() != turn {
		e.turn.Store(turn)
		s.lru.Get(h)
	}
}

func (s *shard) init(limit, stale int64) {
	s.stale = stale
	s.near = newNear(limit)
	s.limit = limit - int64(len(s.near))*nearLineSize
	s.entryLimit = limit / fairShare
	s.lru = newLRU()
}

func newLRU() *simplelru.LRU[uint64, slot] {
	lru, err := simplelru.NewLRU[uint64, slot](math.MaxInt, nil)
	if err != nil {
		panic(err) // only a size below 1 is an error
	}
	return lru
}

func (s *shard) get(h uint64, key []byte, now int64) *Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.lru.Peek(h)
	// Another key may have the same hash.
	if !ok || !bytes.Equal(at.entry.Key, key) {
		s.stats.Misses++
		return nil
	}
	if at.entry.Expires <= now {
		s.stats.Expired++
		if at.entry.Expires+s.stale <= now {
			s.lru.Remove(h)
			s.forget(h, at)
		}
		return nil
	}
	s.touch(h, at.entry)
	s.stats.Hits++
	return at.entry
}

// tryGet takes no lock for an entry that has nothing to gain in the list.
func (s *shard) tryGet(h uint64, key []byte, now int64) *Entry {
	e := s.near.find(h, key)
	if e != nil && e.Expires > now && e.turn.Load() == s.turn.Load() {
		return e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.lru.Peek(h)
	if !ok || at.entry.Expires <= now || !bytes.Equal(at.entry.Key, key) {
		return nil
	}
	s.touch(h, at.entry)
	if e == nil {
		s.near.put(h, at.entry)
	}
	return at.entry
}

// old is get for an entry that may have expired.
func (s *shard) old(h uint64, key []byte, now int64) *Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.lru.Peek(h)
	if !ok || at.entry.Expires+s.stale <= now || !bytes.Equal(at.entry.Key, key) {
		return nil
	}
	s.touch(h, at.entry)
	return at.entry
}

// forget lets go of what the list let go of.
func (s *shard) forget(h uint64, was slot) {
	s.bytes -= was.cost
	s.near.remove(h, was.entry)
}

// put is for a caller that has the lock. was is what the list has in the place of e.
func (s *shard) put(h uint64, e *Entry, cost int64, was slot) bool {
	if cost > s.entryLimit {
		s.stats.Refused++
		return false
	}
	if was.entry != nil {
		s.forget(h, was)
	}
	if s.fresh++; s.fresh*turnsPerRound > s.lru.Len() {
		s.turn.Add(1)
		s.fresh = 0
	}
	e.turn.Store(s.turn.Load())
	s.lru.Add(h, slot{e, cost})
	s.near.put(h, e)
	s.bytes += cost
	for s.bytes > s.limit {
		h, oldest, _ := s.lru.RemoveOldest()
		s.forget(h, oldest)
		s.stats.Evictions++
	}
	return true
}

func (s *shard) refuse() {
	s.mu.Lock()
	s.stats.Refused++
	s.mu.Unlock()
}

func (s *shard) flush() (entries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries = s.lru.Len()
	s.lru = newLRU() // not Purge: the map would keep its size
	s.near.clear()
	s.bytes = 0
	return entries
}

func (s *shard) addTo(sum *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum.Hits += s.stats.Hits
	sum.Misses += s.stats.Misses
	sum.Expired += s.stats.Expired
	sum.Evictions += s.stats.Evictions
	sum.Refused += s.stats.Refused
	sum.Entries += s.lru.Len()
	sum.Bytes += s.bytes
}
