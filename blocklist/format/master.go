package format

import "bytes"

// token is a word of a master file, RFC 1035 section 5.1, its escapes left in.
type token struct {
	text   []byte
	at     int  // octets into the record
	quoted bool // written in quotes, which are not part of the text
	glued  bool // follows the token before it without white space
}

// master cuts a master file into records, each a line or, with parentheses,
// several.
type master struct {
	in *lines
	// line is the number of the record's first line, text that line.
	line   int
	text   []byte
	tokens []token
	// blank is set where the record begins with white space, which stands for
	// the owner of the record before it.
	blank bool

	whole []byte // a record of several lines
	ahead int    // octets of it that follow its first line in the stream
}

// next reads the next record that is not blank and returns ok false at the end.
// What it finds is valid until the following call. After a broken record, the
// next one begins on the line after its first.
func (m *master) next() (p problem, ok bool) {
	for {
		line, cut, ok := m.in.next()
		if !ok {
			return problem{}, false
		}
		m.line, m.text, m.ahead = m.in.read, line, 0
		if cut {
			return longLine(), true
		}
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		m.blank = isSpace(line[0])
		_, closed, p := m.lex(line)
		if p.is() {
			return p, true
		}
		if !closed {
			if p := m.readLong(line); p.is() {
				return p, true
			}
		}
		if len(m.tokens) > 0 {
			return problem{}, true
		}
		m.accept() // empty parentheses
	}
}

// readLong reads on from a first line with an open parenthesis. The stream
// stays behind the first line until accept or reject.
func (m *master) readLong(line []byte) problem {
	m.whole = append(append(m.whole[:0], line...), '\n')
	if len(line) < maxLine {
		m.whole = append(m.whole, m.in.window(maxLine-len(line))...)
	}
	m.text = m.whole[:len(line)]
	n, closed, p := m.lex(m.whole)
	if p.is() {
		return p
	}
	if !closed {
		return malformed("a parenthesis that none closes within %d octets, expected \"(\" and \")\" around a record of several lines", maxLine)
	}
	m.ahead = n - len(line) - 1
	return problem{}
}

// accept takes the whole record as read.
func (m *master) accept() { m.in.advance(m.ahead) }

// reject takes a record as read that was not understood. If a parenthesis was
// left open by mistake, the record runs into the next ones; so what follows the
// first line is given back from where a line does not look like a continuation.
func (m *master) reject() {
	if m.ahead == 0 {
		return
	}
	rest := m.whole[len(m.text)+1:][:m.ahead]
	taken := 0
	for taken < len(rest) {
		if c := rest[taken]; !isSpace(c) && c != ')' && c != ';' {
			break
		}
		n := bytes.IndexByte(rest[taken:], '\n')
		if n < 0 {
			taken = len(rest)
			break
		}
		taken += n + 1
	}
	m.in.advance(taken)
}

// lex cuts a text into tokens up to the first line end outside parentheses and
// returns how many octets that took, the line end included; closed is false
// where the text ended within parentheses. Parentheses do not nest: none need
// to, and so one left open ends at the next.
func (m *master) lex(text []byte) (n int, closed bool, p problem) {
	m.tokens = m.tokens[:0]
	open, glued := false, false
	for n < len(text) {
		if nameByte[text[n]] != 0 {
			end := endOfToken(text, n+1, false)
			m.tokens = append(m.tokens, token{text[n:end], n, false, glued})
			n = end
			glued = true
			continue
		}
		switch c := text[n]; {
		case c == '\n':
			n++
			if !open {
				return n, true, problem{}
			}
			glued = false
		case isSpace(c):
			n++
			glued = false
		case c == ';':
			for n < len(text) && text[n] != '\n' {
				n++
			}
			glued = false
		case c == '(' && open, c == ')' && !open:
			return n, true, problem{reason: "parentheses that do not match", at: n}
		case c == '(' || c == ')':
			n++
			open = c == '('
			glued = false
		case c == '"':
			end := endOfToken(text, n+1, true)
			if end == len(text) || text[end] != '"' {
				return n, true, problem{reason: "a quote that is not closed on its line", at: n}
			}
			m.tokens = append(m.tokens, token{text[n+1 : end], n, true, glued})
			n = end + 1
			glued = true
		default:
			end := endOfToken(text, n, false)
			m.tokens = append(m.tokens, token{text[n:end], n, false, glued})
			n = end
			glued = true
		}
	}
	return n, !open, problem{}
}

// endOfToken finds where the token that holds text[n] ends.
func endOfToken(text []byte, n int, quoted bool) int {
	for ; n < len(text); n++ {
		if nameByte[text[n]] != 0 {
			continue
		}
		switch c := text[n]; {
		case c == '\n', c == '"':
			return n
		case c == '\\' && n+1 < len(text) && text[n+1] != '\n':
			n++
		case !quoted && (c == ';' || c == '(' || c == ')' || isSpace(c)):
			return n
		}
	}
	return n
}

// parseTTL reads seconds, or numbers with the units w, d, h, m and s.
func parseTTL(text []byte) (uint32, bool) {
	const limit = 1<<31 - 1 // RFC 2181 section 8
	if len(text) == 0 || len(text) > 32 || !isDigit(text[0]) {
		return 0, false
	}
	total, value, pending := uint64(0), uint64(0), false
	for _, c := range text {
		if isDigit(c) {
			value = value*10 + uint64(c-'0')
			pending = true
		} else {
			unit := uint64(0)
			switch lower(c) {
			case 's':
				unit = 1
			case 'm':
				unit = 60
			case 'h':
				unit = 3600
			case 'd':
				unit = 86400
			case 'w':
				unit = 7 * 86400
			}
			if unit == 0 || !pending {
				return 0, false
			}
			total += value * unit
			value, pending = 0, false
		}
		if value > limit || total > limit {
			return 0, false
		}
	}
	total += value
	return uint32(total), total <= limit
}
