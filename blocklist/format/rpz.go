package format

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

const (
	defaultTTL = 3600
	// maxRecord is room for the longest record that a record of maxLine octets
	// can state.
	maxRecord = 2 * maxLine
)

// zoneName is a name in a master file. It floats where it is relative and the
// file does not say to what; its wire form then ends where the unknown begins.
type zoneName struct {
	wire  []byte
	float bool
}

func (n *zoneName) set(other zoneName) {
	n.wire, n.float = append(n.wire[:0], other.wire...), other.float
}

func (n zoneName) equal(other zoneName) bool {
	return n.float == other.float && bytes.Equal(n.wire, other.wire)
}

// policy reads a response policy zone.
type policy struct {
	master
	out    *sink
	origin zoneName
	apex   zoneName
	owner  zoneName
	target zoneName
	// ownerKnown is unset where the last owner was not understood.
	ownerKnown, apexKnown, soaSeen bool
	ttl                            uint32

	// The record before this one, for what may not stand at one owner.
	last       zoneName
	lastTarget zoneName
	lastCNAME  bool

	trigger []byte // the owner below the apex, wire form
	data    []byte // a record, wire form
	rdata   []byte // a record, presentation form

	numbers, firstNumber int // owners that look like addresses
}

// readRPZ reads a response policy zone in master-file form.
func readRPZ(in *lines, out *sink) {
	z := &policy{master: master{in: in}, out: out, ttl: defaultTTL}
	z.origin = zoneName{wire: []byte{0}, float: true}
	for !out.hopeless() {
		p, ok := z.next()
		if !ok {
			break
		}
		if !p.is() {
			if p = z.readRecord(); !p.is() {
				z.accept()
				continue
			}
		}
		at := 0
		if p.at > 0 && p.at < len(z.text) {
			at = p.at + 1
		}
		out.leaveOut(z.line, at, trim(z.text), p)
		z.reject()
	}
	z.conclude()
}

func (z *policy) conclude() {
	if z.apexKnown && !z.apex.float {
		z.out.result.Origin = Text(z.apex.wire)
	}
	if !z.soaSeen && z.out.result.Entries > 0 {
		z.out.warn("no SOA record, which a zone needs: is the list whole?")
	}
	if z.numbers > 0 {
		z.out.warn("%d owners look like addresses (the first on line %d), but are names that nobody asks for; an address is written 32.4.3.2.1.rpz-ip", z.numbers, z.firstNumber)
	}
}

// readRecord reads the tokens of a record or directive.
func (z *policy) readRecord() problem {
	tokens := z.tokens
	if !z.blank {
		if first := tokens[0]; !first.quoted && first.text[0] == '$' {
			return z.directive()
		}
		z.ownerKnown = false
		if p := z.name(&z.owner, tokens[0]); p.is() {
			p.reason = "the owner: " + p.reason
			return p
		}
		z.ownerKnown = true
		tokens = tokens[1:]
	} else if !z.ownerKnown {
		return malformed("a record without an owner, below none or below one that was not understood")
	}
	ttl, tokens, p := z.ttlAndClass(tokens)
	if p.is() {
		return p
	}
	if len(tokens) == 0 {
		return malformed("an owner without a record, expected OWNER [TTL] [IN] TYPE DATA")
	}
	return z.typed(ttl, tokens[0], tokens[1:])
}

// ttlAndClass reads both, in either order, where they are there.
func (z *policy) ttlAndClass(tokens []token) (uint32, []token, problem) {
	ttl, ttlSeen, classSeen := z.ttl, false, false
	for ; len(tokens) > 0 && !tokens[0].quoted; tokens = tokens[1:] {
		text := tokens[0].text
		switch {
		case !ttlSeen && isDigit(text[0]):
			v, ok := parseTTL(text)
			if !ok {
				return 0, nil, problem{reason: "a TTL that is no number of seconds up to 2147483647, with or without units", at: tokens[0].at}
			}
			ttl, ttlSeen = v, true
		case !classSeen && (bytes.EqualFold(text, []byte("IN")) || bytes.EqualFold(text, []byte("CLASS1"))): // RFC 3597 section 5
			classSeen = true
		case bytes.EqualFold(text, []byte("CH")), bytes.EqualFold(text, []byte("HS")), bytes.EqualFold(text, []byte("CS")):
			return 0, nil, problem{reason: fmt.Sprintf("class %s, expected IN", printable(text)), at: tokens[0].at}
		default:
			return ttl, tokens, problem{}
		}
	}
	return ttl, tokens, problem{}
}

