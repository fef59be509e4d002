package format

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// csvColumn is a column that our CSV knows.
type csvColumn uint8

const (
	colIndicator csvColumn = iota
	colType
	colFamily
	colConfidence
	colFirstSeen
	colLastSeen
	colExpires
	colReference
	colTLP
	colAction
	colScope
	csvColumns
)

func (c csvColumn) String() string {
	return [csvColumns]string{"indicator", "type", "family", "confidence", "first_seen",
		"last_seen", "expires", "reference", "tlp", "action", "scope"}[c]
}

// table reads the rows of our CSV.
type table struct {
	records
	out      *sink
	scope    Scope
	place    [csvColumns]int // of each column in a row; -1 where the header has none
	width    int
	scratch  []byte
	words    words
	oddScope bool // told already
}

// readCSV reads our CSV: a header row that names the columns in any order, then
// a row for each indicator.
func readCSV(in *lines, out *sink, scope Scope) error {
	t := &table{records: records{in: in}, out: out, scope: scope, scratch: make([]byte, 0, 2*maxName)}
	if some, err := t.readHeader(); err != nil || !some {
		return err
	}
	for !out.hopeless() {
		p, ok := t.next()
		if !ok {
			return nil
		}
		if p.is() {
			at := 0
			if p.at > 0 && p.at < len(t.text) {
				at = p.at + 1
			}
			out.leaveOut(t.line, at, t.text, p)
			continue
		}
		t.readRow()
	}
	return nil
}

// readHeader finds the columns; some is false for a list of comments only.
func (t *table) readHeader() (some bool, err error) {
	p, ok := t.next()
	if !ok {
		return false, nil
	}
	if p.is() {
		return false, t.badHeader(fmt.Errorf("the CSV header: %s", p.reason))
	}
	for c := range t.place {
		t.place[c] = -1
	}
	t.width = len(t.fields)
	var ignored []string
	family := t.familyColumn()
fields:
	for i, cell := range t.fields {
		name := strings.ToLower(string(trim(cell)))
		if i == family {
			name = colFamily.String()
		}
		for c := range csvColumns {
			if name != c.String() {
				continue
			}
			if t.place[c] >= 0 {
				return false, t.badHeader(fmt.Errorf("the CSV header names the column %q twice, expected it once", name))
			}
			t.place[c] = i
			continue fields
		}
		ignored = append(ignored, printable([]byte(name)))
	}
	if t.place[colIndicator] < 0 {
		if t.width == 1 && bytes.ContainsAny(t.fields[0], ";\t") {
			return false, t.badHeader(errSeparator)
		}
		return false, t.badHeader(errForeign(t.fields))
	}
	t.warnIgnored(ignored)
	return true, nil
}

// familyColumn is the place of the column that stands for the family in the tables
// of others, -1 where there is none or the family has a column of its own.
func (t *table) familyColumn() int {
	for _, alias := range [...]string{colFamily.String(), "malware_family", "malware", "app"} {
		for i, cell := range t.fields {
			if strings.EqualFold(string(trim(cell)), alias) {
				if alias == colFamily.String() {
					return -1
				}
				return i
			}
		}
	}
	return -1
}

func (t *table) badHeader(err error) error { return &Error{Line: t.line, Err: err} }

func (t *table) warnIgnored(names []string) {
	const shown = 20
	switch n := len(names); {
	case n > shown:
		t.out.warn("columns ignored: %s and %d more", strings.Join(names[:shown], ", "), n-shown)
	case n > 0:
		t.out.warn("columns ignored: %s", strings.Join(names, ", "))
	}
}

// cell is a field of the current row; nil where the header has no such column.
func (t *table) cell(c csvColumn) []byte {
	if t.place[c] < 0 {
		return nil
	}
	return trim(t.fields[t.place[c]])
}

