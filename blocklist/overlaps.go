package blocklist

import (
	"fmt"
	"net/netip"
)

// overlaps are clients of a group that stand in it twice or in groups before it.
type overlaps struct {
	group string
	own   int        // clients that it is the first to have
	twice repetition // in the group itself
	lost  repetition // in groups before it, as they are or within larger ones
	where string     // the group of the first of lost
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

// cover notes a prefix that is in a group before.
func (o *overlaps) cover(p netip.Prefix, group string) {
	if o.lost.add(p); o.lost.all == 1 {
		o.where = group
	}
}

func (o *overlaps) warnings() (all []string) {
	if o.twice.all > 0 {
		all = append(all, fmt.Sprintf("group %s: %s in it twice", o.group, o.twice.text()))
	}
	switch {
	case o.lost.all == 0:
	case o.own == 0:
		all = append(all, fmt.Sprintf("group %s never holds: all of its clients are in groups before it (%s in %s): put it before them, or leave it out",
			o.group, o.lost.prefix, o.where))
	case o.lost.all == 1:
		all = append(all, fmt.Sprintf("group %s: %s in group %s too, which is before it and holds", o.group, o.lost.text(), o.where))
	default:
		all = append(all, fmt.Sprintf("group %s: %s in groups before it too, the first in %s; these hold", o.group, o.lost.text(), o.where))
	}
	return all
}
