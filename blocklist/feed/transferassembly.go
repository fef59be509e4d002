package feed

import (
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// maxZoneRecords bounds the records of a transfer.
const maxZoneRecords = 64 << 20

// whole receives a zone that comes as a whole: its SOA record first, and at the
// end no second time. The records are valid during the call.
type whole interface {
	begin(soa record) error
	add(record) error
}

// assembly makes sense of the records of a transfer as they come, RFC 5936
// section 2.2 and RFC 1995 section 4: a whole zone (SOA ... SOA), an increment
// (the new SOA, then for each step the old SOA, what is removed, the SOA of the
// step, what is added; then the new SOA again), or one SOA that is not newer.
type assembly struct {
	apex  []byte
	whole whole
	// increment tells that one was asked for, from the serial have.
	increment bool
	have      uint32

	at      stage
	soa     record // the first record: that of the serial to come
	step    uint32 // the serial that the step under way leads to
	records int
	changes changes
}

// stage is what the next record can be.
type stage uint8

const (
	atSOA      stage = iota // the first
	atSecond                // which tells an increment from a whole zone
	inWhole                 // a record of the zone, or the last SOA
	inRemoved               // a record removed, or the SOA of a step
	inAdded                 // a record added, or an SOA that ends the step
	endWhole                // nothing: the zone is whole
	endDelta                // nothing: the increment is
	endCurrent              // nothing: there is nothing newer
)

func (a *assembly) ended() bool { return a.at >= endWhole }

// take takes the next record.
func (a *assembly) take(r record) error {
	if err := a.check(r); err != nil {
		return err
	}
	soa := r.kind() == typeSOA
	switch a.at {
	case atSOA:
		return a.first(r)
	case atSecond:
		return a.second(r)
	case inWhole:
		if soa {
			return a.last(r, endWhole)
		}
		return a.whole.add(r)
	case inRemoved:
		if soa {
			return a.stepTo(r.serial())
		}
		return a.changes.note(opRemove, r)
	case inAdded:
		if soa {
			return a.stepEnds(r)
		}
		return a.changes.note(opAdd, r)
	}
	return errors.New("has records behind the last one of the transfer")
}

// check refuses what no zone of that name can hold.
func (a *assembly) check(r record) error {
	if a.records++; a.records > maxZoneRecords {
		return fmt.Errorf("more than %d records, expected at most that many", maxZoneRecords)
	}
	kind := r.kind()
	switch {
	case r.class() != classIN:
		return fmt.Errorf("has a record of class %s, expected IN", dns.Class(r.class()))
	case kind == 0, kind == typeOPT, kind >= 128 && kind <= 255:
		return fmt.Errorf("has a record of type %s, which is none of a zone", dns.Type(kind))
	case !within(r.name(), a.apex):
		return fmt.Errorf("has a record of %s, which is outside the zone %s", nameText(r.name()), nameText(a.apex))
	case kind == typeSOA && r.owner != len(a.apex):
		return fmt.Errorf("has an SOA record of %s, expected it at the apex %s", nameText(r.name()), nameText(a.apex))
	case a.at == atSOA && kind != typeSOA:
		return fmt.Errorf("begins with a %s record, expected SOA", dns.Type(kind))
	}
	return nil
}

func (a *assembly) first(soa record) error {
	a.soa = record{slices.Clone(soa.wire), soa.owner}
	switch {
	case !a.increment:
		a.at = inWhole
		return a.whole.begin(a.soa)
	case newer(soa.serial(), a.have):
		a.at = atSecond
	default:
		a.at = endCurrent
	}
	return nil
}

// second tells an increment from a whole zone by its second record: RFC 1995
// section 4.
func (a *assembly) second(r record) error {
	if r.kind() != typeSOA || r.serial() == a.soa.serial() {
		a.at = inWhole
		if err := a.whole.begin(a.soa); err != nil {
			return err
		}
		if r.kind() == typeSOA {
			return a.last(r, endWhole)
		}
		return a.whole.add(r)
	}
	if r.serial() != a.have {
		return fmt.Errorf("%w: it begins at the serial %d, expected %d", ErrIncrement, r.serial(), a.have)
	}
	a.step, a.at = a.have, inRemoved
	return nil
}

// stepTo begins with what a step adds.
func (a *assembly) stepTo(serial uint32) error {
	if !newer(serial, a.step) || newer(serial, a.soa.serial()) {
		return fmt.Errorf("%w: a step leads from the serial %d to %d, expected one up to %d", ErrIncrement, a.step, serial, a.soa.serial())
	}
	a.step, a.at = serial, inAdded
	return nil
}

// stepEnds begins the next step, or ends the transfer.
func (a *assembly) stepEnds(soa record) error {
	switch {
	case soa.serial() != a.step:
		return fmt.Errorf("%w: a step to the serial %d is followed by one from %d", ErrIncrement, a.step, soa.serial())
	case a.step == a.soa.serial():
		return a.last(soa, endDelta)
	}
	a.at = inRemoved
	return nil
}

func (a *assembly) last(soa record, end stage) error {
	if string(lowerName(slices.Clone(soa.data()))) != string(lowerName(slices.Clone(a.soa.data()))) {
		return fmt.Errorf("ends with another SOA record (serial %d) than it began with (serial %d): the zone changed while it was sent", soa.serial(), a.soa.serial())
	}
	a.at = end
	return nil
}

// delta is what an increment came to.
func (a *assembly) delta() Delta {
	d := Delta{From: a.have, To: a.soa.serial(), SOA: a.soa.wire}
	d.Removed, d.Added = a.changes.result()
	return d
}
