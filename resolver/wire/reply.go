package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"net/netip"
)

// MaxChain is how many names of a CNAME chain are followed, the name asked for
// counted. Records beyond it are strays.
const MaxChain = 32

// MaxTriggers bounds [Reply.Names], so that a small reply cannot expand into
// much memory. No honest answer comes near it.
const MaxTriggers = 512

// The kinds of names in [Reply.NameKinds].
const (
	KindAlias  byte = 0 // the target of a CNAME or DNAME record
	KindTarget byte = 1 // the target of a SVCB or HTTPS record
)

var (
	errHeader    = errors.New("the message is shorter than its header")
	errTooLong   = errors.New("the message is longer than 65535 octets")
	errNotReply  = errors.New("the message is no reply to a query")
	errQuestions = errors.New("the message has more than one question")
	errRecord    = errors.New("the message ends inside a record")
	errCounts    = errors.New("the header counts more records than the message can hold")
	errTrailing  = errors.New("octets follow the last record")
	errOPT       = errors.New("an OPT record is malformed, repeated or out of place")
	errTriggers  = errors.New("the answer has more names to judge than any honest one")
)

// Reply is what a resolver needs to know of one upstream reply. It is filled by
// [Reply.Parse] and always describes the message that Parse, [Reply.Strip] or
// [Reply.Scrub] handled last. Its slices are its own (EDEText excepted) and are
// reused by the next Parse: copy what is to be kept. Not for use by several
// goroutines at once.
type Reply struct {
	RCode          uint16 // all twelve bits
	AA, TC, RA, AD bool

	// QuestionEnd is the offset of the end of the question section: HeaderLen in
	// a reply without a question, as some servers send with an error.
	QuestionEnd int

	// How many records each section holds, the OPT record not counted.
	Answers, Authorities, Additionals uint16
	// TTLs are the offsets of the TTL fields of all those records.
	TTLs []uint16
	// MinTTL is the smallest TTL in the answer section; 0 where that is empty.
	MinTTL uint32

	// Negative is true for NXDOMAIN, and for NOERROR without a record of the
	// type asked for on the CNAME chain (NODATA, or a referral).
	Negative bool
	// HasSOA is true where the authority section holds the SOA record of a zone
	// that a name of the chain lies in. NegativeTTL is then the smaller of its
	// TTL and its MINIMUM field (RFC 2308 section 5), else 0.
	HasSOA      bool
	NegativeTTL uint32

	// The OPT record: its place, OPTLen 0 without one, and what it says.
	OPTOffset, OPTLen int
	UDPSize           uint16
	DO                bool
	// The first extended DNS error in it. EDEText shares the memory of the
	// message as it was parsed, and may hold anything.
	HasEDE  bool
	EDECode uint16
	EDEText []byte

	// Names are the name triggers: the targets of all CNAME, DNAME, SVCB and
	// HTTPS records of answer and additional section, lower-case uncompressed
	// wire names one after the other; those on the chain first, in its order.
	// The target "." of a SVCB record stands for its owner and is left out.
	Names []byte
	// NameKinds has KindAlias or KindTarget for each of them.
	NameKinds []byte
	// Addrs are the address triggers: the addresses in all A, AAAA, SVCB and
	// HTTPS records of answer and additional section. IPv4-mapped ones are IPv4.
	Addrs []netip.Addr

	// Strays is how many records have no business in this reply, and would be
	// removed by [Reply.Scrub]: answers whose owner is not on the chain of
	// CNAMEs and DNAMEs that starts at the name asked for, zone data of zones
	// that no name on the chain lies in, additional records of names that no
	// other record mentions. Their names and addresses are among the triggers.
	Strays int

	records []record
	starts  labelStarts
	chain   []chainName
	related []uint64 // scratch: sorted hashes of names
	seed    maphash.Seed
	seeded  bool
}

// Each of the sections after the question.
const (
	answer uint8 = iota
	authority
	additional
)

