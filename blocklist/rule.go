package blocklist

import (
	"encoding/binary"
	"math"
	"net/netip"
	"time"

	"sinkhole/blocklist/format"
)

// An entry is what a list says about one name or prefix: the trigger, then its
// rules, packed one after the other in a chunk of a segment.
//
//	name     its wire form, lower case
//	prefix   a tag octet, the prefix length, 4 or 16 octets of address
//	rule     uvarint: profile << 1, plus 1 if another rule follows
//	         [expires: 4 octets] [uvarint: line] [varint: line - reference]
//	         [uvarint: data] [first seen: 4 octets] [last seen: 4 octets]
//
// The fields in brackets are there as the profile says.

// Tags are larger than any octet that a name can begin with.
const (
	tagResponse4 = 0xc0 + iota
	tagResponse6
	tagClient4
	tagClient6
)

// maxEntry is room for the longest trigger with one rule.
const maxEntry = 255 + 5 + 3*4 + 3*5

// Fields of a rule that its profile says are there.
const (
	hasExpires = 1 << iota
	hasLine
	hasReference
	hasData
	hasFirstSeen
	hasLastSeen
)

// profile is what many rules of a list say alike: each combination is kept once.
type profile struct {
	family, tlp uint32 // indexes into segment.labels
	file        uint16 // index into segment.files
	action      format.Action
	scope       format.Scope
	precedence  uint8
	confidence  int8 // -1 unknown
	fields      uint8
}

// rule is one line of one list about one trigger, unpacked.
type rule struct {
	*profile
	line      uint32 // 0: none
	reference uint32 // number in segment.refs; with hasReference
	data      uint32 // offset in segment.data; with hasData
	// Unix seconds; 0 unknown.
	firstSeen, lastSeen, expires uint32
}

// says tells whether two rules of one list and trigger say the same, on
// whatever lines.
func (r *rule) says(o *rule) bool {
	a, b := *r.profile, *o.profile
	a.fields, a.file = a.fields|hasLine, 0
	b.fields, b.file = b.fields|hasLine, 0
	return a == b && r.reference == o.reference && r.data == o.data &&
		r.firstSeen == o.firstSeen && r.lastSeen == o.lastSeen && r.expires == o.expires
}

// undated tells whether the list says nothing about the age of the indicator.
func (r *rule) undated() bool { return r.fields&(hasExpires|hasFirstSeen|hasLastSeen) == 0 }

// expired tells whether the indicator has ceased to hold at a time, in Unix
// seconds.
func (r *rule) expired(l *List, now int64) bool {
	ends := int64(r.expires)
	if l.Ends != 0 && r.undated() {
		ends = l.Ends
	}
	return ends != 0 && now >= ends
}

// appendBlob packs local data behind its length.
func appendBlob(dst, records []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(records))), records...)
}

// appendRule packs a rule; that another follows is marked later, in its first
// octet.
func appendRule(dst []byte, number uint32, r *rule) []byte {
	dst = binary.AppendUvarint(dst, uint64(number)<<1)
	if r.fields&hasExpires != 0 {
		dst = binary.LittleEndian.AppendUint32(dst, r.expires)
	}
	if r.fields&hasLine != 0 {
		dst = binary.AppendUvarint(dst, uint64(r.line))
	}
	if r.fields&hasReference != 0 { // both grow together, so the difference is short
		dst = binary.AppendVarint(dst, int64(r.line)-int64(r.reference))
	}
	if r.fields&hasData != 0 {
		dst = binary.AppendUvarint(dst, uint64(r.data))
	}
	if r.fields&hasFirstSeen != 0 {
		dst = binary.LittleEndian.AppendUint32(dst, r.firstSeen)
	}
	if r.fields&hasLastSeen != 0 {
		dst = binary.LittleEndian.AppendUint32(dst, r.lastSeen)
	}
	return dst
}

// rules are those of one entry, to be taken one after the other.
type rules struct {
	segment *segment
	packed  []byte // from the next rule on
	more    bool
}

// next unpacks a rule; only with more.
func (s *rules) next() (r rule) {
	head := s.uvarint()
	s.more = head&1 != 0
	r.profile = &s.segment.profiles[head>>1]
	if r.fields == hasLine { // most
		r.line = uint32(s.uvarint())
		return r
	}
	if r.fields&hasExpires != 0 {
		r.expires = s.seconds()
	}
	if r.fields&hasLine != 0 {
		r.line = uint32(s.uvarint())
	}
	if r.fields&hasReference != 0 {
		u := s.uvarint()
		r.reference = uint32(int64(r.line) - (int64(u>>1) ^ -int64(u&1)))
	}
	if r.fields&hasData != 0 {
		r.data = uint32(s.uvarint())
	}
	if r.fields&hasFirstSeen != 0 {
		r.firstSeen = s.seconds()
	}
	if r.fields&hasLastSeen != 0 {
		r.lastSeen = s.seconds()
	}
	return r
}

func (s *rules) seconds() uint32 {
	v := binary.LittleEndian.Uint32(s.packed)
	s.packed = s.packed[4:]
	return v
}

func (s *rules) uvarint() uint64 {
	v := uint64(0)
	for i, shift := 0, 0; ; i, shift = i+1, shift+7 {
		b := s.packed[i]
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			s.packed = s.packed[i+1:]
			return v
		}
	}
}

// appendPrefix packs the trigger of an address entry.
func appendPrefix(dst []byte, trigger format.Trigger, prefix netip.Prefix) []byte {
	tag := byte(tagResponse4)
	if trigger == format.ClientIP {
		tag = tagClient4
	}
	if prefix.Addr().Is6() {
		a := prefix.Addr().As16()
		return append(append(dst, tag+1, byte(prefix.Bits())), a[:]...)
	}
	a := prefix.Addr().As4()
	return append(append(dst, tag, byte(prefix.Bits())), a[:]...)
}

// triggerSize is the length of the trigger that an entry begins with.
func triggerSize(entry []byte) int {
	switch entry[0] {
	case tagResponse4, tagClient4:
		return 2 + 4
	case tagResponse6, tagClient6:
		return 2 + 16
	}
	return nameEnd(entry, 0)
}

// triggerOf unpacks the trigger of an entry: a name, or a prefix.
func triggerOf(entry []byte) (trigger format.Trigger, name []byte, prefix netip.Prefix) {
	tag := entry[0]
	switch tag {
	case tagResponse4, tagClient4:
		prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte(entry[2:6])), int(entry[1]))
	case tagResponse6, tagClient6:
		prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte(entry[2:18])), int(entry[1]))
	default:
		return format.QName, entry[:nameEnd(entry, 0):nameEnd(entry, 0)], prefix
	}
	if tag >= tagClient4 {
		return format.ClientIP, nil, prefix
	}
	return format.ResponseIP, nil, prefix
}

// covers tells whether a rule of a scope covers a query for exactly its name
// (whole) or for one below it.
func covers(s format.Scope, whole bool) bool {
	return s == format.Subtree || whole == (s == format.Exact)
}

// unixSeconds is 0 for an unknown time and for one too far away to matter; what
// is before 1970 is as old as can be.
func unixSeconds(t time.Time) uint32 {
	s := t.Unix()
	switch {
	case t.IsZero() || s > math.MaxUint32:
		return 0
	case s < 1:
		return 1
	}
	return uint32(s)
}

func timeOf(s uint32) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// file is one file of one list.
type file struct {
	name    string
	version string // "sha256:..." of the bytes as they are on disk
}
