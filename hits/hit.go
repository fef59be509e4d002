// Package hits keeps what the resolver found: each match of a query with the
// policy becomes a [Hit], goes through a bounded queue that never blocks the
// query, and is written to an append-only journal or counted as lost.
package hits

import (
	"net/netip"
	"time"
)

// Transport is how the client's query came in.
type Transport uint8

const (
	UDP Transport = iota
	TCP
	DoT
	DoH
	DoH3
	DoQ
)

// String is the word that sinkhole.transport has for t.
func (t Transport) String() string {
	switch t {
	case UDP:
		return "udp"
	case TCP:
		return "tcp"
	case DoT:
		return "dot"
	case DoH:
		return "doh"
	case DoH3:
		return "doh3"
	case DoQ:
		return "doq"
	}
	return "unknown"
}

// Network is the transport below t: udp or tcp.
func (t Transport) Network() string {
	switch t {
	case TCP, DoT, DoH:
		return "tcp"
	}
	return "udp"
}

// Encrypted tells whether nobody on the way can read what t carries.
func (t Transport) Encrypted() bool { return t >= DoT }

// Trigger is the part of the exchange that matched (RPZ's words).
type Trigger uint8

const (
	TriggerQName Trigger = iota
	TriggerClientIP
	TriggerCNAME // a CNAME or DNAME target in the upstream's answer
	TriggerSVCB  // a SVCB or HTTPS target in the upstream's answer
	TriggerResponseIP
)

// String is the word that sinkhole.trigger has for t.
func (t Trigger) String() string {
	switch t {
	case TriggerQName:
		return "qname"
	case TriggerClientIP:
		return "client-ip"
	case TriggerCNAME:
		return "cname"
	case TriggerSVCB:
		return "svcb"
	case TriggerResponseIP:
		return "response-ip"
	}
	return "unknown"
}

// MaxRules bounds the rules that one hit names; Hit.MoreRules counts the rest.
const MaxRules = 16

// Hit is one query that matched the policy, as the data path knows it: a value
// without owned pointers, so that recording it allocates nothing. The slices,
// the strings and the Evidence refer to memory that never changes.
type Hit struct {
	Time   time.Time      // when the query was read
	Client netip.AddrPort // who asked: the socket's other end, or what a balancer or a forwarder that is believed says
	Group  string         // of the client, as the policy names it; "": in none
	Server netip.AddrPort // the address that was asked

	QType     uint16
	QClass    uint16
	ID        uint16 // the query's message ID
	Flags     uint16 // the second 16 bits of the answer's header
	Answered  bool   // false where the action is drop: no answer was sent
	RCode     uint16 // of the answer, extended bits included
	Transport Transport
	// SourceProven is true where the client's address cannot be forged: TCP
	// and all that builds on a handshake. What a forwarder tells is not proven.
	SourceProven bool
	Truncated    bool // the answer had TC set

	Trigger Trigger
	// Value is what matched: the name in lower-case wire form for name
	// triggers (nil: the QName itself), Address for address triggers.
	Value   []byte
	Matched netip.Addr
	// Chain is the CNAME and DNAME targets of the answer up to the match, wire
	// forms one after the other; nil for question triggers.
	Chain []byte

	Evidence  Evidence
	NRules    uint8 // the policy's rules that matched, see Rules
	MoreRules uint16

	Observe bool // every match was of action log: the client got the true answer
	// Satisfied is true where the action is tcp-only and the client asked over
	// TCP: it got the true answer.
	Satisfied bool
	Action    string     // what was done: sinkhole, nxdomain, nodata, refused, drop, tcp-only, local-data, log; a constant
	Sink      netip.Addr // the sinkhole address given, if any
	TTL       uint32     // of the synthesized answer, seconds; means something with HasTTL only
	// HasTTL is true where the answer carries synthesized records, or a
	// synthesized SOA, with that TTL, which may be 0.
	HasTTL bool

	Forwarder   bool   // Client is a configured forwarder's, and who asked it is not known
	Expected    bool   // of a client that looks up such names for a living
	Claimed     uint16 // the EDNS option by which somebody who is not believed said who asks; 0: none
	Fingerprint Fingerprint
	Proxy       Proxy
	Relayed     bool // the socket's other end is not Client, but Peer
	// Identity is what a forwarder that is believed says of the client; nil: nobody
	// does. Recording copies it.
	Identity *Identity

	// The arrays are at the end, so that what is used of a hit lies together.

	// Rules are NRules rules, the deciding one first.
	Rules    [MaxRules]uint64
	QNameLen uint8
	QName    [255]byte // wire form, lower case; what is behind the first QNameLen octets means nothing

	Peer netip.AddrPort // the socket's other end, if Relayed
}

// set makes h a copy of o, without what means nothing in its arrays: a ring of hits
// is more than a processor's caches hold, and most names are short.
func (h *Hit) set(o *Hit) {
	h.Time, h.Client, h.Group, h.Server = o.Time, o.Client, o.Group, o.Server
	copy(h.QName[:o.QNameLen], o.QName[:])
	h.QNameLen, h.QType, h.QClass = o.QNameLen, o.QType, o.QClass
	h.ID, h.Flags, h.Answered, h.RCode = o.ID, o.Flags, o.Answered, o.RCode
	h.Transport, h.SourceProven, h.Truncated = o.Transport, o.SourceProven, o.Truncated
	h.Trigger, h.Value, h.Matched, h.Chain = o.Trigger, o.Value, o.Matched, o.Chain
	copy(h.Rules[:min(o.NRules, MaxRules)], o.Rules[:])
	h.NRules, h.MoreRules, h.Evidence = o.NRules, o.MoreRules, o.Evidence
	h.Observe, h.Satisfied, h.Action = o.Observe, o.Satisfied, o.Action
	h.Sink, h.TTL, h.HasTTL = o.Sink, o.TTL, o.HasTTL
	h.Forwarder, h.Expected, h.Claimed, h.Fingerprint = o.Forwarder, o.Expected, o.Claimed, o.Fingerprint
	h.Proxy, h.Relayed, h.Identity = o.Proxy, o.Relayed, o.Identity
	if o.Relayed {
		h.Peer = o.Peer
	}
}

// Evidence turns the rule numbers of a Hit into what is known about them. It is
// the policy that judged the query, so it stays true after a reload.
//
// Implementations are pointers: merging compares them, since a rule number
// means something only together with its policy.
type Evidence interface {
	// Indicator describes one rule. It may allocate: only the journal's writer
	// and other work beside the data path call it.
	Indicator(rule uint64) Indicator
}

// Indicator is one matched rule of one list, in presentation form. Fields that
// the list is silent about are empty.
type Indicator struct {
	Type        string // domain-name, ipv4-addr, ipv6-addr (STIX names); a CIDR has the type of its family
	Name        string // domain in presentation form without the final dot, or address or prefix
	Scope       string // exact, subtree, below (RPZ wildcard), prefix
	Action      string
	List        string
	ListVersion string // sha256:... of the list's content
	File        string // the file of a list that is a glob
	Line        int
	Family      string
	Confidence  int // 0-100, -1 unknown
	Reference   string
	TLP         string
	FirstSeen   time.Time
	LastSeen    time.Time
	Expires     time.Time
}
