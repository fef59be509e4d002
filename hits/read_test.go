package hits

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/zap"
)

func at(minute int) time.Time { return testTime.Add(time.Duration(minute) * time.Minute) }

// threeSegments is a journal of nine hits, a minute from each other, in two
// packed segments and a plain one.
func threeSegments(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	enc := newEncoder(testObserver, 0, nil)
	for s := range 3 {
		var lines []byte
		for i := range 3 {
			n := 3*s + i
			lines = enc.appendHit(lines, testHit(func(h *Hit) {
				h.Time = at(n)
				h.ID = uint16(n)
				h.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(n % 2), 7}), uint16(1000+n))
				h.Evidence = fullPolicy
				h.Rules[0] = uint64(n % 2)
			}), testTime)
		}
		seg := segment{seq: uint64(s + 1), first: testTime, path: plainPath(dir, uint64(s+1), at(3*s))}
		if err := os.WriteFile(seg.path, lines, 0o600); err != nil {
			t.Fatal(err)
		}
		if s < 2 {
			if _, err := packSegment(context.Background(), dir, &seg); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func ids(records []*Record) (ids []string) {
	for _, r := range records {
		ids = append(ids, r.DNS.ID)
	}
	return ids
}

func TestReadFilters(t *testing.T) {
	dir := threeSegments(t)
	for _, tt := range []struct {
		name string
		f    Filter
		want string
	}{
		{"all", Filter{}, "0 1 2 3 4 5 6 7 8"},
		{"since", Filter{Since: at(7)}, "7 8"},
		{"since a nanosecond later", Filter{Since: at(7).Add(1)}, "8"},
		{"until", Filter{Until: at(2)}, "0 1"},
		{"between", Filter{Since: at(2), Until: at(4)}, "2 3"},
		{"at and within", Filter{At: at(4), Within: time.Minute}, "3 4 5"},
		{"at", Filter{At: at(4)}, "4"},
		{"at and since", Filter{At: at(4), Within: time.Minute, Since: at(4)}, "4 5"},
		{"later than all", Filter{Since: at(100)}, ""},
		{"client", Filter{Client: netip.MustParsePrefix("192.0.1.0/24")}, "1 3 5 7"},
		{"client in another form", Filter{Client: netip.MustParsePrefix("::ffff:192.0.1.0/120")}, "1 3 5 7"},
		{"no client", Filter{Client: netip.MustParsePrefix("2001:db8::/32")}, ""},
		{"port", Filter{Port: 1005}, "5"},
		{"family", Filter{Family: "vidar"}, "1 3 5 7"},
		{"list", Filter{List: "op-secure"}, "0 2 4 6 8"},
		{"no such list", Filter{List: "Op-Secure"}, ""},
		{"newest", Filter{Limit: 2}, "7 8"},
		{"newest over segments", Filter{Limit: 5}, "4 5 6 7 8"},
		{"newest of some", Filter{Limit: 3, List: "second"}, "3 5 7"},
		{"more than there are", Filter{Limit: 50}, "0 1 2 3 4 5 6 7 8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(ids(readAll(t, dir, tt.f)), " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestReadSkipsSegmentsByName(t *testing.T) {
	dir := threeSegments(t)
	segments, _, _ := listSegments(dir)
	if err := os.WriteFile(segments[0].path, []byte("not even zstd"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, dir, Filter{Since: at(3)}); len(got) != 6 {
		t.Errorf("read %d records, want 6", len(got))
	}
	var d *DamageError
	if err := Read(context.Background(), dir, Filter{}, func(*Record) error { return nil }); !errors.As(err, &d) ||
		len(d.Places) != 1 || d.Places[0].File != segments[0].path {
		t.Errorf("a broken segment that was asked for: %v", err)
	}
}

// Packing leaves no file without a line, so an empty one is a loss to tell of.
func TestReadTellsOfAnEmptyPackedSegment(t *testing.T) {
	var nothing bytes.Buffer
	z, err := zstd.NewWriter(&nothing, zstd.WithZeroFrames(true))
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"no octets": nil, "a frame of nothing": nothing.Bytes()} {
		for newest := range 2 {
			dir := threeSegments(t)
			segments, _, _ := listSegments(dir)
			if newest == 1 {
				if err := os.Remove(segments[2].path); err != nil {
					t.Fatal(err)
				}
			}
			path := segments[1].path
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, limit := range []int{0, 100} {
				n := 0
				err := Read(context.Background(), dir, Filter{Limit: limit}, func(*Record) error { n++; return nil })
				var d *DamageError
				if !errors.As(err, &d) || len(d.Places) != 1 || d.Places[0].File != path || d.Places[0].Line != 1 || n != 6-3*newest {
					t.Errorf("%s: %d records, %v", name, n, err)
				}
			}
		}
	}
}

// A broken packed segment at the end of the journal is told of once, not at each
// look for more.
func TestFollowTellsOfDamageOnce(t *testing.T) {
	dir := threeSegments(t)
	segments, _, _ := listSegments(dir)
	if err := os.Remove(segments[2].path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segments[1].path, []byte("not even zstd"), 0o600); err != nil {
		t.Fatal(err)
	}
	told := 0
	f := tail{reader: newReader(context.Background(), dir, Filter{Damaged: func(Damage) { told++ }}, func(*Record) error { return nil })}
	defer f.close()
	if err := f.catchUp(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := f.poll(); err != nil {
			t.Fatal(err)
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

func TestReadFindsMergedHits(t *testing.T) {
	dir := t.TempDir()
	m := newMerger(0, time.Second)
	for i := range 3 {
		m.admit(testHit(func(h *Hit) {
			h.Time = at(0).Add(time.Duration(i) * 100 * time.Millisecond)
			h.Client = netip.AddrPortFrom(h.Client.Addr(), uint16(10+i))
		}), at(0))
	}
	var line []byte
	m.flush(at(0), true, 1, func(g *group) { line = newEncoder(testObserver, 0, nil).appendGroup(nil, g, at(0)) })
	if err := os.WriteFile(plainPath(dir, 1, at(0)), line, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		f    Filter
		want int
	}{
		{Filter{Port: 10}, 1}, {Filter{Port: 12}, 1}, {Filter{Port: 13}, 0},
		{Filter{Since: at(0).Add(200 * time.Millisecond)}, 1},
		{Filter{Since: at(0).Add(201 * time.Millisecond)}, 0},
		{Filter{At: at(0).Add(time.Second), Within: time.Second - 200*time.Millisecond}, 1},
	} {
		if got := readAll(t, dir, tt.f); len(got) != tt.want {
			t.Errorf("%+v: %d records, want %d", tt.f, len(got), tt.want)
		}
	}
}

func TestReadNamesTheLineThatIsDamaged(t *testing.T) {
	dir := t.TempDir()
	path, content := journalFile(t, dir, 3)
	lines := bytes.SplitAfter(content, []byte("\n")) // start, 3 hits, stop
	lines[2] = append(bytes.Repeat([]byte("x"), maxLine+10), '\n')
	lines[3] = []byte("{\"@timestamp\":\"2026\",\x00\n")
	if err := os.WriteFile(path, append(bytes.Join(lines, nil), "torn"...), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []*Record
	err := Read(context.Background(), dir, Filter{Journal: true}, func(r *Record) error { got = append(got, r); return nil })
	var d *DamageError
	if !errors.As(err, &d) || len(d.Places) != 2 || d.Places[0].Line != 3 || d.Places[1].Line != 4 ||
		!strings.Contains(err.Error(), path+":3: the line is longer") || !strings.Contains(err.Error(), path+":4: not a record") {
		t.Errorf("error: %v", err)
	}
	if len(got) != 3 || got[2].Line != 5 || got[2].File != path {
		t.Errorf("read %d records", len(got))
	}
	var told []Damage
	f := Filter{Damaged: func(d Damage) { told = append(told, d) }}
	if err := Read(context.Background(), dir, f, func(*Record) error { return nil }); err != nil || len(told) != 2 {
		t.Errorf("told of %v: %v", told, err)
	}
}

func TestReadEndsWithItsCaller(t *testing.T) {
	dir := threeSegments(t)
	stop := errors.New("enough")
	for _, f := range []Filter{{}, {Limit: 5}} {
		n := 0
		if err := Read(context.Background(), dir, f, func(*Record) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
			t.Errorf("%d records and %v", n, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Read(ctx, dir, Filter{}, func(*Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := Read(context.Background(), filepath.Join(dir, "none"), Filter{}, nil); err == nil || !strings.Contains(err.Error(), "there is no hit journal in") {
		t.Errorf("no directory: %v", err)
	}
	if err := Read(context.Background(), t.TempDir(), Filter{}, nil); err != nil {
		t.Errorf("empty directory: %v", err)
	}
}

func TestReadWhileSegmentsArePacked(t *testing.T) {
	dir := threeSegments(t)
	segments, _, _ := listSegments(dir)
	n := 0
	err := Read(context.Background(), dir, Filter{}, func(*Record) error {
		if n++; n == 1 { // listed plain, packed before it is opened
			_, err := packSegment(context.Background(), dir, &segments[2])
			return err
		}
		return nil
	})
	if err != nil || n != 9 {
		t.Errorf("read %d of 9 records: %v", n, err)
	}
}

func TestRecordKeepsItsLine(t *testing.T) {
	dir := t.TempDir()
	_, content := journalFile(t, dir, 2)
	var joined []byte
	for _, r := range readAll(t, dir, Filter{Journal: true}) {
		joined = append(append(joined, r.Raw...), '\n')
	}
	if !bytes.Equal(joined, content) {
		t.Error("the raw lines are not those of the file")
	}
}

func TestFollowSeesEverythingOnce(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir, RotateSize: 8 << 10, Logger: zap.NewNop()})
	q := j.NewQueue(1)
	record := func(n int) {
		q.Record(testHit(func(h *Hit) { h.ID, h.Time = uint16(n), at(n) }))
	}
	for n := range 20 {
		record(n)
	}
	eventually(t, "the first hits", func() bool { return j.Stats().Journaled == 20 })

	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan string, 1000)
	done := make(chan error, 1)
	go func() {
		done <- Follow(ctx, dir, Filter{Limit: 5}, func(r *Record) error { got <- r.DNS.ID; return nil })
	}()
	next := func(want int) {
		t.Helper()
		select {
		case id := <-got:
			if id != fmt.Sprint(want) {
				t.Fatalf("hit %s, want %d", id, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("hit %d never came", want)
		}
	}
	for n := 15; n < 20; n++ {
		next(n)
	}
	for n := 20; n < 120; n += 20 { // in bursts, so that segments end between two looks
		for i := range 20 {
			record(n + i)
		}
		for i := range 20 {
			next(n + i)
		}
	}
	if s := j.Stats(); s.Segments < 3 {
		t.Errorf("only %d segments", s.Segments)
	}
	closeJournal(t, j)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Follow ended with %v", err)
	}
	if len(got) > 0 {
		t.Errorf("%s came twice or is not a hit", <-got)
	}
}

func TestSegmentNames(t *testing.T) {
	first := time.Date(2026, 2, 1, 3, 4, 5, 999, time.UTC)
	for path, want := range map[string]segment{
		plainPath("", 42, first):                       {seq: 42, first: first.Truncate(time.Second)},
		packedPath("", 7, first, first.Add(time.Hour)): {seq: 7, packed: true, first: first.Truncate(time.Second), end: first.Truncate(time.Second).Add(time.Hour)},
	} {
		if got, ok := parseSegment(path); !ok || got != want {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if p := plainPath("d", 42, first); p != filepath.Join("d", "hits-0000000042-20260201T030405Z.jsonl") {
		t.Error(p)
	}
	for _, name := range []string{"", "hits-", "hits-1.jsonl", "hits-1-2.jsonl", "hits-x-20260201T030405Z.jsonl", "journal.lock",
		"hits-1-20260201T030405Z.jsonl.zst", "hits-1-20260201T030405Z-20260201T030405Z.jsonl", "hits-1-20260201T030405Z.jsonl.tmp"} {
		if s, ok := parseSegment(name); ok {
			t.Errorf("%s was taken for %+v", name, s)
		}
	}
}

func TestSpanOfLinesInPieces(t *testing.T) {
	line := func(d time.Duration) string { return timeKey + formatTime(testTime.Add(d)) + "\"}\n" }
	text := "garbage\n" + line(2*time.Second) + "\n" + line(0) + `{"@timestamp":"nothing like a time, but as long"}` + "\n" + line(time.Second)
	want := []time.Time{testTime.Truncate(time.Second), testTime.Truncate(time.Second).Add(3 * time.Second)}
	for size := 1; size <= len(text); size++ {
		s := newSpan(at(100))
		for piece := range slices.Chunk([]byte(text), size) {
			s.Write(piece)
		}
		if !s.first.Equal(want[0]) || !s.end.Equal(want[1]) {
			t.Fatalf("in pieces of %d: %v to %v", size, s.first, s.end)
		}
	}
}

func FuzzRead(f *testing.F) {
	line := newEncoder(testObserver, 0, nil).appendHit(nil, testHit(nil), testTime)
	f.Add(line, false)
	f.Add(line[:100], false)
	f.Add(append(bytes.Clone(line), 0, 0, 0), false)
	f.Add([]byte("\n{}\n[]\nnull\n{\"@timestamp\":7}\n"), false)
	f.Add([]byte("\x28\xb5\x2f\xfd"), true)
	plainDir, packedDir := f.TempDir(), f.TempDir() // one file each, over and over
	f.Fuzz(func(t *testing.T, content []byte, packed bool) {
		dir, path := plainDir, plainPath(plainDir, 1, testTime)
		if packed {
			dir, path = packedDir, packedPath(packedDir, 1, testTime, testTime.Add(time.Second))
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		count := func() (good, bad int) {
			f := Filter{Journal: true, Damaged: func(Damage) { bad++ }}
			if err := Read(context.Background(), dir, f, func(r *Record) error {
				good++
				r.AppendJSON(nil)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return good, bad
		}
		good, bad := count()
		if !packed && good+bad != bytes.Count(content, []byte("\n")) {
			t.Fatalf("%d good and %d bad of %d lines", good, bad, bytes.Count(content, []byte("\n")))
		}
		if packed {
			if _, err := repair(dir, zap.NewNop()); err != nil {
				t.Fatal(err)
			}
		} else if err := mendWithoutSync(path); err != nil {
			t.Fatal(err)
		}
		after, badAfter := count()
		if after < good || after > good+1 || badAfter != bad {
			t.Fatalf("repair: %d good and %d bad lines became %d and %d", good, bad, after, badAfter)
		}
	})
}

// mendWithoutSync is what repair does to a plain segment, less the fsync, which
// would take all of a fuzzer's time.
func mendWithoutSync(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, _, err = mendTail(f, zap.NewNop())
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	_, err = lastRecord([]segment{{path: path, size: info.Size()}})
	return err
}
