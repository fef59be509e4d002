package blocklist

import (
	"encoding/csv"
	"iter"
	"net/netip"
	"strconv"
	"time"

	"sinkhole/blocklist/format"
)

// csvColumns are the columns of an export; those up to action are read by this
// program. Scripts depend on them: new ones go to the end.
func csvColumns() []string {
	return []string{"indicator", "type", "family", "confidence", "first_seen", "last_seen", "expires", "reference", "tlp", "action",
		"scope", "list", "file", "line", "version"}
}

// csv writes every entry behind what is enforced, those of one name in several
// lists too, and the exceptions from it, so that the export alone, read as a list,
// decides about every name and address as all lists together do. In one list the
// most specific name decides, in several the order of these and of their rules: so
// each row has the action that is in force there, and no row covers what its own
// decides nothing about.
func (x *exporter) csv() error {
	t := csvExport{exporter: x, out: csv.NewWriter(x.out)}
	if err := t.out.Write(csvColumns()); err != nil {
		return err
	}
	if err := x.eachName(t.name); err != nil {
		return err
	}
	if err := x.eachPrefix(&x.policy.answers, false, t.prefix); err != nil {
		return err
	}
	if n := int64(x.policy.clients.count); n > 0 {
		x.done.LeftOut["addresses of clients"] = n
	}
	t.out.Flush()
	return t.out.Error()
}

// csvExport writes the rows of one name or prefix after the other.
type csvExport struct {
	*exporter
	out     *csv.Writer
	first   []Indicator // of the rules that decide: a reader may take no more than some
	further []Indicator
}

func (x *csvExport) name(name []byte) error {
	at, below, above := x.at(name), x.below(name), ruling{}
	if at.decision == Allow || below.decision == Allow {
		above = x.above(name)
	}
	x.gather(x.policy.entriesOf(name), func(number uint64, i Indicator) {
		whole, deeper := format.Unstated, format.Unstated
		if covers(i.Scope, true) {
			whole = rowAction(&i, number, at, above)
		}
		if covers(i.Scope, false) {
			deeper = rowAction(&i, number, below, above)
		}
		decides := number == at.rule || number == below.rule
		if whole == format.LocalData || deeper == format.LocalData {
			x.leaveOut("answers of a list's own")
		}
		if whole == deeper {
			x.add(number, i, format.Subtree, whole, decides)
			return
		}
		x.add(number, i, format.Exact, whole, decides)
		x.add(number, i, format.Below, deeper, decides)
	})
	return x.write(format.ListableName(name), "names that a list cannot have: single labels, numbers and the like")
}

func (x *csvExport) prefix(prefix netip.Prefix, by, without ruling) error {
	x.gather(x.policy.answers.places(prefix), func(number uint64, i Indicator) {
		does := rowAction(&i, number, by, without)
		if does == format.LocalData {
			x.leaveOut("answers of a list's own")
		}
		x.add(number, i, i.Scope, does, number == by.rule)
	})
	return x.write(format.ListablePrefix(prefix), "prefixes that a list cannot have: too wide, or of loopback")
}

// gather calls fn with the rules of one trigger's entries that have not expired.
func (x *csvExport) gather(places iter.Seq[uint32], fn func(number uint64, i Indicator)) {
	x.first, x.further = x.first[:0], x.further[:0]
	for place := range places {
		part, entry := x.policy.entryAt(place)
		if !x.chosen[part.list] {
			continue
		}
		ordinal := 0
		for r := range part.eachRule(entry) {
			if !r.expired(&x.policy.lists[part.list], x.options.Now.Unix()) {
				fn(ruleNumber(place, ordinal), x.policy.indicator(part, entry, &r))
			}
			ordinal++
		}
	}
}

// rowAction is that of the row of a rule which covers what is decided by a ruling,
// LocalData where no row can say it, Unstated where none is needed: what is
// exempt has one row, unless what stands above exempts it already.
func rowAction(i *Indicator, number uint64, by, above ruling) format.Action {
	switch {
	case by.decision == Allow && above.decision != Allow && by.rule == number:
		return format.PassThru
	case by.decision != Enforce || i.Allow || i.Action == format.PassThru || i.Action == format.Log:
	case by.action != format.LocalData || by.rule == number:
		return by.action
	}
	return format.Unstated
}

// add puts a row aside.
func (x *csvExport) add(number uint64, i Indicator, scope format.Scope, does format.Action, decides bool) {
	if does == format.Unstated || does == format.LocalData {
		return
	}
	if list := x.policy.ListOf(number); decides && does == format.Sinkhole && (list.IPv4.Mode != SinkInherit || list.IPv6.Mode != SinkInherit) {
		x.leaveOut("sinkhole addresses of a list's own")
	}
	i.Scope, i.Action = scope, does
	if decides {
		x.first = append(x.first, i)
	} else {
		x.further = append(x.further, i)
	}
}

// write writes the rows of a name or prefix, if a list can have it.
func (x *csvExport) write(listable bool, otherwise string) error {
	if !listable && len(x.first)+len(x.further) > 0 {
		x.leaveOut(otherwise)
		return nil
	}
	for _, rows := range [...][]Indicator{x.first, x.further} {
		for i := range rows {
			if err := x.out.Write(cells(&rows[i])); err != nil {
				return err
			}
			x.done.Entries++
		}
	}
	return nil
}

func cells(i *Indicator) []string {
	value, kind, scope, confidence, line := i.Value(), "domain", "", "", ""
	switch {
	case i.Prefix.IsValid() && i.Prefix.Addr().Is4():
		kind = "ipv4"
	case i.Prefix.IsValid():
		kind = "ipv6"
	case i.Scope == format.Below:
		value, scope = "*."+value, "below"
	case i.Scope == format.Exact:
		scope = "exact"
	default:
		scope = "subtree"
	}
	if i.Confidence >= 0 {
		confidence = strconv.Itoa(i.Confidence)
	}
	if i.Line > 0 {
		line = strconv.Itoa(i.Line)
	}
	return []string{format.Cell(value), kind, format.Cell(i.Family), confidence, timeCell(i.FirstSeen), timeCell(i.LastSeen), timeCell(i.Expires),
		format.Cell(i.Reference), i.TLP, i.Action.String(), scope, format.Cell(i.List), format.Cell(i.File), line, i.Version}
}

func timeCell(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
