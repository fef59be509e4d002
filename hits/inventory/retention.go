package inventory

import (
	"context"
	"fmt"
)

// pruneRows is how many rows are looked at in one go.
const pruneRows = 4096

// prune removes what is older than a time: hits by whole hours, machines that were not seen
// since, addresses that they had before. What is left begins there.
func (f *feeder) prune(ctx context.Context, before Time) (err error) {
	if err := f.db.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	f.within = true
	defer func() {
		if err != nil {
			f.close()
			f.cursor = nil
		}
	}()
	cut := int64(before) / hour
	from := cut / spanHours
	for _, statement := range []string{"DELETE FROM activity WHERE id < ?", "DELETE FROM summary WHERE id < ?"} {
		if _, err := f.db.conn.ExecContext(ctx, statement, activityID(from, 0)); err != nil {
			return fault(err)
		}
	}
	if err := f.trimSpans(ctx, from, uint32(cut)); err != nil {
		return err
	}
	if err := f.sumAgain(ctx, from); err != nil {
		return err
	}
	if err := f.trimAddresses(ctx, Time(cut*hour)); err != nil {
		return err
	}
	for _, statement := range []string{
		"DELETE FROM machine WHERE last < ?",
		"UPDATE machine SET first = ?1 WHERE first < ?1",
		"UPDATE machine SET connected = 0 WHERE connected > 0 AND connected < ?",
		"UPDATE machine SET sent = 0 WHERE sent > 0 AND sent < ?",
		"UPDATE machine SET many_behind = 0 WHERE many_behind > 0 AND many_behind < ?",
	} {
		if _, err := f.db.conn.ExecContext(ctx, statement, cut*hour); err != nil {
			return fault(err)
		}
	}
	if err := f.db.exec(ctx, "DELETE FROM holder WHERE machine NOT IN (SELECT id FROM machine)"); err != nil {
		return err
	}
	if err := f.forget(ctx); err != nil {
		return err
	}
	if err := f.db.exec(ctx, "COMMIT"); err != nil {
		return err
	}
	f.within = false
	return nil
}

// trimSpans takes the hours before cut from the rows of a span.
func (f *feeder) trimSpans(ctx context.Context, number int64, cut uint32) error {
	return f.rewrite(ctx, "SELECT id, facts FROM activity WHERE id > ? AND id < "+fmt.Sprint(activityID(number+1, 0))+" ORDER BY id LIMIT ?",
		"UPDATE activity SET facts = ?2 WHERE id = ?1", activityID(number, 0), func(row []byte) ([]byte, bool, error) {
			var kept []fact
			all := 0
			err := eachFact(row, func(x fact) {
				if all++; x.hour >= cut {
					kept = append(kept, x)
				}
			})
			if err != nil {
				return nil, false, fmt.Errorf("%w: %w", errUnusable, err)
			}
			return appendFacts([]byte{}, kept), len(kept) < all, nil
		})
}

// trimAddresses forgets addresses that machines do not have any more since.
func (f *feeder) trimAddresses(ctx context.Context, since Time) error {
	return f.rewrite(ctx, "SELECT id, addresses FROM machine WHERE id > ? AND addresses != '' ORDER BY id LIMIT ?",
		"UPDATE machine SET addresses = CAST(?2 AS TEXT) WHERE id = ?1", 0, func(row []byte) ([]byte, bool, error) {
			all, err := decodeAddresses(string(row))
			if err != nil {
				return nil, false, fmt.Errorf("%w: %w", errUnusable, err)
			}
			changed := false
			kept := all[:0]
			for _, a := range all {
				if a.LastSeen < since {
					changed = true
					continue
				}
				if a.FirstSeen < since {
					a.FirstSeen, changed = since, true
				}
				kept = append(kept, a)
			}
			text, err := encodeAddresses(kept)
			return []byte(text), changed, err
		})
}

// rewrite goes over rows of an id and a value, by the id, and writes what fn changes.
func (f *feeder) rewrite(ctx context.Context, query, update string, after int64, fn func([]byte) ([]byte, bool, error)) error {
	type row struct {
		id    int64
		value []byte
	}
	for {
		rows, err := f.db.conn.QueryContext(ctx, query, after, pruneRows)
		if err != nil {
			return fault(err)
		}
		var some []row
		for rows.Next() {
			var r row
			if err = rows.Scan(&r.id, &r.value); err != nil {
				break
			}
			some = append(some, r)
		}
		rows.Close()
		if err == nil {
			err = rows.Err()
		}
		if err != nil || len(some) == 0 {
			return fault(err)
		}
		for _, r := range some {
			after = r.id
			value, changed, err := fn(r.value)
			if err != nil {
				return err
			}
			if !changed {
				continue
			}
			if _, err := f.db.conn.ExecContext(ctx, update, r.id, value); err != nil {
				return fault(err)
			}
		}
	}
}
