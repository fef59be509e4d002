package blocklist

import (
	"math"
	"slices"
	"time"

	"sinkhole/blocklist/format"
)

// indexer makes the index, the filter and the prefix tables of a policy.
type indexer struct {
	*Policy
	repeats repeats
	crowds  []uint16 // by block of the filter: names that are in it
	now     uint32   // Unix seconds
	steady  bool     // all rules of the part at hand act, at any time
	batch   [batchSize]indexed
	n       int
	touched uint64 // keeps the compiler from leaving out reads that only fetch
}

func newIndexer(p *Policy) *indexer {
	return &indexer{
		Policy: p, repeats: repeats{policy: p, more: map[uint32][]uint32{}},
		crowds: make([]uint16, len(p.filter.blocks)), now: uint32(time.Now().Unix()),
	}
}

// indexed is a name on its way into the index. Names go there in batches, so
// that the processor fetches the places of many at once.
type indexed struct {
	suffixHashes
	entry []byte
	part  *part
	place uint32
	rules int
}

const batchSize = 32

// enter goes once through all entries.
func (in *indexer) enter() {
	for i := range in.parts {
		part := &in.parts[i]
		in.flush()
		in.steady = in.isSteady(part)
		for c, chunk := range part.chunks {
			for at := 0; at < len(chunk); {
				place := uint32(c<<chunkBits | at)
				at += in.add(part, chunk[at:], place)
			}
		}
	}
	in.flush()
}

// add enters the entry that begins here, at a place in its segment, and returns
// its length.
func (in *indexer) add(part *part, entry []byte, place uint32) int {
	next := &in.batch[in.n]
	size := 0
	if entry[0] >= tagResponse4 {
		size = triggerSize(entry)
	} else {
		size = next.of(&in.key, entry)
	}
	n, rules := part.walk(entry, size)
	if _, dead := part.dead[place]; dead {
		return n
	}
	place += uint32(part.first) << chunkBits
	if entry[0] >= tagResponse4 {
		in.addPrefix(part, entry, place, rules)
		return n
	}
	next.entry, next.part, next.place, next.rules = entry, part, place, rules
	if in.n++; in.n == batchSize {
		in.flush()
	}
	return n
}

func (in *indexer) addPrefix(part *part, entry []byte, place uint32, rules int) {
	trigger, _, prefix := triggerOf(entry)
	set := &in.answers
	if trigger == format.ClientIP {
		set = &in.clients
	}
	if first, repeated := in.enterPrefix(set, part, prefix, place); repeated {
		in.repeats.note(first, place)
		return
	}
	in.count(part, entry, rules)
}

// flush enters the names of the batch.
func (in *indexer) flush() {
	for i := range in.batch[:in.n] { // these reads do not wait for each other
		n := &in.batch[i]
		in.touched += uint64(in.index.buckets[in.index.home(n.whole)].n)
		if n.depth >= 2 {
			in.touched += in.filter.block(n.hash[2])[0]
		}
	}
	for i := range in.batch[:in.n] {
		in.addName(&in.batch[i])
	}
	in.n = 0
}

func (in *indexer) addName(n *indexed) {
	home, known := uint64(0), true // as far as the filter knows
	if n.depth >= 2 {
		home = in.filter.find(&n.suffixHashes)
		known = in.filter.blocks[home].has(n.whole)
	}
	if known {
		known = false
		for s := in.index.search(n.whole); s.next(); {
			other, stored := in.entryAt(s.place)
			if !sameName(stored, n.entry) {
				continue
			}
			if known = true; other.list == n.part.list {
				in.repeats.note(s.place, n.place)
				return
			}
		}
	}
	in.index.insert(n.whole, n.place)
	in.count(n.part, n.entry, n.rules)
	switch {
	case known:
		return
	case n.depth >= 2:
		in.put(home, n.whole)
	default:
		in.filter.short = true
	}
	in.names++
}

// put sets a name's bits in a block of the filter, and counts it there.
func (in *indexer) put(block, hash uint64) {
	in.filter.blocks[block].add(hash)
	if in.crowds[block] < math.MaxUint16 {
		in.crowds[block]++
	}
}

// count notes that an entry is in force.
func (in *indexer) count(part *part, entry []byte, rules int) {
	t := &in.tally[part.list]
	t.rules += rules
	if in.steady || in.acts(part, entry) {
		t.acting++
	}
}

// acts tells whether a rule of an entry does now what its list is for.
func (in *indexer) acts(part *part, entry []byte) bool {
	for r := range part.eachRule(entry) {
		if acts(&in.lists[part.list], r.profile) && (r.fields&hasExpires == 0 || r.expires > in.now) {
			return true
		}
	}
	return false
}

