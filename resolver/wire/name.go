package wire

import "errors"

// MaxName is the longest name in wire form, root label included (RFC 1035
// section 2.3.4).
const MaxName = 255

// maxPointers bounds the compression pointers of one name. A name has at most
// 127 labels, so more pointers than that encode nothing.
const maxPointers = 126

// sparePointers is what all names of a message together may follow beyond one
// pointer for each octet of the message. Honest messages need a handful for
// each record; those made to cost time need over a hundred.
const sparePointers = 256

// A compression pointer has 14 bits of offset.
const maxPointed = 0x3FFF

var (
	errShort     = errors.New("the message ends inside a name")
	errNameLong  = errors.New("a name is longer than 255 octets")
	errLabelType = errors.New("a label is of a reserved type")
	errPointer   = errors.New("a compression pointer does not lead to an earlier name")
	errPointers  = errors.New("names have more compression pointers than they can need")
)

// Labels is the number of labels of an uncompressed wire name, the root not
// counted.
func Labels(name []byte) int {
	n := 0
	for i := 0; i < len(name) && name[i] != 0; i += 1 + int(name[i]) {
		n++
	}
	return n
}

// Parent is an uncompressed wire name without its first label, or nil for the
// root. It shares the memory of name.
//
//	for s := name; s != nil; s = wire.Parent(s) { ... } // name, ..., "com", "."
func Parent(name []byte) []byte {
	if len(name) == 0 || name[0] == 0 || 1+int(name[0]) >= len(name) {
		return nil
	}
	return name[1+int(name[0]):]
}

// IsSubdomain says whether child is parent or lies below it. Both are lower-case
// uncompressed wire names.
func IsSubdomain(child, parent []byte) bool {
	for s := child; len(s) >= len(parent); s = Parent(s) {
		if string(s) == string(parent) {
			return true
		}
	}
	return false
}

// NameLen is the length of the uncompressed name that buf begins with, root
// label included; 0 where there is none: cut short, too long, a compression
// pointer or a reserved label type.
func NameLen(buf []byte) int {
	for off := 0; off < len(buf) && off < MaxName; {
		c := buf[off]
		if c == 0 {
			return off + 1
		}
		if c&0xC0 != 0 {
			return 0
		}
		off += 1 + int(c)
	}
	return 0
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b | 0x20
	}
	return b
}

// labelStarts remembers where in a message the labels of names begin. A
// compression pointer is followed only to such a place, which a record parsed
// before it established: never forwards, never into a TTL that will be
// counted down, an OPT record that will be cut out, or other octets that are
// no name. One bit for each offset that a pointer can express.
type labelStarts struct {
	bits   [(maxPointed + 1) / 64]uint64
	budget int // pointers that may still be followed
}

func (s *labelStarts) has(off int) bool { return s.bits[off/64]&(1<<(off%64)) != 0 }

func (s *labelStarts) add(off int) {
	if off <= maxPointed {
		s.bits[off/64] |= 1 << (off % 64)
	}
}

// unpack writes the name at off to dst in lower case and without compression.
// It returns the name's length in dst, its labels (the root not counted) and
// the offset of what follows it in msg. The steps it takes are bounded by the
// limits on the octets and pointers of one name, and by the budget.
func (s *labelStarts) unpack(dst *[MaxName]byte, msg []byte, off int) (n, labels, next int, err error) {
	segment := off // where the labels being read begin: the next pointer must lead before it
	pointers := 0
	for {
		if off >= len(msg) {
			return 0, 0, 0, errShort
		}
		c := int(msg[off])
		switch c & 0xC0 {
		case 0x00:
			if pointers == 0 {
				s.add(off)
			}
			if off+1+c > len(msg) {
				return 0, 0, 0, errShort
			}
			if c == 0 {
				dst[n] = 0
				if pointers == 0 {
					next = off + 1
				}
				return n + 1, labels, next, nil
			}
			if n+1+c+1 > MaxName {
				return 0, 0, 0, errNameLong
			}
			dst[n] = byte(c)
			n++
			off++
			for _, b := range msg[off : off+c] {
				dst[n] = lower(b)
				n++
			}
			off += c
			labels++
		case 0xC0:
			if off+2 > len(msg) {
				return 0, 0, 0, errShort
			}
			target := (c&0x3F)<<8 | int(msg[off+1])
			if target >= segment || !s.has(target) {
				return 0, 0, 0, errPointer
			}
			if pointers == 0 {
				s.add(off)
				next = off + 2
			}
			pointers++
			if s.budget--; pointers > maxPointers || s.budget < 0 {
				return 0, 0, 0, errPointers
			}
			segment, off = target, target
		default:
			return 0, 0, 0, errLabelType
		}
	}
}
