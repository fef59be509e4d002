package blocklist

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// hashKey makes the hash of names different in each policy, so that nobody can
// choose names that collide. The hash goes label by label from the right, so that
// one pass over a name gives the hashes of all names above it. It is wyhash's
// step, with all secrets drawn at random.
type hashKey [3]uint64

func newHashKey() hashKey {
	return hashKey{rand.Uint64(), rand.Uint64(), rand.Uint64() | 1}
}

// root is the hash of the root name.
func (k *hashKey) root() uint64 { return k[0] }

// below is the hash of a name from that of the name above it and the label
// between, without its length octet.
func (k *hashKey) below(above uint64, label []byte) uint64 {
	h := above + uint64(len(label))*k[2]
	for len(label) > 16 {
		h = k.mix(binary.LittleEndian.Uint64(label), binary.LittleEndian.Uint64(label[8:]), h)
		label = label[16:]
	}
	var a, b uint64
	switch n := len(label); {
	case n >= 8:
		a, b = binary.LittleEndian.Uint64(label), binary.LittleEndian.Uint64(label[n-8:])
	case n >= 4:
		a, b = uint64(binary.LittleEndian.Uint32(label)), uint64(binary.LittleEndian.Uint32(label[n-4:]))
	case n > 0:
		a = uint64(label[0])<<16 | uint64(label[n>>1])<<8 | uint64(label[n-1])
	}
	return k.mix(a, b, h)
}

func (k *hashKey) mix(a, b, h uint64) uint64 {
	hi, lo := bits.Mul64(a^k[1], b^h)
	return hi ^ lo
}

// labels are where the labels of a name begin.
type labels struct {
	at [maxLabels]uint8
	n  int
}

const maxLabels = 127

// split finds the labels of a name in wire form, the root label left out, and
// returns the length of the name.
func (l *labels) split(name []byte) int {
	n, at := 0, 0
	for name[at] != 0 && n < maxLabels {
		l.at[n] = uint8(at)
		n++
		at += 1 + int(name[at])
	}
	l.n = n
	return at + 1
}

// label is one of them without its length octet.
func (l *labels) label(name []byte, i int) []byte {
	at := int(l.at[i])
	return name[at+1 : at+1+int(name[at])]
}

// name is the hash of a whole name.
func (k *hashKey) name(name []byte) uint64 {
	var l labels
	l.split(name)
	h := k.root()
	for i := l.n - 1; i >= 0; i-- {
		h = k.below(h, l.label(name, i))
	}
	return h
}
