package blocklist

import "math/bits"

// Found is what stands on a name and on the names above it, as FindAll found it. It
// is good for the policy that found it.
type Found struct{ matches matches }

// Any tells whether anything was found.
func (f *Found) Any() bool { return f.matches.n > 0 }

// MaxTogether is how many names FindAll looks for.
const MaxTogether = 64

// walkLabels is how many labels a name may have to be looked for with others.
const walkLabels = 8

// walk is a name on its way: what stands for it and the names above it, in the
// order of find.
type walk struct {
	hash   [walkLabels]uint64
	starts [walkLabels]uint8
	n      uint8 // 0: the name has more labels than are walked, or none
	maybe  uint8 // bits of those that the filter knows
}

// FindAll is the search of JudgeQuestion for many names in lower-case wire form, at
// most MaxTogether, step by step for all of them: what they need lies all over
// memory, and loads that need not wait for one another take hardly longer than one.
// It allocates nothing.
func (p *Policy) FindAll(names [][]byte, found []Found) {
	found = found[:len(names)]
	clear(found)
	if p.names == 0 {
		return
	}
	var walks [MaxTogether]walk
	all := walks[:len(names)]
	var seen uint64
	for i, name := range names {
		if all[i].begin(p, name); all[i].n > 1 {
			seen += p.filter.block(all[i].hash[1])[0]
		}
	}
	for i := range all {
		seen += all[i].ask(p)
	}
	for i := range all {
		seen += all[i].reach(p)
	}
	for i, name := range names {
		m := &found[i].matches
		w := &all[i]
		if w.n == 0 {
			m.find(p, name)
			continue
		}
		if p.filter.short {
			m.take(p, p.key.root(), name[len(name)-1:])
		}
		for maybe := w.maybe; maybe != 0; maybe &= maybe - 1 {
			k := bits.TrailingZeros8(maybe)
			m.take(p, w.hash[k], name[w.starts[k]:])
		}
	}
	touched(seen)
}

// begin hashes a name and those above it.
func (w *walk) begin(p *Policy, name []byte) {
	var l labels
	if l.split(name); l.n > walkLabels {
		return
	}
	h := p.key.root()
	for i := l.n - 1; i >= 0; i-- {
		h = p.key.below(h, l.label(name, i))
		w.hash[l.n-1-i], w.starts[l.n-1-i] = h, l.at[i]
	}
	w.n = uint8(l.n)
}

// ask asks the filter, as find does, and loads where the index is to be asked.
func (w *walk) ask(p *Policy) (seen uint64) {
	if w.n > 0 && p.filter.short {
		w.maybe = 1
	}
	if w.n < 2 {
		return 0
	}
	b := p.filter.block(w.hash[1])
	deep := b[7]&deep2 != 0
	for k := uint8(1); k < w.n; k++ {
		if deep && (k == 2 || k == 3) {
			b = p.filter.block(w.hash[k])
			deep = k == 2 && b[7]&deep3 != 0
		}
		if b.has(w.hash[k]) {
			w.maybe |= 1 << k
			seen += uint64(p.index.buckets[p.index.home(w.hash[k])].n)
		}
	}
	return seen
}

// reach loads the beginnings of the entries that the index has first.
func (w *walk) reach(p *Policy) (seen uint64) {
	for maybe := w.maybe; maybe != 0; maybe &= maybe - 1 {
		h := w.hash[bits.TrailingZeros8(maybe)]
		b := &p.index.buckets[p.index.home(h)]
		if found := b.matches(h); found != 0 {
			place := b.places[bits.TrailingZeros32(found)]
			seen += uint64(p.chunks[place>>chunkBits][place&chunkMask])
		}
	}
	return seen
}

// touched is there so that loads are made whose values nobody needs.
//
//go:noinline
func touched(uint64) {}
