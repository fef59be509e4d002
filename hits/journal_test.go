package hits

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestJournalUnderLoadAccountsForEveryHit(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir, RotateSize: 256 << 10, MergeAbove: 500, QueueLength: 1024, SyncEvery: 10 * time.Millisecond})
	const queues, producers, each = 3, 4, 2500
	var wg sync.WaitGroup
	for range queues {
		q := j.NewQueue(1)
		for p := range producers {
			wg.Go(func() {
				h := testHit(nil)
				for i := range each {
					h.Time = time.Now()
					h.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 50)}), uint16(p*each+i))
					h.Rules[0] = uint64(i % 20)
					q.Record(h)
					for i%64 == 0 && i < each*9/10 && j.Stats().Queued > 2*1024 {
						runtime.Gosched() // lose some at the end, not most
					}
				}
			})
		}
	}
	stop := make(chan struct{})
	watch := sync.WaitGroup{}
	watch.Go(func() {
		for {
			checkAccount(t, j.Stats())
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	wg.Wait()
	close(stop)
	watch.Wait()
	closeJournal(t, j)

	s := j.Stats()
	checkAccount(t, s)
	if s.Verdicts != queues*producers*each || s.Queued != 0 || s.LostWrite+s.LostClosed+s.LostClients != 0 {
		t.Errorf("account %+v", s)
	}
	if s.MergedLines == 0 || s.MergedHits <= s.MergedLines || s.Segments < 2 {
		t.Errorf("neither merged nor rotated: %+v", s)
	}
	records := readAll(t, dir, Filter{})
	if sum := sumCounts(records); sum != s.Journaled || uint64(len(records)) != s.Lines {
		t.Errorf("%d lines for %d hits stand in the journal, the account says %d and %d", len(records), sum, s.Lines, s.Journaled)
	}
	stopRecord := lastOf(t, dir)
	if a := stopRecord.Sinkhole.Journal; stopRecord.Event.Action != actionStop || a == nil || a.Verdicts != s.Verdicts ||
		a.Journaled != s.Journaled || a.Lost != s.Lost || a.Queued != 0 {
		t.Errorf("the stop record says %+v, the account %+v", a, s)
	}
	var told uint64
	for _, r := range readAll(t, dir, Filter{Journal: true}) {
		if r.Event.Action == actionLost && r.Event.Dataset == DatasetJournal {
			told += r.Sinkhole.Lost
		}
	}
	if told != s.Lost {
		t.Errorf("lost records tell of %d, lost %d", told, s.Lost)
	}
}

func lastOf(t *testing.T, dir string) *Record {
	t.Helper()
	r := readAll(t, dir, Filter{Journal: true, Limit: 1})
	if len(r) != 1 {
		t.Fatal("the journal is empty")
	}
	return r[0]
}

func TestJournalQueuedIsWhatIsThere(t *testing.T) {
	started := make(chan func(), 1)
	j := openJournal(t, Options{MergeAbove: 1, QueueLength: 8, RunWriter: func(f func()) { started <- f }})
	q := j.NewQueue(1)
	for range 10 {
		q.Record(testHit(nil))
	}
	if s := j.Stats(); s.Queued != 8 || s.LostQueueFull != 2 || s.Verdicts != 10 {
		t.Errorf("before the writer: %+v", s)
	}
	go (<-started)()
	closeJournal(t, j)
	if s := j.Stats(); s.Journaled != 8 || s.Queued != 0 || s.Lines != 1 || s.MergedHits != 8 { // all of them crowd
		t.Errorf("after: %+v", s)
	}
	q.Record(testHit(nil))
	j.NewQueue(1).Record(testHit(nil))
	if s := j.Stats(); s.LostClosed != 2 || s.Verdicts != 12 || s.Queued != 0 {
		t.Errorf("recorded after the close: %+v", s)
	}
}

// What waits in a queue that is half full is merged, so that there is room again.
func TestJournalMergesWhatCrowds(t *testing.T) {
	const length = 1024
	var write func()
	j := openJournal(t, Options{QueueLength: length, RunWriter: func(w func()) { write = w }})
	q := j.NewQueue(1)
	for range length {
		q.Record(testHit(nil))
	}
	go write()
	closeJournal(t, j)
	s := j.Stats()
	const half, step = length / 2, 64
	if s.Journaled != length || s.Lost != 0 || s.MergedLines != 1 || s.Lines > length-half+1 || s.Lines < length-half-step+1 {
		t.Errorf("%+v, expected that half of the hits is in one line", s)
	}
}

func TestJournalShowsAHitPromptly(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir})
	q := j.NewQueue(1)
	eventually(t, "the writer sleeps", j.bell.asleep.Load)
	took := time.Hour
	for range 5 { // a busy machine may be late at times
		n := len(readAll(t, dir, Filter{}))
		start := time.Now()
		q.Record(testHit(nil))
		eventually(t, "the hit is in the file", func() bool { return len(readAll(t, dir, Filter{})) > n })
		took = min(took, time.Since(start))
	}
	if took > 100*time.Millisecond {
		t.Errorf("the fastest of five hits took %v", took)
	}
}

