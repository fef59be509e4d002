package format

import (
	"bytes"
	"fmt"
	"strings"
)

// feedColumn is a column of the feeds of abuse.ch that we read.
type feedColumn uint8

const (
	feedValue feedColumn = iota
	feedType
	feedMalware // the name of the family, and its number in Malpedia
	feedMalpedia
	feedFirstSeen
	feedLastSeen
	feedConfidence
	feedReference
	feedTags
	feedCompromised // whether the host is a broken-into site
	feedColumns
)

// feed reads the feeds of abuse.ch, ThreatFox and URLhaus, which they publish as
// CSV and JSON with like columns.
type feed struct {
	out   *sink
	scope Scope
	// column knows a column by its name in one of the forms.
	column func(name []byte) (feedColumn, bool)
	// layouts are the columns of the CSV, for one without a header.
	layouts []string
	// fill reads a row; a problem comes with the column it is in.
	fill func(f *feed, ind *Indicator) (feedColumn, problem)

	line    int
	cells   [feedColumns][]byte // of the current row, without white space around
	places  [feedColumns]int    // of each column in a CSV row, -1 for none
	width   int                 // of a CSV row, 0 while not known
	own     [feedColumns][]byte // buffers for cells out of JSON
	words   words
	scratch []byte
}

func newFeed(out *sink, scope Scope) *feed {
	return &feed{out: out, scope: scope, scratch: make([]byte, 0, 2*maxName)}
}

// read reads either form.
func (f *feed) read(in *lines) error {
	if head := trim(in.window(maxLine)); len(head) > 0 && (head[0] == '{' || head[0] == '[') {
		return f.readJSON(&jsonStream{in: in})
	}
	return f.readCSV(in)
}

// take reads the row that stands in the cells.
func (f *feed) take() {
	ind := f.out.indicator(f.line)
	if column, p := f.fill(f, ind); p.is() {
		f.out.leaveOut(f.line, 0, f.cells[column], p)
		return
	}
	f.out.put()
}

// readCSV reads the CSV, whose header is a comment, or the first row, or was
// cut off.
func (f *feed) readCSV(in *lines) error {
	rows := records{in: in}
	line, _, _ := bytes.Cut(in.window(maxLine), []byte{'\n'})
	if kindOfHeader(line) == f.out.result.Kind {
		header := bytes.Clone(bytes.TrimLeft(line, "# \t"))
		in.next()
		if _, _, p := rows.split(header, len(header)); p.is() {
			return &Error{Line: in.read, Err: fmt.Errorf("the CSV header: %s", p.reason)}
		}
		if err := f.setColumns(rows.fields); err != nil {
			return &Error{Line: in.read, Err: err}
		}
	}
	for !f.out.hopeless() {
		p, ok := rows.next()
		switch {
		case !ok:
			return nil
		case p.is():
			f.out.leaveOut(rows.line, 0, rows.text, p)
		case f.width == 0 && !f.guessColumns(len(rows.fields)):
			return &Error{Line: rows.line, Err: fmt.Errorf("a row of %d fields and no header, expected one of these headers before it: %s", len(rows.fields), strings.Join(f.layouts, "; or "))}
		case len(rows.fields) != f.width:
			f.out.leaveOut(rows.line, 0, rows.text, malformed("%d fields, expected %d as in the header", len(rows.fields), f.width))
		default:
			f.takeRow(&rows)
		}
	}
	return nil
}

func (f *feed) takeRow(rows *records) {
	f.line = rows.line
	for c, place := range f.places {
		if place >= 0 {
			f.cells[c] = stated(rows.fields[place])
		}
	}
	f.take()
}

func (f *feed) setColumns(names [][]byte) error {
	for c := range f.places {
		f.places[c] = -1
	}
	for i, name := range names {
		c, ok := f.column(bytes.ToLower(trim(name)))
		if !ok {
			continue
		}
		if f.places[c] >= 0 {
			return fmt.Errorf("the CSV header names the column %q twice, expected it once", printable(name))
		}
		f.places[c] = i
	}
	f.width = len(names)
	return nil
}

