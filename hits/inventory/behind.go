package inventory

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// What hints at many machines behind one address (a forwarder that nobody configured, a NAT).
// It is a hint: programs of one machine differ too, and like machines look like one. It marks
// a machine and hides none.
const (
	behindWindow = int64(600e9) // 10 min, in nanoseconds
	behindMoment = int64(10e9)  // 10 s: "at once"
	// A machine has the resolver of its system, those of up to three or four browsers, and
	// what the malware brings: some six ways to write a query.
	behindFingerprints = 8
	// A loader brings three to five families. More of them at once, written in more ways
	// than a system and two browsers have, or twice as many in whatever way, are of several
	// machines.
	behindFamilies        = 6
	behindMixed           = 4
	behindManyFamilies    = 12
	behindSameQuestion    = 6  // fingerprints of one question at once: no user opens a name in six programs in 10 s
	behindQuestionsAtOnce = 16 // pairs of question and fingerprint that are kept
)

// recent is what a machine did in the current window and moment. Both are fixed parts of
// time, so that only the order of the lines decides what is found.
type recent struct {
	window, moment         int64 // numbers of them
	fingerprints, families []uint32
	asked                  []uint64 // question and fingerprint
}

// see takes in a hit and tells whether many machines are likely behind its client.
func (r *recent) see(l *line) bool {
	window, moment := l.time/behindWindow, l.time/behindMoment
	switch {
	case window < r.window:
		return false // late
	case window > r.window:
		r.window, r.fingerprints, r.families = window, r.fingerprints[:0], r.families[:0]
	}
	fingerprint := digest(l.fingerprint)
	if len(l.fingerprint) > 0 {
		r.fingerprints = admit(r.fingerprints, fingerprint, behindFingerprints)
	}
	for _, family := range l.families {
		r.families = admit(r.families, digest(family), behindManyFamilies)
	}
	same := 0
	if moment >= r.moment && len(l.fingerprint) > 0 && len(l.qname) > 0 {
		if moment > r.moment {
			r.moment, r.asked = moment, r.asked[:0]
		}
		question := uint64(digest(l.qname)^digest(l.qtype)) << 32
		r.asked = admit(r.asked, question|uint64(fingerprint), behindQuestionsAtOnce)
		for _, a := range r.asked {
			if a>>32 == question>>32 {
				same++
			}
		}
	}
	return len(r.fingerprints) >= behindFingerprints ||
		len(r.families) >= behindFamilies && len(r.fingerprints) >= behindMixed ||
		len(r.families) >= behindManyFamilies ||
		same >= behindSameQuestion
}

func digest(text []byte) uint32 { return uint32(xxhash.Sum64(text)) }

// admit adds a value to a set of at most so many.
func admit[T uint32 | uint64](set []T, v T, most int) []T {
	if len(set) >= most || slices.Contains(set, v) {
		return set
	}
	return append(set, v)
}

func (r *recent) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(r.window))
	dst = binary.AppendUvarint(dst, uint64(r.moment))
	for _, set := range [][]uint32{r.fingerprints, r.families} {
		dst = binary.AppendUvarint(dst, uint64(len(set)))
		for _, v := range set {
			dst = binary.BigEndian.AppendUint32(dst, v)
		}
	}
	for _, v := range r.asked {
		dst = binary.BigEndian.AppendUint64(dst, v)
	}
	return dst
}

// read is the reverse of append. What cannot be read is forgotten: it was a hint.
func (r *recent) read(row []byte) {
	*r = recent{}
	number := func() uint64 {
		v, n := binary.Uvarint(row)
		row = row[max(n, 0):]
		return v
	}
	r.window, r.moment = int64(number()), int64(number())
	for _, set := range []*[]uint32{&r.fingerprints, &r.families} {
		for n := number(); n > 0 && len(row) >= 4; n-- {
			*set = append(*set, binary.BigEndian.Uint32(row))
			row = row[4:]
		}
	}
	for ; len(row) >= 8; row = row[8:] {
		r.asked = append(r.asked, binary.BigEndian.Uint64(row))
	}
}
