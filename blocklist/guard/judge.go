package guard

import (
	"bytes"

	"sinkhole/blocklist/format"
)

// relation says how an entry meets what is protected.
type relation uint8

const (
	same  relation = iota // the entry is the protected name
	above                 // it stands above it and covers it
	below                 // it stands below a name protected with all below it
	host                  // it is the host of a URL on it
	in                    // it is a part of arpa that stands for too much
)

// meeting is an entry that meets something protected.
type meeting struct {
	mark
	relation relation
	name     []byte // what is protected
}

// stronger keeps the meeting with the stronger source.
func (m *meeting) stronger(other meeting) {
	if other.is() && (!m.is() || other.source < m.source) {
		*m = other
	}
}

func (g *Guard) judgeName(i *format.Indicator) Finding {
	var met meeting
	if e := g.names.find(i.Name); e != nil {
		met.stronger(meeting{e.self, same, i.Name})
		if i.Scope != format.Exact && e.below != 0 {
			first := &g.names.entries[e.below-1]
			met.stronger(meeting{first.self, above, g.names.name(first)})
		}
	}
	g.trees.above(i.Name, func(e *entry, name []byte) { met.stronger(meeting{e.self, below, name}) })
	if i.FromURL && bytes.HasPrefix(i.Name, []byte("\x03www")) {
		name := parent(i.Name)
		if e := g.names.find(name); e != nil {
			met.stronger(meeting{e.self, host, name})
		}
	}
	if g.isEssentialArpa(i) {
		met.stronger(meeting{mark{source: g.arpa}, in, i.Name})
	}
	root := len(i.Name) == 1
	switch {
	case root && g.suffixes:
		return rootFinding()
	case met.is():
		return g.finding(i, met)
	case !root && g.suffixes && len(parent(i.Name)) == 1:
		// The prevailing rule of the Public Suffix List is "*".
		return topLevelFinding(i)
	}
	return Finding{}
}
