package hits

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/zap"
)

// legacy is what an earlier run of the journal left.
type legacy struct {
	newest   segment // zero when there is none
	sequence uint64  // of the last line
	stop     string  // how it ended: stopNone, stopClean or stopUnclean
	torn     int64   // octets cut off
}

// How the last run ended (sinkhole.previous_stop of a start record).
const (
	stopNone    = "none" // there was no run
	stopClean   = "clean"
	stopUnclean = "unclean"
)

// maxTornText bounds the torn text in a log message.
const maxTornText = 4096

// repair finishes what a crash interrupted, and finds where to go on.
func repair(dir string, log *zap.Logger) (legacy, error) {
	var l legacy
	if err := removeParts(dir); err != nil {
		return l, err
	}
	segments, spare, err := listSegments(dir)
	if err != nil {
		return l, writeError("reading the hit journal's directory", err)
	}
	for _, s := range spare {
		if err := os.Remove(s.path); err != nil {
			return l, writeError("removing a segment that is packed already", err)
		}
	}
	for i := range segments {
		s := &segments[i]
		if s.packed {
			continue
		}
		cut, err := repairTail(s.path, log)
		if err != nil {
			return l, writeError("repairing the hit journal", err)
		}
		l.torn += cut
		if info, err := os.Stat(s.path); err == nil {
			s.size = info.Size()
		}
	}
	if n := len(segments); n > 0 {
		l.newest = segments[n-1]
	}
	last, err := lastRecord(segments)
	if err != nil {
		return l, writeError("reading the end of the hit journal", err)
	}
	switch {
	case last == nil:
		l.stop = stopNone
	case last.Event.Dataset == DatasetJournal && last.Event.Action == actionStop && l.torn == 0:
		l.stop = stopClean
	default:
		l.stop = stopUnclean
	}
	if len(segments) > 0 && last == nil {
		l.stop = stopUnclean
	}
	if last != nil {
		l.sequence = last.Event.Sequence
	}
	return l, nil
}

// removeParts removes packed segments that were not finished.
func removeParts(dir string) error {
	parts, err := filepath.Glob(filepath.Join(escapeGlob(dir), segmentPrefix+"*"+partSuffix))
	if err != nil {
		return err
	}
	for _, p := range parts {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			return writeError("removing an unfinished segment", err)
		}
	}
	return nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// repairTail mends the end of a plain segment, on disk when it returns.
func repairTail(path string, log *zap.Logger) (cut int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	cut, mended, err := mendTail(f, log)
	if err != nil || !mended {
		return cut, err
	}
	return cut, f.Sync()
}

// mendTail cuts off what stands after the last line end: a line that was being
// written, or the zeros that a file system leaves after a power cut. A record
// that lacks nothing but its line end gets it. It returns how many octets it
// cut, and whether the file is another now.
func mendTail(f *os.File, log *zap.Logger) (cut int64, mended bool, err error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, false, err
	}
	end, err := lastLineEnd(f, size)
	if err != nil {
		return 0, false, err
	}
	if end == size {
		return 0, false, nil
	}
	text := make([]byte, min(size-end, maxLine))
	if _, err := f.ReadAt(text, end); err != nil {
		return 0, false, err
	}
	trimmed := bytes.TrimRight(text, "\x00")
	if _, err := ParseRecord(trimmed); err == nil {
		end += int64(len(trimmed))
		if err := f.Truncate(end); err != nil {
			return 0, false, err
		}
		if _, err := f.WriteAt([]byte("\n"), end); err != nil {
			return 0, false, err
		}
		cut = max(size-end, 0)
		log.Warn("completed the last line of the hit journal, which an unclean stop left without its end", zap.String("file", f.Name()))
		return cut, true, nil
	}
	if err := f.Truncate(end); err != nil {
		return 0, false, err
	}
	log.Warn("cut off a torn line at the end of the hit journal, which an unclean stop left",
		zap.String("file", f.Name()), zap.Int64("octets", size-end),
		zap.ByteString("text", bytes.TrimRight(text[:min(len(text), maxTornText)], "\x00")))
	return size - end, true, nil
}

// lastLineEnd is the offset after the last line end before size.
func lastLineEnd(f io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		start := max(end-int64(len(buf)), 0)
		b := buf[:end-start]
		if _, err := f.ReadAt(b, start); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}

// lastRecord is the last readable record; nil where there is none.
func lastRecord(segments []segment) (*Record, error) {
	for i := len(segments) - 1; i >= 0; i-- {
		tail, err := segmentTail(&segments[i])
		if err != nil {
			return nil, err
		}
		for len(tail) > 0 {
			tail = bytes.TrimSuffix(tail, []byte("\n"))
			start := bytes.LastIndexByte(tail, '\n') + 1
			if r, err := ParseRecord(tail[start:]); err == nil {
				return r, nil
			}
			tail = tail[:start]
		}
	}
	return nil, nil
}

// tailSize is how much of a segment's end is searched for its last record.
const tailSize = 256 << 10

func segmentTail(s *segment) ([]byte, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !s.packed {
		tail := make([]byte, min(s.size, tailSize))
		_, err := f.ReadAt(tail, s.size-int64(len(tail)))
		return tail, err
	}
	z, err := newUnpacker(f)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return readTail(z), nil
}

// readTail reads to the end and keeps at least the last tailSize octets. Damage
// ends the segment.
func readTail(z *zstd.Decoder) []byte {
	tail := make([]byte, 0, 2*tailSize)
	for {
		if len(tail) == cap(tail) {
			tail = tail[:copy(tail, tail[tailSize:])]
		}
		n, err := z.Read(tail[len(tail):cap(tail)])
		tail = tail[:len(tail)+n]
		if err != nil {
			return tail
		}
	}
}

// continues reports whether the next line may go into the newest segment.
func (l *legacy) continues(o *Options, now time.Time) bool {
	s := &l.newest
	age := now.Sub(s.first)
	return s.seq > 0 && !s.packed && s.size < o.RotateSize && 0 <= age && age < o.RotateEvery
}
