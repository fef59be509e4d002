package feed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	headerSize = 12
	maxName    = 255 // octets, RFC 1035 section 2.3.4
	maxMessage = 1<<16 - 1
	// maxHops bounds the compression pointers of one name: it has no more labels.
	maxHops = 127

	// recordHead is what stands between a record's owner and its data: type,
	// class, TTL, length.
	recordHead = 10
)

// Types that a transfer tells apart.
const (
	typeCNAME = 5
	typeSOA   = 6
	typeA     = 1
	typeAAAA  = 28
	typeOPT   = 41
	typeIXFR  = 251
	typeAXFR  = 252
	classIN   = 1
)

const (
	flagQR     = 1 << 15
	flagAA     = 1 << 10
	flagTC     = 1 << 9
	opcodeMask = 0xF << 11
	rcodeMask  = 0xF
)

var (
	errShort    = errors.New("ends within a record")
	errPointer  = errors.New("has a compression pointer that does not lead back to a name")
	errLongName = errors.New("has a name of more than 255 octets")
	errLabel    = errors.New("has a label of an unknown kind")
)

// message is a DNS message of which the outline was checked: its sections are
// where its header says, and nothing follows them.
type message struct {
	raw      []byte
	id       uint16
	flags    uint16
	question []byte // name in lower case, type and class; nil: none
	answers  int    // how many
	at       int    // where they begin
	tsig     *tsigRecord
}

func (m *message) opcode() int { return int(m.flags & opcodeMask >> 11) }
func (m *message) rcode() int  { return int(m.flags & rcodeMask) }

// readMessage checks the outline of a message. The message keeps raw.
func readMessage(raw []byte) (*message, error) {
	if len(raw) < headerSize {
		return nil, errShort
	}
	count := func(at int) int { return int(binary.BigEndian.Uint16(raw[at:])) }
	m := &message{raw: raw, id: binary.BigEndian.Uint16(raw), flags: binary.BigEndian.Uint16(raw[2:]), answers: count(6)}
	at := headerSize
	for i := range count(4) {
		name, next, err := appendWireName(nil, raw, at)
		if err != nil {
			return nil, err
		}
		if next+4 > len(raw) {
			return nil, errShort
		}
		if i > 0 {
			return nil, errors.New("has several questions")
		}
		m.question = append(lowerName(name), raw[next:next+4]...)
		at = next + 4
	}
	m.at = at
	records, additional := m.answers+count(8)+count(10), count(10)
	for i := range records {
		start := at
		kind, next, err := skipRecord(raw, at)
		if err != nil {
			return nil, err
		}
		at = next
		if kind != typeTSIG {
			continue
		}
		if i < records-1 || additional == 0 {
			return nil, errors.New("has a TSIG that is not its last record")
		}
		if m.tsig, err = readTSIG(raw, start); err != nil {
			return nil, err
		}
	}
	if at != len(raw) {
		return nil, fmt.Errorf("has %d octets behind its end", len(raw)-at)
	}
	return m, nil
}

// skipRecord finds a record's type and where the next one begins.
func skipRecord(raw []byte, at int) (kind uint16, next int, err error) {
	for {
		if at >= len(raw) {
			return 0, 0, errShort
		}
		c := int(raw[at])
		if c >= 0xC0 {
			at += 2
			break
		}
		if c >= 0x40 {
			return 0, 0, errLabel
		}
		at += 1 + c
		if c == 0 {
			break
		}
	}
	if at+recordHead > len(raw) {
		return 0, 0, errShort
	}
	next = at + recordHead + int(binary.BigEndian.Uint16(raw[at+8:]))
	if next > len(raw) {
		return 0, 0, errShort
	}
	return binary.BigEndian.Uint16(raw[at:]), next, nil
}

