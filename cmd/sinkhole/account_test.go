package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"sinkhole/hits"
)

// journaled sums up the counts of all hits in a server's journal.
func journaled(t testing.TB, dir string) (total int) {
	t.Helper()
	err := hits.Read(t.Context(), dir, hits.Filter{}, func(r *hits.Record) error {
		total += int(r.Sinkhole.Count)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

func listed(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("c2-%d.example", i))
	}
	return names
}

const accountLists = `
lists: [{name: police, source: list.txt}]
hits: {journal: {path: data/hits, merge_above: 1000, sync_every: 100ms}}`

// TestAccountUnderLoad holds what is promised of hits: after a flood every
// verdict is journaled, queued or counted as lost; after SIGTERM, within 5 s and
// with exit code 0, the journal holds exactly what was counted.
func TestAccountUnderLoad(t *testing.T) {
	dir := t.TempDir()
	names := listed(500)
	if err := os.WriteFile(dir+"/list.txt", []byte(strings.Join(names, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, dir, accountLists)
	l := newTraffic(t, p.dns, 8)
	const queries = 40_000
	l.send(append(names, "clean.example"), 20_000, queries, nil)
	l.settle()
	// What a busy machine makes the kernel drop is counted, too.
	m := p.metrics()
	drops := m.sum("sinkhole_udp_kernel_drops_total", "")
	if got := l.answered.Load(); got+int64(drops) != queries {
		t.Errorf("%d of %d queries answered, kernel drops %v", got, queries, drops)
	}
	verdicts := m.sum("sinkhole_hits_verdicts_total", "")
	if want := float64(l.answered.Load()) * 500 / 501; drops == 0 && (verdicts < want-1 || verdicts > want+1) {
		t.Errorf("%v verdicts, want about %v", verdicts, want)
	}
	if sum := m.sum("sinkhole_hits_journaled_total", "") + m.sum("sinkhole_hits_queued", "") + m.sum("sinkhole_hits_lost_total", ""); sum != verdicts {
		t.Errorf("journaled + queued + lost = %v, want %v", sum, verdicts)
	}
	if took := p.stop(); took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
	a := p.account()
	if a.Verdicts != int(verdicts) || a.Journaled+a.Lost != a.Verdicts || a.Queued != 0 {
		t.Errorf("at the end: %+v, want %v verdicts, all journaled or counted as lost", a, verdicts)
	}
	if a.Lost > 0 {
		t.Logf("%d hits lost, and counted: the machine had no time for the journal", a.Lost)
	}
	if n := journaled(t, p.path("data/hits")); n != a.Journaled {
		t.Errorf("the journal holds %d hits, want %d", n, a.Journaled)
	}
}

// TestKill holds that a kill -9 costs at most the hits of the last sync_every,
// that the journal reads afterwards, and that the next start says so.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	names := listed(500)
	if err := os.WriteFile(dir+"/list.txt", []byte(strings.Join(names, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, dir, accountLists)
	l := newTraffic(t, p.dns, 4)
	stop := make(chan struct{})
	sending := make(chan struct{})
	go func() { defer close(sending); l.send(names, 5_000, 100_000, stop) }()
	for l.answered.Load() < 5_000 {
		time.Sleep(time.Millisecond)
	}
	if err := eventually(func() error {
		if p.metric("sinkhole_hits_journaled_total", "") < 5_000 {
			return fmt.Errorf("fewer than 5000 hits journaled")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// All that was answered until now is older than sync_every at the kill, with
	// room for a busy machine.
	old := l.answered.Load()
	mark := time.Now()
	for time.Since(mark) < time.Second {
		time.Sleep(10 * time.Millisecond)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	close(stop)
	<-sending
	l.settle()
	if n := journaled(t, p.path("data/hits")); int64(n) < old {
		t.Errorf("the journal holds %d hits, want the %d that were answered more than sync_every before the kill", n, old)
	}
	before := journaled(t, p.path("data/hits"))
	p.start()
	p.stop()
	if n := journaled(t, p.path("data/hits")); n != before {
		t.Errorf("after the next start the journal holds %d hits, want %d", n, before)
	}
	found := false
	err := hits.Read(t.Context(), p.path("data/hits"), hits.Filter{Journal: true}, func(r *hits.Record) error {
		found = found || r.Event.Action == "start" && strings.Contains(string(r.Raw), `"previous_stop":"unclean"`)
		return nil
	})
	if err != nil || !found {
		t.Errorf("no start record says that the last stop was not clean (%v)", err)
	}
}
