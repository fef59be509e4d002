package format

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"time"
)

const (
	// maxHeld bounds what a document of indicators may make us hold, in octets:
	// some three million indicators.
	maxHeld = 256 << 20
	// maxReference bounds a reference; a longer one is dropped.
	maxReference = 2048
	// heldChunk is the unit in which memory is taken.
	heldChunk = 64 << 10
	// maxHeldRecord is what one indicator takes at most: its name, two strings
	// and numbers.
	maxHeldRecord = maxName + maxReference + maxWord + 128
)

// held keeps indicators whose context the document states only later, packed
// one after the other. A usual one takes some 50 octets.
type held struct {
	chunks [][]byte
	size   int // octets of all chunks, and of what the caller counts in
	words  words
}

// checkSize fails a list that makes us hold more than the bound.
func (h *held) checkSize(line int) error {
	if h.size <= maxHeld {
		return nil
	}
	return &Error{Line: line, Err: fmt.Errorf("more indicators than %d MiB hold until the end of the document states their context: split it into several", maxHeld>>20)}
}

// The bits of a record's first octet. Scope has the two lowest ones.
const (
	heldPrefix = 1 << (iota + 2)
	heldFromURL
	heldFirstSeen
	heldLastSeen
	heldExpires
	heldDoubtful
)

// put keeps an indicator of a list of threats, which has no action and no data,
// and a number that says what it belongs to.
func (h *held) put(ind *Indicator, owner uint64) {
	b := h.room()
	before := len(b)
	bits := byte(ind.Scope)
	if ind.Trigger == ResponseIP {
		bits |= heldPrefix
	}
	if ind.FromURL {
		bits |= heldFromURL
	}
	if ind.Doubtful {
		bits |= heldDoubtful
	}
	times := [...]struct {
		at  time.Time
		bit byte
	}{{ind.FirstSeen, heldFirstSeen}, {ind.LastSeen, heldLastSeen}, {ind.Expires, heldExpires}}
	for _, t := range times {
		if !t.at.IsZero() {
			bits |= t.bit
		}
	}
	b = append(b, bits, byte(ind.Confidence), byte(tlpRank(ind.TLP)))
	b = binary.AppendUvarint(b, uint64(ind.Line))
	b = binary.AppendUvarint(b, owner)
	if ind.Trigger == ResponseIP {
		addr := ind.Prefix.Addr().AsSlice()
		b = append(b, byte(ind.Prefix.Bits()), byte(len(addr)))
		b = append(b, addr...)
	} else {
		b = append(b, byte(len(ind.Name)))
		b = append(b, ind.Name...)
	}
	b = appendShort(b, ind.Family, maxWord)
	b = appendShort(b, ind.Reference, maxReference)
	for _, t := range times {
		if !t.at.IsZero() {
			b = binary.AppendVarint(b, t.at.Unix())
			b = binary.AppendUvarint(b, uint64(t.at.Nanosecond()))
		}
	}
	h.size += len(b) - before
	h.chunks[len(h.chunks)-1] = b
}

func (h *held) room() []byte {
	if n := len(h.chunks); n > 0 && cap(h.chunks[n-1])-len(h.chunks[n-1]) >= maxHeldRecord {
		return h.chunks[n-1]
	}
	h.chunks = append(h.chunks, make([]byte, 0, heldChunk))
	return h.chunks[len(h.chunks)-1]
}

func appendShort(b []byte, text string, limit int) []byte {
	if len(text) > limit {
		text = ""
	}
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

// all gives back what was put, in the same order, as the sink's indicator.
func (h *held) all(out *sink) iter.Seq2[*Indicator, uint64] {
	return func(yield func(*Indicator, uint64) bool) {
		for _, chunk := range h.chunks {
			for r := (heldRecord{chunk}); len(r.rest) > 0; {
				ind, owner := r.read(out, &h.words)
				if !yield(ind, owner) {
					return
				}
			}
		}
	}
}

// reset forgets all indicators but keeps a chunk for the next.
func (h *held) reset() {
	if len(h.chunks) > 0 {
		h.chunks[0] = h.chunks[0][:0]
		clear(h.chunks[1:])
		h.chunks = h.chunks[:1]
	}
	h.size = 0
}

// heldRecord reads records off the start of a chunk.
type heldRecord struct{ rest []byte }

func (r *heldRecord) read(out *sink, words *words) (*Indicator, uint64) {
	head := r.octets(3)
	bits := head[0]
	ind := out.indicator(r.line())
	ind.Confidence, ind.TLP = int8(head[1]), tlpOf(int(head[2]))
	owner := r.uvarint()
	if bits&heldPrefix != 0 {
		size := r.octets(2)
		addr, _ := netip.AddrFromSlice(r.octets(int(size[1])))
		ind.Trigger, ind.Prefix = ResponseIP, netip.PrefixFrom(addr, int(size[0]))
	} else {
		ind.Name = r.octets(int(r.octets(1)[0]))
	}
	ind.Scope, ind.FromURL, ind.Doubtful = Scope(bits&3), bits&heldFromURL != 0, bits&heldDoubtful != 0
	ind.Family = words.string(r.octets(int(r.uvarint())))
	ind.Reference = words.string(r.octets(int(r.uvarint())))
	ind.FirstSeen = r.time(bits & heldFirstSeen)
	ind.LastSeen = r.time(bits & heldLastSeen)
	ind.Expires = r.time(bits & heldExpires)
	return ind, owner
}

func (r *heldRecord) line() int { return int(r.uvarint()) }

func (r *heldRecord) octets(n int) []byte {
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *heldRecord) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.rest = r.rest[n:]
	return v
}

func (r *heldRecord) time(present byte) time.Time {
	if present == 0 {
		return time.Time{}
	}
	seconds, n := binary.Varint(r.rest)
	r.rest = r.rest[n:]
	return time.Unix(seconds, int64(r.uvarint())).UTC()
}
