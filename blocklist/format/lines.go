package format

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds a line, and a record that goes over several lines, in octets.
const maxLine = 64 << 10

var errBinary = errors.New("binary content: a NUL octet, expected text: save the list as text")

// lines cuts a stream into lines within one buffer of fixed size.
type lines struct {
	r        io.Reader
	buf      []byte
	pos, end int   // what is read but not yet handed out is buf[pos:end]
	read     int   // lines handed out so far, the number of the last one
	over     bool  // no more can be read
	err      error // why that is; nil at the stream's regular end
}

func newLines(r io.Reader) *lines {
	return &lines{r: r, buf: make([]byte, 2*maxLine)}
}

// next hands out the next line without its LF or CRLF. It is valid until the
// next call of any method. A line longer than maxLine comes cut to that length,
// with cut set, and is read over to its end. At the end of the stream, or once
// it failed, ok is false.
func (l *lines) next() (line []byte, cut, ok bool) {
	scanned := 0
	for {
		if i := bytes.IndexByte(l.buf[l.pos+scanned:l.end], '\n'); i >= 0 {
			line = l.buf[l.pos : l.pos+scanned+i]
			l.pos += scanned + i + 1
			break
		}
		scanned = l.end - l.pos
		if scanned > maxLine {
			return l.skip()
		}
		if !l.fill() {
			if l.err != nil || scanned == 0 {
				return nil, false, false
			}
			line = l.buf[l.pos:l.end]
			l.pos = l.end
			break
		}
	}
	l.read++
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if len(line) > maxLine {
		return line[:maxLine], true, true
	}
	return line, false, true
}

// skip hands out the start of a line that is too long. The start is moved to
// the head of the buffer, the rest of the line is read over behind it.
func (l *lines) skip() (line []byte, cut, ok bool) {
	l.compact()
	for {
		if i := bytes.IndexByte(l.buf[maxLine:l.end], '\n'); i >= 0 {
			l.pos = maxLine + i + 1
			break
		}
		l.pos, l.end = maxLine, maxLine
		if !l.fillTail() {
			if l.err != nil {
				return nil, false, false
			}
			break
		}
	}
	l.read++
	return l.buf[:maxLine], true, true
}

// window looks ahead at what follows the line last handed out: at least n
// octets, at most maxLine of them asked for, or all that is left.
func (l *lines) window(n int) []byte {
	for l.end-l.pos < n && l.fill() {
	}
	return l.buf[l.pos:min(l.end, l.pos+n)]
}

// advance takes n octets of the window as read; they must end where a line
// does.
func (l *lines) advance(n int) {
	taken := l.buf[l.pos : l.pos+n]
	l.read += bytes.Count(taken, []byte{'\n'})
	if n > 0 && taken[n-1] != '\n' {
		l.read++ // the last line of the stream
	}
	l.pos += n
}

// discard takes n octets of the window off a line that is yet to be handed out.
func (l *lines) discard(n int) { l.pos += n }

// fill reads more behind what is there and reports whether something came.
func (l *lines) fill() bool {
	if l.over {
		return false
	}
	if l.end == len(l.buf) || l.pos == l.end {
		l.compact()
	}
	return l.fillTail()
}

func (l *lines) compact() {
	l.end = copy(l.buf, l.buf[l.pos:l.end])
	l.pos = 0
}

func (l *lines) fillTail() bool {
	const tries = 100 // of a reader that returns neither octets nor an error
	for range tries {
		if l.over {
			return false
		}
		n, err := l.r.Read(l.buf[l.end:])
		if n < 0 || n > len(l.buf)-l.end {
			return l.fail(fmt.Errorf("reader returned an impossible count of %d octets", n))
		}
		if i := bytes.IndexByte(l.buf[l.end:l.end+n], 0); i >= 0 {
			return l.fail(l.binary(l.end+i, l.end+n))
		}
		// The bare io.EOF alone: a reader that wraps it tells of a failure.
		if err == io.EOF {
			l.over = true
		} else if err != nil {
			l.fail(err)
		}
		l.end += n
		if n > 0 {
			return true
		}
	}
	return l.fail(io.ErrNoProgress)
}

// binary is the error of a NUL octet at an offset in what is read up to end.
func (l *lines) binary(nul, end int) error {
	if l.read == 0 && l.pos == 0 {
		if err := notText(l.buf[:end]); err != nil {
			return err
		}
	}
	return &Error{Line: l.read + 1 + bytes.Count(l.buf[l.pos:nul], []byte{'\n'}), Err: errBinary}
}

// fail ends the reading; it reports that nothing came.
func (l *lines) fail(err error) bool {
	l.over, l.err = true, err
	return false
}
