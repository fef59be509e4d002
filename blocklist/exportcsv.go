package blocklist

import (
	"encoding/csv"
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
// lists too.
func (x *exporter) csv() error {
	w := csv.NewWriter(x.out)
	if err := w.Write(csvColumns()); err != nil {
		return err
	}
	err := x.eachName(func(name []byte) error {
		at, below := x.at(name).decision == Enforce, x.below(name).decision == Enforce
		for place := range x.policy.entriesOf(name) {
			if err := x.rows(w, place, func(s format.Scope) bool { return at && covers(s, true) || below && covers(s, false) }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = x.eachPrefix(&x.policy.answers, false, func(prefix netip.Prefix, by, _ ruling) error {
		for place := range x.policy.answers.places(prefix) {
			if err := x.rows(w, place, func(format.Scope) bool { return by.decision == Enforce }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n := int64(x.policy.clients.count); n > 0 {
		x.done.LeftOut["addresses of clients"] = n
	}
	w.Flush()
	return w.Error()
}

// rows writes the rules of an entry that are in force.
func (x *exporter) rows(w *csv.Writer, place uint32, enforced func(format.Scope) bool) error {
	part, entry := x.policy.entryAt(place)
	if !x.chosen[part.list] || x.policy.lists[part.list].Allow {
		return nil
	}
	for r := range part.eachRule(entry) {
		i := x.policy.indicator(part, entry, &r)
		switch {
		case !enforced(r.scope), i.Action == format.Log, i.Action == format.PassThru:
			continue
		case !i.Expires.IsZero() && !x.options.Now.Before(i.Expires):
			continue
		case i.Action == format.LocalData:
			x.leaveOut("answers of a list's own")
			continue
		}
		if err := w.Write(cells(&i)); err != nil {
			return err
		}
		x.done.Entries++
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
	return []string{value, kind, i.Family, confidence, timeCell(i.FirstSeen), timeCell(i.LastSeen), timeCell(i.Expires), i.Reference, i.TLP,
		i.Action.String(), scope, i.List, i.File, line, i.Version}
}

func timeCell(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
