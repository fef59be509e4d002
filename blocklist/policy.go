// Package blocklist turns threat lists into policy: indicators from files, URLs
// and zones are guarded, packed into one immutable segment a list, and swapped in
// as a [Policy] while queries go on. A query takes the policy once and uses it to
// its end.
package blocklist

import (
	"iter"
	"net/netip"
	"time"

	"sinkhole/blocklist/format"
)

// Policy is the compiled content of all lists. It never changes once made, so
// any number of goroutines may read it; [Lists.Policy] gives the one in force.
type Policy struct {
	serial  uint64
	lists   []List
	parts   []part
	chunks  [][]byte // of all parts, one after the other
	owners  []uint16 // of each chunk: index into parts
	key     hashKey
	index   index
	filter  filter
	names   int       // distinct
	answers prefixSet // response-IP triggers
	clients prefixSet // client-IP triggers
	groups  groups
	// silencing: a list that only observes has exceptions, which hold for it alone.
	silencing bool
	// Places of entries whose list has further ones of the same trigger that are
	// not in the index.
	repeated map[uint32]struct{}
	tally    []tally // by list
}

// part is a segment as it stands in a policy. A list has one, or after
// increments of a zone several.
type part struct {
	*segment
	list  uint16              // index into Policy.lists
	dead  map[uint32]struct{} // places in the segment that later parts of the list replace
	first int                 // its first chunk in the policy
	patch bool                // made by this policy of entries of another part
}

// tally counts what of a list is in force.
type tally struct {
	rules  int
	acting int // triggers that do what the list is for: neither exceptions nor expired
	excess int // rules left out because of maxRulesPerList
}

// List is one list of a policy, and what its operator configured for it.
type List struct {
	Name    string
	Allow   bool // a match exempts the query from every list
	Action  format.Action
	IPv4    Sink
	IPv6    Sink
	EDE     uint16 // the list's own extended DNS error code; 0: by the answer
	Version string // "sha256:..." of its file, or over the digests of its files; of a zone "serial:..."
	// Ends is when the entries of the list that say nothing about their age stop
	// matching unless the list is confirmed; Unix seconds, 0: never.
	Ends int64
}

// Sink is a sinkhole address as configured for one address family.
type Sink struct {
	Mode   SinkMode
	Addr   netip.Addr   // for SinkAddress
	Prefix netip.Prefix // for SinkPrefix
}

// SinkMode says where a sinkhole address comes from.
type SinkMode uint8

const (
	SinkInherit SinkMode = iota // what the server's configuration says
	SinkNone                    // no address of this family: NODATA
	SinkAuto                    // the address that the client asked
	SinkAddress                 // Sink.Addr
	SinkPrefix                  // each hit its own address from Sink.Prefix
)

// Serial numbers the policies of one process, from 1 on. An answer found clean
// under a serial, for one group, is clean as long as the serial stands.
func (p *Policy) Serial() uint64 { return p.serial }

// Indicators is the number of distinct triggers of all lists, allow included.
func (p *Policy) Indicators() int { return p.names + p.answers.count + p.clients.count }

// Rules is the number of list entries behind the indicators, without what a
// list says twice.
func (p *Policy) Rules() int {
	all := 0
	for _, t := range p.tally {
		all += t.rules
	}
	return all
}

// A rule's number is the place of its entry in the policy and how many rules of
// the entry stand before it.
const ordinalBits = 8

func ruleNumber(place uint32, ordinal int) uint64 {
	return uint64(place)<<ordinalBits | uint64(ordinal)
}

// entryAt is the entry at a place, and the part that it belongs to.
func (p *Policy) entryAt(place uint32) (*part, []byte) {
	chunk := place >> chunkBits
	return &p.parts[p.owners[chunk]], p.chunks[chunk][place&chunkMask:]
}

// rule unpacks a rule by its number.
func (p *Policy) rule(number uint64) (*part, []byte, rule) {
	part, entry := p.entryAt(uint32(number >> ordinalBits))
	all := part.rulesOf(entry)
	r := all.next()
	for range number & (1<<ordinalBits - 1) {
		r = all.next()
	}
	return part, entry, r
}

// ListOf returns the list that a rule stands in.
func (p *Policy) ListOf(rule uint64) *List {
	return &p.lists[p.parts[p.owners[rule>>(ordinalBits+chunkBits)]].list]
}

// Indicator describes one rule as its list states it. It allocates, and may read
// a file.
func (p *Policy) Indicator(number uint64) Indicator {
	part, entry, r := p.rule(number)
	return p.indicator(part, entry, &r)
}

func (p *Policy) indicator(part *part, entry []byte, r *rule) Indicator {
	list, file := &p.lists[part.list], &part.files[r.file]
	i := Indicator{
		Action: r.action, List: list.Name, Allow: list.Allow, Version: file.version, File: file.name, Line: int(r.line),
		Family: part.labels[r.family], Reference: part.reference(r), TLP: part.labels[r.tlp], Confidence: int(r.confidence),
		FirstSeen: timeOf(r.firstSeen), LastSeen: timeOf(r.lastSeen), Expires: timeOf(r.expires),
	}
	var name []byte
	i.Trigger, name, i.Prefix = triggerOf(entry)
	if i.Trigger == format.QName {
		i.Name, i.Scope = format.Text(name), r.scope
	}
	if i.Expires.IsZero() && list.Ends != 0 && r.undated() {
		i.Expires = time.Unix(list.Ends, 0).UTC()
	}
	return i
}

