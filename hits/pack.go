package hits

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"
)

// packSegment compresses a closed segment. The plain file goes only after the
// packed one is on disk under its name, so a crash at any point leaves at least
// one of them whole.
func packSegment(ctx context.Context, dir string, s *segment) (packed segment, err error) {
	src, err := os.Open(s.path)
	if err != nil {
		return packed, err
	}
	defer src.Close()
	part := s.path + partSuffix
	dst, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return packed, err
	}
	defer func() {
		if err != nil {
			os.Remove(part)
		}
	}()
	span := newSpan(s.first)
	err = compress(ctx, dst, io.TeeReader(src, span))
	if err = errors.Join(err, dst.Close()); err != nil {
		return packed, err
	}
	packed = segment{seq: s.seq, packed: true, first: span.first, end: span.end}
	packed.path = packedPath(dir, s.seq, span.first, span.end)
	if err := os.Rename(part, packed.path); err != nil {
		return packed, err
	}
	if info, err := os.Stat(packed.path); err == nil {
		packed.size = info.Size()
	}
	if err := syncDir(dir); err != nil {
		return packed, err
	}
	return packed, os.Remove(s.path)
}

func compress(ctx context.Context, dst *os.File, src io.Reader) error {
	z, err := zstd.NewWriter(dst,
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
	if err != nil {
		return err
	}
	buf := make([]byte, 128<<10)
	for err == nil {
		var n int
		n, err = src.Read(buf)
		if _, werr := z.Write(buf[:n]); werr != nil {
			err = werr
		} else if err == nil {
			err = ctx.Err()
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, z.Close()); err != nil {
		return err
	}
	return dst.Sync()
}

// newUnpacker reads a packed segment within a bounded memory.
func newUnpacker(r io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
}

// span is the time that the lines written to it cover, in whole seconds.
type span struct {
	first, end time.Time
	known      bool
	head       []byte // of the current line, up to lineHead octets
}

// lineHead is the length of the start of a line up to the end of its time.
const lineHead = len(timeKey) + len(timeForm)

const timeKey = `{"@timestamp":"`

// newSpan returns a span for lines none of which may have a time: that of a
// segment opened at a moment.
func newSpan(opened time.Time) *span {
	opened = opened.Truncate(time.Second)
	return &span{first: opened, end: opened.Add(time.Second), head: make([]byte, 0, lineHead)}
}

// Write never fails.
func (s *span) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if room := lineHead - len(s.head); room > 0 {
			line := p[:min(room, len(p))]
			if i := bytes.IndexByte(line, '\n'); i >= 0 {
				s.head, p = s.head[:0], p[i+1:]
				continue
			}
			s.head, p = append(s.head, line...), p[len(line):]
			if len(s.head) == lineHead {
				s.note()
			}
			continue
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		s.head, p = s.head[:0], p[i+1:]
	}
	return n, nil
}

func (s *span) note() {
	text, ok := bytes.CutPrefix(s.head, []byte(timeKey))
	if !ok {
		return
	}
	t, err := time.Parse(timeForm, string(text))
	if err != nil {
		return
	}
	t = t.Truncate(time.Second)
	// The hits of a merged line are of one second, so its end is in it too.
	end := t.Add(time.Second)
	if !s.known || t.Before(s.first) {
		s.first = t
	}
	if !s.known || end.After(s.end) {
		s.end = end
	}
	s.known = true
}
