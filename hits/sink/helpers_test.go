package sink

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"sinkhole/hits"
)

// tool is the path of a program that a test needs. Without it the test skips and says so;
// with SINKHOLE_REQUIRE_TOOLS it fails.
func tool(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	if os.Getenv("SINKHOLE_REQUIRE_TOOLS") != "" {
		t.Fatalf("%s is not installed, and SINKHOLE_REQUIRE_TOOLS is set", name)
	}
	t.Skipf("skipped: %s is not installed", name)
	return ""
}

// run starts a program, which stop, or the end of the test, ends.
func run(t *testing.T, program string, args ...string) (stop func()) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(program), log.Bytes())
		}
	})
	return stop
}

type policy struct{}

func (policy) Indicator(rule uint64) hits.Indicator {
	return hits.Indicator{Type: "domain-name", Name: "bad.example", Scope: "subtree", List: "police", Line: 7, Family: "Lumma Stealer", Confidence: 80}
}

// hit is of a name with what a name can hold.
func hit(mod func(*hits.Hit)) *hits.Hit {
	h := &hits.Hit{
		Time: time.Now(), Client: netip.MustParseAddrPort("192.0.2.7:40111"), Server: netip.MustParseAddrPort("198.51.100.53:53"),
		QType: 1, QClass: 1, ID: 4711, Flags: 1<<15 | 1<<8 | 1<<7, Answered: true, NRules: 1, Evidence: policy{},
		Action: "sinkhole", Sink: netip.MustParseAddr("203.0.113.1"), TTL: 60, HasTTL: true,
	}
	h.QNameLen = uint8(copy(h.QName[:], "\x04a.\"\\\x03bad\x07example\x00"))
	if mod != nil {
		mod(h)
	}
	return h
}

// journal records hits, and closes at the end of the test.
type journal struct {
	*hits.Journal
	dir   string
	queue *hits.Queue
}

func openJournal(t *testing.T, dir string) *journal {
	t.Helper()
	j, err := hits.Open(hits.Options{Dir: dir, Observer: hits.Observer{Name: "res1", Version: "1.0"}, Logger: zaptest.NewLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeJournal(t, j) })
	return &journal{Journal: j, dir: dir, queue: j.NewQueue(1)}
}

func closeJournal(t *testing.T, j *hits.Journal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := j.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// record records hits and waits until they are in the journal.
func (j *journal) record(t *testing.T, hits ...*hits.Hit) {
	t.Helper()
	want := j.Stats().Journaled + uint64(len(hits))
	for _, h := range hits {
		j.queue.Record(h)
	}
	eventually(t, "the hits are in the journal", func() bool { return j.Stats().Journaled == want })
}

func many(n int) []*hits.Hit {
	all := make([]*hits.Hit, n)
	for i := range all {
		all[i] = hit(func(h *hits.Hit) { h.ID = uint16(i) })
	}
	return all
}

// lines are those of the journal.
func lines(t *testing.T, dir string) (all []string) {
	t.Helper()
	c := hits.NewCursor(dir, hits.Position{}, nil)
	defer c.Close()
	for {
		line, err := c.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(line))
	}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// start runs a sink that takes things quicker than it does in service.
func start(t *testing.T, dir, name string, r Receiver) *Sink {
	t.Helper()
	s := New(Options{Name: name, Journal: dir, Receiver: r, Logger: zaptest.NewLogger(t)})
	s.margin, s.firstRetry = 100*time.Millisecond, 20*time.Millisecond
	go s.Run()
	return s
}

func end(t *testing.T, s *Sink) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s.Close(ctx)
}

// missing are the lines of want that got lacks.
func missing(want, got []string) (all []string) {
	for _, line := range want {
		if !slices.Contains(got, line) {
			all = append(all, line)
		}
	}
	return all
}

// inOrder fails unless got is want, with parts of it sent again from some point on.
func inOrder(t *testing.T, want, got []string) {
	t.Helper()
	next := 0
	for i, line := range got {
		at := slices.Index(want, line)
		if at < 0 || at > next {
			t.Fatalf("message %d: line %d of the journal, want at most line %d: %s", i, at, next, line)
		}
		next = at + 1
	}
	if next != len(want) {
		t.Fatalf("the last message has line %d of %d", next, len(want))
	}
}