func (t *table) readRow() {
	if len(t.fields) != t.width {
		t.out.leaveOut(t.line, 0, t.text, malformed("%d fields, expected %d as in the header", len(t.fields), t.width))
		return
	}
	ind := t.out.indicator(t.line)
	c, p := t.fill(ind)
	if p.is() {
		t.out.leaveOut(t.line, t.columns[t.place[c]], t.cell(c), p)
		return
	}
	t.out.put()
}

// fill reads the row's cells; a problem comes with the column it is in.
func (t *table) fill(ind *Indicator) (csvColumn, problem) {
	kind, value := t.cell(colType), t.cell(colIndicator)
	if typesOf(kind) == 0 {
		if known, part := mispKind(bytes.ToLower(kind), value); known != "" {
			kind, value = []byte(known), part
		}
	}
	if p := knownType(kind); p.is() {
		return colType, p
	}
	e, p := t.readIndicator(value)
	if p.is() {
		return colIndicator, p
	}
	if p := e.contradicts(kind); p.is() {
		return colIndicator, p
	}
	e.fill(ind, t.scope)
	t.readScope(ind)
	return t.fillContext(ind)
}

// readScope reads what a row says of the names that it covers. A word of other
// meaning is passed over: a feed may have such a column for something else.
func (t *table) readScope(ind *Indicator) {
	text := t.cell(colScope)
	if len(text) == 0 || ind.Trigger != QName {
		return
	}
	for scope, word := range [...]string{Exact: "exact", Subtree: "subtree", Below: "below"} {
		if bytes.EqualFold(text, []byte(word)) {
			ind.Scope = Scope(scope)
			return
		}
	}
	if !t.oddScope {
		t.oddScope = true
		t.out.warn("line %d: the scope %q is passed over, expected exact, subtree or below", t.line, printable(text))
	}
}

func (t *table) readIndicator(text []byte) (entry, problem) {
	if len(text) == 0 {
		return entry{}, malformed("an empty indicator, expected a name, an address or a URL")
	}
	if wire, ok := plainName(t.scratch, text); ok {
		return entry{name: wire}, problem{}
	}
	return readEntry(t.scratch, uncell(text))
}

// fillContext reads what the row says about its indicator.
func (t *table) fillContext(ind *Indicator) (csvColumn, problem) {
	ind.Family = t.words.short(uncell(t.cell(colFamily)))
	ind.Reference = t.words.line(uncell(t.cell(colReference)))
	var p problem
	if ind.Confidence, p = readConfidence(t.cell(colConfidence)); p.is() {
		return colConfidence, p
	}
	if ind.TLP, p = readTLP(t.cell(colTLP)); p.is() {
		return colTLP, p
	}
	if ind.Action, p = readAction(t.cell(colAction)); p.is() {
		return colAction, p
	}
	for _, when := range [...]struct {
		column csvColumn
		time   *time.Time
	}{{colFirstSeen, &ind.FirstSeen}, {colLastSeen, &ind.LastSeen}, {colExpires, &ind.Expires}} {
		if *when.time, p = readTime(t.cell(when.column)); p.is() {
			return when.column, p
		}
	}
	return 0, problem{}
}

// The words for the types of indicator, from STIX, MISP and common use.
const (
	typeName = 1 << iota
	typeIPv4
	typeIPv6
	typeAny = typeName | typeIPv4 | typeIPv6 // a URL's host is any of them
)

func typesOf(word []byte) int {
	var folded [len("domain-name")]byte
	if len(word) > len(folded) {
		return 0
	}
	for i, c := range word {
		folded[i] = lower(c)
	}
	switch string(folded[:len(word)]) {
	case "":
		return typeAny
	case "domain", "hostname", "domain-name", "fqdn":
		return typeName
	case "ipv4", "ipv4-addr":
		return typeIPv4
	case "ipv6", "ipv6-addr":
		return typeIPv6
	case "ip", "cidr", "ip:port":
		return typeIPv4 | typeIPv6
	case "url":
		return typeAny
	}
	return 0
}