func (z *policy) directive() problem {
	word, rest := z.tokens[0], z.tokens[1:]
	switch strings.ToUpper(string(word.text)) {
	case "$ORIGIN":
		if len(rest) != 1 {
			return malformed("$ORIGIN with %d values, expected one name", len(rest))
		}
		if p := z.name(&z.target, rest[0]); p.is() {
			p.reason = "$ORIGIN: " + p.reason
			return p
		}
		z.origin.set(z.target)
		// The first absolute origin names a zone whose SOA did not.
		if z.apexKnown && z.apex.float && !z.origin.float && len(z.apex.wire) == 1 {
			z.apex.set(z.origin)
		}
		return problem{}
	case "$TTL":
		if len(rest) != 1 {
			return malformed("$TTL with %d values, expected one", len(rest))
		}
		ttl, ok := parseTTL(rest[0].text)
		if !ok {
			return problem{reason: "a TTL that is no number of seconds up to 2147483647, with or without units", at: rest[0].at}
		}
		z.ttl = ttl
		return problem{}
	case "$INCLUDE":
		return refused("$INCLUDE: a list is one file; give the included file as a list of its own")
	case "$GENERATE":
		return refused("$GENERATE is not read; write the records out")
	}
	return malformed("an unknown directive, expected $ORIGIN or $TTL")
}

// name reads a name token: absolute, relative to the origin, or "@".
func (z *policy) name(to *zoneName, word token) problem {
	text := word.text
	if word.quoted {
		return problem{reason: "quotes around a name, expected it without", at: word.at}
	}
	if len(text) == 1 && text[0] == '@' {
		to.set(z.origin)
		return problem{}
	}
	wire, final, ok := commonName(to.wire[:0], text)
	if !ok {
		if !isASCII(text) {
			ascii, err := toASCII(string(text))
			if err != nil {
				return problem{reason: err.Error(), at: word.at}
			}
			text = []byte(ascii)
		}
		var err error
		if wire, err = appendName(to.wire[:0], text); err != nil {
			return problem{reason: err.Error(), at: word.at}
		}
		wire, final = wire[:len(wire)-1], absolute(text)
	}
	if final {
		to.wire, to.float = append(wire, 0), false
		return problem{}
	}
	to.wire, to.float = append(wire, z.origin.wire...), z.origin.float
	if len(to.wire) > maxName {
		return problem{reason: tooLong(len(to.wire)).Error() + ", the origin included", at: word.at}
	}
	return problem{}
}

// commonName appends the labels of a host name or of a wildcard; final where it
// is absolute. What it does not take may still be a name.
func commonName(to, text []byte) (wire []byte, final, ok bool) {
	if n := len(text); n > 0 && text[n-1] == '.' {
		text, final = text[:n-1], true
	}
	if len(text) > 2 && len(text) <= maxName-2 && text[0] == '*' && text[1] == '.' {
		to, text = append(to, 1, '*'), text[2:]
	}
	wire, _, ok = appendLabels(to, text)
	return wire, final, ok
}

// absolute says whether a name ends in a dot that is not escaped.
func absolute(text []byte) bool {
	if len(text) == 0 || text[len(text)-1] != '.' {
		return false
	}
	escapes := 0
	for i := len(text) - 2; i >= 0 && text[i] == '\\'; i-- {
		escapes++
	}
	return escapes%2 == 0
}

func (z *policy) typed(ttl uint32, word token, rdata []token) problem {
	if word.quoted {
		return problem{reason: "quotes around a record type, expected it without", at: word.at}
	}
	if bytes.EqualFold(word.text, []byte("CNAME")) {
		return z.cname(ttl, rdata)
	}
	kind := strings.ToUpper(string(word.text))
	if kind == "SOA" {
		return z.soa(rdata)
	}
	switch role, p := policyRole(kind); role {
	case roleSigning:
		return problem{}
	case roleApexOnly:
		if p := z.placeTrigger(); p.is() || len(z.trigger) == 1 {
			return p
		}
		return p
	case roleNever:
		return p
	}
	return z.localData(ttl, kind, word, rdata)
}

// soa takes the zone's name, and the default TTL where $TTL has not come.
func (z *policy) soa(rdata []token) problem {
	switch {
	case z.soaSeen && z.owner.equal(z.apex):
		return malformed("a second SOA record, expected one")
	case z.apexKnown && !z.owner.equal(z.apex):
		return malformed("an SOA record at %s, expected it at the apex of the zone and before all others", Text(z.owner.wire))
	}
	z.soaSeen, z.apexKnown = true, true
	z.apex.set(z.owner)
	if z.origin.float && !z.owner.float {
		z.origin.set(z.owner)
	}
	if len(rdata) != 7 {
		return malformed("an SOA record with %d fields, expected 7", len(rdata))
	}
	return problem{}
}

// placeTrigger finds the owner's place below the apex; the root, one octet, is
// the apex itself.
func (z *policy) placeTrigger() problem {
	if !z.apexKnown {
		z.apexKnown = true
		z.apex.set(z.origin)
	}
	below, ok := belowApex(z.owner.wire, z.apex.wire)
	if !ok {
		return outsideZone(z.apex.wire)
	}
	z.trigger = append(append(z.trigger[:0], below...), 0)
	return problem{}
}

