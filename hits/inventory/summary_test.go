package inventory

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// checkSums compares the table summary with the facts, both ways.
func checkSums(t *testing.T, path string) (some int) {
	t.Helper()
	db, err := openReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.close()
	want := map[int64]*block{}
	read := func(query string, row func(id int64, value []byte) error) {
		rows, err := db.conn.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var id int64
			var value []byte
			if err := rows.Scan(&id, &value); err != nil {
				t.Fatal(err)
			}
			if err := row(id, value); err != nil {
				t.Fatal(err)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	read("SELECT id, facts FROM activity", func(id int64, value []byte) error {
		number, machine := id>>32, id&(1<<32-1)
		var facts []fact
		err := eachFact(value, func(x fact) { facts = append(facts, x) })
		at := blockID(number, machine)
		if want[at] == nil {
			want[at] = new(block)
		}
		want[at].set(number, machine, facts)
		return err
	})
	read("SELECT id, sums FROM summary", func(id int64, value []byte) error {
		some++
		var got block
		err := got.read(value)
		if want[id] == nil || !bytes.Equal(got.append(nil), want[id].append(nil)) {
			t.Errorf("the sums of row %d are not those of the facts", id)
		}
		delete(want, id)
		return err
	})
	if len(want) > 0 {
		t.Errorf("%d rows have no sums", len(want))
	}
	return some
}

// The sums are those of the facts, fed in pieces and after hours were removed from within a span.
func TestSumsAreThoseOfTheFacts(t *testing.T) {
	lines := randomLines(t, rand.New(rand.NewPCG(5, 6)), 900)
	w := newWriter(t)
	o := options(t, w.dir)
	for len(lines) > 0 {
		n := min(300, len(lines))
		w.write(lines[:n]...)
		lines = lines[n:]
		feed(t, o)
		if checkSums(t, o.Path) == 0 {
			t.Fatal("no sums")
		}
	}
	count := func() (hits uint64) {
		r, err := OpenReader(t.Context(), o.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		all, err := r.Machines(t.Context(), Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			hits += m.Hits
		}
		return hits
	}
	before := count()
	x := New(o)
	if err := x.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := x.feeder.prune(t.Context(), timeOf(testTime.Add(40*time.Hour)))
	x.Close()
	if err != nil {
		t.Fatal(err)
	}
	if checkSums(t, o.Path) == 0 {
		t.Error("no sums")
	}
	if after := count(); after == 0 || after >= before {
		t.Errorf("%d hits of %d are left", after, before)
	}
}

// A damaged row is found out, wherever it ends and whatever stands in it.
func TestDamagedSums(t *testing.T) {
	var b block
	b.set(3, 5, []fact{{3 * spanHours, 300, 1}, {3*spanHours + 191, 1, 1 << 31}})
	b.set(3, 63, []fact{{3*spanHours + 7, 2, 9}})
	row := b.append(nil)
	read := func(row []byte) error {
		return eachSums(row, func(_ int64, sums []byte) error { return eachSum(sums, 3, func(matched) {}) })
	}
	if err := read(row); err != nil {
		t.Fatal(err)
	}
	whole := len(row) - len(b[63]) - 2 // the first machine's
	for n := 1; n < len(row); n++ {
		if err := read(row[:n]); (err == nil) != (n == whole) {
			t.Errorf("cut off after %d octets: %v", n, err)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		bad := bytes.Clone(row)
		for range 1 + r.IntN(4) {
			bad[r.IntN(len(bad))] = byte(r.Uint32())
		}
		if err := read(bad); err != nil && !errors.Is(err, errSums) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}
