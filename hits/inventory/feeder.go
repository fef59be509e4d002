package inventory

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"

	"sinkhole/hits"
)

// Bounds of what is worked on before it is written, and of what is kept in memory after it.
const (
	batchLines    = 1_000_000
	batchMachines = 100_000
	batchFacts    = 4_000_000
	keptMachines  = 4096
	// maxMachines bounds the table: source addresses can be forged.
	maxMachines = 1_000_000
)

// counts are what a feeder did since it was made, and where it is.
type counts struct {
	lines, hits, landings, noise, expected uint64
	damaged, refused, capped               uint64
	machines                               int64
	readTo                                 Time
}

// feeder brings what the journal has into the database. The position is written in the
// transaction of what was read up to it, and two that feed one database find out: whose
// transaction comes later begins anew.
type feeder struct {
	db      *database
	dir     string
	only    func(*line) bool // which lines count; nil: all
	damaged func(hits.Damage)
	// subscriber tells who had an address; nil: nobody knows.
	subscriber SubscriberOf
	ports      []uint16
	// committed is called when there is more to read; nil: nobody wants to know.
	committed func()

	cursor   *hits.Cursor
	at       hits.Position // in the database
	within   bool          // a transaction is under way
	line     line
	keyBuf   []byte
	rowBuf   []byte
	readTo   Time
	lines    int // of the batch
	facts    int // in memory
	machines map[string]*machine
	byID     map[int64]*machine
	holders  map[string]int64 // by address; machines known by more than it
	moved    map[string]int64 // holders that are not written yet
	lastID   int64
	matches  matches
	now      counts // with what is not written yet
	counts   counts

	find, findID, findSpan, findHolder       *sql.Stmt
	putMachine, putSpan, putMatch, putHolder *sql.Stmt
	move, findBlock, putBlock                *sql.Stmt
	statements                               []*sql.Stmt // all of them
}

const machineColumns = "id, key, address, mac, cpe, device, via, forwarder, proven, first, last, connected, sent, many_behind, addresses, recent, subscriber, shared"

func newFeeder(ctx context.Context, db *database, dir string, damaged func(hits.Damage)) (*feeder, error) {
	f := &feeder{db: db, dir: dir, damaged: damaged}
	for _, s := range []struct {
		statement **sql.Stmt
		text      string
	}{
		{&f.find, "SELECT " + machineColumns + " FROM machine WHERE key = ?"},
		{&f.findID, "SELECT " + machineColumns + " FROM machine WHERE id = ?"},
		{&f.findSpan, "SELECT facts FROM activity WHERE id = ?"},
		{&f.findHolder, "SELECT machine FROM holder WHERE address = ?"},
		{&f.matches.find, "SELECT id FROM matched WHERE rules = ?"},
		{&f.putMachine, "INSERT INTO machine (" + machineColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)" +
			" ON CONFLICT (id) DO UPDATE SET address = excluded.address, mac = excluded.mac, cpe = excluded.cpe, device = excluded.device," +
			" via = excluded.via, forwarder = excluded.forwarder, proven = excluded.proven, first = excluded.first, last = excluded.last," +
			" connected = excluded.connected, sent = excluded.sent, many_behind = excluded.many_behind, addresses = excluded.addresses, recent = excluded.recent," +
			" subscriber = excluded.subscriber, shared = excluded.shared"},
		{&f.putSpan, "INSERT OR REPLACE INTO activity (id, facts) VALUES (?, ?)"},
		{&f.findBlock, "SELECT sums FROM summary WHERE id = ?"},
		{&f.putBlock, "INSERT OR REPLACE INTO summary (id, sums) VALUES (?, ?)"},
		{&f.putMatch, "INSERT INTO matched (id, rules) VALUES (?, ?)"},
		{&f.putHolder, "INSERT OR REPLACE INTO holder (address, machine) VALUES (?, ?)"},
		{&f.move, "UPDATE progress SET segment = ?, octets = ?, read_to = ?"},
	} {
		var err error
		if *s.statement, err = db.conn.PrepareContext(ctx, s.text); err != nil {
			return nil, fault(err)
		}
		f.statements = append(f.statements, *s.statement)
	}
	return f, nil
}