// record is one record of a message other than OPT; offsets fit since a message
// has at most 65535 octets.
type record struct {
	owner             uint64 // hash of the owner's name
	start, rdata, end uint16
	typ, class        uint16
	section           uint8
	labels            uint8 // of the owner
	belongs           bool  // is no stray
	seen              bool  // its triggers are collected
}

func (rec *record) svcb() bool { return rec.typ == TypeSVCB || rec.typ == TypeHTTPS }

// ttlOffset is where the TTL field stands: before RDLENGTH.
func (rec *record) ttlOffset() uint16 { return rec.rdata - 6 }

// Parse reads a whole packed reply. It is strict: every name and every record
// whose type we know must be well-formed, compression pointers lead to labels
// of earlier names only, and nothing follows the last record. Its work is
// bounded by a small multiple of the length of msg. After an error r is
// undefined.
//
// A reply cut short by its sender (TC) may end inside a record and is then an
// error here: look at [Flags] first, and ask again over TCP.
func (r *Reply) Parse(msg []byte) error {
	r.reset()
	off, err := r.parseHeader(msg)
	if err != nil {
		return err
	}
	off, qname, err := r.parseQuestion(msg, off)
	if err != nil {
		return malformed(off, err)
	}
	r.QuestionEnd = off

	r.starts.budget = len(msg) + sparePointers
	for section, counter := range [...]*uint16{&r.Answers, &r.Authorities, &r.Additionals} {
		count := binary.BigEndian.Uint16(msg[atAnswers+2*section:])
		if int(count)*optHeaderLen > len(msg)-off { // no record is shorter than an empty one of the root
			return malformed(off, errCounts)
		}
		*counter = count
		for range count {
			if off, err = r.parseRecord(msg, off, uint8(section)); err != nil {
				return malformed(off, err)
			}
		}
	}
	if off != len(msg) {
		return malformed(off, errTrailing)
	}
	r.starts.budget = math.MaxInt // what was read once may be read again
	return r.judge(msg, qname)
}

func malformed(off int, err error) error {
	return fmt.Errorf("malformed reply at octet %d: %w", off, err)
}

// reset empties r, keeping its memory.
func (r *Reply) reset() {
	if !r.seeded {
		r.seed, r.seeded = maphash.MakeSeed(), true
	}
	kept := Reply{
		TTLs: r.TTLs[:0], Names: r.Names[:0], NameKinds: r.NameKinds[:0], Addrs: r.Addrs[:0],
		records: r.records[:0], chain: r.chain[:0], related: r.related[:0],
		seed: r.seed, seeded: true,
	}
	*r = kept
}

func (r *Reply) parseHeader(msg []byte) (off int, err error) {
	if len(msg) < HeaderLen {
		return 0, malformed(len(msg), errHeader)
	}
	if len(msg) > MaxMessage {
		return 0, malformed(MaxMessage, errTooLong)
	}
	flags := Flags(msg)
	if flags&QR == 0 || flags&OpcodeMask != 0 {
		return 0, malformed(atFlags, errNotReply)
	}
	r.RCode = flags & RCodeMask
	r.AA, r.TC, r.RA, r.AD = flags&AA != 0, flags&TC != 0, flags&RA != 0, flags&AD != 0
	return HeaderLen, nil
}

// question is the question of a reply, and the hash of its name.
type question struct {
	name       chainName
	typ, class uint16
	asked      bool
}

func (r *Reply) parseQuestion(msg []byte, off int) (end int, q question, err error) {
	switch binary.BigEndian.Uint16(msg[atQuestions:]) {
	case 0:
		return off, q, nil
	case 1:
	default:
		return off, q, errQuestions
	}
	q.asked = true
	q.name.off = uint16(off)
	var name [MaxName]byte
	n, labels, next, err := r.starts.unpack(&name, msg, off)
	if err != nil {
		return off, q, err
	}
	if next+4 > len(msg) {
		return off, q, errRecord
	}
	q.name.hash, q.name.labels = r.hash(name[:n]), uint8(labels)
	q.typ = binary.BigEndian.Uint16(msg[next:])
	q.class = binary.BigEndian.Uint16(msg[next+2:])
	return next + 4, q, nil
}

