package format

import "bytes"

// readBIND reads the zones of a named.conf: one that the server itself is
// primary for is how such lists block a name and all below it.
func readBIND(in *lines, out *sink, scope Scope) {
	b := &namedConf{in: in, out: out, scope: scope, scratch: make([]byte, 0, 2*maxName)}
	for line := range wholeLines(in, out) {
		b.number, b.line, b.offset = in.read, line, 0
		b.readLine()
	}
}

type namedConf struct {
	in      *lines
	out     *sink
	scope   Scope
	scratch []byte
	number  int    // of the line that the statement begins on
	line    []byte // what of that line is not read yet, and lines after it
	offset  int    // octets of the line that are read
	words   []confWord
	whole   []byte // a statement of several lines
	vain    int    // statements whose end was not within reach
}

// The end of a statement of several lines is looked for up to maxLine ahead;
// once that was in vain patience times, only up to shortReach, so that a list of
// nothing but open statements does not cost maxLine for each of its lines.
const (
	patience   = 100
	shortReach = 1 << 10
)

func (b *namedConf) reach() int {
	if b.vain < patience {
		return maxLine
	}
	return shortReach
}

// confWord is a word of a statement, or one of { } ;.
type confWord struct {
	text   []byte
	quoted bool
}

func (w confWord) is(text string) bool { return !w.quoted && string(w.text) == text }

// readLine reads the statements that begin on a line.
func (b *namedConf) readLine() {
	for {
		n, closed, p := b.lex(b.line)
		if !p.is() && !closed {
			n, p = b.readLong()
		}
		if p.is() {
			b.leaveOut(p)
			return
		}
		if len(b.words) == 0 {
			return
		}
		if p := b.statement(); p.is() {
			b.leaveOut(p)
		}
		b.line = b.line[n:]
		b.offset += n
	}
}

func (b *namedConf) leaveOut(p problem) {
	text, column := firstLine(b.line), 0
	if p.at > 0 && p.at < len(text) {
		column = b.offset + p.at + 1
	}
	b.out.leaveOut(b.number, column, trim(text), p)
}

func firstLine(text []byte) []byte {
	line, _, _ := bytes.Cut(text, []byte{'\n'})
	return line
}

// readLong reads on where a statement goes over several lines, to the end of
// the line that it ends on.
func (b *namedConf) readLong() (int, problem) {
	const usual = 1 << 10
	first := len(b.line) + 1
	most := b.reach()
	for _, reach := range [...]int{usual, most} {
		if first >= reach {
			continue
		}
		b.whole = append(append(b.whole[:0], b.line...), '\n')
		b.whole = append(b.whole, b.in.window(reach-first)...)
		b.line = b.whole[:first-1]
		n, closed, p := b.lex(b.whole)
		if p.is() {
			return 0, p
		}
		if !closed {
			continue
		}
		end := len(b.whole)
		if i := bytes.IndexByte(b.whole[n:], '\n'); i >= 0 {
			end = n + i + 1
		} else if end-first == reach-first {
			continue // the line goes on
		}
		b.line = b.whole[:end]
		b.in.advance(end - first)
		return n, problem{}
	}
	b.vain++
	return 0, malformed("a statement that none closes within %d octets, expected zone \"NAME\" { type primary; ... };", most)
}

// lex cuts the first statement of a text into words and returns how many octets
// that took, its ";" included; closed is false where the text ended before.
// Only comments and white space are a closed statement without words.
func (b *namedConf) lex(text []byte) (n int, closed bool, p problem) {
	b.words = b.words[:0]
	depth := 0
	fresh := true // nothing but white space since the line began
	for n < len(text) {
		c := text[n]
		switch {
		case c == '\n':
			n++
			fresh = true
			continue
		case isSpace(c):
			n++
			continue
		case c == '#', bytes.HasPrefix(text[n:], []byte("//")):
			n += len(firstLine(text[n:]))
			continue
		case bytes.HasPrefix(text[n:], []byte("/*")):
			i := bytes.Index(text[n+2:], []byte("*/"))
			if i < 0 {
				return n, false, problem{}
			}
			n += i + 4
			continue
		case c == '"':
			i := bytes.IndexByte(firstLine(text[n+1:]), '"')
			if i < 0 {
				return n, true, problem{reason: "a quote that is not closed on its line", at: n}
			}
			b.words = append(b.words, confWord{text[n+1 : n+1+i], true})
			n += i + 2
		case c == '{', c == '}', c == ';':
			b.words = append(b.words, confWord{text[n : n+1], false})
			n++
			switch c {
			case '{':
				depth++
			case '}':
				depth--
			}
			if depth < 0 {
				return n, true, malformed("a brace that closes nothing, expected zone \"NAME\" { type primary; ... };")
			}
			if c == ';' && depth == 0 {
				return n, true, problem{}
			}
		default:
			end := n
			for end < len(text) && !endsWord(text[end]) {
				end++
			}
			b.words = append(b.words, confWord{text[n:end], false})
			if fresh && len(b.words) > 1 && string(text[n:end]) == "zone" {
				return n, true, malformed("a statement that is not closed before the next zone, expected };")
			}
			n = end
		}
		fresh = false
	}
	return n, len(b.words) == 0, problem{}
}

func endsWord(c byte) bool { return c == '{' || c == '}' || c == ';' || c == '"' || isSpace(c) }

// statement reads zone NAME [CLASS] { ... };.
func (b *namedConf) statement() problem {
	words := b.words
	switch {
	case words[0].is(";"):
		return problem{}
	case !words[0].is("zone"):
		return notApplicable("a statement other than zone, which lists no name")
	case len(words) < 3 || words[1].is("{"):
		return malformed("a zone without a name, expected zone \"NAME\" { type primary; ... };")
	}
	name, body := words[1], words[2:]
	if len(body) > 1 && !body[0].is("{") {
		if !bytes.EqualFold(body[0].text, []byte("IN")) {
			return notApplicable("a zone of another class than IN, which lists no name")
		}
		body = body[1:]
	}
	if len(body) == 0 || !body[0].is("{") {
		return malformed("a zone without its options, expected zone \"NAME\" { type primary; ... };")
	}
	switch kind := zoneType(body[1:]); string(kind) {
	case "primary", "master":
	case "":
		return notApplicable("a zone without a type, which blocks nothing")
	default:
		return notApplicable("a zone of the type " + printable(kind) + " asks other servers and blocks nothing, expected primary or master")
	}
	return b.zone(name.text)
}

// zoneType finds the type among the options of a zone.
func zoneType(options []confWord) []byte {
	depth, start := 0, true
	for i, word := range options {
		switch {
		case word.is("{"):
			depth++
		case word.is("}"):
			depth--
		case depth == 0 && start && word.is("type") && i+1 < len(options):
			return options[i+1].text
		}
		start = word.is(";")
	}
	return nil
}

func (b *namedConf) zone(name []byte) problem {
	e, p := readName(b.scratch, name)
	if !p.is() && isReverse(e.name) {
		p = notApplicable(reasonReverse)
	}
	if p.is() {
		p.at += cap(b.line) - cap(name)
		return p
	}
	e.put(b.out, b.number, b.scope)
	return problem{}
}
