package feed

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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
	if err := rewrite(draft, content, z, soa, &all); err != nil {
		draft.Discard()
		return Candidate{}, err
	}
	return draft.Finish(Validator{}, newDetail(soa))
}

var errNoCopyOfOurs = errors.New("the copy is not as it was written: expected a comment, $ORIGIN, $TTL and an SOA record first")

// rewrite copies a zone's text line by line, but for the records removed, and
// adds those added.
func rewrite(to io.Writer, from io.Reader, z *zone, soa record, all *changes) error {
	in := bufio.NewReaderSize(from, maxRecordText)
	ttl, err := skipHead(in)
	if err != nil {
		return err
	}
	out := newZoneText(to, z.apex, z.Limits.File)
	if err := out.beginAt(ttl, soa, "with increments since", time.Now()); err != nil {
		return err
	}
	removed, added := all.result()
	gone := map[string]bool{} // lines, and whether they were there
	for wire := range removed.All() {
		r, _ := asRecord(wire)
		gone[string(appendRecordText(nil, r, z.apex, ttl))] = false
	}
	if err := out.without(in, gone); err != nil {
		return err
	}
	for line, found := range gone {
		if !found {
			return fmt.Errorf("%w: it removes what is not there: %s", errIncrement, strings.TrimSpace(line))
		}
	}
	for wire := range added.All() {
		r, _ := asRecord(wire)
		if err := out.add(r); err != nil {
			return err
		}
	}
	return out.flush()
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

// without copies the lines that are not among gone, and marks there those that
// it left out.
func (z *zoneText) without(in *bufio.Reader, gone map[string]bool) error {
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case err != nil:
			return err
		}
		if _, found := gone[string(line)]; found {
			gone[string(line)] = true
			continue
		}
		z.line = append(z.line[:0], line...)
		z.count++
		if err := z.put(); err != nil {
			return err
		}
	}
}