func TestJournalWritesMergedLinesWhenTheirSecondIsOver(t *testing.T) {
	dir := t.TempDir()
	started := make(chan func(), 1)
	j := openJournal(t, Options{Dir: dir, MergeAbove: 1, RunWriter: func(f func()) { started <- f }})
	q := j.NewQueue(1)
	for range 10 {
		q.Record(testHit(nil)) // of a second that is long over
	}
	go (<-started)()
	eventually(t, "two lines", func() bool { return j.Stats().Lines == 2 })
	if got := readAll(t, dir, Filter{}); len(got) != 2 || got[1].Sinkhole.Count != 9 {
		t.Errorf("read %d records", len(got))
	}
}

func TestJournalGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	var last uint64
	var files []string
	for run := range 3 {
		j := openJournal(t, Options{Dir: dir, Observer: testObserver})
		j.NewQueue(1).Record(testHit(nil))
		closeJournal(t, j)
		records := readAll(t, dir, Filter{Journal: true})
		start := records[len(records)-3]
		want := stopClean
		if run == 0 {
			want = stopNone
		}
		if start.Event.Action != actionStart || start.Sinkhole.PreviousStop != want {
			t.Errorf("run %d begins with %s, previous stop %q", run, start.Event.Action, start.Sinkhole.PreviousStop)
		}
		for _, r := range records[len(records)-3:] {
			if r.Event.Sequence != last+1 {
				t.Errorf("run %d: sequence %d after %d", run, r.Event.Sequence, last)
			}
			last = r.Event.Sequence
		}
		files = segmentNames(t, dir)
	}
	if len(files) != 1 {
		t.Errorf("three short runs made the segments %v", files)
	}
}

func segmentNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), segmentPrefix) {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestJournalSequenceGoesOnFromAPackedSegment(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir})
	q := j.NewQueue(1)
	for range 500 {
		q.Record(testHit(nil))
	}
	closeJournal(t, j)
	want := lastOf(t, dir).Event.Sequence
	segments, _, err := listSegments(dir)
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	if _, err := packSegment(context.Background(), dir, &segments[0]); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, openJournal(t, Options{Dir: dir}))
	records := readAll(t, dir, Filter{Journal: true, Limit: 2})
	if r := records[0]; r.Event.Sequence != want+1 || r.Sinkhole.PreviousStop != stopClean {
		t.Errorf("goes on with %d after %d, previous stop %s", r.Event.Sequence, want, r.Sinkhole.PreviousStop)
	}
}

