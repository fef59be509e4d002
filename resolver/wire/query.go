package wire

import (
	"encoding/binary"
	"errors"
)

// ErrUncommon is the answer of [Query.Parse] to a message that is not of the
// common shape. The message may be valid all the same: the caller hands it to
// the DNS library, which knows every shape.
var ErrUncommon = errors.New("not a query of the common shape")

// Query is what a resolver needs to know of one query: a value without
// pointers, filled by [Query.Parse], or by the caller and [Query.SetName].
type Query struct {
	ID         uint16
	Opcode     uint8
	RD, AD, CD bool

	Spelled [MaxName]byte // the name asked for as the client spelled it, wire form
	Name    [MaxName]byte // the same in ASCII lower case: the form that policy and cache compare
	NameLen uint8         // of both, root label included: 1 to 255

	Type, Class uint16

	EDNS    bool
	Version uint8
	DO      bool
	UDPSize uint16 // as the client stated it; 0 without EDNS
	// The options of the client's OPT record: Options octets at OptionsAt of the
	// message that Parse read, well-formed. See [NextOption].
	OptionsAt, OptionsLen uint16
	OptionCodes           Codes
}

// QName is the name asked for in lower-case wire form. It is part of q.
func (q *Query) QName() []byte { return q.Name[:q.NameLen] }

// SpelledName is the name asked for as the client spelled it. It is part of q.
func (q *Query) SpelledName() []byte { return q.Spelled[:q.NameLen] }

// SetName fills Spelled, Name and NameLen from an uncompressed wire name and
// says whether it is one, with nothing after it.
func (q *Query) SetName(spelled []byte) bool {
	n := NameLen(spelled)
	if n == 0 || n != len(spelled) {
		return false
	}
	q.setName(spelled)
	return true
}

func (q *Query) setName(spelled []byte) {
	copy(q.Spelled[:], spelled)
	// Label lengths are below 'A', so folding the whole name cannot change one.
	for i, b := range spelled {
		q.Name[i] = lower(b)
	}
	q.NameLen = uint8(len(spelled))
}

// PayloadLimit is the longest answer that the client takes over UDP, at most
// ours: 512 octets without EDNS, and never less (RFC 6891 section 6.2.3).
func (q *Query) PayloadLimit(ours int) int {
	return min(max(int(q.UDPSize), 512), max(ours, 512))
}

// Parse reads a query of the common shape: opcode QUERY, no header flags but RD,
// AD and CD, one question with an uncompressed name and a class that is not the
// reserved 0, no records but at most one OPT with options of the usual kinds, and
// no octets after it. Anything else is [ErrUncommon], and q is then undefined.
func (q *Query) Parse(msg []byte) error {
	if len(msg) < HeaderLen || len(msg) > MaxMessage {
		return ErrUncommon
	}
	flags := Flags(msg)
	if flags&^(RD|AD|CD) != 0 ||
		binary.BigEndian.Uint16(msg[atQuestions:]) != 1 ||
		binary.BigEndian.Uint32(msg[atAnswers:]) != 0 || // answers and authorities
		binary.BigEndian.Uint16(msg[atAdditional:]) > 1 {
		return ErrUncommon
	}
	q.ID = ID(msg)
	q.Opcode = 0
	q.RD, q.AD, q.CD = flags&RD != 0, flags&AD != 0, flags&CD != 0

	n := NameLen(msg[HeaderLen:])
	end := HeaderLen + n + 4
	if n == 0 || end > len(msg) {
		return ErrUncommon
	}
	q.setName(msg[HeaderLen : HeaderLen+n])
	q.Type = binary.BigEndian.Uint16(msg[end-4:])
	if q.Class = binary.BigEndian.Uint16(msg[end-2:]); q.Class == 0 {
		return ErrUncommon
	}

	q.EDNS, q.Version, q.DO, q.UDPSize, q.OptionsAt, q.OptionsLen, q.OptionCodes = false, 0, false, 0, 0, 0, Codes{}
	if msg[atAdditional+1] == 1 {
		return q.parseOPT(msg, end)
	}
	if end != len(msg) {
		return ErrUncommon
	}
	return nil
}

func (q *Query) parseOPT(msg []byte, off int) error {
	opt, ok := optAt(msg, off)
	if !ok || opt.end != len(msg) || opt.extendedRCode != 0 || !usualOptions(msg[opt.options:opt.end], &q.OptionCodes) {
		return ErrUncommon
	}
	q.EDNS, q.Version, q.DO, q.UDPSize = true, opt.version, opt.do, opt.udpSize
	q.OptionsAt, q.OptionsLen = uint16(opt.options), uint16(opt.end-opt.options)
	return nil
}

// ParseBare reads a query without a question and with an OPT record alone (RFC 7873
// section 5.4), and says whether msg is one. The name is then of length 0.
func (q *Query) ParseBare(msg []byte) bool {
	if len(msg) < HeaderLen || Flags(msg)&^(RD|AD|CD) != 0 ||
		binary.BigEndian.Uint32(msg[atQuestions:]) != 0 || binary.BigEndian.Uint32(msg[atAuthority:]) != 1 {
		return false
	}
	flags := Flags(msg)
	*q = Query{ID: ID(msg), RD: flags&RD != 0, AD: flags&AD != 0, CD: flags&CD != 0}
	return q.parseOPT(msg, HeaderLen) == nil
}
