package blocklist

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
)

// entryHeader is what stands in the arena before a name: the index of its
// first rule (4 octets) and the number of its rules (4 octets).
const entryHeader = 8

// nameSet finds the rules of a name. All names lie in one arena, in lower-case
// wire form behind an entryHeader, and an open-addressing table of 8-octet
// slots, at most half full, leads to them: a slot's upper half is the name's hash,
// which also says where to look, its lower half the arena offset plus one. The hash
// is seeded anew for each set, so nobody can choose names that collide.
type nameSet struct {
	seed  maphash.Seed
	arena []byte
	slots []uint64
	mask  uint64
	count int
}

// newNameSet makes room for a number of names and their octets in the arena.
func newNameSet(names, octets int) nameSet {
	size := 16
	for size < 2*names {
		size *= 2
	}
	return nameSet{
		seed: maphash.MakeSeed(), arena: make([]byte, 0, octets),
		slots: make([]uint64, size), mask: uint64(size - 1),
	}
}

func (s *nameSet) hash(name []byte) uint64 { return maphash.Bytes(s.seed, name) >> 32 }

// find returns the arena offset of a name's entry. It allocates nothing.
func (s *nameSet) find(name []byte) (uint32, bool) {
	if s.count == 0 {
		return 0, false
	}
	return s.findHashed(name, s.hash(name))
}

func (s *nameSet) findHashed(name []byte, hash uint64) (uint32, bool) {
	for i := hash & s.mask; ; i = (i + 1) & s.mask {
		slot := s.slots[i]
		if slot == 0 {
			return 0, false
		}
		if slot>>32 != hash {
			continue
		}
		at := uint32(slot) - 1
		if stored := s.arena[at+entryHeader:]; len(stored) >= len(name) && bytes.Equal(stored[:len(name)], name) {
			return at, true
		}
	}
}

// add returns the entry of a name, made if need be, and whether it is new. The
// arena is bounded to 4 GiB by its 32-bit offsets: ok is false past that.
func (s *nameSet) add(name []byte) (at uint32, isNew, ok bool) {
	hash := s.hash(name)
	if at, found := s.findHashed(name, hash); found {
		return at, false, true
	}
	if uint64(len(s.arena))+entryHeader+uint64(len(name)) >= 1<<32-1 {
		return 0, false, false
	}
	if 2*(s.count+1) > len(s.slots) {
		s.grow()
	}
	at = uint32(len(s.arena))
	s.arena = append(s.arena, make([]byte, entryHeader)...)
	s.arena = append(s.arena, name...)
	s.insert(hash<<32 | uint64(at+1))
	s.count++
	return at, true, true
}

func (s *nameSet) insert(slot uint64) {
	i := slot >> 32 & s.mask
	for s.slots[i] != 0 {
		i = (i + 1) & s.mask
	}
	s.slots[i] = slot
}

func (s *nameSet) grow() {
	before := s.slots
	s.slots = make([]uint64, 2*len(before))
	s.mask = uint64(len(s.slots) - 1)
	for _, slot := range before {
		if slot != 0 {
			s.insert(slot)
		}
	}
}

// each walks the entries in the order they were added.
func (s *nameSet) each() func(yield func(at uint32) bool) {
	return func(yield func(uint32) bool) {
		for at := uint32(0); at < uint32(len(s.arena)); {
			next := at + entryHeader + uint32(len(s.name(at)))
			if !yield(at) {
				return
			}
			at = next
		}
	}
}

// name is the wire form of an entry's name; it belongs to the arena.
func (s *nameSet) name(at uint32) []byte {
	start := at + entryHeader
	end := start
	for s.arena[end] != 0 {
		end += 1 + uint32(s.arena[end])
	}
	return s.arena[start : end+1 : end+1]
}

// rules returns the first rule of an entry and their number.
func (s *nameSet) rules(at uint32) (first, n uint32) {
	return binary.LittleEndian.Uint32(s.arena[at:]), binary.LittleEndian.Uint32(s.arena[at+4:])
}

func (s *nameSet) setRules(at, first, n uint32) {
	binary.LittleEndian.PutUint32(s.arena[at:], first)
	binary.LittleEndian.PutUint32(s.arena[at+4:], n)
}
