package format

import "bytes"

// records cuts a CSV stream, RFC 4180, into records and their fields. Unlike
// encoding/csv it knows the first line of each record, goes on behind a broken
// one, and does not let a quote that is never closed swallow the rest.
type records struct {
	in *lines
	// line is the number of the record's first line, text that line.
	line   int
	text   []byte
	fields [][]byte
	// columns says where on the first line each field begins, 1-based; 0 for a
	// field that begins on a later line.
	columns []int

	whole []byte // a record of several lines
	clean []byte // the fields with their quotes taken off
	spans [][2]int
}

// next reads the next record that is not blank. What it finds is valid until
// the following call. A broken record is a problem, and the record after it is
// the next line.
func (r *records) next() (p problem, ok bool) {
	for {
		line, cut, ok := r.in.next()
		if !ok {
			return problem{}, false
		}
		r.line, r.text = r.in.read, line
		if cut {
			return longLine(), true
		}
		if text := trim(line); len(text) == 0 || text[0] == '#' {
			continue
		}
		if bytes.IndexByte(line, '"') < 0 {
			r.splitPlain(line)
			return problem{}, true
		}
		return r.readQuoted(line), true
	}
}

func (r *records) splitPlain(line []byte) {
	r.fields, r.columns = r.fields[:0], r.columns[:0]
	for start := 0; ; {
		n := bytes.IndexByte(line[start:], ',')
		if n < 0 {
			n = len(line) - start
		}
		r.fields = append(r.fields, line[start:start+n])
		r.columns = append(r.columns, start+1)
		if start += n + 1; start > len(line) {
			return
		}
	}
}

func (r *records) readQuoted(line []byte) problem {
	_, closed, p := r.split(line, len(line))
	if p.is() || closed {
		return p
	}
	r.whole = append(append(r.whole[:0], line...), '\n')
	r.text = r.whole[:len(line)]
	if len(line) >= maxLine {
		return unclosed()
	}
	ahead := r.in.window(maxLine - len(line))
	r.whole = append(r.whole, ahead...)
	r.text = r.whole[:len(line)]
	n, closed, p := r.split(r.whole, len(line))
	switch {
	case p.is():
		return p
	case !closed:
		return unclosed()
	}
	r.in.advance(n - len(line) - 1)
	return problem{}
}

func unclosed() problem {
	return malformed("a quote that no other closes within %d octets, expected fields as in RFC 4180", maxLine)
}

// split reads fields up to the first line end outside quotes and returns how
// many octets that took, the line end included; closed is false where the text
// ended within quotes. The record's first line is so many octets long.
func (r *records) split(text []byte, firstLine int) (n int, closed bool, p problem) {
	r.fields, r.columns, r.clean, r.spans = r.fields[:0], r.columns[:0], r.clean[:0], r.spans[:0]
	for {
		column := 0
		if n <= firstLine {
			column = n + 1
		}
		start := len(r.clean)
		n, closed, p = r.splitField(text, n)
		if p.is() {
			return n, true, p
		}
		r.columns = append(r.columns, column)
		r.spans = append(r.spans, [2]int{start, len(r.clean)})
		if !closed || n == len(text) || text[n] == '\n' {
			break
		}
		n++ // the comma
	}
	for _, span := range r.spans {
		r.fields = append(r.fields, r.clean[span[0]:span[1]])
	}
	return min(n+1, len(text)), closed, problem{}
}

// splitField appends the field that begins at n to clean and returns where it
// ends: at a comma, a line end or the end of the text.
func (r *records) splitField(text []byte, n int) (end int, closed bool, p problem) {
	for n < len(text) && (text[n] == ' ' || text[n] == '\t') {
		n++
	}
	if n < len(text) && text[n] == '"' {
		return r.unquote(text, n+1)
	}
	for ; n < len(text) && text[n] != ',' && text[n] != '\n'; n++ {
		if text[n] == '"' {
			return n, true, problem{reason: `a quote within a field without quotes, expected fields as in RFC 4180`, at: n}
		}
		r.clean = append(r.clean, text[n])
	}
	return n, true, problem{}
}

// unquote is splitField from behind the opening quote on.
func (r *records) unquote(text []byte, n int) (end int, closed bool, p problem) {
	for ; ; n++ {
		if n == len(text) {
			return n, false, problem{}
		}
		if text[n] == '"' {
			n++
			if n == len(text) || text[n] != '"' {
				break
			}
		}
		r.clean = append(r.clean, text[n])
	}
	for n < len(text) && isSpace(text[n]) && text[n] != '\n' {
		n++
	}
	if n < len(text) && text[n] != ',' && text[n] != '\n' {
		return n, true, problem{reason: `text after a closing quote, expected a comma (a quote within quotes is written "")`, at: n}
	}
	return n, true, problem{}
}
