package export

import (
	"cmp"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"sinkhole/hits"
)

// column is one of a table's.
type column struct {
	head  string
	cell  func(*hits.Record) string
	of    func(*Details) string // in the place of cell
	live  int                   // width where it cannot be measured
	least int                   // width below which it says nothing; 0: never cut
	tail  bool                  // of a text too long the end is kept, as of a name
	right bool                  // numbers
	// rank orders what is left out where even the least widths do not fit:
	// highest first.
	rank int
}

func tableColumns() []column {
	return []column{
		{head: "TIME", cell: func(r *hits.Record) string { return formatTime(r.Time) }, live: 24, least: 19, rank: 1},
		{head: "CLIENT", cell: formatClient, live: 21, tail: true},
		{head: "NAME", cell: tableName, live: 30, least: 12, tail: true},
		{head: "TYPE", cell: tableType, live: 5, least: 4, rank: 7},
		{head: "FAMILY", cell: func(r *hits.Record) string { return strings.Join(r.Sinkhole.Families, ", ") }, live: 16, least: 8, rank: 2},
		{head: "INDICATOR", cell: func(r *hits.Record) string { return r.Threat.Indicator.Name }, live: 24, least: 10, tail: true, rank: 8},
		{head: "LIST", cell: tableList, live: 16, least: 6, rank: 6},
		{head: "ACTION", cell: func(r *hits.Record) string { return r.Event.Action }, live: 10, least: 6, rank: 4},
		{head: "COUNT", cell: func(r *hits.Record) string { return strconv.FormatUint(max(count(r), r.Sinkhole.Connections), 10) }, live: 5, least: 5, right: true, rank: 3},
		{head: "MARK", cell: tableMark, live: 20, least: 8, rank: 5},
	}
}

// tableMark is what keeps a hit from being a machine's, or says how its client is
// known.
func tableMark(r *hits.Record) string {
	var marks []string
	if r.Sinkhole.Expected {
		marks = append(marks, "expected")
	}
	if r.Sinkhole.Forwarder {
		marks = append(marks, "forwarder")
	}
	if r.Event.Dataset == hits.DatasetLanding {
		marks = append(marks, connectionMarks(r)...)
	}
	i := &r.Sinkhole.Identity
	if !i.Trusted {
		return strings.Join(marks, ", ")
	}
	if mac := r.Client.MAC; mac != "" && mac != formatClient(r) {
		marks = append(marks, mac)
	}
	if i.CPE != "" {
		marks = append(marks, "cpe "+i.CPE)
	}
	if i.Device != "" {
		marks = append(marks, "device "+i.Device)
	}
	if via := cmp.Or(i.Forwarder, r.Sinkhole.Peer.IP); via.IsValid() && !r.Sinkhole.Forwarder {
		marks = append(marks, "via "+via.String())
	}
	return strings.Join(marks, ", ")
}

// tableWho is who asked, in a cell: what tells most comes first.
func tableWho(d *Details) string {
	var words []string
	for _, s := range []string{d.Name, d.Subscriber, d.Owner, d.Site} {
		if s != "" {
			words = append(words, s)
		}
	}
	if d.Shared {
		words = append(words, "shared")
	}
	if d.ASN != 0 {
		words = append(words, strings.TrimSpace("AS"+strconv.FormatUint(uint64(d.ASN), 10)+" "+d.Country))
	} else if d.Country != "" {
		words = append(words, d.Country)
	}
	return strings.Join(words, ", ")
}

func tableName(r *hits.Record) string {
	if r.Event.Dataset == hits.DatasetJournal {
		return "(journal: " + r.Event.Action + ")"
	}
	if r.Event.Dataset == hits.DatasetLanding {
		return connectionName(r)
	}
	return r.DNS.Question.Name
}

func tableType(r *hits.Record) string {
	if r.Event.Dataset == hits.DatasetLanding {
		return r.Network.Protocol
	}
	return r.DNS.Question.Type
}

func tableList(r *hits.Record) string {
	var names []string
	for _, l := range r.Sinkhole.Lists {
		if !slices.Contains(names, l.Name) {
			names = append(names, l.Name)
		}
	}
	return strings.Join(names, ", ")
}

// sampleRows is how many rows a table measures before it fixes its columns.
const sampleRows = 1000

const columnGap = 2

// table aligns its columns by its first rows, and then streams: a later text
// that is too long for its column is cut, unless the width is free.
type table struct {
	w       io.Writer
	width   int // 0: free
	columns []column
	opts    Options
	sample  [][]string
	fixed   bool
	shown   []int // columns, by index
	widths  []int // of all columns
	buf     []byte
}

