package hits

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// The environment that makes the test binary a child with a part to play.
const (
	childPart = "SINKHOLE_HITS_TEST_CHILD"
	childDir  = "SINKHOLE_HITS_TEST_DIR"
)

func TestMain(m *testing.M) {
	switch os.Getenv(childPart) {
	case "":
		os.Exit(m.Run())
	case "load":
		childLoad()
	case "small files":
		childSmallFiles()
	}
}

func child(t *testing.T, part, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childPart+"="+part, childDir+"="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

const childSyncEvery = 200 * time.Millisecond

// childLoad records without end, and tells every 10 ms how many hits it had
// recorded at which time.
func childLoad() {
	j, err := Open(Options{Dir: os.Getenv(childDir), SyncEvery: childSyncEvery, MergeAbove: 1000, RotateSize: 1 << 20})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	q := j.NewQueue(1)
	h := testHit(nil)
	for tick := 0; ; tick++ {
		for range 20 {
			h.Time = time.Now()
			q.Record(h)
		}
		fmt.Println(time.Now().UnixNano(), j.Stats().Journaled, len(j.opts.Dir))
		time.Sleep(10 * time.Millisecond)
	}
}

func TestKilledJournalMissesAtMostTheLastMoment(t *testing.T) {
	dir := t.TempDir()
	cmd := child(t, "load", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var first, last time.Time
	var journaled uint64
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		ns, _ := strconv.ParseInt(fields[0], 10, 64)
		last = time.Unix(0, ns)
		journaled, _ = strconv.ParseUint(fields[1], 10, 64)
		if first.IsZero() {
			first = last
		}
		if last.Sub(first) > 700*time.Millisecond {
			break
		}
	}
	cmd.Process.Signal(syscall.SIGKILL)
	cmd.Wait()
	if journaled == 0 {
		t.Fatal("the child wrote nothing")
	}

	before := readAll(t, dir, Filter{})
	if got := sumCounts(before); got < journaled {
		t.Errorf("%d hits read, %d were written before the kill", got, journaled)
	}
	if newest := before[len(before)-1].Time; last.Sub(newest) > childSyncEvery {
		t.Errorf("the newest hit read is %v older than the kill", last.Sub(newest))
	}
	j := openJournal(t, Options{Dir: dir})
	closeJournal(t, j)
	after := readAll(t, dir, Filter{Journal: true})
	start := after[len(after)-2]
	if start.Event.Action != actionStart || start.Sinkhole.PreviousStop != stopUnclean {
		t.Errorf("after the kill: %s, previous stop %q", start.Event.Action, start.Sinkhole.PreviousStop)
	}
	if got, want := len(after), len(before)+3; got != want {
		t.Errorf("%d records after the restart, want %d", got, want)
	}
	seen := map[string]bool{}
	for i, r := range after {
		if r.Event.Sequence != uint64(i+1) || seen[r.Event.ID] {
			t.Fatalf("record %d has sequence %d and id %s", i, r.Event.Sequence, r.Event.ID)
		}
		seen[r.Event.ID] = true
	}
}

// childSmallFiles writes to a disk that takes no file above 64 KiB.
func childSmallFiles() {
	fail := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
		os.Exit(1)
	}
	signal.Ignore(syscall.SIGXFSZ)
	dir := os.Getenv(childDir)
	limit := syscall.Rlimit{Cur: 64 << 10, Max: 64 << 10}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fail("%v", err)
	}
	core, logs := observer.New(zap.InfoLevel)
	j, err := Open(Options{Dir: dir, Logger: zap.New(core)})
	if err != nil {
		fail("%v", err)
	}
	q := j.NewQueue(1)
	h := testHit(nil)
	record := func(n int) {
		for range n {
			h.Time = time.Now()
			q.Record(h)
		}
	}
	wait := func(what string, ok func() bool) {
		for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				fail("not within 10 s: %s: %+v", what, j.Stats())
			}
		}
	}
	// Small writes: a file that is full is left for the next one.
	for range 10 {
		n := j.Stats().Journaled
		record(20)
		wait("20 hits more", func() bool { return j.Stats().Journaled == n+20 })
	}
	if s := j.Stats(); s.Lost != 0 || s.Segments < 3 {
		fail("small writes: %+v", s)
	}
	// One that no file takes.
	h.Chain = bytes.Repeat(wireName("a", "b"), 12<<10)
	record(30)
	wait("hits are lost", func() bool { return j.Stats().LostWrite == 30 })
	h.Chain = nil
	n := j.Stats().Journaled
	record(1)
	wait("writing works again", func() bool { return j.Stats().Journaled > n })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := j.Close(ctx); err != nil {
		fail("%v", err)
	}
	s := j.Stats()
	if s.Verdicts != s.Journaled+s.Lost || s.Queued != 0 {
		fail("account %+v", s)
	}
	var sum, told uint64
	err = Read(ctx, dir, Filter{Journal: true}, func(r *Record) error {
		sum += r.Sinkhole.Count
		told += r.Sinkhole.Lost
		return nil
	})
	if err != nil || sum != s.Journaled || told != s.Lost {
		fail("read %d hits and %d lost, account %+v: %v", sum, told, s, err)
	}
	if n := logs.FilterMessageSnippet("writing the hit journal failed").Len(); n != 1 {
		fail("%d messages about one failure", n)
	}
}

