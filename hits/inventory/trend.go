package inventory

import (
	"cmp"
	"context"
	"slices"
)

// Trend is the hits of a family, "" for those of none, by the hour.
type Trend struct {
	Family string      `json:"family"`
	Hits   uint64      `json:"hits"`
	Hours  []HourCount `json:"hours"` // those with hits, the earliest first
}

// Trends are the families' hits that the filter lets through, by the hour, the family of most
// hits first. A hit of two families counts in both; those of forwarders count too.
func (r *Reader) Trends(ctx context.Context, f Filter) ([]*Trend, error) {
	f.Hours = false
	type cell struct {
		family string
		hour   uint32
	}
	cells := make(map[cell]uint64)
	err := r.eachHour(ctx, f, func(x fact, of *knownMatch) {
		for _, family := range of.families {
			cells[cell{family, x.hour}] += uint64(x.hits)
		}
	})
	if err != nil {
		return nil, err
	}
	found := make(map[string]*Trend)
	for c, hits := range cells {
		t := found[c.family]
		if t == nil {
			t = &Trend{Family: c.family}
			found[c.family] = t
		}
		t.Hits += hits
		t.Hours = append(t.Hours, HourCount{Time(int64(c.hour) * hour), hits})
	}
	all := make([]*Trend, 0, len(found))
	for _, t := range found {
		slices.SortFunc(t.Hours, func(a, b HourCount) int { return cmp.Compare(a.Hour, b.Hour) })
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *Trend) int {
		return cmp.Or(cmp.Compare(b.Hits, a.Hits), cmp.Compare(a.Family, b.Family))
	})
	if f.Limit > 0 {
		all = all[:min(len(all), f.Limit)]
	}
	return all, nil
}

// eachHour visits the facts that the filter lets through.
func (r *Reader) eachHour(ctx context.Context, f Filter, visit func(fact, *knownMatch)) error {
	ctx = context.WithoutCancel(ctx)
	if err := r.db.exec(ctx, "BEGIN"); err != nil { // all is of one moment
		return err
	}
	defer r.db.rollback()
	if err := r.readMatches(ctx); err != nil {
		return err
	}
	some, err := r.machines(ctx, f, false)
	if err != nil {
		return err
	}
	return r.facts(ctx, f, some, func(x fact) { visit(x, r.matches[x.match]) })
}
