package cache

import (
	"bytes"
	"math/bits"
	"sync/atomic"
)

// near leads from the hash of a key to its entry without a lock: lines of one cache
// line each, with the tags of up to 7 entries and the entries. It is changed under
// the shard's lock alone, and read by everyone; the key of what is found is
// compared, so that a reader in the midst of a change misses at worst. What finds
// its line full takes another's place there: the list still has both.
type near []nearLine

type nearLine struct {
	tags    atomic.Uint64 // an octet each, 0: free
	entries [nearWays]atomic.Pointer[Entry]
}

const (
	nearWays = 7
	// nearCost is what a shard's part of the table takes of its memory: an entry
	// of usual size has a line's seventh and a bit.
	nearCost     = 1.0 / 32
	nearLineSize = 64
)

func newNear(memory int64) near {
	return make(near, max(int64(float64(memory)*nearCost), 0)/nearLineSize)
}

func (n near) line(hash uint64) *nearLine {
	i, _ := bits.Mul64(hash, uint64(len(n)))
	return &n[i]
}

func nearTag(hash uint64) uint64 { return hash>>16&0xff | 0x80 }

// find gives the entry of a key.
func (n near) find(hash uint64, key []byte) *Entry {
	if len(n) == 0 {
		return nil
	}
	l := n.line(hash)
	tags := l.tags.Load()
	for at := tagged(tags, nearTag(hash)); at != 0; at &= at - 1 {
		e := l.entries[bits.TrailingZeros64(at)>>3].Load()
		if e != nil && bytes.Equal(e.Key, key) {
			return e
		}
	}
	return nil
}

// tagged has the high bit of each octet of tags set that is the tag; now and then that
// of another, next to it, too.
func tagged(tags, tag uint64) uint64 {
	const low, high = 0x0001010101010101, 0x0080808080808080
	x := tags ^ tag*low
	return (x - low) &^ x & high
}

// put has e found, which its key was not before.
func (n near) put(hash uint64, e *Entry) {
	if len(n) == 0 {
		return
	}
	l := n.line(hash)
	way := -1
	for i := range l.entries {
		switch held := l.entries[i].Load(); {
		case held == e:
			return // by another look-up, just now
		case held == nil && way < 0:
			way = i
		}
	}
	if way < 0 {
		way = int((hash >> 24) % nearWays)
	}
	shift := 8 * way
	l.entries[way].Store(e)
	l.tags.Store(l.tags.Load()&^(0xff<<shift) | nearTag(hash)<<shift)
}

// remove has e found no more.
func (n near) remove(hash uint64, e *Entry) {
	if len(n) == 0 {
		return
	}
	l := n.line(hash)
	for i := range l.entries {
		if l.entries[i].Load() == e {
			l.tags.Store(l.tags.Load() &^ (0xff << (8 * i)))
			l.entries[i].Store(nil)
		}
	}
}

func (n near) clear() {
	for i := range n {
		n[i].tags.Store(0)
		for k := range n[i].entries {
			n[i].entries[k].Store(nil)
		}
	}
}