// close lets go of the journal, and of what is not written.
func (f *feeder) close() {
	if f.within {
		f.db.rollback()
		f.within = false
	}
	if f.cursor != nil {
		f.cursor.Close()
	}
}

// begin begins a transaction. Where the database is not as this feeder left it, all that is
// known of it is read anew.
func (f *feeder) begin(ctx context.Context) error {
	if err := f.db.exec(ctx, "BEGIN"); err != nil {
		return err
	}
	f.within = true
	var at hits.Position
	var readTo Time
	if err := f.db.conn.QueryRowContext(ctx, "SELECT segment, octets, read_to FROM progress").Scan(&at.Segment, &at.Offset, &readTo); err != nil {
		return fault(err)
	}
	if f.cursor != nil && at == f.at {
		return nil
	}
	if f.cursor != nil {
		f.cursor.Close()
	}
	f.at, f.readTo, f.cursor = at, readTo, hits.NewCursor(f.dir, at, f.damage)
	f.counts.readTo = readTo
	f.now = f.counts
	return f.forget(ctx)
}

// forget empties the memory.
func (f *feeder) forget(ctx context.Context) error {
	f.machines, f.byID = make(map[string]*machine), make(map[int64]*machine)
	f.holders, f.moved = make(map[string]int64), make(map[string]int64)
	f.facts, f.lines = 0, 0
	f.matches.known, f.matches.added = make(map[string]uint32), nil
	row := f.db.conn.QueryRowContext(ctx, "SELECT (SELECT ifnull(max(id), 0) FROM machine), (SELECT count(*) FROM machine), (SELECT ifnull(max(id), 0) FROM matched)")
	err := row.Scan(&f.lastID, &f.now.machines, &f.matches.last)
	f.counts.machines = f.now.machines
	return fault(err)
}

func (f *feeder) damage(d hits.Damage) {
	f.now.damaged++
	if f.damaged != nil {
		f.damaged(d)
	}
}

// catchUp reads the journal to its end and writes what it found.
func (f *feeder) catchUp(stop context.Context) (err error) {
	// The driver starts a goroutine for each statement that a context can stop.
	ctx := context.WithoutCancel(stop)
	defer func() {
		if err != nil { // what was read is read again
			f.close()
			f.cursor = nil
		}
	}()
	for {
		if !f.within {
			if err := f.begin(ctx); err != nil {
				return err
			}
		}
		text, err := f.cursor.Next()
		switch {
		case errors.Is(err, io.EOF):
			return f.commit(ctx)
		case err != nil:
			return err
		}
		if err := f.read(ctx, text); err != nil {
			return err
		}
		if f.lines%1024 == 0 {
			if err := stop.Err(); err != nil {
				return err
			}
		}
		if f.lines >= batchLines || len(f.machines) >= batchMachines || f.facts >= batchFacts {
			if err := f.commit(ctx); err != nil {
				return err
			}
			if f.committed != nil {
				f.committed()
			}
		}
	}
}

func (f *feeder) parse(text []byte) bool {
	err := f.line.read(text)
	if err != nil {
		path, number := f.cursor.File()
		f.damage(hits.Damage{File: path, Line: number, Reason: err})
	}
	return err == nil
}

func (f *feeder) read(ctx context.Context, text []byte) error {
	f.lines++
	f.now.lines++
	l := &f.line
	if !f.parse(text) {
		return nil // it hides no other line
	}
	f.readTo = max(f.readTo, Time(l.time))
	switch string(l.dataset) {
	case hits.DatasetHit:
	case hits.DatasetLanding:
		if l.noise {
			f.now.noise++
			return nil
		}
	default:
		return nil
	}
	if f.only != nil && !f.only(l) {
		return nil
	}
	f.now.hits += l.count
	if string(l.dataset) == hits.DatasetLanding {
		f.now.landings++
	}
	if l.expected || len(l.address) == 0 {
		f.now.expected += l.count
		return nil
	}
	f.findSubscriber(l)
	id := l.identify(f.keyBuf)
	f.keyBuf = id.key
	m, err := f.machine(ctx, l, id)
	if err != nil || m == nil {
		return err
	}
	m.take(l, id)
	if !id.byIP && !l.forwarder && len(id.address) > 0 && f.holders[m.address] != m.id {
		f.holders[m.address], f.moved[m.address] = m.id, m.id
	}
	return f.count(ctx, m, l)
}

