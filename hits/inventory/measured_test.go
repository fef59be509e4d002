package inventory

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"sinkhole/hits"
)

// What is measured, and what has to hold for it.
const (
	measuredHits     = 10_000_000
	measuredMachines = 100_000
	measuredNames    = 20_000
	measuredDays     = 30
	leastRate        = 50_000
	longestView      = time.Second
	longestOverview  = 1500 * time.Millisecond // which reads the facts of all spans
	largestDatabase  = 1 << 30
)

// TestMeasured feeds 10 million hits of 100,000 machines in 30 days, one line each, written by
// the journal itself, on one processor, and makes every view. No two hits of a machine stand
// near each other, which is the worst case. It runs with SINKHOLE_MEASURE=1; where
// SINKHOLE_MEASURE_DIR names a directory it goes on there from run to run, each within its
// -timeout, until all is done.
func TestMeasured(t *testing.T) {
	if os.Getenv("SINKHOLE_MEASURE") == "" {
		t.Skip("measures 10 million hits for some minutes: SINKHOLE_MEASURE=1 runs it")
	}
	dir := os.Getenv("SINKHOLE_MEASURE_DIR")
	end := time.Now().Add(24 * time.Hour)
	if deadline, ok := t.Deadline(); ok && dir != "" {
		end = deadline.Add(-20 * time.Second)
	}
	if dir == "" {
		dir = t.TempDir()
	}
	m := &measurement{t: t, dir: dir, end: end}
	if m.journal() && m.feed() {
		m.views()
	}
}

type measurement struct {
	t   *testing.T
	dir string
	end time.Time
}

// number is a count that is kept from run to run.
func (m *measurement) number(name string) int64 {
	text, err := os.ReadFile(filepath.Join(m.dir, name))
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(string(text), 10, 64)
	return n
}

func (m *measurement) keep(name string, n int64) {
	if err := os.WriteFile(filepath.Join(m.dir, name), strconv.AppendInt(nil, n, 10), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// journal writes the hits, and tells whether all are there.
func (m *measurement) journal() bool {
	first := m.number("written")
	if first == measuredHits {
		return true
	}
	j, err := hits.Open(hits.Options{Dir: filepath.Join(m.dir, "journal"), MergeAbove: measuredHits, QueueLength: 1 << 16, RotateSize: 64 << 20, Logger: zap.NewNop()})
	if err != nil {
		m.t.Fatal(err)
	}
	q := j.NewQueue(1)
	n := first
	for ; n < measuredHits && time.Now().Before(m.end); n++ {
		for n%1024 == 0 && j.Stats().Queued > 1<<12 {
			time.Sleep(100 * time.Microsecond)
		}
		q.Record(measuredHit(n))
	}
	if err := j.Close(context.Background()); err != nil {
		m.t.Fatal(err)
	}
	if s := j.Stats(); s.Lost > 0 || s.Journaled != uint64(n-first) {
		m.t.Fatalf("%+v", s)
	}
	m.keep("written", n)
	m.t.Logf("%d of %d hits are in the journal", n, measuredHits)
	return n == measuredHits
}

// measuredHit is hit n: machines have one to four names each, of which they ask for one.
func measuredHit(n int64) *hits.Hit {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], uint64(n))
	r := rand.New(rand.NewChaCha8(seed))
	machine := r.Uint32N(measuredMachines)
	name := (uint64(machine)*7919 + uint64(r.Uint32N(1+machine%4))*104_729) % measuredNames
	at := testTime.Add(time.Duration(float64(n) / measuredHits * measuredDays * 24 * float64(time.Hour)))
	return hitAt(at, "192.0.2.1:4000", name*2, func(h *hits.Hit) {
		h.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(machine >> 16), byte(machine >> 8), byte(machine)}), uint16(1024+r.Uint32N(60_000)))
		h.Fingerprint.UDPSize = uint16(1232 + machine%3)
	})
}

