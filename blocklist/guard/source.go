package guard

import (
	"fmt"

	"sinkhole/blocklist/format"
)

// sourceID numbers the sources from 1, the stronger the smaller; 0 is none.
type sourceID uint16

// source is a place that names what is protected, with what it makes of an
// entry that would block it.
type source struct {
	outcome Outcome
	kind    Kind
	// what the names of the source are, as in "a public suffix"
	what string
	// file is the path of an operator's file, empty for what is built in.
	file string
}

func (g *Guard) source(id sourceID) source { return g.sources[id-1] }

// finding words what an entry meets.
func (g *Guard) finding(i *format.Indicator, met meeting) Finding {
	s := g.source(met.source)
	entry, name := Entry(i), format.Text(met.name)
	what := s.what
	if s.file != "" {
		what += fmt.Sprintf(" (%s:%d)", s.file, met.line)
	}
	f := Finding{Outcome: s.outcome, Kind: s.kind}
	var found string
	switch met.relation {
	case same:
		found = fmt.Sprintf("%s is %s", name, what)
	case above:
		found = fmt.Sprintf("%s stands above %s, %s, and would block it", entry, name, what)
	case below:
		found = fmt.Sprintf("%s stands below %s, %s together with all names below it", entry, name, what)
	case host:
		found = fmt.Sprintf("%s belongs to %s, %s", entry, name, what)
	case in:
		found = fmt.Sprintf("%s is %s, and stands for more than the names of a public /%d or, of IPv6, /%d", entry, what, widestReverseIPv4, widestReverseIPv6)
	}
	if i.FromURL {
		f.Outcome = Refuse
		f.Reason = found + ", and the entry is a URL of which only the path is bad" + orApprove
		return f
	}
	f.Reason = found + advice(s)
	return f
}

// Each refusal ends in what else can be done: an operator can overrule it.
const (
	orApprove = "; approve the entry if it is meant"
	listNames = "; list the full names below it that are meant, or approve the entry"
)

func advice(s source) string {
	switch {
	case s.outcome == Hold, s.kind == Essential:
		return orApprove
	case s.kind == Protected:
		return "; take it out of that file or approve the entry if it is meant"
	}
	return listNames
}

func topLevelFinding(i *format.Indicator) Finding {
	return Finding{Refuse, PublicSuffix, Entry(i) + " is a single label, which would block a whole top-level domain" + listNames}
}

func rootFinding() Finding {
	return Finding{Refuse, PublicSuffix, "this entry is the root, which covers every name" + orApprove}
}

// Entry is how an operator writes the entry to approve it: a name, "*.name"
// where only what is below is meant, a prefix, an address.
func Entry(i *format.Indicator) string {
	switch {
	case i.Trigger != format.QName:
		if i.Prefix.IsSingleIP() {
			return i.Prefix.Addr().String()
		}
		return i.Prefix.String()
	case i.Scope == format.Below && len(i.Name) > 1:
		return "*." + format.Text(i.Name)
	}
	return format.Text(i.Name)
}
