package feed

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Increments are written into the copy once they are more than a quarter of it,
// but not for little, and not more at once than is easily held in memory.
const (
	compactPart  = 4
	compactLeast = 1 << 20
	compactMost  = 16 << 20
)

// maxRecordText is room for the line of any record: every octet of it may take
// four.
const maxRecordText = 4*(maxMessage+maxName) + 64

// full tells whether increments are due to be written into a copy of some size.
func (f *increments) full(copied int64) bool {
	return f.end > max(compactLeast, min(copied/compactPart, compactMost))
}

// compacted writes a copy and its increments, given as the text of their file,
// as a new copy that nothing refers to yet.
func compacted(s *Store, z *zone, c Copy, increments []byte) (Candidate, error) {
	soa, ok := soaOf(c)
	if !ok {
		return Candidate{}, fmt.Errorf("the copy %s is none of a zone", c.Digest)
	}
	var all changes
	var fault error
	eachFrame(increments, soa.serial(), func(d Delta) bool {
		soa, _ = asSOA(d.SOA)
		fault = all.apply(d)
		return fault == nil
	})
	if fault != nil {
		return Candidate{}, fault
	}
	content, err := s.Open(z.Name, c, z.Limits)
	if err != nil {
		return Candidate{}, err
	}
	defer content.Close()
	draft, err := s.Create(z.Name, z.Source)
	if err != nil {
		return Candidate{}, err
	}
	if err := copyChanged(draft, content, z, soa, &all); err != nil {
		draft.Discard()
		return Candidate{}, err
	}
	return draft.Finish(Validator{}, newDetail(soa))
}

func copyChanged(to io.Writer, from io.Reader, z *zone, soa record, all *changes) error {
	text, err := changedText(from, z.apex, soa, all)
	if err != nil {
		return err
	}
	n, err := io.Copy(to, io.LimitReader(text, z.Limits.File+1))
	if err == nil && n > z.Limits.File {
		err = errLongText(z.Limits.File)
	}
	return err
}

var errNoCopyOfOurs = errors.New("the copy is not as it was written: expected a comment, $ORIGIN, $TTL and an SOA record first")

// changedText is the text of a zone's copy without the records that are removed, and
// with those that are added behind its others.
func changedText(from io.Reader, apex []byte, soa record, all *changes) (io.Reader, error) {
	in := bufio.NewReaderSize(from, maxRecordText)
	ttl, err := skipHead(in)
	if err != nil {
		return nil, err
	}
	removed, added := all.result()
	gone := map[string]bool{} // lines, and whether they were there
	for wire := range removed.All() {
		r, _ := asRecord(wire)
		gone[string(appendRecordText(nil, r, apex, ttl))] = false
	}
	var head, tail bytes.Buffer
	first, last := newZoneText(&head, apex, math.MaxInt64), newZoneText(&tail, apex, math.MaxInt64)
	if err := first.beginAt(ttl, soa, "with increments since", time.Now()); err != nil {
		return nil, err
	}
	last.ttl = ttl
	for wire := range added.All() {
		r, _ := asRecord(wire)
		if err := last.add(r); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(first.flush(), last.flush()); err != nil {
		return nil, err
	}
	return io.MultiReader(&head, &remaining{in: in, gone: gone}, &tail), nil
}

// skipHead reads what begin wrote.
func skipHead(in *bufio.Reader) (ttl uint32, err error) {
	for _, want := range []string{"; ", "$ORIGIN ", "$TTL ", "@ "} {
		line, err := in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		if !strings.HasPrefix(line, want) {
			return 0, errNoCopyOfOurs
		}
		if text, found := strings.CutPrefix(line, "$TTL "); found {
			n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
			if err != nil {
				return 0, errNoCopyOfOurs
			}
			ttl = uint32(n)
		}
	}
	return ttl, nil
}

// remaining are the lines of a text that are not among gone. It fails at its end
// if some of those were not there.
type remaining struct {
	in   *bufio.Reader
	gone map[string]bool // those found are true
	line []byte          // what is left of the line at hand
}

func (r *remaining) Read(p []byte) (n int, err error) {
	for n < len(p) {
		for len(r.line) == 0 {
			if err := r.next(); err != nil {
				if n > 0 {
					return n, nil // the next call fails again
				}
				return 0, err
			}
		}
		k := copy(p[n:], r.line)
		r.line = r.line[k:]
		n += k
	}
	return n, nil
}

func (r *remaining) next() error {
	line, err := r.in.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return r.end()
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	}
	if _, found := r.gone[string(line)]; found {
		r.gone[string(line)] = true
		return nil
	}
	r.line = line
	return nil
}

func (r *remaining) end() error {
	for line, found := range r.gone {
		if !found {
			return fmt.Errorf("%w: it removes what is not there: %s", ErrIncrement, strings.TrimSpace(line))
		}
	}
	return io.EOF
}