// cname reads the actions, which are all CNAMEs to names of no other use.
func (z *policy) cname(ttl uint32, rdata []token) problem {
	if len(rdata) != 1 {
		return malformed("a CNAME with %d targets, expected one", len(rdata))
	}
	if p := z.placeTrigger(); p.is() {
		return p
	}
	if len(z.trigger) == 1 {
		return malformed("a CNAME at the apex of the zone, expected a name below it")
	}
	if p := z.name(&z.target, rdata[0]); p.is() {
		p.reason = "the CNAME's target: " + p.reason
		return p
	}
	action, p := z.actionOf()
	if p.is() {
		p.at = rdata[0].at
		return p
	}
	if z.owner.equal(z.last) && (!z.lastCNAME || !z.target.equal(z.lastTarget)) {
		return malformed("a CNAME beside other records of its owner, expected it alone; the records before it are used")
	}
	ind := z.out.indicator(z.line)
	if p := z.aim(ind); p.is() {
		return p
	}
	if ind.Action = action; action == LocalData {
		z.data = appendRecord(z.data[:0], ttl, dns.TypeCNAME, z.target.wire)
		ind.Data = z.data
	}
	z.out.put()
	z.last.set(z.owner)
	z.lastTarget.set(z.target)
	z.lastCNAME = true
	return problem{}
}

// actionOf tells a CNAME's action by its target.
func (z *policy) actionOf() (Action, problem) {
	if z.target.float {
		return Unstated, malformed("a relative target in a zone whose name the file does not say, expected %s. with a final dot", Text(z.target.wire))
	}
	var origin []byte
	if !z.origin.float {
		origin = z.origin.wire
	}
	return policyAction(z.target.wire, z.trigger, origin)
}

// aim reads the trigger off the owner.
func (z *policy) aim(ind *Indicator) problem {
	p := policyTrigger(ind, z.trigger)
	if !p.is() && ind.Trigger == QName && endsInNumber(z.trigger) {
		if z.numbers++; z.numbers == 1 {
			z.firstNumber = z.line
		}
	}
	return p
}

// localData reads a record to be answered with.
func (z *policy) localData(ttl uint32, kind string, word token, rdata []token) problem {
	if p := z.placeTrigger(); p.is() || len(z.trigger) == 1 {
		return p // at the apex it says something about the zone
	}
	if z.owner.equal(z.last) && z.lastCNAME {
		return malformed("a record beside a CNAME of its owner, expected the CNAME alone; it is used, this record is not")
	}
	ind := z.out.indicator(z.line)
	if p := z.aim(ind); p.is() {
		return p
	}
	data, p := z.pack(ttl, kind, rdata)
	if p.is() {
		p.at = word.at
		return p
	}
	ind.Action, ind.Data = LocalData, data
	z.out.put()
	z.last.set(z.owner)
	z.lastCNAME = false
	return problem{}
}

// pack lets the library read one record, put on one line, at the root.
func (z *policy) pack(ttl uint32, kind string, rdata []token) ([]byte, problem) {
	z.rdata = fmt.Appendf(z.rdata[:0], ". %d IN %s", ttl, kind)
	for _, word := range rdata {
		if !word.glued {
			z.rdata = append(z.rdata, ' ')
		}
		if word.quoted {
			z.rdata = append(append(append(z.rdata, '"'), word.text...), '"')
		} else {
			z.rdata = append(z.rdata, word.text...)
		}
	}
	origin := ""
	if !z.origin.float {
		origin = dns.Fqdn(Text(z.origin.wire))
	}
	parser := dns.NewZoneParser(bytes.NewReader(append(z.rdata, '\n')), origin, "")
	rr, ok := parser.Next()
	if !ok {
		return nil, malformed("no %s record: %s", printable([]byte(kind)), libraryError(parser.Err()))
	}
	if _, more := parser.Next(); more || parser.Err() != nil {
		return nil, malformed("unexpected text behind the %s record", printable([]byte(kind)))
	}
	if t := rr.Header().Rrtype; !answers(t) {
		return nil, badType(printable([]byte(kind)))
	}
	if cap(z.data) < maxRecord {
		z.data = make([]byte, maxRecord)
	}
	buf := z.data[:maxRecord]
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err == nil {
		_, _, err = dns.UnpackRR(buf[:n], 0)
	}
	if err != nil {
		return nil, malformed("no valid %s record: %s", printable([]byte(kind)), strings.TrimPrefix(err.Error(), "dns: "))
	}
	if n <= recordHead {
		return nil, malformed("a %s record without data", printable([]byte(kind)))
	}
	return buf[:n], problem{}
}

// libraryError takes off the place that the library names, which is its place
// in our one line.
func libraryError(err error) string {
	if err == nil {
		return "nothing found"
	}
	text := strings.TrimPrefix(err.Error(), "dns: ")
	if i := strings.LastIndex(text, " at line: "); i >= 0 {
		text = text[:i]
	}
	return printable([]byte(text))
}