func (r *Reply) hash(name []byte) uint64 { return maphash.Bytes(r.seed, name) }

// parseRecord reads the record at off and returns the offset of what follows
// it, or with an error the offset of the record.
func (r *Reply) parseRecord(msg []byte, off int, section uint8) (end int, err error) {
	if opt, ok := optAt(msg, off); ok {
		return opt.end, r.parseOPT(msg, off, opt, section)
	}
	var name [MaxName]byte
	n, labels, next, err := r.starts.unpack(&name, msg, off)
	if err != nil {
		return off, err
	}
	if next+10 > len(msg) {
		return off, errRecord
	}
	end = next + 10 + int(binary.BigEndian.Uint16(msg[next+8:]))
	if end > len(msg) {
		return off, errRecord
	}
	rec := record{
		owner: r.hash(name[:n]), labels: uint8(labels),
		start: uint16(off), rdata: uint16(next + 10), end: uint16(end),
		typ: binary.BigEndian.Uint16(msg[next:]), class: binary.BigEndian.Uint16(msg[next+2:]),
		section: section,
	}
	if rec.typ == TypeOPT {
		return off, errOPT
	}
	if err := r.starts.checkRData(msg, &rec); err != nil {
		return off, err
	}
	r.records = append(r.records, rec)
	r.TTLs = append(r.TTLs, rec.ttlOffset())
	return end, nil
}

func (r *Reply) parseOPT(msg []byte, off int, opt optRecord, section uint8) error {
	if section != additional || r.OPTLen != 0 {
		return errOPT
	}
	r.Additionals--
	r.OPTOffset, r.OPTLen = off, opt.end-off
	r.RCode |= uint16(opt.extendedRCode) << 4
	r.UDPSize, r.DO = opt.udpSize, opt.do
	for options := msg[opt.options:opt.end]; len(options) > 0; {
		code, data, rest, ok := NextOption(options)
		if !ok {
			return errOPT
		}
		if code == OptionEDE && len(data) >= 2 && !r.HasEDE {
			r.HasEDE, r.EDECode, r.EDEText = true, binary.BigEndian.Uint16(data), data[2:]
		}
		options = rest
	}
	return nil
}

// judge finds out, once all records are known, which belong here, what the reply
// means, and what is to be judged in it.
func (r *Reply) judge(msg []byte, q question) error {
	found := r.followChain(msg, q)
	r.markAuthority(msg, q)
	r.markAdditional(msg, q)
	for i := range r.records {
		if !r.records[i].belongs {
			r.Strays++
		}
	}
	r.Negative = r.RCode == RCodeNXDomain || r.RCode == RCodeNoError && !found
	r.MinTTL = r.minTTL(msg)
	return r.collectTriggers(msg)
}

func (r *Reply) minTTL(msg []byte) uint32 {
	if r.Answers == 0 {
		return 0
	}
	least := uint32(1<<32 - 1)
	for _, off := range r.TTLs[:r.Answers] {
		least = min(least, ttlAt(msg, int(off)))
	}
	return least
}

// TTL is how many seconds the reply may be kept: the smallest TTL of its
// answers, for a negative reply that and NegativeTTL; 0, not at all, for a
// negative reply without a SOA record, an error, and a truncated reply.
func (r *Reply) TTL() uint32 {
	switch {
	case r.TC, r.RCode != RCodeNoError && r.RCode != RCodeNXDomain, r.Negative && !r.HasSOA:
		return 0
	case !r.Negative:
		return r.MinTTL
	case r.Answers == 0:
		return r.NegativeTTL
	}
	return min(r.MinTTL, r.NegativeTTL)
}
