package hits

import (
	"bytes"
	"errors"
	"io"
)

// maxLine bounds a line of the journal. Ours take a few kilobytes at most.
const maxLine = 1 << 20

var errLongLine = errors.New("the line is longer than 1 MiB")

// lineReader cuts a stream into lines. After io.EOF it can be called again when
// the stream has grown; an unfinished line waits in it.
type lineReader struct {
	r        io.Reader
	buf      []byte
	start    int // of what is not handed out yet
	searched int // up to here there is no line end
	skipping bool
	number   int   // of the line last handed out, from 1
	read     int64 // octets of the stream up to the end of buf
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: r, buf: make([]byte, 0, 64<<10)}
}

// next returns the next whole line without its end, valid until the next call;
// io.EOF when there is none yet, errLongLine for a line that was skipped.
func (l *lineReader) next() ([]byte, error) {
	for {
		if i := bytes.IndexByte(l.buf[l.searched:], '\n'); i >= 0 {
			line := l.buf[l.start : l.searched+i]
			l.start = l.searched + i + 1
			l.searched = l.start
			l.number++
			if l.skipping || len(line) > maxLine {
				l.skipping = false
				return nil, errLongLine
			}
			return line, nil
		}
		l.searched = len(l.buf)
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
}

// ready reports whether next has a line without reading.
func (l *lineReader) ready() bool {
	i := bytes.IndexByte(l.buf[l.searched:], '\n')
	if i < 0 {
		l.searched = len(l.buf)
		return false
	}
	l.searched += i
	return true
}

// fill reads more behind the unfinished line.
func (l *lineReader) fill() error {
	if l.searched-l.start >= maxLine {
		l.start, l.skipping = l.searched, true
	}
	if l.start > 0 {
		n := copy(l.buf, l.buf[l.start:])
		l.buf, l.searched, l.start = l.buf[:n], l.searched-l.start, 0
	}
	if len(l.buf) == cap(l.buf) {
		l.buf = append(l.buf, make([]byte, len(l.buf))...)[:len(l.buf)]
	}
	n, err := l.r.Read(l.buf[len(l.buf):cap(l.buf)])
	l.buf, l.read = l.buf[:len(l.buf)+n], l.read+int64(n)
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// unfinished is the length of the line that has no end yet.
func (l *lineReader) unfinished() int {
	if l.skipping {
		return maxLine
	}
	return len(l.buf) - l.start
}

// position is the offset in the stream behind the line that was handed out last.
func (l *lineReader) position() int64 { return l.read - int64(len(l.buf)-l.start) }

// drop forgets the unfinished line. The stream goes on at an offset.
func (l *lineReader) drop(at int64) {
	l.read = at
	l.buf, l.start, l.searched, l.skipping = l.buf[:0], 0, 0, false
}