// machine is whose a line is, nil where no more can be made.
func (f *feeder) machine(ctx context.Context, l *line, id identity) (*machine, error) {
	if string(l.dataset) == hits.DatasetLanding && id.byIP {
		// A connection has an address alone, also of a machine that hits tell more of.
		held, err := f.holder(ctx, l.address)
		if err != nil {
			return nil, err
		}
		if held != nil {
			return held, nil
		}
	}
	if m := f.machines[string(id.key)]; m != nil {
		return m, nil
	}
	m, err := scanMachine(f.find.QueryRowContext(ctx, string(id.key)))
	if errors.Is(err, sql.ErrNoRows) {
		if f.now.machines >= maxMachines {
			f.now.refused++
			return nil, nil
		}
		f.now.machines++
		f.lastID++
		m, err = &machine{id: f.lastID, key: string(id.key), new: true}, nil
	}
	if err != nil {
		return nil, fault(err)
	}
	f.keep(m)
	return m, nil
}

func (f *feeder) keep(m *machine) {
	f.machines[m.key], f.byID[m.id] = m, m
}

// holder is the machine, known by more than its address, that had the address last; nil for
// none.
func (f *feeder) holder(ctx context.Context, address []byte) (*machine, error) {
	id, ok := f.holders[string(address)]
	if !ok {
		err := f.findHolder.QueryRowContext(ctx, string(address)).Scan(&id)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, fault(err)
		}
		f.holders[string(address)] = id
	}
	if id == 0 || f.byID[id] != nil {
		return f.byID[id], nil
	}
	m, err := scanMachine(f.findID.QueryRowContext(ctx, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fault(err)
	}
	f.keep(m)
	return m, nil
}

type scannable interface{ Scan(into ...any) error }

func scanMachine(row scannable) (*machine, error) {
	m := new(machine)
	var addresses string
	var recent sql.RawBytes
	if r, ok := row.(*sql.Row); ok {
		var copied []byte
		if err := r.Scan(m.columns(&addresses, &copied)...); err != nil {
			return nil, err
		}
		recent = copied
	} else if err := row.Scan(m.columns(&addresses, &recent)...); err != nil {
		return nil, err
	}
	m.recent.read(recent)
	var err error
	m.addresses, err = decodeAddresses(addresses)
	return m, err
}

func (m *machine) columns(addresses, recent any) []any {
	return []any{
		&m.id, &m.key, &m.address, &m.mac, &m.cpe, &m.device, &m.via, &m.forwarder, &m.proven,
		&m.first, &m.last, &m.connected, &m.sent, &m.manyBehind, addresses, recent, &m.subscriber, &m.shared,
	}
}

// count adds the hits of a line to what its machine did.
func (f *feeder) count(ctx context.Context, m *machine, l *line) error {
	at := uint32(max(l.time, 0) / hour)
	s, err := f.span(ctx, m, int64(at)/spanHours)
	if err != nil {
		return err
	}
	before := len(s.facts)
	defer func() { f.facts += len(s.facts) - before }()
	id, err := f.matches.of(ctx, l)
	if err != nil {
		return err
	}
	if !s.add(at, id, l.count, len(s.facts) >= maxFacts) {
		f.now.capped++
		if id, err = f.matches.outline(ctx, l); err != nil {
			return err
		}
		s.add(at, id, l.count, false)
	}
	if !l.byClient {
		return nil
	}
	for i := range l.rules {
		id, known, err := f.matches.one(ctx, &l.rules[i])
		if err != nil {
			return err
		}
		if known {
			s.add(at, id, 0, len(s.facts) >= maxFacts)
		}
	}
	return nil
}