// appendWireName appends the name at raw[at:] without compression and returns
// where what follows it begins. Pointers lead strictly back.
func appendWireName(to, raw []byte, at int) (name []byte, next int, err error) {
	start, hops, floor := len(to), 0, at
	for {
		if at >= len(raw) {
			return to, 0, errShort
		}
		c := int(raw[at])
		switch {
		case c >= 0xC0:
			if at+2 > len(raw) {
				return to, 0, errShort
			}
			if next == 0 {
				next = at + 2
			}
			to16 := int(binary.BigEndian.Uint16(raw[at:]) & 0x3FFF)
			if hops++; to16 >= floor || to16 < headerSize || hops > maxHops {
				return to, 0, errPointer
			}
			at, floor = to16, to16
			continue
		case c >= 0x40:
			return to, 0, errLabel
		case at+1+c > len(raw):
			return to, 0, errShort
		case len(to)-start+1+c > maxName:
			return to, 0, errLongName
		}
		to = append(to, raw[at:at+1+c]...)
		at += 1 + c
		if c == 0 {
			if next == 0 {
				next = at
			}
			return to, next, nil
		}
	}
}

// lowerName turns a name in wire form to lower case, in place. Octets that count
// labels are below those of letters.
func lowerName(name []byte) []byte {
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			name[i] = c + 'a' - 'A'
		}
	}
	return name
}

func readTSIG(raw []byte, at int) (*tsigRecord, error) {
	r := &tsigRecord{at: at}
	name, next, err := appendWireName(nil, raw, at)
	if err != nil {
		return nil, err
	}
	r.name = lowerName(name)
	head := raw[next:]
	if binary.BigEndian.Uint16(head[2:]) != classAny || binary.BigEndian.Uint32(head[4:]) != 0 {
		return nil, errors.New("has a TSIG of a class or TTL that it cannot have")
	}
	end := next + recordHead + int(binary.BigEndian.Uint16(head[8:]))
	if name, at, err = appendWireName(nil, raw[:end], next+recordHead); err != nil {
		return nil, err
	}
	r.algorithm = lowerName(name)
	rest := raw[at:end]
	if len(rest) < 10 {
		return nil, errShort
	}
	r.time = uint64(binary.BigEndian.Uint16(rest))<<32 | uint64(binary.BigEndian.Uint32(rest[2:]))
	r.fudge = binary.BigEndian.Uint16(rest[6:])
	n := int(binary.BigEndian.Uint16(rest[8:]))
	if rest = rest[10:]; len(rest) < n+6 {
		return nil, errShort
	}
	r.mac, rest = rest[:n], rest[n:]
	r.id = binary.BigEndian.Uint16(rest)
	r.err = binary.BigEndian.Uint16(rest[2:])
	n = int(binary.BigEndian.Uint16(rest[4:]))
	if r.other = rest[6:]; len(r.other) != n {
		return nil, errShort
	}
	return r, nil
}

// record is one resource record in wire form: owner in lower case, no
// compression anywhere.
type record struct {
	wire  []byte
	owner int // octets of the owner
}

func (r record) name() []byte  { return r.wire[:r.owner] }
func (r record) kind() uint16  { return binary.BigEndian.Uint16(r.wire[r.owner:]) }
func (r record) class() uint16 { return binary.BigEndian.Uint16(r.wire[r.owner+2:]) }
func (r record) ttl() uint32   { return binary.BigEndian.Uint32(r.wire[r.owner+4:]) }
func (r record) data() []byte  { return r.wire[r.owner+recordHead:] }

// soaTail is what stands behind the names of an SOA record: serial, refresh,
// retry, expire, minimum.
const soaTail = 20

// soaField is the nth number of an SOA record whose layout was checked.
func (r record) soaField(n int) uint32 {
	return binary.BigEndian.Uint32(r.data()[len(r.data())-soaTail+4*n:])
}

func (r record) serial() uint32         { return r.soaField(0) }
func (r record) refresh() time.Duration { return time.Duration(r.soaField(1)) * time.Second }
func (r record) retry() time.Duration   { return time.Duration(r.soaField(2)) * time.Second }
func (r record) expire() time.Duration  { return time.Duration(r.soaField(3)) * time.Second }

// asRecord is the record that stands at the beginning of wire, which holds
// records that appendRecord wrote.
func asRecord(wire []byte) (r record, ok bool) {
	for r.owner < len(wire) {
		c := int(wire[r.owner])
		if r.owner += 1 + c; c == 0 {
			break
		}
	}
	if r.owner == 0 || r.owner > maxName || r.owner+recordHead > len(wire) {
		return r, false
	}
	end := r.owner + recordHead + int(binary.BigEndian.Uint16(wire[r.owner+8:]))
	if end > len(wire) {
		return r, false
	}
	r.wire = wire[:end:end]
	return r, true
}

