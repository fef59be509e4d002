package upstream

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"time"
)

// Sections of a message behind the question.
const (
	inAnswer     = 0
	inAdditional = 2
)

const (
	typeA    = 1
	typeAAAA = 28

	classIN = 1

	optionKeepalive = 11 // RFC 7828
	optionPadding   = 12 // RFC 7830
)

// record is one record of a message.
type record struct {
	section     int
	kind, class uint16
	lifetime    []byte // its TTL, in place
	data        []byte
}

// ttl of a record; one that has the highest bit set is 0 (RFC 2181 section 8).
func (r record) ttl() uint32 {
	if ttl := binary.BigEndian.Uint32(r.lifetime); ttl < 1<<31 {
		return ttl
	}
	return 0
}

// eachRecord yields the records behind the question, up to the first that does
// not lie within the message.
func eachRecord(msg []byte) iter.Seq[record] {
	return func(yield func(record) bool) {
		if len(msg) < headerLen {
			return
		}
		at := headerLen
		var ok bool
		for range questions(msg) {
			if at, ok = skipName(msg, at); !ok || at+4 > len(msg) {
				return
			}
			at += 4
		}
		for section := range 3 {
			for range binary.BigEndian.Uint16(msg[6+2*section:]) {
				if at, ok = skipName(msg, at); !ok || at+10 > len(msg) {
					return
				}
				end := at + 10 + int(binary.BigEndian.Uint16(msg[at+8:]))
				if end > len(msg) || !yield(record{
					section:  section,
					kind:     binary.BigEndian.Uint16(msg[at:]),
					class:    binary.BigEndian.Uint16(msg[at+2:]),
					lifetime: msg[at+4 : at+8],
					data:     msg[at+10 : end],
				}) {
					return
				}
				at = end
			}
		}
	}
}

// growOlder takes the seconds that a message lay in a cache of HTTP off its TTLs
// (RFC 8484 section 5.1).
func growOlder(msg []byte, seconds uint32) {
	for r := range eachRecord(msg) {
		if r.kind != typeOPT { // where it is no TTL
			ttl := r.ttl()
			binary.BigEndian.PutUint32(r.lifetime, ttl-min(ttl, seconds))
		}
	}
}

// keepaliveOf is how long the server keeps a connection open that is not used
// (RFC 7828), if it says so.
func keepaliveOf(msg []byte) (time.Duration, bool) {
	for r := range eachRecord(msg) {
		if r.section != inAdditional || r.kind != typeOPT {
			continue
		}
		for options := r.data; len(options) >= 4; {
			code, length := binary.BigEndian.Uint16(options), int(binary.BigEndian.Uint16(options[2:]))
			if 4+length > len(options) {
				break
			}
			if code == optionKeepalive && length == 2 {
				return time.Duration(binary.BigEndian.Uint16(options[4:])) * 100 * time.Millisecond, true
			}
			options = options[4+length:]
		}
	}
	return 0, false
}

// addressesIn gives the addresses of one type in the answer section, and the
// smallest TTL there. Owners are not compared: the message answers a question for
// one name, and what is connected to must prove whose it is.
func addressesIn(msg []byte, kind uint16) (addrs []netip.Addr, ttl time.Duration) {
	least := uint32(1<<31 - 1)
	for r := range eachRecord(msg) {
		if r.section != inAnswer || r.class != classIN {
			continue
		}
		least = min(least, r.ttl())
		if addr, ok := netip.AddrFromSlice(r.data); ok && r.kind == kind && addr.Is4() == (kind == typeA) {
			addrs = append(addrs, addr.Unmap())
		}
	}
	return addrs, time.Duration(least) * time.Second
}
