package blocklist

import (
	"math/bits"
)

// index leads from the hash of a name to the entries of that name: buckets of one
// cache line, each with the fingerprints and places of up to 12 entries. An entry
// that finds its bucket full goes to the next one; which fingerprints did so is
// noted in the bucket, so that nearly no search goes on for nothing. A name that
// several lists have has an entry of each.
type index struct {
	buckets []bucket
}

const (
	bucketEntries = 12
	// fill is how much of the buckets is used, in percent.
	fill = 88
)

type bucket struct {
	prints [bucketEntries]uint8
	n      uint8
	over   uint8 // bits of the classes of fingerprints that went on
	_      [2]uint8
	places [bucketEntries]uint32
}

func newIndex(entries int) index {
	return index{buckets: make([]bucket, entries*100/(bucketEntries*fill)+1)}
}

func (x *index) home(hash uint64) uint64 {
	i, _ := bits.Mul64(hash, uint64(len(x.buckets)))
	return i
}

func fingerprint(hash uint64) uint8 { return uint8(hash >> 28) }

func class(hash uint64) uint8 { return 1 << (hash >> 36 & 7) }

func (x *index) insert(hash uint64, place uint32) {
	i := x.home(hash)
	for x.buckets[i].n == bucketEntries {
		x.buckets[i].over |= class(hash)
		i = x.after(i)
	}
	b := &x.buckets[i]
	b.prints[b.n], b.places[b.n] = fingerprint(hash), place
	b.n++
}

// replace moves an entry to another place.
func (x *index) replace(hash uint64, from, to uint32) {
	for s := x.search(hash); s.next(); {
		if s.place == from {
			b := &x.buckets[s.at]
			for i := range b.places {
				if b.places[i] == from {
					b.places[i] = to
				}
			}
			return
		}
	}
}

func (x *index) after(i uint64) uint64 {
	if i++; i < uint64(len(x.buckets)) {
		return i
	}
	return 0
}

// search goes through the places that a hash may lead to. It is used as
//
//	for s := x.search(hash); s.next(); { s.place ... }
func (x *index) search(hash uint64) search {
	if len(x.buckets) == 0 {
		return search{}
	}
	s := search{index: x, hash: hash, at: x.home(hash), left: len(x.buckets)}
	s.match = x.buckets[s.at].matches(hash)
	return s
}

type search struct {
	index *index
	hash  uint64
	at    uint64
	left  int    // buckets not looked at yet
	match uint32 // bits of the matching fingerprints not taken yet
	place uint32
}

func (s *search) next() bool {
	for s.left > 0 {
		b := &s.index.buckets[s.at]
		if s.match != 0 {
			s.place = b.places[bits.TrailingZeros32(s.match)]
			s.match &= s.match - 1
			return true
		}
		if b.over&class(s.hash) == 0 {
			return false
		}
		if s.left--; s.left > 0 {
			s.at = s.index.after(s.at)
			s.match = s.index.buckets[s.at].matches(s.hash)
		}
	}
	return false
}

// zeroBytes has bit i set where octet i of x is 0.
func zeroBytes(x uint64) uint32 {
	const ones = 0x7f7f7f7f7f7f7f7f
	y := ^((x&ones + ones) | x | ones) // the high bit of each octet that is 0
	return uint32(y >> 7 * 0x0102040810204080 >> 56)
}
