package blocklist

import "math/bits"

// filter says of nearly every name that is not listed that it is not, from one
// cache line: a Bloom filter in blocks of 512 bits. The block is chosen by the
// last two labels, so that a name and those above it share one. Where many names
// stand below the same two labels (co.uk, a hosting platform) the block is marked
// deep, and names of three and more labels are in the block of their last three;
// the same once more at three.
type filter struct {
	blocks []block
	short  bool // a name of less than two labels is listed
}

// block is 8 words, four names' worth of which are looked at: one bit in each
// pair of words. The two highest bits of the last are marks.
type block [8]uint64

const (
	filterBits = 10 // for each name
	deep2      = 1 << 63
	deep3      = 1 << 62
	// crowded is how many times its share a block takes before it is deep.
	crowded = 3
)

func newFilter(names int) filter {
	return filter{blocks: make([]block, names*filterBits/512+1)}
}

func (f *filter) at(hash uint64) uint64 {
	i, _ := bits.Mul64(hash*0x9e3779b97f4a7c15, uint64(len(f.blocks)))
	return i
}

func (f *filter) block(hash uint64) *block { return &f.blocks[f.at(hash)] }

// find numbers the block that a name of at least two labels is in.
func (f *filter) find(s *suffixHashes) uint64 {
	at := f.at(s.hash[2])
	if s.depth < 3 || f.blocks[at][7]&deep2 == 0 {
		return at
	}
	at = f.at(s.hash[3])
	if s.depth < 4 || f.blocks[at][7]&deep3 == 0 {
		return at
	}
	return f.at(s.hash[4])
}

// add sets the bits of a hash; has tells whether they are set. They take them from
// the lower 28 bits, which the index does not use.
func (b *block) add(hash uint64) {
	b[hash&1] |= 1 << (hash >> 1 & 63)
	b[2+(hash>>7&1)] |= 1 << (hash >> 8 & 63)
	b[4+(hash>>14&1)] |= 1 << (hash >> 15 & 63)
	b[6+(hash>>21&1)] |= 1 << ((hash >> 22 & 63) * 62 >> 6)
}

func (b *block) has(hash uint64) bool {
	return b[hash&1]>>(hash>>1&63)&
		(b[2+(hash>>7&1)]>>(hash>>8&63))&
		(b[4+(hash>>14&1)]>>(hash>>15&63))&
		(b[6+(hash>>21&1)]>>((hash>>22&63)*62>>6))&1 != 0
}
