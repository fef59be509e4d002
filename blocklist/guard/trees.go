package guard

import "hash/maphash"

// trees are the names that protect all names below them too. There are few, so
// that nearly every entry is told apart by the end of its name.
type trees struct {
	names
	// tail is the length of the shortest name; ends is a set of hashes of that
	// many octets at the end of each.
	tail int
	ends [4]uint64
}

func newTrees() *trees { return &trees{names: *newNames()} }

// protect adds a name. It must not be used after seal.
func (t *trees) protect(name []byte, m mark) error {
	if t.tail == 0 || len(name) < t.tail {
		t.tail = len(name)
	}
	return t.names.protect(name, m)
}

// seal makes the set of ends, when all names are there.
func (t *trees) seal() {
	for i := range t.entries {
		if e := &t.entries[i]; e.self.is() {
			bit := t.end(t.name(e))
			t.ends[bit/64] |= 1 << (bit % 64)
		}
	}
}

func (t *trees) end(name []byte) uint64 { return maphash.Bytes(t.seed, name[len(name)-t.tail:]) % 256 }

// above finds the trees above a name.
func (t *trees) above(name []byte, found func(e *entry, name []byte)) {
	if t.tail == 0 || len(name) <= t.tail {
		return
	}
	if bit := t.end(name); t.ends[bit/64]&(1<<(bit%64)) == 0 {
		return
	}
	for len(name) > t.tail {
		name = parent(name)
		if e := t.find(name); e != nil && e.self.is() {
			found(e, name)
		}
	}
}
