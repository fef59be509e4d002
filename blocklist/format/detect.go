package format

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What is known by sight but not read.
const (
	kindForeign Kind = "CSV"
	kindJSON    Kind = "JSON"
)

var errSeparator = errors.New("CSV fields separated by semicolons or tabs, but the separator must be a comma: export the list with commas")

// errForeign is the error of a CSV whose header names no indicator.
func errForeign(columns [][]byte) error {
	const shown = 20
	var names []string
	for _, c := range columns[:min(len(columns), shown)] {
		names = append(names, printable(bytes.Trim(c, "\" \t\r")))
	}
	found := strings.Join(names, ", ")
	if n := len(columns) - shown; n > 0 {
		found += fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf(`CSV without a column "indicator" (columns found: %s), expected a header row that names one`, found)
}

// look judges the head of a list, maxLine octets from its first line that is
// no comment, and leaves the stream at that line; a ThreatFox or URLhaus CSV it
// leaves at the comment that is its header. An error is the stream's, or
// content that is no list in any notation. The kind is Auto where nothing but
// comments came, empty where none was recognized.
func look(in *lines) (Kind, error) {
	if len(in.window(1)) == 0 {
		if in.err != nil {
			return "", in.err
		}
		return "", errEmpty
	}
	if bytes.HasPrefix(in.window(3), []byte("\xef\xbb\xbf")) {
		in.discard(3)
	}
	if err := notText(in.window(4)); err != nil {
		return "", err
	}
	if kind := skipComments(in); kind != "" {
		return kind, nil
	}
	head := in.window(maxLine)
	if len(head) == 0 {
		return Auto, nil
	}
	if err := notList(head); err != nil {
		return "", &Error{Line: in.read + 1, Err: err}
	}
	if isJSON(head) {
		return kindOfJSON(head), nil
	}
	first, _, _ := bytes.Cut(head, []byte{'\n'})
	if isOtherwiseSeparated(first) {
		return "", &Error{Line: in.read + 1, Err: errSeparator}
	}
	if bytes.IndexByte(first, ',') >= 0 || isHeader(first) {
		if kind := kindOfHeader(first); kind != "" {
			return kind, nil
		}
	}
	return vote(head), nil
}

// readable says whether a list that looks like the one kind can be read as the
// other, which is Auto unless the configuration names one.
func readable(seen, wanted Kind, in *lines) error {
	switch {
	case seen == kindJSON && wanted == Auto, !isJSONKind(wanted) && wanted != Auto && isJSON(in.window(maxLine)):
		what, hint := string(kindJSON), ""
		if seen != kindJSON {
			what = string(seen) + " (JSON)"
		} else if bytes.Contains(in.window(maxLine), []byte(`"list"`)) {
			hint = "; a warning list of MISP names what is innocent: give it as guard.files"
		}
		return &Error{Line: in.read + 1, Err: fmt.Errorf("a %s document, expected a list in the notation %s%s", what, wantedKinds(wanted), hint)}
	case wanted != Auto:
		return nil
	case seen == "":
		return unrecognized(in)
	case seen == kindForeign:
		first, _, _ := bytes.Cut(in.window(maxLine), []byte{'\n'})
		if bytes.IndexByte(first, ',') < 0 && bytes.IndexByte(first, ';') >= 0 {
			return &Error{Line: in.read + 1, Err: errSeparator}
		}
		return &Error{Line: in.read + 1, Err: errForeign(bytes.Split(first, []byte{','}))}
	}
	return nil
}

func wantedKinds(wanted Kind) string {
	if wanted == Auto {
		return knownKinds()
	}
	return string(wanted)
}

// unrecognized names the first line of the head that is in no notation.
func unrecognized(in *lines) error {
	var strange []byte
	at, fit, all := 0, 0, 0
	number := in.read
	for line := range bytes.SplitSeq(in.window(maxLine), []byte{'\n'}) {
		number++
		text := content(line)
		if len(text) == 0 {
			continue
		}
		all++
		if kind, _ := kindOfLine(text); kind != "" {
			fit++
		} else if at == 0 {
			at, strange = number, text
		}
	}
	return &Error{Line: at, Err: fmt.Errorf("unrecognized content (%q), %d of %d lines looked at fit: expected a list in the notation %s; if it is in one of them, name that as its format",
		printable(strange), fit, all, knownKinds())}
}

// skipComments reads over comments and blank lines. Some CSV have their header
// in a comment: it stops there and says whose.
func skipComments(in *lines) Kind {
	for {
		head := in.window(maxLine)
		line, _, _ := bytes.Cut(head, []byte{'\n'})
		text := trim(line)
		if len(head) == 0 || len(text) > 0 && !isComment(text) || isCosmetic(text) {
			return ""
		}
		if len(text) > 0 {
			if kind := kindOfHeader(line); kind == ThreatFox || kind == URLhaus {
				return kind
			}
		}
		if _, _, ok := in.next(); !ok {
			return ""
		}
	}
}

// notText knows compressed files and wide characters by their first octets.
func notText(head []byte) error {
	for _, magic := range [...]struct{ octets, found string }{
		{"\xff\xfe", "UTF-16 text, expected UTF-8: save the list as UTF-8"},
		{"\xfe\xff", "UTF-16 text, expected UTF-8: save the list as UTF-8"},
		{"\x1f\x8b", "gzip-compressed content, expected text: unpack the list"},
		{"\x28\xb5\x2f\xfd", "zstd-compressed content, expected text: unpack the list"},
		{"PK\x03\x04", "a zip archive, expected text: unpack the list"},
	} {
		if bytes.HasPrefix(head, []byte(magic.octets)) {
			return errors.New(magic.found)
		}
	}
	return nil
}

// notList knows the pages that stand in a list's place.
func notList(head []byte) error {
	if head = trim(head); len(head) > 0 && head[0] == '<' {
		return errors.New("an HTML or XML page, expected a list: it may be an error or login page; download the list again, and look where it comes from")
	}
	return nil
}

// isJSON tells a JSON document from [2001:db8::1]:443 and [Adblock Plus].
func isJSON(head []byte) bool {
	head = trim(head)
	if len(head) == 0 || head[0] == '{' {
		return len(head) > 0
	}
	rest := trim(head[1:])
	return head[0] == '[' && (len(rest) == 0 || bytes.IndexByte([]byte(`{["]`), rest[0]) >= 0)
}

// isJSONKind says whether a kind is written as JSON, ThreatFox and URLhaus
// being CSV too.
func isJSONKind(kind Kind) bool {
	switch kind {
	case STIX, MISP, ThreatFox, URLhaus, kindJSON:
		return true
	}
	return false
}

// vote takes the notation of most lines.
func vote(head []byte) Kind {
	votes := make(map[Kind]int)
	for len(head) > 0 {
		var line []byte
		line, head, _ = bytes.Cut(head, []byte{'\n'})
		if text := content(line); len(text) > 0 {
			kind, certain := kindOfLine(text)
			if certain {
				return kind
			}
			votes[kind]++
		}
	}
	best := Domains
	for _, kind := range [...]Kind{Hosts, RPZ, Adblock, Dnsmasq, Unbound, BIND, Dnscrypt, Suricata, kindForeign, ""} {
		if votes[kind] > votes[best] {
			best = kind
		}
	}
	return best
}

// isCosmetic knows the rules of adblock lists that hide parts of all pages,
// which begin as comments elsewhere do.
func isCosmetic(text []byte) bool {
	for _, mark := range [...]string{"##", "#@#", "#?#", "#$#", "#%#"} {
		rest, ok := bytes.CutPrefix(text, []byte(mark))
		if ok && len(rest) > 1 && rest[0] == '#' {
			rest = rest[1:] // ###id
		}
		if ok && len(rest) > 0 && rest[0] != '#' && !isSpace(rest[0]) {
			return true
		}
	}
	return false
}

// kindOfLine is the notation that a line looks like; certain where no other
// notation has such a line.
func kindOfLine(text []byte) (kind Kind, certain bool) {
	if kind, certain := kindOfStart(text); kind != "" {
		return kind, certain
	}
	first, rest := field(text)
	if first[0] == '$' {
		switch string(bytes.ToUpper(first)) {
		case "$ORIGIN", "$TTL", "$INCLUDE", "$GENERATE":
			return RPZ, true
		}
	}
	if hasCosmetic(text) || text[len(text)-1] == '^' {
		return Adblock, false
	}
	second, _ := field(rest)
	if len(second) == 0 {
		return kindOfEntry(first), false
	}
	switch recordType(text) {
	case "SOA":
		return RPZ, true
	case "":
	default:
		return RPZ, false
	}
	switch {
	case isHostsAddress(first):
		return Hosts, false
	case second[0] == '@' && kindOfEntry(first) != "":
		return Dnscrypt, false
	case bytes.IndexByte(text, ',') >= 0:
		return kindForeign, false
	}
	return "", false
}

// kindOfStart knows notations by how their lines begin.
func kindOfStart(text []byte) (kind Kind, certain bool) {
	switch c := text[0]; {
	case '0' <= c && c <= '9':
		return "", false // a name or an address
	case c == '[' && isAdblockHeader(text):
		return Adblock, true
	case c == '}':
		return BIND, false
	}
	for _, start := range [...]struct {
		prefix string
		kind   Kind
	}{
		{"||", Adblock}, {"@@", Adblock},
		{"address=/", Dnsmasq}, {"server=/", Dnsmasq}, {"local=/", Dnsmasq}, {"bogus-nxdomain=", Dnsmasq},
		{"local-zone:", Unbound}, {"local-data:", Unbound}, {"local-data-ptr:", Unbound}, {"server:", Unbound},
		{`zone "`, BIND}, {"type ", BIND}, {"file \"", BIND}, {"notify ", BIND}, {"allow-", BIND}, {"check-names ", BIND},
		{"alert ", Suricata}, {"=", Dnscrypt},
	} {
		if bytes.HasPrefix(text, []byte(start.prefix)) && (start.kind != BIND || bytes.ContainsAny(text, `";{`)) {
			return start.kind, false
		}
	}
	return "", false
}

// kindOfEntry judges a line of one field. A broken name among names is still a
// line of their list.
func kindOfEntry(text []byte) Kind {
	switch {
	case bytes.ContainsAny(text, ",;"):
		return kindForeign
	case bytes.IndexByte(text, '*') >= 0 && isPattern(text) && !bytes.ContainsAny(text, `\^$(|[/`):
		return Dnscrypt
	case bytes.ContainsAny(bytes.TrimRight(text, "."), ".:/"):
		return Domains
	}
	return ""
}

// recordType finds the type of a line that looks like a resource record: up to
// three fields of owner, TTL and class stand before it.
func recordType(text []byte) string {
	for at := 0; at < 4 && len(text) > 0; at++ {
		var part []byte
		part, text = field(text)
		for _, name := range [...]string{"SOA", "NS", "CNAME", "A", "AAAA", "TXT", "MX"} {
			if len(part) == len(name) && strings.EqualFold(string(part), name) && len(trim(text)) > 0 {
				return name
			}
		}
	}
	return ""
}

// kindOfHeader knows CSV by their header row.
func kindOfHeader(line []byte) Kind {
	names := [...]string{"indicator", "ioc_value", "dateadded", "url"}
	var has [len(names)]bool
	for cell := range bytes.SplitSeq(bytes.TrimLeft(line, "# \t"), []byte{','}) {
		cell = bytes.Trim(cell, "\" \t\r")
		for i, name := range names {
			has[i] = has[i] || len(cell) == len(name) && strings.EqualFold(string(cell), name)
		}
	}
	switch {
	case has[0]:
		return CSV
	case has[1]:
		return ThreatFox
	case has[2] && has[3]:
		return URLhaus
	}
	return ""
}

// isOtherwiseSeparated knows the header of our CSV if its fields are not
// separated by commas.
func isOtherwiseSeparated(line []byte) bool {
	if !bytes.ContainsAny(line, ";\t") {
		return false
	}
	cells := bytes.FieldsFunc(line, func(r rune) bool { return r == ';' || r == '\t' })
	return slices.ContainsFunc(cells, isHeader)
}

func isHeader(line []byte) bool {
	return bytes.EqualFold(bytes.Trim(line, "\" \t\r"), []byte("indicator"))
}