// acts tells whether the rules of a profile do what a list is for: those of one
// that blocks block, those of one that observes do so.
func acts(list *List, p *profile) bool {
	return list.Allow || p.action != format.PassThru && (p.action != format.Log || list.Action == format.Log)
}

// isSteady tells whether all rules of a part act, at any time.
func (in *indexer) isSteady(part *part) bool {
	return !slices.ContainsFunc(part.profiles, func(p profile) bool {
		return p.fields&hasExpires != 0 || !acts(&in.lists[part.list], &p)
	})
}

const (
	// crowd is how many names a block takes before it is deep.
	crowd = crowded * (512/filterBits + 1)
	// sampled is which part of the entries is looked at beforehand: 1/sampled.
	sampled = 16
	// tolerated is which part of the names may be in crowded blocks: 1/tolerated.
	tolerated = 64
	// maxSpreads bounds how often all names are spread anew.
	maxSpreads = 3
)

// foresee marks the blocks that many names of a sample choose, so that nearly
// always all names go to the right ones at once.
func (in *indexer) foresee() {
	in.eachSampled(func(s *suffixHashes) {
		if s.depth >= 2 {
			in.crowds[in.filter.at(s.hash[2])]++
		}
	})
	in.markSampled(deep2)
	in.eachSampled(func(s *suffixHashes) {
		if s.depth >= 3 && in.filter.block(s.hash[2])[7]&deep2 != 0 {
			in.crowds[in.filter.at(s.hash[3])]++
		}
	})
	in.markSampled(deep3)
}

func (in *indexer) markSampled(mark uint64) {
	for i, n := range in.crowds {
		if n >= crowd/sampled {
			in.filter.blocks[i][7] |= mark
		}
	}
	clear(in.crowds)
}

// deepen spreads the names of crowded blocks over those of their last three
// labels, and of their last four where those are crowded in turn. A list in the
// order of its names from the right may need it: a sample does not show all.
func (in *indexer) deepen() {
	for range maxSpreads {
		if !in.markCrowded() {
			return
		}
		for i := range in.filter.blocks {
			in.filter.blocks[i] = block{7: in.filter.blocks[i][7] & (deep2 | deep3)}
		}
		clear(in.crowds)
		in.eachName(1, func(s *suffixHashes) {
			if s.depth >= 2 {
				in.put(in.filter.find(s), s.whole)
			}
		})
	}
}

// markCrowded marks the blocks that have too many names, if that are more than
// is tolerated.
func (in *indexer) markCrowded() bool {
	names := 0
	in.eachCrowded(func(_ *block, n int) { names += n })
	if names <= in.names/tolerated {
		return false
	}
	in.eachCrowded(func(b *block, _ int) {
		if b[7]&deep2 == 0 {
			b[7] |= deep2
		} else {
			b[7] |= deep3
		}
	})
	return true
}

// eachCrowded goes through the blocks that have too many names and can still be
// made deeper.
func (in *indexer) eachCrowded(fn func(b *block, names int)) {
	for i, n := range in.crowds {
		if b := &in.filter.blocks[i]; n >= crowd && b[7]&deep2&(b[7]<<1) == 0 {
			fn(b, int(n))
		}
	}
}

func (in *indexer) eachSampled(fn func(*suffixHashes)) { in.eachName(sampled, fn) }

// eachName calls fn with the names of the first octets of each chunk, 1/part of
// it.
func (in *indexer) eachName(part int, fn func(*suffixHashes)) {
	var s suffixHashes
	for i := range in.parts {
		p := &in.parts[i]
		for _, chunk := range p.chunks {
			for at := 0; at < len(chunk)/part; {
				entry := chunk[at:]
				size := 0
				if entry[0] >= tagResponse4 {
					size = triggerSize(entry)
				} else {
					size = s.of(&in.key, entry)
					fn(&s)
				}
				n, _ := p.walk(entry, size)
				at += n
			}
		}
	}
}

// suffixHashes are the hashes of a name and of its last two, three and four labels.
type suffixHashes struct {
	labels labels
	depth  int
	hash   [5]uint64 // by number of labels
	whole  uint64
}

// of hashes the name that an entry begins with, and returns its length.
func (s *suffixHashes) of(key *hashKey, entry []byte) int {
	n := s.labels.split(entry)
	s.depth = s.labels.n
	h := key.root()
	for i := s.labels.n - 1; i >= 0; i-- {
		h = key.below(h, s.labels.label(entry, i))
		if depth := s.labels.n - i; depth < len(s.hash) {
			s.hash[depth] = h
		}
	}
	s.whole = h
	return n
}