func TestJournalIsOfOneProcess(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir})
	_, err := Open(Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "written by another process (process "+fmt.Sprint(os.Getpid())+")") {
		t.Errorf("second Open: %v", err)
	}
	if got := readAll(t, dir, Filter{Journal: true}); len(got) != 1 {
		t.Errorf("reading while it is written: %d records", len(got))
	}
	closeJournal(t, j)
	closeJournal(t, openJournal(t, Options{Dir: dir}))
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(t.TempDir(), lockName)
	if err := os.Mkdir(lock, 0o700); err != nil {
		t.Fatal(err)
	}
	key := fmt.Sprintf("hits.journal.path has to be a directory in which user ID %d may write", os.Geteuid())
	for dir, want := range map[string][]string{
		"":                           {"set hits.journal.path"},
		file:                         {"not a directory", key},
		filepath.Join(file, "below"): {"making the hit journal's directory", "not a directory", key},
		filepath.Dir(lock):           {"locking the hit journal", "is a directory", key},
	} {
		_, err := Open(Options{Dir: dir})
		for _, s := range want {
			if err == nil || !strings.Contains(err.Error(), s) {
				t.Errorf("%q: %v, want %q", dir, err, s)
			}
		}
	}
}

func TestReadSaysWhoIsRefused(t *testing.T) {
	denied := &fs.PathError{Op: "open", Path: "hits", Err: fs.ErrPermission}
	want := fmt.Sprintf("user ID %d may not read the directory of hits.journal.path", os.Geteuid())
	if err := readError(denied); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), want) {
		t.Errorf("permission denied: %v", err)
	}
	if err := readError(io.ErrUnexpectedEOF); strings.Contains(err.Error(), "user ID") {
		t.Errorf("not of permissions: %v", err)
	}
}

func TestJournalModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "hits")
	closeJournal(t, openJournal(t, Options{Dir: dir}))
	for path, most := range map[string]os.FileMode{dir: dirMode, filepath.Join(dir, segmentNames(t, dir)[0]): fileMode} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if m := info.Mode().Perm(); m&^most != 0 || m&0o600 != 0o600 {
			t.Errorf("%s has mode %o, want %o less the umask", path, m, most)
		}
	}
}

func TestJournalRotatesPacksAndRetains(t *testing.T) {
	dir := t.TempDir()
	var background atomic.Int64
	o := Options{Dir: dir, RotateSize: 20 << 10, Background: func(f func()) { background.Add(1); go f() }}
	fill := func(o Options, n int, done func(Stats) bool) Stats {
		j := openJournal(t, o)
		q := j.NewQueue(1)
		for i := range n {
			q.Record(testHit(func(h *Hit) { h.Time = testTime.Add(time.Duration(i) * time.Second) }))
			eventually(t, "room in the queue", func() bool { return j.Stats().Queued < 50 })
		}
		eventually(t, "the closed segments are packed", func() bool {
			j.house.mu.Lock()
			defer j.house.mu.Unlock()
			names := segmentNames(t, dir)
			plain := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return strings.HasSuffix(n, packedSuffix) })
			return done(j.Stats()) && len(plain) <= 1 && !j.house.running
		})
		closeJournal(t, j)
		return j.Stats()
	}
	s := fill(o, 200, func(s Stats) bool { return s.Segments > 3 })
	if got := readAll(t, dir, Filter{}); len(got) != 200 {
		t.Errorf("read %d of 200 hits from %v", len(got), segmentNames(t, dir))
	}
	if background.Load() == 0 {
		t.Error("the work was not done in the background")
	}
	names := segmentNames(t, dir)
	if s.Segments != len(names) || s.Bytes != sizeOf(t, dir) {
		t.Errorf("account: %d segments of %d octets, on disk %d of %d", s.Segments, s.Bytes, len(names), sizeOf(t, dir))
	}
	if !slices.IsSorted(names) {
		t.Errorf("names do not sort by age: %v", names)
	}

	o.KeepSize = s.Bytes / 2
	s = fill(o, 200, func(s Stats) bool {
		return s.RetentionRemovedSegments > 0 && (s.Bytes <= o.KeepSize || s.Segments == 1)
	}) // the one that is written stays
	if s.RetentionRemovedBytes == 0 {
		t.Errorf("nothing removed: %+v", s)
	}
	left := readAll(t, dir, Filter{})
	if len(left) == 0 || len(left) >= 400 || !left[len(left)-1].Time.Equal(testTime.Add(199*time.Second)) {
		t.Errorf("%d hits left; the newest have to stay", len(left))
	}

	o.KeepSize, o.Keep = 0, time.Hour // the hits are of long ago
	j := openJournal(t, o)
	eventually(t, "the old segments are removed", func() bool { return j.Stats().Segments == 1 })
	closeJournal(t, j)
}

