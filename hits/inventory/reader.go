package inventory

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Reader makes views of an inventory. It is for one goroutine.
type Reader struct {
	db      *database
	matches map[uint32]*knownMatch
}

// knownMatch is a row of the table matched.
type knownMatch struct {
	rules      []match
	indicators []indicatorName // each once
	families   []string        // each once; one "" where there is none
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

// collect reads the machines that a filter is about, with their matches.
//
// Without whole, what is only shown of a machine itself is left out.
func (r *Reader) collect(ctx context.Context, f Filter, whole bool) (all []*Machine, err error) {
	ctx = context.WithoutCancel(ctx)                // the driver waits for one at each row
	if err := r.db.exec(ctx, "BEGIN"); err != nil { // all is of one moment
		return nil, err
	}
	defer r.db.rollback()
	if err := r.readMatches(ctx); err != nil {
		return nil, err
	}
	machines, err := r.machines(ctx, f, whole)
	if err != nil {
		return nil, err
	}
	if err := r.activities(ctx, f, machines); err != nil {
		return nil, err
	}
	for _, m := range machines {
		if len(m.matched) > 0 {
			all = append(all, m)
		}
	}
	// Whatever is made of them comes out the same each time.
	slices.SortFunc(all, func(a, b *Machine) int { return int(a.id - b.id) })
	return all, nil
}

func (r *Reader) readMatches(ctx context.Context) error {
	r.matches = map[uint32]*knownMatch{noMatch: {families: []string{""}}}
	rows, err := r.db.conn.QueryContext(ctx, "SELECT id, rules FROM matched")
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
		r.matches[id] = k
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

func (r *Reader) machines(ctx context.Context, f Filter, whole bool) (map[int64]*Machine, error) {
	from, to := f.hours()
	columns := "id, forwarder, shared, connected, sent"
	if whole || f.Client.IsValid() {
		columns += ", address, addresses, mac, cpe, device, via, proven, first, last, many_behind, subscriber"
	}
	rows, err := r.db.conn.QueryContext(ctx, "SELECT "+columns+
		" FROM machine WHERE last >= ? AND first < ?", int64(from)*hour, min(int64(to), 1<<21)*hour)
	if err != nil {
		return nil, fault(err)
	}
	defer rows.Close()
	all := make(map[int64]*Machine, 1<<12)
	var room []Machine // made by the thousand
	for rows.Next() {
		if len(room) == 0 {
			room = make([]Machine, 1024)
		}
		m := &room[0]
		room = room[1:]
		var connected, sent, many int64
		var addresses string
		into := []any{&m.id, &m.Forwarder, &m.Shared, &connected, &sent}
		if whole || f.Client.IsValid() {
			into = append(into, &m.Address, &addresses, &m.MAC, &m.CPE, &m.Device, &m.Via, &m.SourceProven, (*int64)(&m.FirstSeen), (*int64)(&m.LastSeen), &many, &m.Subscriber)
		}
		if err := rows.Scan(into...); err != nil {
			return nil, fault(err)
		}
		m.Evidence, m.ManyBehind, m.BySubscriber = evidenceOf(connected, sent), many > 0, m.Subscriber != ""
		if m.Addresses, err = decodeAddresses(addresses); err != nil {
			return nil, fmt.Errorf("%w: %w", errUnusable, err)
		}
		if f.letsMachine(m) {
			all[m.id] = m
		}
	}
	return all, fault(rows.Err())
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

// activities gives the machines their matches in the hours that count.
func (r *Reader) activities(ctx context.Context, f Filter, machines map[int64]*Machine) error {
	return r.facts(ctx, f, machines, func(m *Machine, x fact) { m.count(x, f.Hours) })
}

// facts visits those of some machines whose hours count and whose matches the filter lets
// through.
func (r *Reader) facts(ctx context.Context, f Filter, machines map[int64]*Machine, visit func(*Machine, fact)) error {
	from, to := f.hours()
	rows, err := r.db.conn.QueryContext(ctx, "SELECT id, facts FROM activity WHERE id >= ? AND id < ?",
		activityID(int64(from)/spanHours, 0), activityID(min(int64(to)/spanHours+1, 1<<30), 0))
	if err != nil {
		return fault(err)
	}
	defer rows.Close()
	lets := make([]bool, slices.Max(slices.Collect(maps.Keys(r.matches)))+1) // the ids are without gaps
	for id, k := range r.matches {
		lets[id] = f.lets(k)
	}
	var id int64
	var row sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&id, &row); err != nil {
			return fault(err)
		}
		m := machines[id&(1<<32-1)]
		if m == nil {
			continue
		}
		err := eachFact(row, func(x fact) {
			if from <= x.hour && x.hour < to && int(x.match) < len(lets) && lets[x.match] {
				visit(m, x)
			}
		})
		if err != nil {
			return fmt.Errorf("%w: %w", errUnusable, err)
		}
	}
	return fault(rows.Err())
}

// count takes in a fact. Those of a machine come by the hour.
func (m *Machine) count(x fact, byHour bool) {
	hits := uint64(x.hits)
	m.Hits += hits
	i := m.find(x.match)
	if i < 0 {
		if m.places != nil {
			m.places[x.match] = len(m.matched)
		}
		m.matched = append(m.matched, matched{match: x.match, first: x.hour, last: x.hour, hits: hits})
	} else {
		m.matched[i].last = x.hour
		m.matched[i].hits += hits
	}
	if !byHour {
		return
	}
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