// guessColumns takes the layout that has so many columns.
func (f *feed) guessColumns(width int) bool {
	for _, layout := range f.layouts {
		if names := bytes.Split([]byte(layout), []byte{','}); len(names) == width {
			return f.setColumns(names) == nil
		}
	}
	return false
}

// readJSON reads a JSON export, whose members are arrays of rows, or the answer
// of the API, which has one such member. An array of rows does too.
func (f *feed) readJSON(j *jsonStream) error {
	for j.more() {
		f.readDocument(j)
	}
	return j.finish()
}

func (f *feed) readDocument(j *jsonStream) {
	if j.isArray() {
		f.readRows(j)
		return
	}
	line, status, arrays := j.line(), "", 0
	var members []string
	for name := range j.members {
		if len(members) < 5 {
			members = append(members, printable(name))
		}
		switch {
		case j.isArray():
			arrays++
			f.readRows(j)
		case string(name) == "query_status":
			status = printable(j.scalar())
		}
	}
	switch {
	case strings.HasPrefix(status, "no_result"):
		f.out.warn("the API answered %q: no entries", status)
	case status != "" && status != "ok":
		j.stop(&Error{Line: line, Err: fmt.Errorf("the API answered %q, expected entries: look at the address and the key of the source", status)})
	case arrays == 0 && len(members) > 0:
		j.stop(&Error{Line: line, Err: fmt.Errorf("a JSON object without rows (members found: %s), expected an export or an answer of the API in the %s notation", strings.Join(members, ", "), f.out.result.Kind)})
	}
}

func (f *feed) readRows(j *jsonStream) {
	for range j.elements {
		if f.out.hopeless() {
			j.stop(f.out.verdict())
			return
		}
		if !j.isObject() {
			f.out.leaveOut(j.line(), 0, j.here(), malformed("no JSON object, expected a row of the feed"))
			continue
		}
		f.readRow(j)
	}
}

func (f *feed) readRow(j *jsonStream) {
	f.line = j.line()
	clear(f.cells[:])
	twice := ""
	for name := range j.members {
		c, ok := f.column(name)
		if !ok {
			continue
		}
		if f.cells[c] != nil {
			twice = string(name)
		}
		f.own[c] = f.own[c][:0]
		switch {
		case j.isArray():
			for range j.elements {
				f.own[c] = append(append(f.own[c], j.scalar()...), ',')
			}
		case j.isObject():
			for range j.members {
				f.own[c] = append(append(f.own[c], j.scalar()...), ',')
			}
		default:
			f.own[c] = append(f.own[c], j.scalar()...)
		}
		f.cells[c] = stated(f.own[c])
	}
	switch {
	case j.err != nil:
	case twice != "":
		f.out.leaveOut(f.line, 0, f.cells[feedValue], malformed("the member %q is there twice, expected it once", twice))
	default:
		f.take()
	}
}

// stated is a cell without white space around it, and empty where it says that
// there is nothing.
func stated(cell []byte) []byte {
	cell = trim(cell)
	if string(cell) == "None" || string(cell) == "null" {
		return cell[:0]
	}
	return cell
}

// fillTimes reads the times that both feeds state, in UTC.
func (f *feed) fillTimes(ind *Indicator) (feedColumn, problem) {
	var p problem
	if ind.FirstSeen, p = readTime(bytes.TrimSuffix(f.cells[feedFirstSeen], []byte(" UTC"))); p.is() {
		return feedFirstSeen, p
	}
	if ind.LastSeen, p = readTime(bytes.TrimSuffix(f.cells[feedLastSeen], []byte(" UTC"))); p.is() {
		return feedLastSeen, p
	}
	return 0, problem{}
}
