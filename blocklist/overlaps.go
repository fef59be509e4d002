package blocklist

import (
	"fmt"
	"net/netip"
)

// overlaps are clients of a group that stand in it twice or in groups before it.
type overlaps struct {
	group string
	own   int          // clients that it is the first to have
	all   int          // clients that are in groups before it
	first netip.Prefix // of them
	twice repetition   // in the group itself
	again repetition   // the same prefix in a group before it
	where string       // the group of first
	which string       // the group of the first of again
}

// repetition counts prefixes, and keeps the first.
type repetition struct {
	prefix netip.Prefix
	all    int
}

func (r *repetition) add(p netip.Prefix) {
	if r.all++; r.all == 1 {
		r.prefix = p
	}
}

func (r *repetition) text() string {
	if r.all == 1 {
		return fmt.Sprintf("%s stands", r.prefix)
	}
	return fmt.Sprintf("%s and %d more stand", r.prefix, r.all-1)
}

// cover notes a prefix that is in a group before; same: as that very prefix.
func (o *overlaps) cover(p netip.Prefix, group string, same bool) {
	if o.all++; o.all == 1 {
		o.first, o.where = p, group
	}
	if same {
		if o.again.add(p); o.again.all == 1 {
			o.which = group
		}
	}
}

func (o *overlaps) warnings() (all []string) {
	if o.twice.all > 0 {
		all = append(all, fmt.Sprintf("group %s: %s in it twice", o.group, o.twice.text()))
	}
	switch {
	case o.all == 0:
	case o.own == 0:
		all = append(all, fmt.Sprintf("group %s never holds: all of its clients are in groups before it (%s in %s): put it before them, or leave it out",
			o.group, o.first, o.where))
	case o.again.all == 1:
		all = append(all, fmt.Sprintf("group %s: %s in group %s too, which is before it and holds", o.group, o.again.text(), o.which))
	case o.again.all > 1:
		all = append(all, fmt.Sprintf("group %s: %s in groups before it too, the first in %s; these hold", o.group, o.again.text(), o.which))
	}
	return all
}
