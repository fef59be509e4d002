package guard

import (
	"bytes"
	"fmt"
	"hash/maphash"
)

// names is a set of wire-form names, each with what protects it. The first
// protection stated of a name stays, so the strongest source is added first.
type names struct {
	seed    maphash.Seed
	slots   []uint64 // 32 bits of hash, 32 of index into entries + 1; 0 is free
	entries []entry
	arena   []byte // the names, one after the other
}

// entry is a name that is protected or stands above one that is.
type entry struct {
	name  uint32 // offset in the arena
	below uint32 // index + 1 of the first protected name added below this one, 0 without
	self  mark   // what protects the name
}

// mark is the place that protects a name: the line of a source.
type mark struct {
	line   uint32
	source sourceID
}

func (m mark) is() bool { return m.source != 0 }

// maxNames bounds the memory of a guard, at some 60 octets a name.
const maxNames = 8 << 20

func newNames() *names {
	return &names{seed: maphash.MakeSeed(), slots: make([]uint64, 16)}
}

func (n *names) len() int { return len(n.entries) }

// find returns the entry of a name, nil where there is none.
func (n *names) find(name []byte) *entry {
	slot, _ := n.slot(name)
	if i := uint32(*slot); i != 0 {
		return &n.entries[i-1]
	}
	return nil
}

// slot is where a name stands or would stand.
func (n *names) slot(name []byte) (slot *uint64, hash uint64) {
	hash = maphash.Bytes(n.seed, name)
	mask := uint64(len(n.slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		slot = &n.slots[at]
		if *slot == 0 || *slot>>32 == hash>>32 && bytes.HasPrefix(n.arena[n.entries[uint32(*slot)-1].name:], name) {
			return slot, hash
		}
	}
}

// index is the index of a name's entry, added if need be.
func (n *names) index(name []byte) int {
	slot, hash := n.slot(name)
	if i := uint32(*slot); i != 0 {
		return int(i - 1)
	}
	n.entries = append(n.entries, entry{name: uint32(len(n.arena))})
	n.arena = append(n.arena, name...)
	*slot = hash>>32<<32 | uint64(len(n.entries))
	if len(n.entries) > len(n.slots)/2 {
		n.grow()
	}
	return len(n.entries) - 1
}

func (n *names) grow() {
	n.slots = make([]uint64, 2*len(n.slots))
	for i := range n.entries {
		slot, hash := n.slot(n.name(&n.entries[i]))
		*slot = hash>>32<<32 | uint64(i+1)
	}
}

// name is the wire form of an entry's name.
func (n *names) name(e *entry) []byte {
	name := n.arena[e.name:]
	at := 0
	for name[at] != 0 {
		at += 1 + int(name[at])
	}
	return name[:at+1]
}

// protect adds a name with what protects it, and its place below the names
// above it.
func (n *names) protect(name []byte, m mark) error {
	if len(n.entries) > maxNames {
		return fmt.Errorf("more than %d names to protect in all, expected fewer: a million popular names are plenty", maxNames)
	}
	i := n.index(name)
	if e := &n.entries[i]; !e.self.is() {
		e.self = m
	}
	for len(name) > 1 {
		name = parent(name)
		above := &n.entries[n.index(name)]
		if above.below != 0 {
			break // and all above it know of one, too
		}
		above.below = uint32(i + 1)
	}
	return nil
}

// parent is a name without its first label. The root has none.
func parent(name []byte) []byte { return name[1+int(name[0]):] }