func (f *feeder) span(ctx context.Context, m *machine, number int64) (*span, error) {
	for _, s := range m.spans {
		if s.number == number {
			return s, nil
		}
	}
	s := &span{number: number}
	if !m.new {
		var row []byte
		err := f.findSpan.QueryRowContext(ctx, activityID(number, m.id)).Scan(&row)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, fault(err)
		}
		if err := eachFact(row, func(x fact) { s.facts = append(s.facts, x) }); err != nil {
			return nil, fmt.Errorf("%w: %w", errUnusable, err)
		}
		f.facts += len(s.facts)
	}
	m.spans = append(m.spans, s)
	return s, nil
}

// commit writes what was read.
func (f *feeder) commit(ctx context.Context) error {
	at := f.cursor.Position()
	if at != f.at {
		if err := f.write(ctx, at); err != nil {
			return err
		}
	}
	if err := f.db.exec(ctx, "COMMIT"); err != nil {
		return err
	}
	f.within, f.at, f.lines = false, at, 0
	f.now.readTo, f.now.capped = f.readTo, f.now.capped+f.matches.capped
	f.matches.capped = 0
	f.counts = f.now
	if len(f.machines) > keptMachines || len(f.holders) > keptMachines || f.facts > batchFacts/4 {
		f.machines, f.byID = make(map[string]*machine), make(map[int64]*machine)
		f.holders, f.facts = make(map[string]int64), 0
	}
	return nil
}

func (f *feeder) write(ctx context.Context, at hits.Position) error {
	// The first statement that writes fails where another process has written.
	if _, err := f.move.ExecContext(ctx, int64(at.Segment), at.Offset, int64(f.readTo)); err != nil {
		return fault(err)
	}
	for _, a := range f.matches.added {
		if _, err := f.putMatch.ExecContext(ctx, a.id, a.rules); err != nil {
			return fault(err)
		}
	}
	f.matches.added = f.matches.added[:0]
	for address, id := range f.moved {
		if _, err := f.putHolder.ExecContext(ctx, address, id); err != nil {
			return fault(err)
		}
	}
	clear(f.moved)
	return f.writeMachines(ctx)
}

func (f *feeder) writeMachines(ctx context.Context) error {
	var changed []*machine
	var spans []ownedSpan
	for _, m := range f.machines {
		if !m.dirty {
			continue
		}
		changed = append(changed, m)
		for _, s := range m.spans {
			if s.dirty {
				spans = append(spans, ownedSpan{m.id, s})
			}
		}
	}
	// In the order of the rows, neighbours are written together.
	slices.SortFunc(changed, func(a, b *machine) int { return cmp.Compare(a.id, b.id) })
	slices.SortFunc(spans, func(a, b ownedSpan) int { return cmp.Compare(a.id(), b.id()) })
	for _, m := range changed {
		addresses, err := encodeAddresses(m.addresses)
		if err != nil {
			return err
		}
		f.rowBuf = m.recent.append(f.rowBuf[:0])
		if _, err := f.putMachine.ExecContext(ctx, m.id, m.key, m.address, m.mac, m.cpe, m.device, m.via, m.forwarder, m.proven,
			m.first, m.last, m.connected, m.sent, m.manyBehind, addresses, bytes.Clone(f.rowBuf), m.subscriber, m.shared); err != nil {
			return fault(err)
		}
		m.new, m.dirty = false, false
	}
	for _, s := range spans {
		f.rowBuf = appendFacts(f.rowBuf[:0], s.span.facts)
		if _, err := f.putSpan.ExecContext(ctx, s.id(), bytes.Clone(f.rowBuf)); err != nil {
			return fault(err)
		}
		s.span.dirty = false
	}
	return f.writeSums(ctx, spans)
}

// ownedSpan is a span and the machine that it is of.
type ownedSpan struct {
	machine int64
	span    *span
}

func (s ownedSpan) id() int64 { return activityID(s.span.number, s.machine) }
