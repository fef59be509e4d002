package inventory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Reader makes views of an inventory. It is for one goroutine.
type Reader struct {
	db      *database
	matches []*knownMatch // by their rows; nil: no such row
	known   int           // machines that were looked at for the last view
	names   []string      // of families, by their numbers
}

// knownMatch is a row of the table matched.
type knownMatch struct {
	rules      []match
	indicators []indicatorName // each once
	families   []string        // each once; one "" where there is none
	numbers    []int           // of families
	lists      []string        // each once
}

type indicatorName struct{ typ, name string }

// OpenReader opens an inventory for views alone; the server may write to it meanwhile.
func OpenReader(ctx context.Context, path string) (*Reader, error) {
	db, err := openReader(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("opening the inventory %s: %w", path, err)
	}
	return &Reader{db: db}, nil
}

// Close lets go of the file.
func (r *Reader) Close() { r.db.close() }

// chosen is machines, by their ids, of so many that were looked at.
type chosen struct {
	machines []*Machine
	of       int
}

// collect reads the machines that a filter is about, with their matches, by their ids.
//
// Without whole, what is only shown of a machine itself is left out; trends is counted in, if any
// are wanted.
func (r *Reader) collect(ctx context.Context, f Filter, whole, trends bool) ([]*Machine, *grid, error) {
	ctx = context.WithoutCancel(ctx)                // the driver waits for one at each row
	if err := r.db.exec(ctx, "BEGIN"); err != nil { // all is of one moment
		return nil, nil, err
	}
	defer r.db.rollback()
	if err := r.readMatches(ctx); err != nil {
		return nil, nil, err
	}
	some, err := r.machines(ctx, f, whole)
	if err != nil {
		return nil, nil, err
	}
	var g *grid
	if trends {
		g = newGrid(r.names)
	}
	if err := r.activities(ctx, f, some, g); err != nil {
		return nil, nil, err
	}
	return slices.DeleteFunc(some.machines, func(m *Machine) bool { return len(m.matched) == 0 }), g, nil
}

