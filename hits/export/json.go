package export

import (
	"io"

	"sinkhole/hits"
)

// linesWriter writes the journal's lines.
type linesWriter struct {
	w    io.Writer
	opts Options
	buf  []byte
}

func (l *linesWriter) Write(r *hits.Record) error {
	l.buf = append(l.opts.detailed(r).AppendJSON(l.buf[:0]), '\n')
	_, err := l.w.Write(l.buf)
	return err
}

func (l *linesWriter) Close() error { return nil }

// jsonWriter writes one array, a record on each line.
type jsonWriter struct {
	w    io.Writer
	opts Options
	buf  []byte
	some bool
}

func (j *jsonWriter) Write(r *hits.Record) error {
	before := "[\n"
	if j.some {
		before = ",\n"
	}
	j.some = true
	j.buf = j.opts.detailed(r).AppendJSON(append(j.buf[:0], before...))
	_, err := j.w.Write(j.buf)
	return err
}

func (j *jsonWriter) Close() error {
	end := "\n]\n"
	if !j.some {
		end = "[]\n"
	}
	_, err := io.WriteString(j.w, end)
	return err
}