// Indicator is one rule in presentation form. Fields that the list is silent
// about are empty; Confidence is then -1.
type Indicator struct {
	Trigger    format.Trigger
	Name       string // without the final dot; for QName
	Scope      format.Scope
	Prefix     netip.Prefix // for ResponseIP and ClientIP
	Action     format.Action
	List       string
	Allow      bool
	File       string
	Version    string // "sha256:..." of File as it was read
	Line       int
	Family     string
	Reference  string
	TLP        string
	Confidence int
	FirstSeen  time.Time
	LastSeen   time.Time
	Expires    time.Time
}

// Value is the indicator itself: the name, the address or the prefix.
func (i *Indicator) Value() string {
	switch {
	case !i.Prefix.IsValid():
		return i.Name
	case i.Prefix.IsSingleIP():
		return i.Prefix.Addr().String()
	}
	return i.Prefix.String()
}

// Family is the malware family of a rule, "" where its list names none.
func (p *Policy) Family(number uint64) string {
	part, _, r := p.rule(number)
	return part.labels[r.family]
}

// LocalData calls fn with each record that RPZ local data gives for the
// deciding rule: uncompressed wire form, the root name as owner. The records
// belong to the policy.
func (p *Policy) LocalData(number uint64, fn func(rr []byte)) {
	part, entry, r := p.rule(number)
	for o := range part.eachRule(entry) {
		if o.action == format.LocalData && o.scope == r.scope {
			fn(part.records(&o))
		}
	}
}

// same goes through the places of all entries with the trigger of this one.
func (p *Policy) same(entry []byte) iter.Seq[uint32] {
	trigger, name, prefix := triggerOf(entry)
	switch trigger {
	case format.ResponseIP:
		return p.answers.places(prefix)
	case format.ClientIP:
		return p.clients.places(prefix)
	}
	return p.entriesOf(name)
}

// entriesOf goes through the places of all entries of a name, in the order of
// lists.
func (p *Policy) entriesOf(name []byte) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for s := p.index.search(p.key.name(name)); s.next(); {
			if p.isName(s.place, name) && !yield(s.place) {
				return
			}
		}
	}
}

// isName tells whether the entry at a place is that of a name.
func (p *Policy) isName(place uint32, name []byte) bool {
	stored := p.chunks[place>>chunkBits][place&chunkMask:]
	return len(stored) >= len(name) && string(stored[:len(name)]) == string(name)
}

// entries goes through the entries of one list, in its order: places and octets.
// Those of a trigger that the list has several times are among them, with the
// merged one at the end; [Policy.first] tells which is in force.
func (p *Policy) entries(list int) iter.Seq2[uint32, []byte] {
	return func(yield func(uint32, []byte) bool) {
		for _, part := range p.partsOf(list) {
			for place, entry := range p.entriesOfPart(part) {
				if !yield(place, entry) {
					return
				}
			}
		}
	}
}

func (p *Policy) entriesOfPart(part *part) iter.Seq2[uint32, []byte] {
	return func(yield func(uint32, []byte) bool) {
		for at, entry := range part.all() {
			if _, dead := part.dead[at]; !dead && !yield(uint32(part.first)<<chunkBits+at, entry) {
				return
			}
		}
	}
}

// differing goes through the entries of one list that the list at index at of
// another policy may lack: not those of segments that both have.
func (p *Policy) differing(list int, other *Policy, at int) iter.Seq2[uint32, []byte] {
	return func(yield func(uint32, []byte) bool) {
		for _, part := range p.partsOf(list) {
			twin := other.twin(at, part)
			if twin == nil {
				for place, entry := range p.entriesOfPart(part) {
					if !yield(place, entry) {
						return
					}
				}
				continue
			}
			for place := range twin.dead {
				if _, dead := part.dead[place]; dead {
					continue
				}
				entry := part.chunks[place>>chunkBits][place&chunkMask:]
				if !yield(uint32(part.first)<<chunkBits+place, entry[:part.size(entry)]) {
					return
				}
			}
		}
	}
}

// twin is the part of a list that has the same segment, nil if there is none.
func (p *Policy) twin(list int, of *part) *part {
	for i := range p.parts {
		if int(p.parts[i].list) == list && p.parts[i].segment == of.segment {
			return &p.parts[i]
		}
	}
	return nil
}

// eachRule goes through the rules of an entry's octets.
func (s *segment) eachRule(entry []byte) iter.Seq[rule] {
	return func(yield func(rule) bool) {
		for all := s.rulesOf(entry); all.more; {
			if !yield(all.next()) {
				return
			}
		}
	}
}