// appendRecord appends the record at raw[at:] without compression and returns
// where the next one begins.
func appendRecord(to, raw []byte, at int) (out []byte, r record, next int, err error) {
	start := len(to)
	to, at, err = appendWireName(to, raw, at)
	if err != nil {
		return to, r, 0, err
	}
	lowerName(to[start:])
	r.owner = len(to) - start
	if at+recordHead > len(raw) {
		return to, r, 0, errShort
	}
	kind := binary.BigEndian.Uint16(raw[at:])
	next = at + recordHead + int(binary.BigEndian.Uint16(raw[at+8:]))
	if next > len(raw) {
		return to, r, 0, errShort
	}
	to = append(to, raw[at:at+recordHead]...)
	data := len(to)
	if ttl := to[data-6 : data-2]; ttl[0]&0x80 != 0 {
		clear(ttl) // RFC 2181 section 8
	}
	if to, err = appendData(to, raw[:next], at+recordHead, kind); err != nil {
		return to, r, 0, err
	}
	if len(to)-data > maxMessage {
		return to, r, 0, errShort
	}
	binary.BigEndian.PutUint16(to[data-2:], uint16(len(to)-data))
	r.wire = to[start:]
	return to, r, next, nil
}

// layout is where names stand in the data of the types in which they may be
// compressed (RFC 3597 section 4): so many octets, so many names, so many
// octets; -1: whatever follows.
func layout(kind uint16) (before, names, after int, ok bool) {
	switch kind {
	case 2, 3, 4, 5, 7, 8, 9, 12, 39: // NS, MD, MF, CNAME, MB, MG, MR, PTR, DNAME
		return 0, 1, 0, true
	case typeSOA:
		return 0, 2, 20, true
	case 14, 17: // MINFO, RP
		return 0, 2, 0, true
	case 15, 18, 21, 36: // MX, AFSDB, RT, KX
		return 2, 1, 0, true
	case 26: // PX
		return 2, 2, 0, true
	case 33: // SRV
		return 6, 1, 0, true
	case 24, 46: // SIG, RRSIG
		return 18, 1, -1, true
	case 30, 47: // NXT, NSEC
		return 0, 1, -1, true
	}
	return 0, 0, 0, false
}

// appendData appends the data of a record, which ends where raw ends.
func appendData(to, raw []byte, at int, kind uint16) ([]byte, error) {
	before, names, after, ok := layout(kind)
	if kind == 35 { // NAPTR: two numbers, three strings, a name
		before, names, ok = 4, 1, true
		for range 3 {
			if at+before >= len(raw) {
				return to, errShort
			}
			before += 1 + int(raw[at+before])
		}
	}
	if !ok {
		return append(to, raw[at:]...), nil
	}
	if at+before > len(raw) {
		return to, errShort
	}
	to = append(to, raw[at:at+before]...)
	at += before
	for range names {
		var err error
		if to, at, err = appendWireName(to, raw, at); err != nil {
			return to, err
		}
	}
	if after >= 0 && len(raw)-at != after {
		return to, fmt.Errorf("has a %s record of a wrong length", dns.Type(kind))
	}
	return append(to, raw[at:]...), nil
}

// parseName reads a name in presentation form into lower-case wire form.
func parseName(text string) ([]byte, error) {
	wire := make([]byte, maxName+1)
	n, err := dns.PackDomainName(dns.Fqdn(text), wire, 0, nil, false)
	if err != nil || text == "" || n > maxName {
		return nil, fmt.Errorf("%q is no domain name", text)
	}
	return lowerName(wire[:n]), nil
}

// nameText is a name for messages, without the final dot.
func nameText(wire []byte) string {
	text, _, err := dns.UnpackDomainName(wire, 0)
	if err != nil {
		return fmt.Sprintf("%q", wire)
	}
	if text == "." {
		return text
	}
	return strings.TrimSuffix(text, ".")
}

// within tells whether a name is the apex or below it.
func within(name, apex []byte) bool {
	at := len(name) - len(apex)
	for i := 0; i <= at; i += 1 + int(name[i]) {
		if i == at {
			return string(name[i:]) == string(apex)
		}
	}
	return false
}

func rcodeText(code int) string {
	if text, ok := dns.RcodeToString[code]; ok {
		return text
	}
	return fmt.Sprintf("response code %d", code)
}
