package hits

import (
	"errors"
	"io"
	"io/fs"
)

// Position is a place between two lines of the journal: up to there a sink has read.
// The zero Position is the beginning of what is kept.
type Position struct {
	Segment uint64 `json:"segment"` // sequence of the segment's name; 0: before the first
	Offset  int64  `json:"offset"`  // octets of the segment, unpacked
}

// ErrOtherJournal says that the journal which a Position is of is not there any more, but
// another one with earlier segments: what was made of the old one has to be made anew.
var ErrOtherJournal = errors.New("another hit journal stands in the place of the one that was read so far")

// Cursor reads each line of the journal once, from a position on, the server running or not,
// for sinks that keep their own position. What retention removed before it was read is
// passed over: event.sequence then has a gap. It is for one goroutine.
type Cursor struct {
	dir     string
	at      Position
	src     *source // nil: none is open
	reading *reader // for its account of damage
}

// NewCursor returns a Cursor at a position. damaged is told of what cannot be read.
func NewCursor(dir string, from Position, damaged func(Damage)) *Cursor {
	return &Cursor{dir: dir, at: from, reading: &reader{dir: dir, filter: Filter{Damaged: damaged}}}
}

// Position is behind the line that Next returned last. What is read from there on, now or
// after a restart, is what was not returned yet.
func (c *Cursor) Position() Position { return c.at }

// File and line are where the line that Next returned last stands.
func (c *Cursor) File() (path string, line int) {
	if c.src == nil {
		return "", 0
	}
	return c.src.path, c.src.lines.number
}

// Close lets go of the open segment. The cursor can be used on.
func (c *Cursor) Close() {
	if c.src != nil {
		c.src.close()
		c.src = nil
	}
}

// Next returns the next line without its end, good until the next call, for [ParseRecord];
// io.EOF when there is nothing more at the moment, also where there is no journal yet.
func (c *Cursor) Next() ([]byte, error) {
	for {
		if c.src == nil {
			if err := c.open(); err != nil {
				return nil, err
			}
		}
		line, err := c.line()
		if !errors.Is(err, io.EOF) {
			return line, err
		}
		switch later, err := c.later(); {
		case err != nil:
			return nil, err
		case later == nil:
			return nil, io.EOF
		}
		// The writer goes on to the next segment after its last line in this.
		if line, err := c.line(); !errors.Is(err, io.EOF) {
			return line, err
		}
		c.reading.checkEnd(c.src, true)
		c.at = Position{Segment: c.at.Segment + 1}
		c.Close()
	}
}

// open opens the segment of the position, or the first one after it.
func (c *Cursor) open() error {
	s, err := c.from(c.at.Segment)
	if err != nil {
		return err
	}
	if s == nil {
		return io.EOF
	}
	src, err := openSegment(c.dir, s)
	if err != nil {
		return err
	}
	if src == nil {
		return io.EOF // removed at this moment
	}
	if s.seq != c.at.Segment {
		c.at = Position{Segment: s.seq}
	}
	c.src = src
	for src.lines.position() < c.at.Offset && !src.broken {
		switch _, err := src.lines.next(); {
		case errors.Is(err, io.EOF):
			// Shorter than it was: a power cut took what was not synced.
			c.at.Offset = src.lines.position()
		case err != nil && !errors.Is(err, errLongLine):
			c.reading.damaged(src, src.lines.number+1, err)
			src.broken = true
		}
	}
	return nil
}

// line is the next line of the open segment; io.EOF where it has no more.
func (c *Cursor) line() ([]byte, error) {
	if !c.src.lines.ready() {
		if err := c.src.recede(); err != nil {
			return nil, err
		}
	}
	for !c.src.broken {
		line, err := c.src.lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		case errors.Is(err, errLongLine):
			c.reading.damaged(c.src, c.src.lines.number, err)
		case err != nil:
			c.reading.damaged(c.src, c.src.lines.number+1, err)
			c.src.broken = true
		default:
			c.at.Offset = c.src.lines.position()
			return line, nil
		}
	}
	return nil, io.EOF
}

// later is the segment after the open one, nil if there is none.
func (c *Cursor) later() (*segment, error) { return c.from(c.at.Segment + 1) }

// from is the first segment of a sequence or a later one, nil if there is none. Where that is
// not the next one it looks twice: a segment may be in neither place while it is renamed.
func (c *Cursor) from(seq uint64) (*segment, error) {
	s, err := c.find(seq)
	if s == nil || s.seq == seq {
		return s, err
	}
	return c.find(seq)
}

func (c *Cursor) find(seq uint64) (*segment, error) {
	segments, _, err := listSegments(c.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, readError(err)
	}
	for i := range segments {
		if segments[i].seq >= seq {
			return &segments[i], nil
		}
	}
	if n := len(segments); n > 0 && segments[n-1].seq+1 < seq {
		return nil, ErrOtherJournal
	}
	return nil, nil
}
