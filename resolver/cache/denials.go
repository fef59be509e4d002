package cache

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"sync/atomic"

	"sinkhole/resolver/wire"
)

const (
	// maxAncestors bounds how many names above the one asked for are looked at, those
	// nearest the root.
	maxAncestors = 16
	// denialCost is the part of the memory that is for the table of denials, denialSize
	// what one takes.
	denialCost = 256
	denialSize = 8
	// maxDenial is the longest message that can still be made the answer to a longer
	// name: all in it must stay within a compression pointer's reach.
	maxDenial = 1<<14 - wire.MaxName
	// afterName is how many octets of a key follow the name: type, class, flags.
	afterName = 5
)

// denials lead from a name that does not exist to the answer that says so, whatever
// type that was asked for. It is a hint, one word each, lost where another takes its
// place: what it leads to is looked up and compared.
type denials struct {
	any   atomic.Bool // there is, or was, one
	slots []atomic.Uint64
}

func newDenials(memory int64) denials {
	return denials{slots: make([]atomic.Uint64, memory/denialCost/denialSize)}
}

func (d *denials) size() int64 { return int64(len(d.slots)) * denialSize }

// A slot has the hash of the key with type 0, its last 16 bits replaced by the type.
const typeBits = 0xffff

func (d *denials) slot(hash uint64) *atomic.Uint64 {
	i, _ := bits.Mul64(hash, uint64(len(d.slots)))
	return &d.slots[i]
}

// note has e found, if it denies its name.
func (d *denials) note(seed maphash.Seed, e *Entry) {
	if len(d.slots) == 0 || !e.denies() {
		return
	}
	var buffer [MaxKey]byte
	k := append(buffer[:0], e.Key...)
	typ := k[len(k)-afterName:][:2]
	qtype := binary.BigEndian.Uint16(typ)
	clear(typ)
	hash := maphash.Bytes(seed, k)
	d.slot(hash).Store(hash&^typeBits | uint64(qtype))
	d.any.Store(true)
}

// find gives the type that a name was denied for.
func (d *denials) find(hash uint64) (qtype uint16, ok bool) {
	held := d.slot(hash).Load()
	return uint16(held), held != 0 && held&^typeBits == hash&^typeBits
}

// denies tells whether the entry says that its own name does not exist: NXDOMAIN
// speaks of the end of a CNAME chain (RFC 6604 section 3), so there must be none.
func (e *Entry) denies() bool {
	if e.RCode != wire.RCodeNXDomain || len(e.Packed) < wire.HeaderLen || len(e.Packed) > maxDenial {
		return false
	}
	answers, _, _ := wire.Counts(e.Packed)
	return answers == 0
}

// Denied returns an entry, not expired at now (Unix nanoseconds), which says that the
// name of key or one above it does not exist, so that nothing of key does (RFC 8020);
// nil where there is none. A denial of the root zone is of its own name alone: below it
// may be names that the public DNS does not know of. The entry is of the same class and flags as key, its question is
// another, and its name ends the key's. It is shared, as that of Get is. It is no
// look-up: nothing is counted, and nothing allocated.
func (c *Cache) Denied(key []byte, now int64) *Entry {
	if !c.denials.any.Load() {
		return nil
	}
	var buffer [MaxKey]byte
	k := append(buffer[:0], key...)
	typ := k[len(k)-afterName:][:2]
	skip := wire.Labels(k) - 1 - maxAncestors
	for at := 0; k[at] != 0; at += 1 + int(k[at]) {
		if at > 0 && skip > 0 {
			skip--
			continue
		}
		clear(typ)
		qtype, found := c.denials.find(maphash.Bytes(c.seed, k[at:]))
		if !found {
			continue
		}
		binary.BigEndian.PutUint16(typ, qtype)
		if e := c.TryGet(k[at:], now); e != nil && e.denies() && (at == 0 || !wire.SOAOfRoot(e.Packed, int(e.QuestionEnd))) {
			return e
		}
	}
	return nil
}