func TestJournalOnADiskThatTakesNoMore(t *testing.T) {
	if out, err := child(t, "small files", t.TempDir()).Output(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// journalFile writes a journal of n hits and returns its only segment.
func journalFile(t testing.TB, dir string, n int) (path string, content []byte) {
	t.Helper()
	j := openJournal(t, Options{Dir: dir, Logger: zap.NewNop(), QueueLength: max(n, 2)})
	q := j.NewQueue(1)
	for i := range n {
		q.Record(testHit(func(h *Hit) { h.Time = h.Time.Add(time.Duration(i) * time.Minute) }))
	}
	closeJournal(t, j)
	segments, _, err := listSegments(dir)
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	content, err = os.ReadFile(segments[0].path)
	if err != nil {
		t.Fatal(err)
	}
	return segments[0].path, content
}

func TestTornTailAtEveryOctet(t *testing.T) {
	dir := t.TempDir()
	path, content := journalFile(t, dir, 2)
	// Without the stop record, so that a hit is last.
	lines := bytes.SplitAfter(content, []byte("\n"))
	whole := bytes.Join(lines[:2], nil)
	last := lines[2]
	for cut := range len(last) + 1 {
		for _, zeros := range []int{0, 4096} {
			if zeros > 0 && cut%16 != 0 && cut < len(last)-2 {
				continue // each costs an fsync
			}
			torn := append(append(bytes.Clone(whole), last[:cut]...), make([]byte, zeros)...)
			if err := os.WriteFile(path, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			want := whole
			if cut >= len(last)-1 {
				want = append(bytes.Clone(whole), last...)
			}
			var read int
			err := Read(context.Background(), dir, Filter{}, func(*Record) error { read++; return nil })
			if read != bytes.Count(torn, []byte("\n"))-1 || err != nil {
				t.Fatalf("%d octets and %d zeros: read %d hits of a torn journal: %v", cut, zeros, read, err)
			}
			if _, err := repair(dir, zap.NewNop()); err != nil {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(path); !bytes.Equal(got, want) {
				t.Fatalf("%d octets and %d zeros: repaired to %d octets, want %d", cut, zeros, len(got), len(want))
			}
		}
	}
}

func TestRepairSaysWhatItCut(t *testing.T) {
	dir := t.TempDir()
	path, content := journalFile(t, dir, 1)
	torn := append(bytes.Clone(content), "{\"@timestamp\":\"20"...)
	if err := os.WriteFile(path, torn, 0o600); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	closeJournal(t, openJournal(t, Options{Dir: dir, Logger: zap.New(core)}))
	cut := logs.FilterMessageSnippet("cut off a torn line").All()
	if len(cut) != 1 {
		t.Fatalf("messages: %v", logs.All())
	}
	if f := cut[0].ContextMap(); f["octets"] != int64(17) || f["text"] != "{\"@timestamp\":\"20" || f["file"] != path {
		t.Errorf("the message says %v", f)
	}
	records := readAll(t, dir, Filter{Journal: true})
	if start := records[len(records)-2]; start.Sinkhole.PreviousStop != stopUnclean || start.Sinkhole.TornBytes != 17 {
		t.Errorf("the start record says %+v", start.Sinkhole)
	}
}

func TestOpenFinishesAnInterruptedPacking(t *testing.T) {
	for _, at := range []string{"writing", "renamed"} {
		t.Run(at, func(t *testing.T) {
			dir := t.TempDir()
			path, content := journalFile(t, dir, 5)
			switch at {
			case "writing":
				if err := os.WriteFile(path+partSuffix, []byte("half"), 0o600); err != nil {
					t.Fatal(err)
				}
			case "renamed":
				segments, _, _ := listSegments(dir)
				if _, err := packSegment(context.Background(), dir, &segments[0]); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := readAll(t, dir, Filter{}); len(got) != 5 {
				t.Errorf("read %d of 5 hits before the start", len(got))
			}
			closeJournal(t, openJournal(t, Options{Dir: dir}))
			if got := readAll(t, dir, Filter{}); len(got) != 5 {
				t.Errorf("read %d of 5 hits", len(got))
			}
			entries, _ := filepath.Glob(filepath.Join(dir, "*"+partSuffix))
			if _, err := os.Stat(path); len(entries) > 0 || at == "renamed" && err == nil {
				t.Errorf("left over: %v, %v", entries, segmentNames(t, dir))
			}
		})
	}
}

func TestPackingStopsWithTheJournal(t *testing.T) {
	dir := t.TempDir()
	path, content := journalFile(t, dir, 5)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	segments, _, _ := listSegments(dir)
	if _, err := packSegment(ctx, dir, &segments[0]); err == nil {
		t.Error("packed after the end")
	}
	if got, _ := os.ReadFile(path); !bytes.Equal(got, content) || len(segmentNames(t, dir)) != 1 {
		t.Errorf("left %v", segmentNames(t, dir))
	}
}
