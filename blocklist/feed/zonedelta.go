package feed

import (
	"errors"
	"fmt"
	"iter"

	"github.com/miekg/dns"
)

// Records are resource records in wire form one after the other, owners in lower
// case, no name compressed.
type Records []byte

// All gives one record after the other. They share the memory of r.
func (r Records) All() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := r; len(rest) > 0; {
			one, ok := asRecord(rest)
			if !ok || !yield(one.wire) {
				return
			}
			rest = rest[len(one.wire):]
		}
	}
}

// Len counts the records.
func (r Records) Len() int {
	n := 0
	for range r.All() {
		n++
	}
	return n
}

func (r Records) valid() bool {
	for rest := r; len(rest) > 0; {
		one, ok := asRecord(rest)
		if !ok {
			return false
		}
		rest = rest[len(one.wire):]
	}
	return true
}

// Delta takes a zone from one serial to another: what is removed is all there
// before, what is added is not, and no record is in both. The SOA record is in
// neither.
type Delta struct {
	From, To uint32
	// SOA is the record of the serial To.
	SOA            []byte
	Removed, Added Records
}

// newer compares serials by RFC 1982: a comes after b.
func newer(a, b uint32) bool { return int32(a-b) > 0 }

// ErrIncrement is the error of increments that do not fit together, or not what
// they are to change. The whole zone does.
var ErrIncrement = errors.New("the increment does not fit together")

// maxIncrement bounds, in octets as they are kept, what is held in memory of an
// increment. A larger one is not cheaper than the whole zone.
const maxIncrement = 64 << 20

// changeCost is what a changed record costs beside its own octets.
const changeCost = 96

// changes are the records that several increments in a row remove and add,
// reduced to what they do together.
type changes struct {
	records map[string]change
	order   []string // as they first came
	limit   int      // octets; 0: none
	size    int
}

type change struct{ first, last op }

type op uint8

const (
	opRemove op = iota + 1
	opAdd
)

// note takes in that a record is removed or added. A record that is removed
// when it is gone, or added when it is there, shows that primary and we do not
// have the same zone.
func (c *changes) note(o op, r record) error {
	if c.records == nil {
		c.records = map[string]change{}
	}
	before, known := c.records[string(r.wire)]
	switch {
	case !known:
		if c.size += len(r.wire) + changeCost; c.limit > 0 && c.size > c.limit {
			return fmt.Errorf("%w: it changes more than %s", ErrIncrement, size(int64(c.limit)))
		}
		key := string(r.wire)
		c.records[key] = change{o, o}
		c.order = append(c.order, key)
	case before.last == o:
		return fmt.Errorf("%w: it %s twice a %s record of %s", ErrIncrement, o, dns.Type(r.kind()), nameText(r.name()))
	default:
		before.last = o
		c.records[string(r.wire)] = before
	}
	return nil
}

func (o op) String() string {
	if o == opRemove {
		return "removes"
	}
	return "adds"
}

// result is what all changes do together.
func (c *changes) result() (removed, added Records) {
	for _, key := range c.order {
		switch c.records[key] {
		case change{opRemove, opRemove}:
			removed = append(removed, key...)
		case change{opAdd, opAdd}:
			added = append(added, key...)
		}
	}
	return removed, added
}

// apply notes a whole increment.
func (c *changes) apply(d Delta) error {
	for _, part := range []struct {
		op      op
		records Records
	}{{opRemove, d.Removed}, {opAdd, d.Added}} {
		for wire := range part.records.All() {
			r, _ := asRecord(wire)
			if err := c.note(part.op, r); err != nil {
				return err
			}
		}
	}
	return nil
}
