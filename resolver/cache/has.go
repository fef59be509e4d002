package cache

import (
	"bytes"
	"hash/maphash"
)

// Has tells whether there is an entry of key that has not expired at now (Unix
// nanoseconds). It is no look-up: nothing is counted, and the entry is none the
// younger for it.
func (c *Cache) Has(key []byte, now int64) bool {
	h := maphash.Bytes(c.seed, key)
	s := &c.shards[h&c.mask]
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.lru.Peek(h)
	return ok && at.entry.Expires > now && bytes.Equal(at.entry.Key, key)
}
