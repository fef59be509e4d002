package hits

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	dirMode  = 0o750
	fileMode = 0o640

	segmentPrefix  = "hits-"
	plainSuffix    = ".jsonl"
	packedSuffix   = ".jsonl.zst"
	partSuffix     = ".tmp" // of a packed segment that is being written
	segmentTime    = "20060102T150405Z"
	segmentSeqForm = "%010d"
)

// segment is one file of the journal. Its name is
//
//	hits-SEQUENCE-OPENED.jsonl            plain: being written, or not packed yet
//	hits-SEQUENCE-FIRST-END.jsonl.zst     packed
//
// with times in UTC and whole seconds; every record of a packed segment is of
// the span [first, end). The sequence comes first so that names sort in the
// order of writing even when the clock was set back.
type segment struct {
	seq    uint64
	packed bool
	first  time.Time // plain: when it was opened
	end    time.Time // packed only
	path   string
	size   int64
	mtime  time.Time
}

func plainPath(dir string, seq uint64, opened time.Time) string {
	return filepath.Join(dir, segmentPrefix+fmt.Sprintf(segmentSeqForm, seq)+"-"+opened.UTC().Format(segmentTime)+plainSuffix)
}

func packedPath(dir string, seq uint64, first, end time.Time) string {
	return filepath.Join(dir, segmentPrefix+fmt.Sprintf(segmentSeqForm, seq)+
		"-"+first.UTC().Format(segmentTime)+"-"+end.UTC().Format(segmentTime)+packedSuffix)
}

// parseSegment reads a file name; ok is false for files of others.
func parseSegment(name string) (s segment, ok bool) {
	rest, ok := strings.CutPrefix(name, segmentPrefix)
	if !ok {
		return s, false
	}
	if rest, ok = strings.CutSuffix(rest, packedSuffix); ok {
		s.packed = true
	} else if rest, ok = strings.CutSuffix(rest, plainSuffix); !ok {
		return s, false
	}
	parts := strings.Split(rest, "-")
	if s.packed && len(parts) != 3 || !s.packed && len(parts) != 2 {
		return s, false
	}
	var err error
	if s.seq, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return s, false
	}
	if s.first, err = time.Parse(segmentTime, parts[1]); err != nil {
		return s, false
	}
	if s.packed {
		if s.end, err = time.Parse(segmentTime, parts[2]); err != nil {
			return s, false
		}
	}
	return s, true
}

// listSegments returns the segments of dir in the order of writing. Where a
// segment is there both plain and packed, packing was interrupted after its last
// step but one: the packed file is whole, and the plain one is in spare.
func listSegments(dir string) (segments, spare []segment, err error) {
	segments, spare, err = listOnce(dir)
	if err == nil && gapped(segments) {
		// A segment that is renamed while the directory is read may be in neither place.
		return listOnce(dir)
	}
	return segments, spare, err
}

// gapped tells whether a sequence is left out, and so perhaps its segment.
func gapped(segments []segment) bool {
	for i := 1; i < len(segments); i++ {
		if segments[i].seq > segments[i-1].seq+1 {
			return true
		}
	}
	return false
}

func listOnce(dir string) (segments, spare []segment, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		s, ok := parseSegment(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // packed or removed since
		}
		if err != nil {
			return nil, nil, err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		s.path, s.size, s.mtime = filepath.Join(dir, e.Name()), info.Size(), info.ModTime()
		segments = append(segments, s)
	}
	slices.SortFunc(segments, func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.seq, b.seq), strings.Compare(a.path, b.path))
	})
	kept := segments[:0]
	for _, s := range segments {
		if n := len(kept); n > 0 && kept[n-1].seq == s.seq && kept[n-1].packed != s.packed {
			if s.packed {
				kept[n-1], s = s, kept[n-1]
			}
			spare = append(spare, s)
			continue
		}
		kept = append(kept, s)
	}
	return kept, spare, nil
}

// overlaps reports whether the segment may hold records of [from, to), either
// end open when zero.
func (s *segment) overlaps(from, to time.Time) bool {
	if !s.packed {
		return true // its records may be older than its opening
	}
	return (from.IsZero() || s.end.After(from)) && (to.IsZero() || s.first.Before(to))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
