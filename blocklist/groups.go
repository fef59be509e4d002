package blocklist

import (
	"math"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// Group is a set of clients with lists of their own. Of several groups that a
// client is in, the first holds; a client in none has all lists.
type Group struct {
	Name    string
	Clients []netip.Prefix
	Files   []string // of further clients
	Lists   []string // names; empty: all. Allow lists hold for every group
	Mode    GroupMode
}

// GroupMode is what is done about the clients of a group.
type GroupMode uint8

const (
	GroupEnforce GroupMode = iota
	GroupObserve           // they get true answers, their matches are hits
	GroupOff               // nothing is judged or recorded
)

// groups find the group of a client. Number 0 is that of clients in none.
type groups struct {
	all      []group
	table    *bart.Table[uint16] // nil without groups
	warnings []string
}

type group struct {
	Group
	lists []uint64 // bit of each list of the policy that holds; nil: all
}

func newGroups(specs []Group) groups {
	if len(specs) == 0 {
		return groups{}
	}
	g := groups{all: make([]group, 1, 1+len(specs)), table: &bart.Table[uint16]{}}
	for _, spec := range specs[:min(len(specs), math.MaxUint16-1)] {
		g.add(spec)
	}
	return g
}

func (g *groups) add(spec Group) {
	number := uint16(len(g.all))
	clients := spec.Clients
	spec.Clients = nil // the table has them
	g.all = append(g.all, group{Group: spec})
	overlap := overlaps{group: spec.Name}
	for _, prefix := range clients {
		prefix = prefix.Masked()
		// What is covered by an earlier group stays there; what of a later group
		// covers more than an earlier one leaves that its part.
		owner, covered := g.table.LookupPrefix(prefix)
		if !covered {
			g.table.Insert(prefix, number)
			overlap.own++
			continue
		}
		if owner != number {
			overlap.cover(prefix, g.all[owner].Name)
		} else if _, same := g.table.Get(prefix); same {
			overlap.twice.add(prefix)
		}
	}
	g.warnings = append(g.warnings, overlap.warnings()...)
}

// clients is how many prefixes the groups have, without those that are covered.
func (g *groups) clients() int {
	if g.table == nil {
		return 0
	}
	return g.table.Size()
}

// regrouped is the policy with other groups. They share all the rest.
func (p *Policy) regrouped(serial uint64, g groups) *Policy {
	next := *p
	next.serial, next.groups = serial, g
	next.groups.resolve(next.lists)
	return &next
}

// resolve finds the lists of the groups among those of a policy. The groups of
// another policy stay as they are.
func (g *groups) resolve(lists []List) {
	g.all = slices.Clone(g.all)
	for i := range g.all {
		group := &g.all[i]
		group.lists = nil
		if len(group.Lists) == 0 {
			continue
		}
		group.lists = make([]uint64, len(lists)/64+1)
		for at, list := range lists {
			if list.Allow || slices.Contains(group.Lists, list.Name) {
				group.lists[at/64] |= 1 << (at % 64)
			}
		}
	}
}

// of is the number of a client's group.
func (g *groups) of(client netip.Addr) uint16 {
	if g.table == nil {
		return 0
	}
	number, _ := g.table.Lookup(client)
	return number
}

func (g *groups) mode(number uint16) GroupMode {
	if number == 0 {
		return GroupEnforce
	}
	return g.all[number].Mode
}

// lists are those that hold for a group; nil: all.
func (g *groups) lists(number uint16) []uint64 {
	if number == 0 {
		return nil
	}
	return g.all[number].lists
}

// GroupName is the name of the group that the client of a verdict is in, "" for
// none.
func (p *Policy) GroupName(v *Verdict) string {
	if v.Group == 0 {
		return ""
	}
	return p.groups.all[v.Group].Name
}

// A mark says of an answer for which groups it was found clean under which
// policy: the lower half of the policy's serial, and a bit for each of the first
// markedGroups.
const markedGroups = 32

// IsClean tells whether a mark says that the answer is clean for the client of
// a verdict under this policy. The zero mark says nothing.
func (p *Policy) IsClean(mark uint64, v *Verdict) bool {
	return uint32(mark>>32) == uint32(p.serial) && v.Group < markedGroups && mark>>v.Group&1 != 0
}

// Clean adds to a mark that the answer was found clean for the client of a
// verdict. What the mark says of another policy is dropped.
func (p *Policy) Clean(mark uint64, v *Verdict) uint64 {
	if uint32(mark>>32) != uint32(p.serial) {
		mark = uint64(uint32(p.serial)) << 32
	}
	if v.Group < markedGroups {
		mark |= 1 << v.Group
	}
	return mark
}
