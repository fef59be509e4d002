package inventory

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Change is how far a machine is: what of it may be news.
type Change struct {
	Key                 string // tells machines apart, also in an inventory that was made anew
	Evidence            string
	FirstSeen, LastSeen time.Time
	id                  int64
}

// Changes are the machines that were seen since a time, forwarders left out, the one seen first
// first.
func (r *Reader) Changes(ctx context.Context, since time.Time) (all []Change, err error) {
	ctx = context.WithoutCancel(ctx) // the driver waits for one at each row
	from := int64(0)
	if !since.IsZero() {
		from = int64(timeOf(since))
	}
	rows, err := r.db.conn.QueryContext(ctx, "SELECT id, key, first, last, connected, sent FROM machine WHERE last >= ? AND forwarder = 0 ORDER BY first, id", from)
	if err != nil {
		return nil, fault(err)
	}
	defer rows.Close()
	for rows.Next() {
		var c Change
		var first, last, connected, sent int64
		if err := rows.Scan(&c.id, &c.Key, &first, &last, &connected, &sent); err != nil {
			return nil, fault(err)
		}
		c.Evidence, c.FirstSeen, c.LastSeen = evidenceOf(connected, sent), time.Unix(0, first), time.Unix(0, last)
		all = append(all, c)
	}
	return all, fault(rows.Err())
}

// Describe is the machines of changes, in their order, with what they did since the hour that
// one of them was seen last in.
func (r *Reader) Describe(ctx context.Context, changes []Change, who WhoIs) ([]*Machine, error) {
	f := Filter{WhoIs: who, only: make(map[int64]int)}
	for i, c := range changes {
		f.only[c.id] = i
		if f.Since.IsZero() || c.LastSeen.Before(f.Since) {
			f.Since = c.LastSeen
		}
	}
	all, err := r.Machines(ctx, f)
	if err != nil {
		return nil, err
	}
	if len(all) != len(changes) {
		return nil, fmt.Errorf("found %d of %d machines: the inventory was changed meanwhile", len(all), len(changes))
	}
	slices.SortFunc(all, func(a, b *Machine) int { return f.only[a.id] - f.only[b.id] })
	return all, nil
}

func evidenceOf(connected, sent int64) string {
	switch {
	case sent > 0:
		return Sent
	case connected > 0:
		return Connected
	}
	return Queried
}
