package hits

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// Damage is a place of the journal that cannot be read.
type Damage struct {
	File   string
	Line   int // from 1
	Reason error
}

func (d Damage) Error() string { return fmt.Sprintf("%s:%d: %v", d.File, d.Line, d.Reason) }

// Unwrap returns the reason.
func (d Damage) Unwrap() error { return d.Reason }

// DamageError says that everything else was read.
type DamageError struct {
	Places []Damage // the first of them
	More   int      // how many others there are
}

// maxPlaces bounds DamageError.Places.
const maxPlaces = 20

func (e *DamageError) Error() string {
	lines := make([]string, 0, len(e.Places)+2)
	lines = append(lines, fmt.Sprintf("%d lines of the hit journal cannot be read and were left out:", len(e.Places)+e.More))
	for _, d := range e.Places {
		lines = append(lines, d.Error())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(lines, "\n")
}

// Read hands each record in dir that the filter lets through to fn, in the order
// of writing, and stops at the first error of fn, which it returns. The journal
// may be written meanwhile. A line that cannot be read does not end it: see
// [Filter].Damaged. fn may keep the record.
func Read(ctx context.Context, dir string, f Filter, fn func(*Record) error) error {
	r := newReader(ctx, dir, f, fn)
	segments, err := r.list()
	if err != nil {
		return err
	}
	if f.Limit > 0 {
		newest, err := r.newest(segments, f.Limit)
		if err != nil {
			return err
		}
		if err := r.handOut(newest); err != nil {
			return err
		}
		return r.damageError()
	}
	for i := range segments {
		if err := r.segment(&segments[i], i == len(segments)-1, fn); err != nil {
			return err
		}
	}
	return r.damageError()
}

// reader is one call of Read or Follow.
type reader struct {
	ctx        context.Context
	dir        string
	filter     Filter
	fn         func(*Record) error
	from, to   time.Time
	early, end []byte // the bounds of a line's time as text; nil: open
	damage     DamageError
}

func newReader(ctx context.Context, dir string, f Filter, fn func(*Record) error) *reader {
	r := &reader{ctx: ctx, dir: dir, filter: f, fn: fn}
	r.from, r.to = f.span()
	if !r.from.IsZero() {
		// A merged line has the time of its first hit.
		r.early = []byte(formatTime(r.from.Add(-time.Second)))
	}
	if !r.to.IsZero() {
		r.end = []byte(formatTime(r.to))
	}
	return r
}

func (r *reader) list() ([]segment, error) {
	segments, _, err := listSegments(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no hit journal in %s: start the server once, or check hits.journal.path", r.dir)
	}
	if err != nil {
		return nil, readError(err)
	}
	return segments, nil
}

// segment hands the records of one segment to fn.
func (r *reader) segment(s *segment, active bool, fn func(*Record) error) error {
	if !s.overlaps(r.from, r.to) {
		return nil
	}
	src, err := openSegment(r.dir, s)
	if err != nil || src == nil {
		return err
	}
	defer src.close()
	if err := r.lines(src, fn); err != nil {
		return err
	}
	r.checkEnd(src, !active || src.unpack != nil)
	return nil
}

// checkEnd looks at what is left of a segment that was read up to its end.
// closed tells that nothing more is written to it.
func (r *reader) checkEnd(src *source, closed bool) {
	switch {
	case src.broken:
	case src.lines.unfinished() > 0 && closed:
		r.damaged(src, src.lines.number+1, errors.New("the line has no end"))
	case src.lines.number == 0 && src.unpack != nil:
		// Only a segment with lines is packed.
		r.damaged(src, 1, errors.New("the packed segment holds no line: it was emptied or cut off, its hits are lost"))
	}
}

// lines hands on the records up to the present end of a segment.
func (r *reader) lines(src *source, fn func(*Record) error) error {
	for !src.broken {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		line, err := src.lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errLongLine):
			r.damaged(src, src.lines.number, err)
			continue
		case err != nil:
			// Neither a disk error nor a broken packed segment hides what
			// stands in others.
			r.damaged(src, src.lines.number+1, err)
			src.broken = true
			return nil
		}
		if !r.inTime(line) {
			continue
		}
		rec, err := ParseRecord(line)
		if err != nil {
			r.damaged(src, src.lines.number, err)
			continue
		}
		if !r.filter.match(rec) {
			continue
		}
		rec.Raw, rec.File, rec.Line = bytes.Clone(line), src.path, src.lines.number
		if err := fn(rec); err != nil {
			return err
		}
	}
	return nil
}

