package cache

import (
	"hash/maphash"
	"math/bits"
)

// MaxTogether is how many keys Touch looks at.
const MaxTogether = 64

// Hash is that of a key, for Touch and TryGetHashed.
func (c *Cache) Hash(key []byte) uint64 { return maphash.Bytes(c.seed, key) }

// TryGetHashed is TryGet with the key's hash.
func (c *Cache) TryGetHashed(hash uint64, key []byte, now int64) *Entry {
	return c.shards[hash&c.mask].tryGet(hash, key, now)
}

// Touch loads what TryGet is going to look at for the keys of some hashes, at most
// MaxTogether, step by step for all of them: loads that need not wait for one
// another take hardly longer than one. It is no look-up, and changes nothing.
func (c *Cache) Touch(hashes []uint64) {
	var lines [MaxTogether]*nearLine
	var entries [MaxTogether]*Entry
	n := 0
	var seen uint64
	for _, h := range hashes {
		if near := c.shards[h&c.mask].near; len(near) > 0 {
			lines[n] = near.line(h)
			seen += lines[n].tags.Load()
		}
		n++
	}
	for i, h := range hashes {
		if lines[i] == nil {
			continue
		}
		if at := tagged(lines[i].tags.Load(), nearTag(h)); at != 0 {
			entries[i] = lines[i].entries[bits.TrailingZeros64(at)>>3].Load()
		}
	}
	for _, e := range entries[:n] {
		if e != nil {
			seen += uint64(e.Expires)
		}
	}
	for _, e := range entries[:n] {
		if e != nil && len(e.Packed) > 0 {
			seen += uint64(e.Key[0]) + uint64(e.Packed[len(e.Packed)-1])
		}
	}
	touched(seen)
}

// touched is there so that loads are made whose values nobody needs.
//
//go:noinline
func touched(uint64) {}