func knownType(word []byte) problem {
	if typesOf(word) != 0 {
		return problem{}
	}
	return notApplicable("an indicator of a type that DNS does not show, expected domain, hostname, ipv4, ipv6, ip, cidr, url or ip:port")
}

func (e *entry) contradicts(word []byte) problem {
	is := typeName
	if addr := e.prefix.Addr(); addr.Is4() {
		is = typeIPv4
	} else if addr.Is6() {
		is = typeIPv6
	}
	if types := typesOf(word); types&is != is {
		return malformed("a value that contradicts its type %q, expected one of that type", printable(word))
	}
	return problem{}
}

// readConfidence takes a number, a percentage, or a word, by what STIX 2.1 appendix
// A has for it in numbers.
func readConfidence(text []byte) (int8, problem) {
	if len(text) == 0 {
		return -1, problem{}
	}
	if v, ok := parseUint(trim(bytes.TrimSuffix(text, []byte{'%'})), 100); ok {
		return int8(v), problem{}
	}
	for _, level := range [...]struct {
		word  string
		value int8
	}{{"low", 15}, {"medium", 50}, {"med", 50}, {"high", 85}} {
		if strings.EqualFold(string(text), level.word) {
			return level.value, problem{}
		}
	}
	return -1, malformed("a confidence that is no whole number from 0 to 100, and none of low, medium and high")
}

// readTLP takes the labels of TLP 2.0, and WHITE, which TLP 1.0 said for CLEAR.
func readTLP(text []byte) (string, problem) {
	if len(text) == 0 {
		return "", problem{}
	}
	if len(text) > 4 && bytes.EqualFold(text[:4], []byte("TLP:")) {
		text = text[4:]
	}
	for _, label := range [...]string{"CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"} {
		if strings.EqualFold(string(text), label) {
			return label, problem{}
		}
	}
	if bytes.EqualFold(text, []byte("WHITE")) {
		return "CLEAR", problem{}
	}
	return "", malformed("an unknown TLP label, expected CLEAR, GREEN, AMBER, AMBER+STRICT or RED")
}

func readAction(text []byte) (Action, problem) {
	if len(text) == 0 {
		return Unstated, problem{}
	}
	action, err := ParseAction(string(text))
	if err != nil {
		return Unstated, malformed("%s", err)
	}
	if action == LocalData {
		return Unstated, malformed("the action local-data needs records, which only RPZ can give")
	}
	return action, problem{}
}

// readTime takes RFC 3339, and dates with or without a time of day in UTC.
func readTime(text []byte) (time.Time, problem) {
	if len(text) == 0 {
		return time.Time{}, problem{}
	}
	full := make([]byte, 0, 64)
	full = append(full, text[:min(len(text), 48)]...)
	switch {
	case len(text) == len(time.DateOnly):
		full = append(full, "T00:00:00Z"...)
	case len(text) == len(time.DateTime) && text[10] == ' ':
		full = append(full, 'Z')
		full[10] = 'T'
	}
	for i, c := range full {
		if c == 't' || c == 'z' {
			full[i] = c - 'a' + 'A'
		}
	}
	var when time.Time
	if err := when.UnmarshalText(full); err != nil {
		return time.Time{}, malformed("no valid time, expected one as 2026-01-02, 2026-01-02 15:04:05 (UTC) or 2026-01-02T15:04:05+01:00")
	}
	return when.UTC(), problem{}
}

// words keeps one copy of each of the strings that rows repeat.
type words struct{ seen map[string]string }

// maxWords and maxWord bound what words remembers, in strings and octets of
// each; when it is full it starts afresh.
const (
	maxWords = 4096
	maxWord  = 512
)

func (w *words) string(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	if s, ok := w.seen[string(text)]; ok {
		return s
	}
	if w.seen == nil || len(w.seen) >= maxWords {
		w.seen = make(map[string]string)
	}
	s := strings.ToValidUTF8(string(text), "\uFFFD")
	if len(text) <= maxWord {
		w.seen[string(text)] = s
	}
	return s
}
