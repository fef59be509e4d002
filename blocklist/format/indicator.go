// Package format reads threat lists: one file for each notation, bytes in,
// indicators and faults with their lines out. It keeps nothing: what it hands
// to the caller is valid only until the callback returns.
package format

import (
	"net/netip"
	"time"
)

// Trigger says which part of a query or answer an indicator is compared with.
// The words are those of the RPZ draft (draft-vixie-dnsop-dns-rpz).
type Trigger uint8

const (
	// QName compares the name asked for, and the targets of CNAME, DNAME,
	// SVCB and HTTPS records in an answer.
	QName Trigger = iota
	// ResponseIP compares the addresses in an answer (rpz-ip).
	ResponseIP
	// ClientIP compares the address of the client (rpz-client-ip).
	ClientIP
)

// Scope says which names below its own an indicator covers.
type Scope uint8

const (
	// Exact is the name alone (hosts files, an RPZ owner without "*.").
	Exact Scope = iota
	// Subtree is the name and every name below it (most domain lists).
	Subtree
	// Below is every name below it but not the name itself (RPZ "*.name").
	Below
)

// Action is what a matching query gets. The RPZ actions keep their RPZ names.
type Action uint8

const (
	// Unstated leaves the action to the list's or the server's configuration.
	Unstated Action = iota
	Sinkhole
	NXDomain
	NoData
	Refused
	Drop
	TCPOnly
	PassThru
	// Log records the match and lets evaluation go on.
	Log
	// LocalData answers from Indicator.Data.
	LocalData
)

// Indicator is one threat indicator as a list states it.
type Indicator struct {
	Line    int // 1-based line of the file it stands on
	Trigger Trigger
	// Name is the lower-case uncompressed wire form of the name, root label
	// included (at most 255 octets); nil unless Trigger is QName. It belongs to
	// the parser: copy it to keep it.
	Name   []byte
	Scope  Scope
	Prefix netip.Prefix // for ResponseIP and ClientIP; masked; never 4in6
	Action Action
	// FromURL is true where the name is the host of a URL with a path: the host
	// may be a broken-into legitimate site, so it is less certain than a name
	// that the list states by itself.
	FromURL bool
	// Doubtful is true where the list itself says that the indicator may be innocent:
	// a broken-into site, a hit of a warning list, a high risk of false positives.
	Doubtful bool
	// Precedence orders the entries of one list above their specificity: the
	// smaller decides. Notations in which the most specific entry decides leave it
	// at 0; in adblock lists $important rules have 0, exceptions 1, all others 2.
	Precedence uint8
	// TakesBack is true for what is no entry: the list takes back its own of this
	// trigger, scope, action and precedence, before it and behind it (adblock's
	// $badfilter).
	TakesBack bool
	// Policy is true for the rule of a response policy zone, which states what is
	// to be done, and false for the line of a list of what is bad.
	Policy bool
	// Data holds the records of RPZ local data: uncompressed wire-form RRs one
	// after the other, each with the root name as owner (RFC 1035 section
	// 3.2.1), to be answered under the name asked for. Nil unless Action is
	// LocalData. It belongs to the parser.
	Data []byte

	// What the list says about the indicator; empty or zero where it is silent.
	Family     string
	Reference  string
	TLP        string // CLEAR, GREEN, AMBER, AMBER+STRICT, RED
	Confidence int8   // 0-100, -1 where the list states none
	FirstSeen  time.Time
	LastSeen   time.Time
	Expires    time.Time
}

// Fault is a line that was left out.
type Fault struct {
	Line   int
	Column int    // 1-based, 0 where the whole line is meant
	Text   string // the offending text, printable, at most 120 characters
	// Reason says what was found, what was expected and what to do, in one
	// lower-case sentence without a final stop.
	Reason string
	// Refused is true for a well-formed entry that is left out on purpose (a
	// single label, a regular expression, rpz-nsip); false for a malformed line.
	Refused bool
	// NotApplicable is true for those of the refused that say what DNS, or a
	// forwarder, cannot do (a cosmetic rule, a URL rule, rpz-nsip), so that nothing
	// is missing that anybody could mend.
	NotApplicable bool
}
