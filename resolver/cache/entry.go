package cache

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"unsafe"
)

// Entry is one upstream answer. In the cache it never changes, Clean excepted, and
// what Due counts.
type Entry struct {
	// Key is what AppendKey made of the question.
	Key []byte
	// Packed is the whole message without OPT record, its ID 0. Copy it before
	// anything in it is changed.
	Packed []byte
	// TTLs are the offsets of the TTL fields in Packed, QuestionEnd that of the
	// end of the question section.
	TTLs        []uint16
	QuestionEnd uint16
	// RCode is the full response code; Packed has its lower four bits.
	RCode uint16
	// few is the memory of TTLs where they are not many, as for most entries.
	few [5]uint16
	// EDE is the extended DNS error (RFC 8914) that goes with the answer, and Text what
	// it says; 0: none. Where FailureKey made the key, Packed is empty or the server's
	// own failure.
	EDE uint16
	// turn is that of the shard in which it was last brought to the list's front.
	turn atomic.Uint32
	// uses counts what Due was asked up to popular, and is above when it said yes.
	uses atomic.Uint32
	// Stored is when the answer came, Expires from when on it is not to be given
	// any more: Unix nanoseconds.
	Stored, Expires int64

	// The triggers in Packed that policy judges: names in wire form one after
	// the other, a kind for each, and addresses (wire.Reply has the same).
	Names     []byte
	NameKinds []byte
	Addrs     []netip.Addr
	// one is the memory of Addrs where it is one, as in most entries.
	one [1]netip.Addr

	Text string

	// Clean is the serial of the policy under which the triggers were last found
	// to match nothing; 0 if never.
	Clean atomic.Uint64
}

// MaxKey is the longest key.
const MaxKey = 255 + 5

// QueryFlags are the bits that AppendKey gives to the last octet of a key.
const QueryFlags = flagDO | flagCD

const (
	flagDO = 1 << iota
	flagCD
)

// AppendKey appends the key of a question: the name asked for in lower-case wire
// form, type, class, and those flags of the query that change what an upstream
// answers.
func AppendKey(dst []byte, qname []byte, qtype, qclass uint16, do, cd bool) []byte {
	var flags byte
	if do {
		flags |= flagDO
	}
	if cd {
		flags |= flagCD
	}
	dst = append(dst, qname...)
	dst = binary.BigEndian.AppendUint16(dst, qtype)
	dst = binary.BigEndian.AppendUint16(dst, qclass)
	return append(dst, flags)
}

// failureFlag marks the key of a failure; no query has it.
const failureFlag = 0x80

// FailureKey appends, to an empty dst, the key under which the failure to find out
// what key asks for is kept.
func FailureKey(dst, key []byte) []byte {
	dst = append(dst, key...)
	dst[len(dst)-1] |= failureFlag
	return dst
}

// Question takes a key apart. failure tells that FailureKey has made it.
func (e *Entry) Question() (name []byte, qtype, qclass uint16, do, cd, failure bool) {
	name = e.name()
	rest := e.Key[len(name):]
	flags := rest[4]
	return name, binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:]), flags&flagDO != 0, flags&flagCD != 0, flags&failureFlag != 0
}

const (
	// entrySize is an entry in the allocator's size class.
	entrySize = int64(unsafe.Sizeof(Entry{})+15) &^ 15
	addrSize  = int64(unsafe.Sizeof(netip.Addr{}))
	ttlSize   = int64(unsafe.Sizeof(uint16(0)))

	// listElementSize is an element of golang-lru's list: three pointers, key,
	// value, an expiry time and an expiry bucket, in its size class.
	listElementSize = 80
	// mapSlotSize is what a Go map of 8-byte keys and values takes for one
	// element: 17 octets of slot and control octet, in tables that are from
	// 7/16 to 7/8 full. The worse end.
	mapSlotSize = 39
)

// roughCost is what e costs at least when kept.
func (e *Entry) roughCost() int64 {
	return entrySize + listElementSize + mapSlotSize +
		int64(len(e.Key)+len(e.Packed)+len(e.Names)+len(e.NameKinds)+len(e.Text)) +
		int64(max(len(e.Addrs)-len(e.one), 0))*addrSize
}

// textCost is what a text takes at least: texts are short, and the allocator's size
// classes then at most 16 octets apart.
func textCost(text string) int64 { return (int64(len(text)) + 15) &^ 15 }

// Clone copies e into memory of its own.
func (e *Entry) Clone() *Entry {
	c, _ := e.clone()
	return c
}

// clone copies e into memory of its own and says what that costs in the heap:
// an entry, an array for all octets, one for the TTL offsets and one for the
// addresses where they are many, and its places in the list and the map.
func (e *Entry) clone() (kept *Entry, cost int64) {
	// Growing nil gives the capacity of the allocator's size class, so that what
	// it rounds up is counted too.
	octets := slices.Grow([]byte(nil), len(e.Key)+len(e.Packed)+len(e.Names)+len(e.NameKinds))
	part := func(from []byte) []byte {
		start := len(octets)
		octets = append(octets, from...)
		return octets[start:len(octets):len(octets)]
	}
	kept = &Entry{
		Key: part(e.Key), Packed: part(e.Packed), Names: part(e.Names), NameKinds: part(e.NameKinds),
		QuestionEnd: e.QuestionEnd, RCode: e.RCode, EDE: e.EDE, Text: strings.Clone(e.Text), Stored: e.Stored, Expires: e.Expires,
	}
	kept.Clean.Store(e.Clean.Load())
	cost = entrySize + listElementSize + mapSlotSize + int64(cap(octets)) + textCost(kept.Text)
	if len(e.Addrs) <= len(kept.one) {
		kept.Addrs = kept.one[:copy(kept.one[:], e.Addrs)]
	} else {
		kept.Addrs = append(slices.Grow([]netip.Addr(nil), len(e.Addrs)), e.Addrs...)
		cost += int64(cap(kept.Addrs)) * addrSize
	}
	if len(e.TTLs) <= len(kept.few) {
		kept.TTLs = kept.few[:copy(kept.few[:], e.TTLs)]
	} else {
		kept.TTLs = append(slices.Grow([]uint16(nil), len(e.TTLs)), e.TTLs...)
		cost += int64(cap(kept.TTLs)) * ttlSize
	}
	return kept, cost
}
