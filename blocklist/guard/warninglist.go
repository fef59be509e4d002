package guard

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
)

// beginsObject tells whether a text is a JSON object, which no list of lines is.
func beginsObject(r *bufio.Reader) bool {
	head, _ := r.Peek(r.Size())
	return bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("{"))
}

// warninglist is a warning list of MISP (misp-warninglists, list.json): names or
// addresses that are innocent. What kind they are of may stand behind them.
type warninglist struct {
	kind    string
	members []warned
}

type warned struct {
	text string
	line uint32
}

// warninglist protects what a warning list names. In one of hosts MISP warns of all
// below them too; here the names are protected as in any other file, since a name
// below a platform is one customer's.
func (l *listing) warninglist(path string, r io.Reader) error {
	w, line, err := readWarninglist(r)
	if err != nil {
		return fmt.Errorf("%s:%d: %w", path, line, err)
	}
	switch w.kind {
	case "", "string", "hostname", "cidr":
	default:
		return fmt.Errorf("%s: found a warning list of type %.40q, expected one of names or addresses (hostname, string, cidr): leave it out", path, w.kind)
	}
	bad := faults{path: path}
	for _, m := range w.members {
		if err := l.protect(mark{m.line, l.id}, []byte(m.text)); err != nil {
			bad.add(m.line, err)
		}
	}
	return bad.err(nil)
}

// readWarninglist also tells the line at which an error is.
func readWarninglist(r io.Reader) (w warninglist, line uint32, err error) {
	lines := &lineEnds{from: r}
	d := json.NewDecoder(lines)
	at := func() uint32 { return lines.lineAt(d.InputOffset()) }
	if _, err := d.Token(); err != nil { // the brace
		return w, at(), err
	}
	found := false
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return w, at(), err
		}
		switch key {
		case "type":
			err = d.Decode(&w.kind)
		case "list":
			found = true
			err = w.readMembers(d, at)
		default:
			err = d.Decode(&json.RawMessage{})
		}
		if err != nil {
			return w, at(), notAsWritten(err)
		}
	}
	if _, err := d.Token(); err != nil {
		return w, at(), notAsWritten(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return w, at(), errors.New("the JSON document goes on behind its end, expected one warning list of MISP")
	}
	if !found {
		return w, 1, errors.New("found a JSON object without the member \"list\", expected a warning list of MISP, or one name, address or prefix a line")
	}
	return w, 0, nil
}

func (w *warninglist) readMembers(d *json.Decoder, at func() uint32) error {
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return errors.Join(errors.New("expected an array as \"list\""), err)
	}
	for d.More() {
		m := warned{}
		if err := d.Decode(&m.text); err != nil {
			return err
		}
		m.line = at()
		w.members = append(w.members, m)
	}
	_, err := d.Token()
	return err
}

func notAsWritten(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the JSON document ends in its middle: download it again")
	}
	return fmt.Errorf("%w, expected a warning list of MISP", err)
}

// lineEnds notes where the lines of what is read through it end.
type lineEnds struct {
	from io.Reader
	read int64
	ends []int64
}

// Read implements [io.Reader].
func (l *lineEnds) Read(p []byte) (int, error) {
	n, err := l.from.Read(p)
	for i, c := range p[:n] {
		if c == '\n' {
			l.ends = append(l.ends, l.read+int64(i))
		}
	}
	l.read += int64(n)
	return n, err
}

// lineAt is the line of an offset that was read already.
func (l *lineEnds) lineAt(offset int64) uint32 {
	return uint32(sort.Search(len(l.ends), func(i int) bool { return l.ends[i] >= offset })) + 1
}
