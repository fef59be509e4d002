package format

import (
	"bytes"

	"github.com/miekg/dns"
)

// What a record of a response policy zone says, by its type and its names in
// wire form: the rules that zones read from files and zones transferred share.

// recordRole is what a type of record is in a response policy zone, CNAME and
// SOA aside.
type recordRole uint8

const (
	roleData     recordRole = iota // local data
	roleSigning                    // of the zone's own signing: no policy, no fault
	roleApexOnly                   // of the zone at its apex, no policy below
	roleNever
)

// policyRole knows the types that are no local data; the problem is what they
// are below the apex.
func policyRole(kind string) (recordRole, problem) {
	switch kind {
	case "NS":
		return roleApexOnly, refused("NS below the zone's apex is no policy")
	case "DNAME":
		return roleNever, refused("DNAME is no policy, expected CNAME or local data")
	case "RRSIG", "SIG", "NSEC", "NXT", "NSEC3", "NSEC3PARAM", "DNSKEY", "KEY", "DS", "DLV", "CDS", "CDNSKEY", "ZONEMD", "TYPE65534":
		return roleSigning, problem{}
	}
	return roleData, problem{}
}

// answers says whether a type is one that local data may have.
func answers(kind uint16) bool {
	return kind != 0 && kind != dns.TypeOPT && (kind < 128 || kind > 255)
}

func badType(kind string) problem {
	return malformed("the type %s is none of records that answer, expected one such as A or TXT", kind)
}

// policyTrigger reads the trigger off an owner below the apex, which is of one
// label at the least.
func policyTrigger(ind *Indicator, name []byte) problem {
	ind.Policy = true
	last := lastAt(name)
	switch label := name[last+1 : len(name)-1]; string(label) {
	case "rpz-ip", "rpz-client-ip":
		prefix, p := policyPrefix(name[:last])
		if p.is() {
			return p
		}
		ind.Trigger, ind.Prefix = ResponseIP, prefix
		if len(label) > len("rpz-ip") {
			ind.Trigger = ClientIP
		}
		return problem{}
	case "rpz-nsip", "rpz-nsdname":
		return notApplicable(string(label) + " looks at name servers, which a forwarder does not see")
	}
	ind.Name, ind.Scope = name, Exact
	if name[0] == 1 && name[1] == '*' {
		ind.Name, ind.Scope = name[2:], Below
	}
	return problem{}
}

// endsInNumber says whether a name in wire form has a number for its last label.
func endsInNumber(name []byte) bool {
	label := name[lastAt(name)+1 : len(name)-1]
	return isDigit(label[0]) && numeric(label)
}

// lastAt is where the last label of a name in wire form begins.
func lastAt(name []byte) int {
	last := 0
	for at := 0; name[at] != 0; at += 1 + int(name[at]) {
		last = at
	}
	return last
}

// policyWord begins the top-level labels that RPZ has for itself: rpz-ip,
// rpz-client-ip, rpz-nsip, rpz-nsdname in owners, the actions in targets, and
// whatever it may get.
const policyWord = "rpz-"

// IsPolicyWord says whether the last label of a name in wire form is a word of
// RPZ's own, so that a zone with the name would say something else by it.
func IsPolicyWord(name []byte) bool {
	return len(name) > 1 && bytes.HasPrefix(name[lastAt(name)+1:], []byte(policyWord))
}

// policyAction tells a CNAME's action by its target. The origin is what targets
// are relative to, nil where that is unknown.
func policyAction(target, trigger, origin []byte) (Action, problem) {
	switch string(target) {
	case "\x00":
		return NXDomain, problem{}
	case "\x01*\x00":
		return NoData, problem{}
	case "\x0crpz-passthru\x00":
		return PassThru, problem{}
	case "\x08rpz-drop\x00":
		return Drop, problem{}
	case "\x0crpz-tcp-only\x00":
		return TCPOnly, problem{}
	}
	if bytes.Equal(target, trigger) {
		return PassThru, problem{} // as it was written before rpz-passthru
	}
	first, rest := target[1:1+target[0]], target[1+target[0]:]
	special := bytes.HasPrefix(first, []byte(policyWord))
	switch {
	case special && len(rest) == 1:
		return Unstated, malformed("an unknown RPZ action, expected \".\", \"*.\", rpz-passthru., rpz-drop., rpz-tcp-only. or a host name")
	case (special || string(first) == "*") && len(rest) > 1 && bytes.Equal(rest, origin):
		return Unstated, malformed("an RPZ action without its final dot, expected %s.", Text(append(target[:len(first)+1:len(first)+1], 0)))
	}
	return LocalData, problem{}
}

// belowApex is the part of an owner below the apex, its labels without a root.
func belowApex(owner, apex []byte) ([]byte, bool) {
	below := len(owner) - len(apex)
	at := 0
	for at < below {
		at += 1 + int(owner[at])
	}
	if at != below || !bytes.Equal(owner[at:], apex) {
		return nil, false
	}
	return owner[:at], true
}

func outsideZone(apex []byte) problem {
	return malformed("an owner outside the zone %s, expected it relative (without the final dot) or below the zone", Text(apex))
}
