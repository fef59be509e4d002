package blocklist

import "sinkhole/blocklist/format"

// indexer makes the index, the filter and the prefix tables of a policy.
type indexer struct {
	*Policy
	repeats repeats
	crowds  []uint16 // by block of the filter: names that chose it
	batch   [batchSize]indexed
	n       int
	touched uint64 // keeps the compiler from leaving out reads that only fetch
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
	in.tally[part.list].rules += rules
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
	known := false
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
	in.index.insert(n.whole, n.place)
	in.tally[n.part.list].rules += n.rules
	if known {
		return
	}
	in.names++
	if n.depth < 2 {
		in.filter.short = true
		return
	}
	in.choose(n.hash[2]).add(n.whole)
}

// choose counts a name that chose a block.
func (in *indexer) choose(hash uint64) *block {
	at := in.filter.at(hash)
	if in.crowds[at] < crowd {
		in.crowds[at]++
	}
	return &in.filter.blocks[at]
}

// crowd is how many names a block takes before it is deep.
const crowd = crowded * (512/filterBits + 1)

// deepen spreads the names of crowded blocks over those of their last three
// labels, and of their last four where those are crowded in turn.
func (in *indexer) deepen() {
	if !in.markCrowded(deep2, true) {
		return
	}
	in.eachIn(deep2, 2, func(s *suffixHashes) {
		if s.depth == 2 {
			in.filter.block(s.hash[2]).add(s.whole)
		} else {
			in.choose(s.hash[3]).add(s.whole)
		}
	})
	if !in.markCrowded(deep3, false) {
		return
	}
	in.eachIn(deep3, 3, func(s *suffixHashes) {
		if s.depth > 3 && in.filter.block(s.hash[2])[7]&deep2 != 0 {
			in.filter.block(s.hash[4]).add(s.whole)
		}
	})
}

// markCrowded marks the blocks that were chosen too often, and begins to count
// anew.
func (in *indexer) markCrowded(mark uint64, empty bool) (any bool) {
	for i, n := range in.crowds {
		if n < crowd {
			continue
		}
		any = true
		if empty {
			in.filter.blocks[i] = block{}
		}
		in.filter.blocks[i][7] |= mark
	}
	clear(in.crowds)
	return any
}

// eachIn calls fn with the names whose block by their last labels, so many of
// them, has a mark.
func (in *indexer) eachIn(mark uint64, labels int, fn func(*suffixHashes)) {
	var s suffixHashes
	for i := range in.parts {
		part := &in.parts[i]
		for _, chunk := range part.chunks {
			for at := 0; at < len(chunk); {
				entry := chunk[at:]
				if entry[0] >= tagResponse4 {
					n, _ := part.walk(entry, triggerSize(entry))
					at += n
					continue
				}
				size := s.of(&in.key, entry)
				n, _ := part.walk(entry, size)
				at += n
				if s.depth >= labels && in.filter.block(s.hash[labels])[7]&mark != 0 {
					fn(&s)
				}
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
