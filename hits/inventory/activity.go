package inventory

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
)

const (
	hour = int64(3600e9) // in nanoseconds
	// spanHours is what one row of the table activity holds of a machine: 8 days.
	spanHours = 8 * 24
	// maxFacts bounds that row, at some 24 KiB: 21 matches in every hour. What is beyond is
	// counted by families and lists alone.
	maxFacts = 4096
)

// fact is how many hits a machine had in an hour with one match. Of 0 it is not known: the
// match is one of several of a merged line.
type fact struct {
	hour  uint32 // since 1970
	match uint32 // row of the table matched
	hits  uint32 // this many at least
}

// span is the facts of a machine in spanHours hours, by hour and match.
type span struct {
	number int64
	facts  []fact
	dirty  bool
}

func (s *span) find(hour, match uint32) (int, bool) {
	return slices.BinarySearchFunc(s.facts, fact{hour: hour, match: match}, func(a, b fact) int {
		return cmp.Or(cmp.Compare(a.hour, b.hour), cmp.Compare(a.match, b.match))
	})
}

// add counts hits, unless that takes a further fact of a full span.
func (s *span) add(hour, match uint32, hits uint64, full bool) bool {
	i, found := s.find(hour, match)
	switch {
	case found:
		s.facts[i].hits = count32(uint64(s.facts[i].hits) + hits)
	case full:
		return false
	default:
		s.facts = slices.Insert(s.facts, i, fact{hour, match, count32(hits)})
	}
	s.dirty = true
	return true
}

// count32 is a count as far as there is room.
func count32(n uint64) uint32 { return uint32(min(n, 1<<32-1)) }

// appendFacts is the row: for each fact the hours since the one before, the match, the hits.
func appendFacts(dst []byte, facts []fact) []byte {
	last := uint32(0)
	for _, f := range facts {
		dst = binary.AppendUvarint(dst, uint64(f.hour-last))
		dst = binary.AppendUvarint(dst, uint64(f.match))
		dst = binary.AppendUvarint(dst, uint64(f.hits))
		last = f.hour
	}
	return dst
}

var errFacts = errors.New("a row of its table activity cannot be read")

// numbers reads as many numbers as there is room for; not ok: there are fewer.
func numbers(row []byte, into []uint64) (rest []byte, ok bool) {
	for i := range into {
		if len(row) > 0 && row[0] < 0x80 { // most of them
			into[i], row = uint64(row[0]), row[1:]
			continue
		}
		n := 0
		if into[i], n = binary.Uvarint(row); n <= 0 {
			return nil, false
		}
		row = row[n:]
	}
	return row, true
}

// eachFact reads a row.
func eachFact(row []byte, fn func(fact)) error {
	last := uint64(0)
	for len(row) > 0 {
		var v [3]uint64
		var ok bool
		if row, ok = numbers(row, v[:]); !ok {
			return errFacts
		}
		last += v[0]
		fn(fact{hour: uint32(last), match: uint32(v[1]), hits: count32(v[2])})
	}
	return nil
}

// activityID is the row of a machine and span; a span's rows lie together.
func activityID(span, machine int64) int64 { return span<<32 | machine }