func sizeOf(t *testing.T, dir string) (sum int64) {
	t.Helper()
	for _, n := range segmentNames(t, dir) {
		info, err := os.Stat(filepath.Join(dir, n))
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	return sum
}

func TestJournalRotatesByAge(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir, RotateEvery: 50 * time.Millisecond})
	q := j.NewQueue(1)
	eventually(t, "three segments", func() bool {
		q.Record(testHit(nil))
		return j.Stats().Segments >= 3
	})
	closeJournal(t, j)
	if got, s := readAll(t, dir, Filter{}), j.Stats(); uint64(len(got)) != s.Lines {
		t.Errorf("read %d, written %d", len(got), s.Lines)
	}
}

func TestJournalSurvivesTheLossOfItsDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hits")
	j := openJournal(t, Options{Dir: dir})
	q := j.NewQueue(1)
	record := func() {
		h := testHit(nil)
		h.Time = time.Now()
		q.Record(h)
	}
	record()
	eventually(t, "the first hit", func() bool { return j.Stats().Journaled == 1 })

	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "hits are lost", func() bool {
		record()
		return j.Stats().LostWrite > 0
	})
	checkAccount(t, j.Stats())
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	before := j.Stats().Journaled
	eventually(t, "hits are written again", func() bool {
		record()
		return j.Stats().Journaled > before
	})
	if err := os.RemoveAll(dir); err != nil { // once more, by the roots
		t.Fatal(err)
	}
	before = j.Stats().Journaled
	record()
	eventually(t, "hits are written again", func() bool { return j.Stats().Journaled > before })
	closeJournal(t, j)

	s := j.Stats()
	checkAccount(t, s)
	if s.Queued != 0 || s.WriteErrors == 0 {
		t.Errorf("account %+v", s)
	}
	if _, err := Open(Options{Dir: dir}); err != nil {
		t.Errorf("opening it again: %v", err)
	}
	old := readAll(t, dir+".gone", Filter{})
	if len(old) == 0 {
		t.Error("the directory that was moved away lost its hits")
	}
}

func TestJournalTellsOfLostHits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hits")
	j := openJournal(t, Options{Dir: dir})
	q := j.NewQueue(1)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 7 {
		q.Record(testHit(nil))
	}
	eventually(t, "the hits are lost", func() bool { return j.Stats().LostWrite == 7 })
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	lost := func() (sum uint64) {
		Read(context.Background(), dir, Filter{Journal: true}, func(r *Record) error { sum += r.Sinkhole.Lost; return nil })
		return sum
	}
	eventually(t, "the record of them", func() bool { return lost() == 7 })
	closeJournal(t, j)
	if lost() != 7 {
		t.Errorf("told of %d lost hits, want 7", lost())
	}
}

func TestCloseGivesUpInTime(t *testing.T) {
	j := openJournal(t, Options{RunWriter: func(f func()) { time.AfterFunc(200*time.Millisecond, f) }})
	j.NewQueue(1).Record(testHit(nil))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := j.Close(ctx); err == nil || !strings.Contains(err.Error(), "1 hits not written in time") {
		t.Errorf("Close: %v", err)
	}
}
