package cache

import (
	"bytes"
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// shard is a part of the cache under a lock of its own. golang-lru orders the
// entries; it can bound only their number, so the bound on bytes is kept here.
type shard struct {
	mu    sync.Mutex
	lru   *simplelru.LRU[uint64, slot] // by hash of the key
	bytes int64
	stats Stats // Entries and Bytes unused

	limit      int64
	entryLimit int64

	_ [64]byte // the next shard's lock is on another cache line
}

// slot is what the list holds: an entry and its cost in the heap.
type slot struct {
	entry *Entry
	cost  int64
}

func (s *shard) init(limit int64) {
	s.limit, s.entryLimit = limit, limit/fairShare
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
	at, ok := s.lru.Get(h)
	// Another key may have the same hash.
	if !ok || !bytes.Equal(at.entry.Key, key) {
		s.stats.Misses++
		return nil
	}
	if at.entry.Expires <= now {
		s.stats.Expired++
		s.lru.Remove(h)
		s.bytes -= at.cost
		return nil
	}
	s.stats.Hits++
	return at.entry
}

func (s *shard) tryGet(h uint64, key []byte, now int64) *Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.lru.Get(h)
	if !ok || at.entry.Expires <= now || !bytes.Equal(at.entry.Key, key) {
		return nil
	}
	s.stats.Hits++
	return at.entry
}

func (s *shard) put(h uint64, e *Entry, cost int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cost > s.entryLimit {
		s.stats.Refused++
		return
	}
	if was, ok := s.lru.Peek(h); ok {
		s.bytes -= was.cost
	}
	s.lru.Add(h, slot{e, cost})
	s.bytes += cost
	for s.bytes > s.limit {
		_, oldest, _ := s.lru.RemoveOldest()
		s.bytes -= oldest.cost
		s.stats.Evictions++
	}
}

func (s *shard) refuse() {
	s.mu.Lock()
	s.stats.Refused++
	s.mu.Unlock()
}

func (s *shard) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lru = newLRU() // not Purge: the map would keep its size
	s.bytes = 0
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
