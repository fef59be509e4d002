package hits

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// pollEvery is how often Follow looks for new lines.
const pollEvery = 200 * time.Millisecond

// Follow is [Read], and then goes on with each new record until ctx ends, which
// is no error. Lines that cannot be read are told to [Filter].Damaged, else
// returned at the end.
func Follow(ctx context.Context, dir string, f Filter, fn func(*Record) error) error {
	t := tail{reader: newReader(ctx, dir, f, fn)}
	defer t.close()
	err := t.catchUp()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for err == nil {
		select {
		case <-ctx.Done():
			return t.damageError()
		case <-ticker.C:
			err = t.poll()
		}
	}
	if errors.Is(err, ctx.Err()) && ctx.Err() != nil {
		return t.damageError()
	}
	return err
}

// tail is a reader that stays at the end of the journal.
type tail struct {
	*reader
	src *source // nil: nothing there yet
	seq uint64  // of the last segment that was opened
}

// catchUp reads what is there, and leaves the newest segment open at its end.
func (t *tail) catchUp() error {
	segments, err := t.list()
	if err != nil || len(segments) == 0 {
		return err
	}
	older, active := segments[:len(segments)-1], &segments[len(segments)-1]
	if t.filter.Limit <= 0 {
		for i := range older {
			if err := t.segment(&older[i], false, t.fn); err != nil {
				return err
			}
		}
		if err := t.open(active); err != nil || t.src == nil {
			return err
		}
		return t.lines(t.src, t.fn)
	}
	ring := newestRing{limit: t.filter.Limit}
	if err := t.open(active); err != nil {
		return err
	}
	if t.src != nil {
		if err := t.lines(t.src, ring.add); err != nil {
			return err
		}
	}
	before, err := t.newest(older, t.filter.Limit-len(ring.records))
	if err != nil {
		return err
	}
	if err := t.handOut(before); err != nil {
		return err
	}
	return t.handOut(ring.inOrder())
}

// poll hands on what is new.
func (t *tail) poll() error {
	if err := t.more(); err != nil {
		return err
	}
	segments, _, err := listSegments(t.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // removed for the moment, or being made
	case err != nil:
		return readError(err)
	}
	if n := len(segments); n > 0 && segments[n-1].seq < t.seq {
		t.close() // another journal stands there now
		t.seq = 0
	}
	for i := range segments {
		if segments[i].seq <= t.seq {
			continue
		}
		// The writer goes on to the next segment after its last line in this.
		if err := t.more(); err != nil {
			return err
		}
		t.endOfSegment()
		if err := t.open(&segments[i]); err != nil {
			return err
		}
		if err := t.more(); err != nil {
			return err
		}
	}
	return nil
}

// more reads on in the open segment.
func (t *tail) more() error {
	if t.src == nil {
		return nil
	}
	if err := t.src.recede(); err != nil {
		return err
	}
	return t.lines(t.src, t.fn)
}

func (t *tail) endOfSegment() {
	if t.src != nil {
		t.checkEnd(t.src, true)
	}
	t.close()
}

func (t *tail) open(s *segment) (err error) {
	t.seq = s.seq
	t.src, err = openSegment(t.dir, s)
	return err
}

func (t *tail) close() {
	if t.src != nil {
		t.src.close()
		t.src = nil
	}
}