func newTable(w io.Writer, o Options) *table {
	t := &table{w: w, width: o.Width, columns: tableColumns(), opts: o}
	if o.Details != nil {
		t.columns = append(t.columns, column{head: "WHO", of: tableWho, live: 24, least: 10, rank: 2})
	}
	if o.Live {
		widths := make([]int, len(t.columns))
		for i, c := range t.columns {
			widths[i] = c.live
		}
		t.fix(widths)
	}
	return t
}

func (t *table) Write(r *hits.Record) error {
	row := make([]string, len(t.columns))
	d := t.opts.details(r)
	for i, c := range t.columns {
		if c.of != nil {
			row[i] = Printable(c.of(&d))
		} else {
			row[i] = Printable(c.cell(r))
		}
	}
	if t.fixed {
		return t.put(row)
	}
	t.sample = append(t.sample, row)
	if len(t.sample) < sampleRows {
		return nil
	}
	return t.start()
}

func (t *table) Close() error {
	if t.fixed {
		return t.flush() // the head of a live table without a row
	}
	return t.start()
}

// start fixes the columns by the sample and writes it.
func (t *table) start() error {
	widths := make([]int, len(t.columns))
	for i, c := range t.columns {
		widths[i] = len(c.head)
		for _, row := range t.sample {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	t.fix(widths)
	for _, row := range t.sample {
		if err := t.put(row); err != nil {
			return err
		}
	}
	t.sample = nil
	return t.flush()
}

// fix chooses the columns that fit and their widths, given those that they would
// like to have, and begins the output with the head.
func (t *table) fix(wanted []int) {
	t.fixed = true
	for i := range t.columns {
		t.shown = append(t.shown, i)
	}
	for i := range t.columns {
		if t.columns[i].least == 0 {
			t.columns[i].least = wanted[i]
		}
	}
	t.widths = slices.Clone(wanted)
	for t.width > 0 && !t.shrink() && len(t.shown) > 2 {
		least := slices.MaxFunc(t.shown, func(a, b int) int { return cmp.Compare(t.columns[a].rank, t.columns[b].rank) })
		t.shown = slices.DeleteFunc(t.shown, func(i int) bool { return i == least })
		t.widths = slices.Clone(wanted)
	}
	if t.width > 0 {
		for _, i := range t.shown {
			t.columns[i].least = 1 // no table can be read there, but it fits
		}
		t.shrink()
	}
	heads := make([]string, len(t.columns))
	for i, c := range t.columns {
		heads[i] = c.head
	}
	t.appendRow(heads)
}

// shrink takes from the widest columns until the row fits, and reports whether
// it does.
func (t *table) shrink() bool {
	for {
		total := columnGap * (len(t.shown) - 1)
		widest := -1
		for _, i := range t.shown {
			total += t.widths[i]
			if t.widths[i] > t.columns[i].least && (widest < 0 || t.widths[i] > t.widths[widest]) {
				widest = i
			}
		}
		if total <= t.width {
			return true
		}
		if widest < 0 {
			return false
		}
		t.widths[widest]--
	}
}

func (t *table) put(row []string) error {
	t.appendRow(row)
	return t.flush()
}

func (t *table) flush() error {
	if len(t.buf) == 0 {
		return nil
	}
	_, err := t.w.Write(t.buf)
	t.buf = t.buf[:0]
	return err
}

func (t *table) appendRow(row []string) {
	start := len(t.buf)
	for n, i := range t.shown {
		if n > 0 {
			t.buf = append(t.buf, strings.Repeat(" ", columnGap)...)
		}
		cell := row[i]
		if t.width > 0 {
			cell = cut(cell, t.widths[i], t.columns[i].tail)
		}
		pad := strings.Repeat(" ", max(t.widths[i]-utf8.RuneCountInString(cell), 0))
		if t.columns[i].right {
			t.buf = append(append(t.buf, pad...), cell...)
		} else {
			t.buf = append(append(t.buf, cell...), pad...)
		}
	}
	end := len(t.buf)
	for end > start && t.buf[end-1] == ' ' {
		end--
	}
	t.buf = append(t.buf[:end], '\n')
}

// cut shortens a text to a number of characters; tail keeps its end.
func cut(s string, width int, tail bool) string {
	n := utf8.RuneCountInString(s)
	if n <= width {
		return s
	}
	if width <= 1 {
		return strings.Repeat("…", width)
	}
	r := []rune(s)
	if tail {
		return "…" + string(r[n-width+1:])
	}
	return string(r[:width-1]) + "…"
}
