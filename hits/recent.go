package hits

import (
	"errors"
	"io/fs"
	"time"
)

// Recent is a Position before all records since a time, and as few others as names of
// segments can tell.
func Recent(dir string, since time.Time) (Position, error) {
	segments, _, err := listSegments(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Position{}, nil
	case err != nil:
		return Position{}, readError(err)
	}
	for i := range segments {
		if segments[i].overlaps(since, time.Time{}) {
			return Position{Segment: segments[i].seq}, nil
		}
	}
	if n := len(segments); n > 0 {
		return Position{Segment: segments[n-1].seq + 1}, nil
	}
	return Position{}, nil
}