// feed reads the journal on one processor, and tells whether all was read.
func (m *measurement) feed() bool {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	path := filepath.Join(m.dir, "inventory.db")
	ctx, cancel := context.WithDeadline(m.t.Context(), m.end)
	defer cancel()
	x := New(Options{Path: path, Journal: filepath.Join(m.dir, "journal"), Logger: zap.NewNop()})
	defer x.Close()
	begin, read := time.Now(), int64(0)
	if err := x.open(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	var most runtime.MemStats
	used := processorTime(m.t)
	last, lastUsed := begin, used
	x.feeder.committed = func() {
		read, last, lastUsed = int64(x.feeder.counts.hits), time.Now(), processorTime(m.t)
		runtime.ReadMemStats(&most)
	}
	err := x.feeder.catchUp(ctx)
	if err == nil {
		x.feeder.committed()
	} else if !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		m.t.Fatal(err)
	}
	fed, took := m.number("fed")+read, time.Duration(m.number("took"))+last.Sub(begin)
	processor := time.Duration(m.number("processor")) + lastUsed - used
	m.keep("fed", fed)
	m.keep("took", took.Nanoseconds())
	m.keep("processor", processor.Nanoseconds())
	// Others use the processor too: what it worked for us is what tells.
	rate := float64(fed) / processor.Seconds()
	m.t.Logf("%d hits in %s, of which %s on the processor: %.0f a second of it; %d MiB from the system",
		fed, took.Round(time.Second), processor.Round(time.Second), rate, most.Sys>>20)
	if fed < measuredHits {
		return false
	}
	if fed != measuredHits {
		m.t.Errorf("%d hits, want %d", fed, measuredHits)
	}
	if rate < leastRate {
		m.t.Errorf("%.0f hits a second, want %d", rate, leastRate)
	}
	x.Close()
	size := int64(0)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if info, err := os.Stat(path + suffix); err == nil {
			size += info.Size()
		}
	}
	m.t.Logf("the database has %d MiB", size>>20)
	if size > largestDatabase {
		m.t.Errorf("the database has %d octets, want %d at most", size, largestDatabase)
	}
	return true
}

// processorTime is what this process used, of all its threads.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (m *measurement) views() {
	last := testTime.AddDate(0, 0, measuredDays)
	for name, f := range map[string]Filter{
		"all": {}, "24 h": {Since: last.Add(-24 * time.Hour)}, "half": {Since: last.AddDate(0, 0, -15)}, "hours of 100": {Hours: true, Limit: 100},
		"family": {Family: "Vidar"}, "client": {Client: netip.MustParsePrefix("10.0.7.0/24"), Hours: true},
	} {
		for view, make := range map[string]func(r *Reader) (int, error){
			"machines":   func(r *Reader) (int, error) { all, err := r.Machines(m.t.Context(), f); return len(all), err },
			"families":   func(r *Reader) (int, error) { all, err := r.Families(m.t.Context(), f); return len(all), err },
			"indicators": func(r *Reader) (int, error) { all, err := r.Indicators(m.t.Context(), f); return len(all), err },
			"overview": func(r *Reader) (int, error) {
				v, err := r.Views(m.t.Context(), f.byTotal(), true)
				if err != nil {
					return 0, err
				}
				return min(len(v.Machines()), len(v.Families()), len(v.Trends())), nil
			},
		} {
			begin, used := time.Now(), processorTime(m.t)
			r, err := OpenReader(m.t.Context(), filepath.Join(m.dir, "inventory.db"))
			if err != nil {
				m.t.Fatal(err)
			}
			n, err := make(r)
			r.Close()
			wall, took := time.Since(begin), processorTime(m.t)-used
			if err != nil || n == 0 {
				m.t.Fatal(n, err)
			}
			m.t.Logf("%s, %s: %d in %s, on the processors %s", view, name, n, wall.Round(time.Millisecond), took.Round(time.Millisecond))
			longest := longestView
			if view == "overview" {
				longest = longestOverview
			}
			if took > longest {
				m.t.Errorf("%s, %s: %s, want %s at most", view, name, took, longest)
			}
		}
	}
}
