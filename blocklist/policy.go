// Package blocklist turns threat lists into policy: indicators from files are
// merged, compiled into an immutable [Policy] and swapped in while queries go
// on. A query takes the policy once and uses it to its end.
package blocklist

import (
	"net/netip"
	"time"

	"sinkhole/blocklist/format"
)

// Policy is the compiled content of all lists. It never changes once made, so
// any number of goroutines may read it; [Lists.Policy] gives the one in force.
type Policy struct {
	serial  uint64
	lists   []List
	files   []file
	names   nameSet
	answers prefixSet // response-IP triggers
	clients prefixSet // client-IP triggers
	rules   []rule    // grouped by entry, within an entry by list, file and line
	live    int       // rules without gaps
	tables
}

// List is one list of a policy, and what its operator configured for it.
type List struct {
	Name    string
	Allow   bool // a match exempts the query from every list
	Action  format.Action
	IPv4    Sink
	IPv6    Sink
	EDE     uint16 // the list's own extended DNS error code; 0: by the answer
	Version string // "sha256:..." of its file, or over the digests of its files
}

// Sink is a sinkhole address as configured for one address family.
type Sink struct {
	Mode SinkMode
	Addr netip.Addr // for SinkAddress
}

// SinkMode says where a sinkhole address comes from.
type SinkMode uint8

const (
	SinkInherit SinkMode = iota // what the server's configuration says
	SinkNone                    // no address of this family: NODATA
	SinkAuto                    // the address that the client asked
	SinkAddress                 // Sink.Addr
)

// Serial numbers the policies of one process, from 1 on. An answer found clean
// under a serial is clean as long as the serial stands.
func (p *Policy) Serial() uint64 { return p.serial }

// Indicators is the number of distinct triggers of all lists, allow included.
func (p *Policy) Indicators() int {
	return p.names.count + len(p.answers.entries) + len(p.clients.entries)
}

// Rules is the number of list entries behind the indicators.
func (p *Policy) Rules() int { return p.live }

// ListOf returns the list that a rule stands in.
func (p *Policy) ListOf(rule uint32) *List {
	return &p.lists[p.files[p.rules[rule].file].list]
}

// Indicator describes one rule as its list states it. It allocates.
func (p *Policy) Indicator(rule uint32) Indicator {
	r := &p.rules[rule]
	d := &p.details[r.detail]
	f := &p.files[r.file]
	list := &p.lists[f.list]
	i := Indicator{
		Trigger: r.kind.trigger(), Action: r.action,
		List: list.Name, Allow: list.Allow, Version: f.version, File: f.name, Line: int(r.line),
		Family: p.labels[d.family], Reference: p.strings[d.reference], TLP: p.labels[d.tlp], Confidence: int(d.confidence),
		FirstSeen: timeOf(d.firstSeen), LastSeen: timeOf(d.lastSeen), Expires: timeOf(d.expires),
	}
	switch i.Trigger {
	case format.QName:
		i.Name, i.Scope = format.Text(p.names.name(r.entry)), format.Scope(r.kind)
	case format.ResponseIP:
		i.Prefix = p.answers.entries[r.entry].prefix
	case format.ClientIP:
		i.Prefix = p.clients.entries[r.entry].prefix
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
func (p *Policy) Family(rule uint32) string {
	return p.labels[p.details[p.rules[rule].detail].family]
}

// LocalData calls fn with each record that RPZ local data gives for the
// deciding rule: uncompressed wire form, the root name as owner. The records
// belong to the policy.
func (p *Policy) LocalData(rule uint32, fn func(rr []byte)) {
	r := &p.rules[rule]
	first, n := p.group(r)
	for i := first; i < first+n; i++ {
		o := &p.rules[i]
		if o.action == format.LocalData && o.kind == r.kind && p.files[o.file].list == p.files[r.file].list {
			fn(p.data[p.details[o.detail].data])
		}
	}
}

// group is the run of rules that stand on the same entry as r.
func (p *Policy) group(r *rule) (first, n uint32) {
	switch r.kind {
	case kindResponseIP:
		e := &p.answers.entries[r.entry]
		return e.first, e.n
	case kindClientIP:
		e := &p.clients.entries[r.entry]
		return e.first, e.n
	}
	return p.names.rules(r.entry)
}
