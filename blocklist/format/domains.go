package format

import (
	"bytes"
	"iter"
)

// readDomains reads a list of one entry a line: a name, *.name, an address, a
// prefix, a URL, each with an optional port.
func readDomains(in *lines, out *sink, scope Scope) {
	scratch := make([]byte, 0, 2*maxName)
	for line := range wholeLines(in, out) {
		if wire, ok := plainName(scratch, line); ok {
			putName(out, in.read, wire, scope)
			continue
		}
		if bare := trim(line); isBareHost(bare) {
			out.leaveOut(in.read, column(line, bare), bare, refused(reasonNoScheme))
			continue
		}
		text := content(line)
		if len(text) == 0 {
			continue
		}
		at := column(line, text)
		e, p := readEntry(scratch, text)
		if p.is() {
			out.leaveOut(in.read, at+p.at, text, p)
			continue
		}
		e.put(out, in.read, scope)
	}
}

// wholeLines are the lines of a list, as long as there is hope for it. Those
// that are too long are left out.
func wholeLines(in *lines, out *sink) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for !out.hopeless() {
			line, cut, ok := in.next()
			switch {
			case !ok:
				return
			case cut:
				out.leaveOut(in.read, 0, line, longLine())
			case !yield(line):
				return
			}
		}
	}
}

// put emits the entry with nothing but what the entry itself says.
func (e *entry) put(out *sink, line int, scope Scope) {
	e.fill(out.indicator(line), scope)
	out.put()
}

// fill says what the entry is about.
func (e *entry) fill(ind *Indicator, scope Scope) {
	ind.FromURL = e.path
	switch {
	case e.prefix.IsValid():
		ind.Trigger, ind.Prefix = ResponseIP, e.prefix
	case e.wildcard:
		ind.Name, ind.Scope = e.name, Subtree
	default:
		ind.Name, ind.Scope = e.name, scope
	}
}

func putName(out *sink, line int, wire []byte, scope Scope) {
	ind := out.indicator(line)
	ind.Name, ind.Scope = wire, scope
	out.put()
}

func longLine() problem {
	return malformed("a line of more than %d octets, expected one entry a line", maxLine)
}

// content is a line without white space around it and without comments. A
// comment is a line that begins with # ; ! or //, or what follows white space
// and one of these.
func content(line []byte) []byte {
	line = trim(line)
	if isComment(line) {
		return nil
	}
	for i, c := range line {
		if (c == ' ' || c == '\t') && isComment(trim(line[i:])) {
			return line[:i]
		}
	}
	return line
}

func isComment(text []byte) bool {
	if len(text) == 0 {
		return false
	}
	switch text[0] {
	case '#', ';', '!':
		return true
	case '/':
		return len(text) > 1 && text[1] == '/'
	}
	return false
}

const reasonNoScheme = "a URL without its scheme, or a name commented out: write the name alone, or a blank behind // for a comment"

// isBareHost knows "//name" and what else of a URL may follow; "// name" is a
// comment.
func isBareHost(text []byte) bool {
	rest, ok := bytes.CutPrefix(text, []byte("//"))
	if !ok || bytes.ContainsAny(rest, " \t") {
		return false
	}
	if end := bytes.IndexAny(rest, ":/?#"); end >= 0 {
		rest = rest[:end]
	}
	_, isAddr := parseAddr(rest)
	_, p := listName(nil, rest)
	return isAddr || !p.is()
}

// column is where in its line a part of it begins, 1-based. The part must have
// been sliced off the line.
func column(line, part []byte) int { return cap(line) - cap(part) + 1 }

// trim takes off ASCII white space.
func trim(text []byte) []byte {
	for len(text) > 0 && isSpace(text[0]) {
		text = text[1:]
	}
	for len(text) > 0 && isSpace(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return text
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