func (r *Reader) readMatches(ctx context.Context) error {
	r.matches, r.names = append(r.matches[:0], &knownMatch{families: []string{""}, numbers: []int{0}}), []string{""} // noMatch
	numbers := map[string]int{"": 0}
	rows, err := r.db.conn.QueryContext(ctx, "SELECT id, rules FROM matched ORDER BY id")
	if err != nil {
		return fault(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id uint32
		var rules string
		if err := rows.Scan(&id, &rules); err != nil {
			return fault(err)
		}
		k := &knownMatch{rules: parseMatches(rules)}
		for _, m := range k.rules {
			if name := (indicatorName{m.typ, m.name}); m.name != "" && !slices.Contains(k.indicators, name) {
				k.indicators = append(k.indicators, name)
			}
			k.families, k.lists = union(k.families, []string{m.family}), union(k.lists, []string{m.list})
		}
		if len(k.families) == 0 {
			k.families = []string{""}
		}
		for _, name := range k.families {
			n, found := numbers[name]
			if !found {
				n = len(r.names)
				numbers[name], r.names = n, append(r.names, name)
			}
			k.numbers = append(k.numbers, n)
		}
		for ; int64(len(r.matches)) < int64(id); r.matches = append(r.matches, nil) {
		}
		r.matches = append(r.matches, k)
	}
	return fault(rows.Err())
}

// lets tells whether hits of a match count.
func (f *Filter) lets(k *knownMatch) bool {
	return (f.Family == "" || slices.ContainsFunc(k.families, func(name string) bool { return strings.EqualFold(name, f.Family) })) &&
		(f.List == "" || slices.Contains(k.lists, f.List))
}

// hours are the first hour that counts, and the one after the last.
func (f *Filter) hours() (from, to uint32) {
	to = 1<<32 - 1
	if !f.Since.IsZero() {
		from = uint32(max(f.Since.Unix(), 0) / 3600)
	}
	if !f.Until.IsZero() {
		to = uint32(max(f.Until.Add(time.Hour-1).Unix(), 0) / 3600)
	}
	return from, to
}

// machines are those that a filter is about, by their ids, as far as the table machine tells.
func (r *Reader) machines(ctx context.Context, f Filter, whole bool) (some chosen, err error) {
	whole = whole || f.Client.IsValid()
	all, err := r.readMachines(ctx, f, whole)
	if err == nil && whole {
		err = r.readIdentities(ctx, all)
	}
	if err != nil {
		return some, err
	}
	r.known = len(all)
	return chosen{slices.DeleteFunc(all, func(m *Machine) bool { return !f.letsMachine(m) }), len(all)}, nil
}

// Bits of what is asked for in one column, since each costs the time of a row's facts.
const (
	isForwarder = 1 << iota
	isShared
	isConnected
	isSent
	isProven
	isManyBehind
)

const flagsColumn = "(forwarder != 0) + 2 * (shared != 0) + 4 * (connected > 0) + 8 * (sent > 0) + 16 * (proven != 0) + 32 * (many_behind > 0)"

func (r *Reader) readMachines(ctx context.Context, f Filter, whole bool) (all []*Machine, err error) {
	from, to := f.hours()
	columns := "id, " + flagsColumn
	if whole {
		columns += ", first, last, address"
	}
	rows, err := r.db.conn.QueryContext(ctx, "SELECT "+columns+
		" FROM machine WHERE last >= ? AND first < ? ORDER BY id", int64(from)*hour, min(int64(to), 1<<21)*hour)
	if err != nil {
		return nil, fault(err)
	}
	defer rows.Close()
	var room []Machine // made by the thousand
	for rows.Next() {
		if len(room) == 0 {
			room = make([]Machine, 1024)
		}
		m := &room[0]
		room = room[1:]
		var flags int64
		if whole {
			err = rows.Scan(&m.id, &flags, (*int64)(&m.FirstSeen), (*int64)(&m.LastSeen), &m.Address)
		} else {
			err = rows.Scan(&m.id, &flags)
		}
		if err != nil {
			return nil, fault(err)
		}
		m.Forwarder, m.Shared, m.SourceProven, m.ManyBehind = flags&isForwarder != 0, flags&isShared != 0, flags&isProven != 0, flags&isManyBehind != 0
		m.Evidence = evidenceOf(flags&isConnected, flags&isSent)
		all = append(all, m)
	}
	return all, fault(rows.Err())
}

// readIdentities adds what machines are known by beside their address. Most have nothing.
func (r *Reader) readIdentities(ctx context.Context, all []*Machine) error {
	rows, err := r.db.conn.QueryContext(ctx, "SELECT id, addresses, mac, cpe, device, via, subscriber FROM machine"+
		" WHERE addresses != '' OR mac != '' OR cpe != '' OR device != '' OR via != '' OR subscriber != '' ORDER BY id")
	if err != nil {
		return fault(err)
	}
	defer rows.Close()
	for len(all) > 0 && rows.Next() {
		var x Machine
		var addresses string
		if err := rows.Scan(&x.id, &addresses, &x.MAC, &x.CPE, &x.Device, &x.Via, &x.Subscriber); err != nil {
			return fault(err)
		}
		for len(all) > 0 && all[0].id < x.id {
			all = all[1:]
		}
		if len(all) == 0 || all[0].id != x.id {
			continue
		}
		m := all[0]
		m.MAC, m.CPE, m.Device, m.Via, m.Subscriber, m.BySubscriber = x.MAC, x.CPE, x.Device, x.Via, x.Subscriber, x.Subscriber != ""
		if m.Addresses, err = decodeAddresses(addresses); err != nil {
			return fmt.Errorf("%w: %w", errUnusable, err)
		}
	}
	return fault(rows.Err())
}

func (f *Filter) letsMachine(m *Machine) bool {
	if _, ok := f.only[m.id]; f.only != nil && !ok {
		return false
	}
	if f.Evidence == Connected && m.Evidence == Queried || f.Evidence == Sent && m.Evidence != Sent {
		return false
	}
	if !f.Client.IsValid() {
		return true
	}
	in := func(text string) bool {
		a, err := netip.ParseAddr(text)
		return err == nil && f.Client.Contains(a)
	}
	return in(m.Address) || slices.ContainsFunc(m.Addresses, func(a Address) bool { return in(a.Address) })
}

// activities gives the machines their matches in the hours that count. Spans of which all hours do
// are read by their sums. trends, unless it is nil, gets the facts.
func (r *Reader) activities(ctx context.Context, f Filter, some chosen, trends *grid) error {
	spans, err := r.spans(ctx, f)
	if err != nil {
		return err
	}
	a := &activity{r: r, f: f, lets: r.lets(f), trends: trends}
	a.from, a.to = f.hours()
	for _, number := range spans {
		err := a.read(ctx, number, some)
		switch {
		case errors.Is(err, errFacts) || errors.Is(err, errSums):
			return fmt.Errorf("%w: %w", errUnusable, err)
		case err != nil:
			return fault(err)
		}
	}
	return nil
}

// activity counts what machines did.
type activity struct {
	r        *Reader
	f        Filter
	from, to uint32 // hours
	lets     []bool // by match
	trends   *grid

	m      *Machine // whose row is read
	summed bool     // the sums of the span were counted
}

// fewOf is how many machines fewer than all there are where looking up the row of each is
// faster than going over all rows.
const fewOf = 16

func (a *activity) read(ctx context.Context, number int64, some chosen) error {
	begin := number * spanHours
	a.summed = int64(a.from) <= begin && begin+spanHours <= int64(a.to)
	if a.summed {
		err := a.r.sums(ctx, number, some.machines, func(m *Machine, sums []byte) error {
			a.m = m
			return eachSum(sums, number, a.match)
		})
		if err != nil || !a.f.Hours && a.trends == nil {
			return err
		}
	}
	if a.trends != nil {
		a.trends.turnTo(number)
	}
	rows := a.r.allRows
	if len(some.machines) < some.of/fewOf {
		rows = a.r.rowsOf
	}
	return rows(ctx, number, some.machines, func(m *Machine, row []byte) error {
		a.m = m
		return eachFact(row, a.fact)
	})
}

func (a *activity) match(x matched) {
	if int(x.match) < len(a.lets) && a.lets[x.match] {
		a.m.count(x)
	}
}

func (a *activity) fact(x fact) {
	if x.hour < a.from || x.hour >= a.to || int(x.match) >= len(a.lets) || !a.lets[x.match] {
		return
	}
	if !a.summed {
		a.m.count(matched{x.match, x.hour, x.hour, uint64(x.hits)})
	}
	if a.f.Hours {
		a.m.countHour(x)
	}
	if a.trends != nil {
		a.trends.count(x, a.r.matches[x.match])
	}
}

// lets tells of each match whether its hits count.
func (r *Reader) lets(f Filter) []bool {
	lets := make([]bool, len(r.matches))
	for id, k := range r.matches {
		lets[id] = k != nil && f.lets(k)
	}
	return lets
}

// spans are those that have rows, and hours that count.
func (r *Reader) spans(ctx context.Context, f Filter) (all []int64, err error) {
	from, to := f.hours()
	next, end := int64(from)/spanHours, min((int64(to)+spanHours-1)/spanHours, 1<<30)
	for next < end {
		var id int64
		err := r.db.conn.QueryRowContext(ctx, "SELECT id FROM activity WHERE id >= ? ORDER BY id LIMIT 1", activityID(next, 0)).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err != nil {
			return nil, fault(err)
		}
		if next = id >> 32; next < end {
			all = append(all, next)
		}
		next++
	}
	return all, nil
}

// allRows goes over all rows of a span, which come as the machines do, by the id.
func (r *Reader) allRows(ctx context.Context, number int64, machines []*Machine, visit func(*Machine, []byte) error) error {
	rows, err := r.db.conn.QueryContext(ctx, "SELECT id, facts FROM activity WHERE id >= ? AND id < ? ORDER BY id", activityID(number, 0), activityID(number+1, 0))
	if err != nil {
		return err
	}
	defer rows.Close()
	var id int64
	var row sql.RawBytes
	for len(machines) > 0 && rows.Next() {
		if err := rows.Scan(&id, &row); err != nil {
			return err
		}
		id &= 1<<32 - 1
		for len(machines) > 0 && machines[0].id < id {
			machines = machines[1:]
		}
		if len(machines) == 0 || machines[0].id != id {
			continue
		}
		if err := visit(machines[0], row); err != nil {
			return err
		}
	}
	return rows.Err()
}

// rowsOf looks up the row of each machine in a span.
func (r *Reader) rowsOf(ctx context.Context, number int64, machines []*Machine, visit func(*Machine, []byte) error) error {
	find, err := r.db.conn.PrepareContext(ctx, "SELECT facts FROM activity WHERE id = ?")
	if err != nil {
		return err
	}
	defer func() { _ = find.Close() }()
	for _, m := range machines {
		var row []byte
		err := find.QueryRowContext(ctx, activityID(number, m.id)).Scan(&row)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err == nil {
			err = visit(m, row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// count takes in what a machine had of a match, the earliest first.
func (m *Machine) count(x matched) {
	m.Hits += x.hits
	i := m.find(x.match)
	if i < 0 {
		if m.places != nil {
			m.places[x.match] = len(m.matched)
		}
		m.matched = append(m.matched, x)
		return
	}
	m.matched[i].last = x.last
	m.matched[i].hits += x.hits
}

// countHour takes in a fact by its hour. Those of a machine come by the hour.
func (m *Machine) countHour(x fact) {
	hits := uint64(x.hits)
	at := Time(int64(x.hour) * hour)
	if n := len(m.Hours); n > 0 && m.Hours[n-1].Hour == at {
		m.Hours[n-1].Hits += hits
	} else {
		m.Hours = append(m.Hours, HourCount{at, hits})
	}
}

// fewMatches are found faster one by one than in a map.
const fewMatches = 32

// find is the place of a match among those of a machine; -1 for none.
func (m *Machine) find(match uint32) int {
	if len(m.matched) < fewMatches {
		return slices.IndexFunc(m.matched, func(o matched) bool { return o.match == match })
	}
	if m.places == nil {
		m.places = make(map[uint32]int)
		for i, o := range m.matched {
			m.places[o.match] = i
		}
	}
	if i, ok := m.places[match]; ok {
		return i
	}
	return -1
}

// ReadTo is the time of the latest record that the inventory has.
func (r *Reader) ReadTo(ctx context.Context) (time.Time, error) {
	var at int64
	if err := r.db.conn.QueryRowContext(ctx, "SELECT read_to FROM progress").Scan(&at); err != nil {
		return time.Time{}, fault(err)
	}
	return time.Unix(0, at), nil
}

// ReadJournal makes views of a journal itself, in memory: without an inventory, or of the hits
// from one source port alone, which an inventory does not have. port 0 is every port.
func ReadJournal(ctx context.Context, o Options, port uint16) (*Reader, error) {
	o.Path = memoryPath
	x := New(o)
	if err := x.open(ctx); err != nil {
		return nil, err
	}
	if port != 0 {
		x.feeder.only = func(l *line) bool { return l.hasPort(port) }
	}
	if err := x.CatchUp(ctx); err != nil {
		x.Close()
		return nil, err
	}
	x.feeder.close()
	return &Reader{db: x.feeder.db}, nil
}