// inTime is a cheap look at the time of a line; what it cannot read it lets
// through.
func (r *reader) inTime(line []byte) bool {
	if r.early == nil && r.end == nil || len(line) < lineHead || string(line[:len(timeKey)]) != timeKey {
		return true
	}
	t := line[len(timeKey):lineHead]
	if t[len(t)-1] != 'Z' {
		return true
	}
	return (r.early == nil || bytes.Compare(t, r.early) >= 0) && (r.end == nil || bytes.Compare(t, r.end) < 0)
}

func (r *reader) damaged(src *source, line int, reason error) {
	d := Damage{File: src.path, Line: line, Reason: reason}
	switch {
	case r.filter.Damaged != nil:
		r.filter.Damaged(d)
	case len(r.damage.Places) < maxPlaces:
		r.damage.Places = append(r.damage.Places, d)
	default:
		r.damage.More++
	}
}

func (r *reader) damageError() error {
	if len(r.damage.Places) == 0 {
		return nil
	}
	return &r.damage
}

// newest collects the newest limit records, in the order of writing.
func (r *reader) newest(segments []segment, limit int) ([]*Record, error) {
	var parts [][]*Record
	for i := len(segments) - 1; i >= 0 && limit > 0; i-- {
		ring := newestRing{limit: limit}
		if err := r.segment(&segments[i], i == len(segments)-1, ring.add); err != nil {
			return nil, err
		}
		limit -= len(ring.records)
		parts = append(parts, ring.inOrder())
	}
	slices.Reverse(parts)
	return slices.Concat(parts...), nil
}

func (r *reader) handOut(records []*Record) error {
	for _, rec := range records {
		if err := r.fn(rec); err != nil {
			return err
		}
	}
	return nil
}

// newestRing keeps the last limit records of those added.
type newestRing struct {
	limit   int
	records []*Record
	oldest  int
}

func (n *newestRing) add(r *Record) error {
	if len(n.records) < n.limit {
		n.records = append(n.records, r)
		return nil
	}
	n.records[n.oldest] = r
	n.oldest = (n.oldest + 1) % n.limit
	return nil
}

func (n *newestRing) inOrder() []*Record {
	return slices.Concat(n.records[n.oldest:], n.records[:n.oldest])
}

// ParseRecord reads a line of the journal. The record does not refer to it.
func ParseRecord(line []byte) (*Record, error) {
	rec := new(Record)
	if err := json.Unmarshal(line, rec); err != nil {
		return nil, fmt.Errorf("not a record: %w", err)
	}
	if rec.Time.IsZero() || rec.Event.Dataset == "" {
		return nil, errors.New("not a record: it lacks @timestamp or event.dataset")
	}
	return rec, nil
}

// source is an open segment.
type source struct {
	path   string
	seq    uint64
	file   *os.File
	unpack interface{ Close() } // nil: plain
	lines  *lineReader
	broken bool // reading failed: there is nothing more to come
}

// openSegment opens a segment, also where it was packed since it was listed; nil
// where it was removed.
func openSegment(dir string, s *segment) (*source, error) {
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		segments, _, err := listSegments(dir)
		if err != nil {
			return nil, readError(err)
		}
		i := slices.IndexFunc(segments, func(o segment) bool { return o.seq == s.seq && o.path != s.path })
		if i < 0 {
			return nil, nil
		}
		return openSegment(dir, &segments[i])
	}
	if err != nil {
		return nil, readError(err)
	}
	src := &source{path: s.path, seq: s.seq, file: f}
	if !s.packed {
		src.lines = newLineReader(f)
		return src, nil
	}
	z, err := newUnpacker(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("reading %s: %w", s.path, err)
	}
	src.unpack, src.lines = z, newLineReader(z)
	return src, nil
}

// recede goes back to the end of a plain segment that has become shorter: a failed write is
// cut off again, and what was half read of it is void.
func (s *source) recede() error {
	if s.unpack != nil {
		return nil
	}
	at, err := s.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	info, err := s.file.Stat()
	if err != nil || info.Size() >= at {
		return err
	}
	s.lines.drop(info.Size())
	_, err = s.file.Seek(info.Size(), io.SeekStart)
	return err
}

func (s *source) close() {
	if s.unpack != nil {
		s.unpack.Close()
	}
	s.file.Close()
}
