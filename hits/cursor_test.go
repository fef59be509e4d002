package hits

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/zap"
)

// take reads what a cursor has at the moment: the lines, and the position behind each.
func take(t *testing.T, c *Cursor) (lines []string, after []Position) {
	t.Helper()
	for {
		line, err := c.Next()
		if errors.Is(err, io.EOF) {
			return lines, after
		}
		if err != nil {
			t.Fatal(err)
		}
		lines, after = append(lines, string(line)), append(after, c.Position())
	}
}

func raw(records []*Record) (lines []string) {
	for _, r := range records {
		lines = append(lines, string(r.Raw))
	}
	return lines
}

// From whatever position, over plain and packed segments, the rest comes, each line once.
func TestCursorGoesOnFromEachPosition(t *testing.T) {
	dir := threeSegments(t)
	want := raw(readAll(t, dir, Filter{Journal: true}))
	c := NewCursor(dir, Position{}, nil)
	defer c.Close()
	lines, after := take(t, c)
	if !slices.Equal(lines, want) {
		t.Fatalf("%d lines, want %d", len(lines), len(want))
	}
	for i, at := range after {
		rest := NewCursor(dir, at, nil)
		if lines, _ := take(t, rest); !slices.Equal(lines, want[i+1:]) {
			t.Errorf("from %+v: %d lines, want %d", at, len(lines), len(want)-i-1)
		}
		rest.Close()
	}
}

// While the journal is written, rotated and packed, one cursor sees each line once, and so do
// many that each read a little and go on from what the last one had read.
func TestCursorFollowsTheWriter(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir, RotateSize: 16 << 10, Logger: zap.NewNop()})
	q := j.NewQueue(1)
	one := NewCursor(dir, Position{}, nil)
	defer one.Close()
	var followed, pieced []string
	var at Position
	for round := range 20 {
		for i := range 50 {
			q.Record(testHit(func(h *Hit) { h.ID = uint16(round*50 + i) }))
		}
		eventually(t, "the hits are written", func() bool { return j.Stats().Queued == 0 })
		lines, _ := take(t, one)
		followed = append(followed, lines...)
		c := NewCursor(dir, at, nil)
		for range 30 {
			line, err := c.Next()
			if err != nil {
				break
			}
			pieced, at = append(pieced, string(line)), c.Position()
		}
		c.Close()
	}
	closeJournal(t, j)
	lines, _ := take(t, one)
	followed = append(followed, lines...)
	last := NewCursor(dir, at, nil)
	defer last.Close()
	lines, _ = take(t, last)
	pieced = append(pieced, lines...)
	want := raw(readAll(t, dir, Filter{Journal: true}))
	if segments, _, _ := listSegments(dir); len(segments) < 3 {
		t.Fatalf("%d segments: nothing was rotated", len(segments))
	}
	for name, got := range map[string][]string{"followed": followed, "pieced": pieced} {
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d lines, want %d", name, len(got), len(want))
		}
	}
}

// What was not finished, cut off, removed or put in its place.
func TestCursorOverWhatHappensToFiles(t *testing.T) {
	line := func(n int) string { return fmt.Sprintf(`{"@timestamp":"2026-02-01T03:04:05.000000000Z","n":%d}`, n) }
	write := func(t *testing.T, dir string, seq uint64, text string) string {
		path := plainPath(dir, seq, testTime)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Run("no journal yet", func(t *testing.T) {
		c := NewCursor(filepath.Join(t.TempDir(), "none"), Position{}, nil)
		if lines, _ := take(t, c); lines != nil {
			t.Error(lines)
		}
	})
	t.Run("a line without an end waits for it, and is void when cut off", func(t *testing.T) {
		dir := t.TempDir()
		path := write(t, dir, 1, line(1)+"\n"+line(2)[:20])
		c := NewCursor(dir, Position{}, nil)
		defer c.Close()
		lines, _ := take(t, c)
		write(t, dir, 1, line(1)+"\n")
		more, _ := take(t, c)
		write(t, dir, 1, line(1)+"\n"+line(3)+"\n")
		last, _ := take(t, c)
		if got := slices.Concat(lines, more, last); !slices.Equal(got, []string{line(1), line(3)}) {
			t.Errorf("%s: %q", path, got)
		}
	})
	t.Run("shorter than the position", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, 1, line(1)+"\n"+line(2)+"\n")
		c := NewCursor(dir, Position{}, nil)
		take(t, c)
		at := c.Position()
		c.Close()
		write(t, dir, 1, line(1)+"\n")
		c = NewCursor(dir, at, nil)
		defer c.Close()
		if lines, _ := take(t, c); lines != nil {
			t.Error(lines)
		}
		write(t, dir, 1, line(1)+"\n"+line(9)+"\n")
		if lines, _ := take(t, c); !slices.Equal(lines, []string{line(9)}) {
			t.Error(lines)
		}
	})
	t.Run("the segment was removed", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, 5, line(5)+"\n")
		c := NewCursor(dir, Position{Segment: 3, Offset: 100}, nil)
		defer c.Close()
		if lines, _ := take(t, c); !slices.Equal(lines, []string{line(5)}) {
			t.Error(lines)
		}
	})
	t.Run("another journal", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, 1, line(1)+"\n")
		c := NewCursor(dir, Position{Segment: 7, Offset: 100}, nil)
		if _, err := c.Next(); !errors.Is(err, ErrOtherJournal) {
			t.Error(err)
		}
	})
	t.Run("a broken packed segment hides no other", func(t *testing.T) {
		dir := t.TempDir()
		seg := segment{seq: 1, first: testTime, path: write(t, dir, 1, line(1)+"\n")}
		size, err := packSegment(context.Background(), dir, &seg)
		if err != nil {
			t.Fatal(err, size)
		}
		segments, _, _ := listSegments(dir)
		if err := os.Truncate(segments[0].path, segments[0].size/2); err != nil {
			t.Fatal(err)
		}
		write(t, dir, 2, line(2)+"\n")
		damaged := 0
		c := NewCursor(dir, Position{}, func(Damage) { damaged++ })
		defer c.Close()
		if lines, _ := take(t, c); !slices.Equal(lines, []string{line(2)}) || damaged != 1 {
			t.Error(lines, damaged)
		}
	})
}
