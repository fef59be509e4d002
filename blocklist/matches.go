package blocklist

import (
	"encoding/binary"
	"math/bits"
)

// matches are the entries that stand on a name and on the names above it.
type matches struct {
	n  int // beyond len(at) there are more
	at [8]match
}

// match is an entry, and what part of the name it stands on.
type match struct {
	place  uint32
	length uint8 // of the part, in octets
}

// find looks for the entries of a name in one pass from its end: each label is
// hashed once, the filter asked, and the index only where it says maybe.
func (m *matches) find(p *Policy, name []byte) {
	if p.names == 0 {
		return
	}
	var l labels
	l.split(name)
	h := p.key.root()
	if p.filter.short {
		m.take(p, h, name[len(name)-1:])
	}
	var b *block
	deep := false
	for i := l.n - 1; i >= 0; i-- {
		h = p.key.below(h, l.label(name, i))
		switch l.n - i {
		case 1:
			if p.filter.short {
				m.take(p, h, name[l.at[i]:])
			}
			continue
		case 2:
			b = p.filter.block(h)
			deep = b[7]&deep2 != 0
		case 3:
			if deep {
				b = p.filter.block(h)
				deep = b[7]&deep3 != 0
			}
		case 4:
			if deep {
				b = p.filter.block(h)
			}
		}
		if b.has(h) {
			m.take(p, h, name[l.at[i]:])
		}
	}
}

// take notes the entries of exactly one name.
func (m *matches) take(p *Policy, hash uint64, name []byte) {
	for i := p.index.home(hash); ; i = p.index.after(i) {
		b := &p.index.buckets[i]
		for found := b.matches(hash); found != 0; found &= found - 1 {
			place := b.places[bits.TrailingZeros32(found)]
			if !p.isName(place, name) {
				continue
			}
			if m.n < len(m.at) {
				m.at[m.n] = match{place: place, length: uint8(len(name))}
			}
			m.n++
		}
		if b.over&class(hash) == 0 {
			return
		}
	}
}

// matches compares all fingerprints of a bucket at once: bit i is set where that
// of entry i is the hash's.
func (b *bucket) matches(hash uint64) uint32 {
	want := uint64(fingerprint(hash)) * 0x0101010101010101
	low := zeroBytes(binary.LittleEndian.Uint64(b.prints[:8]) ^ want)
	high := zeroBytes(uint64(binary.LittleEndian.Uint32(b.prints[8:])) ^ want&0xffffffff)
	return (low | high<<8) & (1<<b.n - 1)
}
