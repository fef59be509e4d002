package inventory

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
)

// blockBits is how many machines, as a power of 2, one row of the table summary is of: a view reads
// a row in the time in which it reads all that is in one.
const blockBits = 6

// matched is what a machine had of one match.
type matched struct {
	match       uint32
	first, last uint32 // hours
	hits        uint64
}

// block is a row of the table summary: for each of some machines what its row of activity comes
// to, nil for none. It is all that a view needs that takes in the span whole.
type block [1 << blockBits][]byte

// blockID is the row of a machine and span.
func blockID(span, machine int64) int64 { return activityID(span, machine>>blockBits) }

// set takes over the facts of a machine in a span.
func (b *block) set(span, machine int64, facts []fact) {
	b[machine&(1<<blockBits-1)] = appendSums(nil, span, facts)
}

// append is the row: for each machine its place, the octets of its sums, and these.
func (b *block) append(dst []byte) []byte {
	for place, sums := range b {
		if len(sums) > 0 {
			dst = append(dst, byte(place))
			dst = binary.AppendUvarint(dst, uint64(len(sums)))
			dst = append(dst, sums...)
		}
	}
	return dst
}

// read is the reverse of append. It holds on to the row.
func (b *block) read(row []byte) error {
	*b = block{}
	return eachSums(row, func(place int64, sums []byte) error {
		b[place] = sums
		return nil
	})
}

var errSums = errors.New("a row of its table summary cannot be read")

// eachSums visits the machines of a row, by their places.
func eachSums(row []byte, visit func(place int64, sums []byte) error) error {
	for len(row) > 0 {
		place := row[0]
		size, n := binary.Uvarint(row[1:])
		if place >= 1<<blockBits || n <= 0 || size > uint64(len(row)-1-n) {
			return errSums
		}
		row = row[1+n:]
		if err := visit(int64(place), row[:size]); err != nil {
			return err
		}
		row = row[size:]
	}
	return nil
}

// appendSums is for each match the match, the first hour in the span, the hours from it to the last,
// the hits; the earliest first.
func appendSums(dst []byte, span int64, facts []fact) []byte {
	var all []matched
	places := make(map[uint32]int)
	for _, f := range facts {
		i, found := places[f.match]
		if !found {
			i = len(all)
			places[f.match] = i
			all = append(all, matched{match: f.match, first: f.hour})
		}
		all[i].last = f.hour
		all[i].hits += uint64(f.hits)
	}
	for _, x := range all {
		dst = binary.AppendUvarint(dst, uint64(x.match))
		dst = binary.AppendUvarint(dst, uint64(int64(x.first)-span*spanHours))
		dst = binary.AppendUvarint(dst, uint64(x.last-x.first))
		dst = binary.AppendUvarint(dst, x.hits)
	}
	return dst
}

// eachSum reads the sums of a machine in a span.
func eachSum(sums []byte, span int64, fn func(matched)) error {
	for len(sums) > 0 {
		var v [4]uint64
		var ok bool
		if sums, ok = numbers(sums, v[:]); !ok {
			return errSums
		}
		first := uint32(uint64(span*spanHours) + v[1])
		fn(matched{match: uint32(v[0]), first: first, last: first + uint32(v[2]), hits: v[3]})
	}
	return nil
}

// writeSums brings the table summary up to spans, which come by their rows.
func (f *feeder) writeSums(ctx context.Context, spans []ownedSpan) error {
	var b block
	for len(spans) > 0 {
		number, id := spans[0].span.number, blockID(spans[0].span.number, spans[0].machine)
		var row []byte
		err := f.findBlock.QueryRowContext(ctx, id).Scan(&row)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fault(err)
		}
		if err := b.read(row); err != nil {
			return fmt.Errorf("%w: %w", errUnusable, err)
		}
		for len(spans) > 0 && blockID(spans[0].span.number, spans[0].machine) == id {
			b.set(number, spans[0].machine, spans[0].span.facts)
			spans = spans[1:]
		}
		if err := f.writeBlock(ctx, id, &b); err != nil {
			return err
		}
	}
	return nil
}

func (f *feeder) writeBlock(ctx context.Context, id int64, b *block) error {
	_, err := f.putBlock.ExecContext(ctx, id, b.append([]byte{}))
	return fault(err)
}

// sumAgain makes the rows of a span anew, of those of activity.
func (f *feeder) sumAgain(ctx context.Context, number int64) error {
	if _, err := f.db.conn.ExecContext(ctx, "DELETE FROM summary WHERE id >= ? AND id < ?", activityID(number, 0), activityID(number+1, 0)); err != nil {
		return fault(err)
	}
	var b block
	at := int64(-1)
	write := func() error {
		if at < 0 {
			return nil
		}
		return f.writeBlock(ctx, at, &b)
	}
	for after := activityID(number, 0) - 1; ; {
		spans, err := f.readSpans(ctx, number, after)
		if err != nil {
			return err
		}
		if len(spans) == 0 {
			return write()
		}
		for _, s := range spans {
			if id := blockID(number, s.machine); id != at {
				if err := write(); err != nil {
					return err
				}
				b, at = block{}, id
			}
			b.set(number, s.machine, s.span.facts)
		}
		after = spans[len(spans)-1].id()
	}
}

// readSpans are the next rows of a span.
func (f *feeder) readSpans(ctx context.Context, number, after int64) (some []ownedSpan, err error) {
	rows, err := f.db.conn.QueryContext(ctx, "SELECT id, facts FROM activity WHERE id > ? AND id < ? ORDER BY id LIMIT ?", after, activityID(number+1, 0), pruneRows)
	if err != nil {
		return nil, fault(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var row sql.RawBytes
		if err := rows.Scan(&id, &row); err != nil {
			return nil, fault(err)
		}
		s := &span{number: number}
		if err := eachFact(row, func(x fact) { s.facts = append(s.facts, x) }); err != nil {
			return nil, fmt.Errorf("%w: %w", errUnusable, err)
		}
		some = append(some, ownedSpan{id & (1<<32 - 1), s})
	}
	return some, fault(rows.Err())
}

// sums visits what machines, by their ids, had in a span.
func (r *Reader) sums(ctx context.Context, number int64, machines []*Machine, visit func(*Machine, []byte) error) error {
	if len(machines) == 0 {
		return nil
	}
	rows, err := r.db.conn.QueryContext(ctx, "SELECT id, sums FROM summary WHERE id >= ? AND id <= ? ORDER BY id",
		blockID(number, machines[0].id), blockID(number, machines[len(machines)-1].id))
	if err != nil {
		return err
	}
	defer rows.Close()
	var id int64
	var row sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&id, &row); err != nil {
			return err
		}
		first := id & (1<<32 - 1) << blockBits
		err := eachSums(row, func(place int64, sums []byte) error {
			for len(machines) > 0 && machines[0].id < first+place {
				machines = machines[1:]
			}
			if len(machines) == 0 || machines[0].id != first+place {
				return nil
			}
			return visit(machines[0], sums)
		})
		if err != nil {
			return err
		}
	}
	return rows.Err()
}
