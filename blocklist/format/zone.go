package format

import (
	"encoding/binary"
	"strings"

	"github.com/miekg/dns"
)

// ZoneReader reads a response policy zone record by record in wire form, as
// zone transfers bring them (RFC 5936, RFC 1995), and finds in each what [Parse]
// finds in the same record of the zone's file. It remembers no record: one that
// an increment deletes gives the indicator that it gave when it was added.
//
// Only where records of one owner contradict each other (a CNAME beside other
// records) does a file say more, since there the records come together.
type ZoneReader struct {
	apex    []byte
	owner   []byte
	trigger []byte
	target  []byte
	data    []byte
	ind     Indicator
}

// NewZoneReader is for the zone whose name, in wire form, is the origin.
func NewZoneReader(origin []byte) *ZoneReader {
	return &ZoneReader{apex: lowered(nil, origin)}
}

// Record reads one resource record in wire form, its names uncompressed and its
// owner complete, and hands what it says to emit, or to fault where it is left
// out. Neither is called for a record that is no policy: SOA, NS and all else
// at the apex, and those of DNSSEC. Lines are 0. The Indicator, its Name and its
// Data are the reader's again when emit returns.
func (z *ZoneReader) Record(rr []byte, emit func(*Indicator), fault func(Fault)) {
	z.ind = Indicator{Confidence: -1}
	some, p := z.read(rr)
	switch {
	case p.is():
		fault(Fault{
			Text: printable(z.text(rr)), Reason: p.reason,
			Refused: p.class != classMalformed, NotApplicable: p.class == classNotApplicable,
		})
	case some:
		emit(&z.ind)
	}
}

// read fills the indicator; some is false for a record that is no policy.
func (z *ZoneReader) read(rr []byte) (some bool, p problem) {
	owner := wireName(rr)
	if owner == 0 || len(rr) < owner+10 {
		return false, malformed("%d octets that are no resource record, expected one uncompressed as in RFC 1035 section 3.2.1", len(rr))
	}
	kind := binary.BigEndian.Uint16(rr[owner:])
	class := binary.BigEndian.Uint16(rr[owner+2:])
	ttl := binary.BigEndian.Uint32(rr[owner+4:])
	rdata := rr[owner+10:]
	if n := int(binary.BigEndian.Uint16(rr[owner+8:])); n != len(rdata) {
		return false, malformed("a record with %d octets of data, expected %d as its length says", len(rdata), n)
	}
	if class != dns.ClassINET {
		return false, malformed("class %s, expected IN", dns.Class(class))
	}
	z.owner = lowered(z.owner[:0], rr[:owner])
	below, ok := belowApex(z.owner, z.apex)
	if !ok {
		return false, malformed("an owner outside the zone %s, expected it below", Text(z.apex))
	}
	z.trigger = append(append(z.trigger[:0], below...), 0)
	if kind == dns.TypeCNAME {
		return true, z.cname(ttl, rdata)
	}
	return z.other(kind, rr)
}

func (z *ZoneReader) cname(ttl uint32, rdata []byte) problem {
	if len(z.trigger) == 1 {
		return malformed("a CNAME at the apex of the zone, expected a name below it")
	}
	if n := wireName(rdata); n == 0 || n != len(rdata) {
		return malformed("a CNAME whose data is no name, expected one uncompressed name")
	}
	z.target = lowered(z.target[:0], rdata)
	action, p := policyAction(z.target, z.trigger, z.apex)
	if p.is() {
		return p
	}
	if p := policyTrigger(&z.ind, z.trigger); p.is() {
		return p
	}
	if z.ind.Action = action; action == LocalData {
		z.data = appendRecord(z.data[:0], ttl, dns.TypeCNAME, z.target)
		z.ind.Data = z.data
	}
	return problem{}
}

// other reads a record that is no CNAME.
func (z *ZoneReader) other(kind uint16, rr []byte) (some bool, p problem) {
	if kind == dns.TypeSOA {
		if len(z.trigger) > 1 {
			return false, malformed("an SOA record at %s, expected it at the apex of the zone", Text(z.owner))
		}
		return false, problem{}
	}
	role, p := policyRole(dns.Type(kind).String())
	switch {
	case role == roleSigning, len(z.trigger) == 1 && role != roleNever:
		return false, problem{}
	case role != roleData:
		return false, p
	}
	if p := policyTrigger(&z.ind, z.trigger); p.is() {
		return false, p
	}
	if !answers(kind) {
		return false, badType(dns.Type(kind).String())
	}
	data, p := z.pack(rr, kind)
	if p.is() {
		return false, p
	}
	z.ind.Action, z.ind.Data = LocalData, data
	return true, problem{}
}

// pack writes a record at the root, its names without compression.
func (z *ZoneReader) pack(rr []byte, kind uint16) ([]byte, problem) {
	one, n, err := dns.UnpackRR(rr, 0)
	if err == nil && n != len(rr) {
		return nil, malformed("a %s record with data behind its end", dns.Type(kind))
	}
	if err == nil {
		one.Header().Name = "."
		if cap(z.data) < maxRecord {
			z.data = make([]byte, maxRecord)
		}
		n, err = dns.PackRR(one, z.data[:maxRecord], 0, nil, false)
	}
	if err != nil {
		return nil, malformed("no valid %s record: %s", dns.Type(kind), strings.TrimPrefix(err.Error(), "dns: "))
	}
	if n <= recordHead {
		return nil, malformed("a %s record without data", dns.Type(kind))
	}
	return z.data[:n], problem{}
}

// text shows a record as a person would write it, as far as it is one.
func (z *ZoneReader) text(rr []byte) []byte {
	if one, _, err := dns.UnpackRR(rr, 0); err == nil {
		return []byte(one.String())
	}
	if n := wireName(rr); n > 0 {
		return []byte(Text(rr[:n]))
	}
	return rr
}

// recordHead is the length of what stands before the data of a record at the
// root: owner, type, class, TTL, length of the data.
const recordHead = 1 + 2 + 2 + 4 + 2

// appendRecord appends a record whose owner is the root.
func appendRecord(to []byte, ttl uint32, kind uint16, rdata []byte) []byte {
	to = append(to, 0)
	to = binary.BigEndian.AppendUint16(to, kind)
	to = binary.BigEndian.AppendUint16(to, dns.ClassINET)
	to = binary.BigEndian.AppendUint32(to, ttl)
	to = binary.BigEndian.AppendUint16(to, uint16(len(rdata)))
	return append(to, rdata...)
}

// wireName is the length of the uncompressed name at the start of the octets; 0
// where none is.
func wireName(octets []byte) int {
	for at := 0; at < len(octets) && at < maxName; at += 1 + int(octets[at]) {
		switch {
		case octets[at] == 0:
			return at + 1
		case octets[at] > maxLabel:
			return 0
		}
	}
	return 0
}

// lowered appends a name in lower case. The lengths of labels, at most 63, are
// below the letters.
func lowered(to, name []byte) []byte {
	for _, c := range name {
		to = append(to, lower(c))
	}
	return to
}
