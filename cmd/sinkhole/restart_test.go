package main

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// asker asks for names of its own, one after the other, and notes what became of each.
type asker struct {
	answered []string
	failed   []time.Time // when they were asked
	last     time.Time   // when the last one was answered
	gap      time.Duration
}

func (a *asker) ask(addr string, number int, over *atomic.Bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	c := dns.Client{Timeout: 250 * time.Millisecond}
	for i := 0; !over.Load(); i++ {
		<-tick.C
		name := fmt.Sprintf("q%d-%d.listed.example", number, i)
		asked := time.Now()
		// While nobody listens, a socket that is given the server's port asks itself.
		if m, _, err := c.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA), addr); err != nil || !m.Response {
			a.failed = append(a.failed, asked)
			continue
		}
		now := time.Now()
		if !a.last.IsZero() {
			a.gap = max(a.gap, now.Sub(a.last))
		}
		a.last = now
		a.answered = append(a.answered, name)
	}
}

// A restart under load: every query that was answered, by the server that goes or by the one
// that comes, is a hit in the journal, once; none is lost but those that came while
// nobody listened.
func TestRestartUnderLoad(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/list.txt", "listed.example\n")
	p := startProcess(t, dir, "lists: [{name: police, source: list.txt}]\nhits: {journal: {path: data/hits, merge_above: 1000000}}")
	var over atomic.Bool
	var asking sync.WaitGroup
	askers := make([]asker, 4)
	for i := range askers {
		asking.Go(func() { askers[i].ask(p.dns, i, &over) })
	}
	half := func(verdicts float64) {
		t.Helper()
		if err := eventually(func() error {
			if n := p.metric("sinkhole_hits_verdicts_total", ""); n < verdicts {
				return fmt.Errorf("%v hits", n)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	half(500)
	down := time.Now()
	stopped := p.stop()
	p.start()
	up := time.Now()
	half(500)
	over.Store(true)
	asking.Wait()
	p.stop()

	found := map[string]int{}
	for line := range strings.Lines(p.run("hits", "events", "--since", "all", "--format", "jsonl")) {
		if _, after, is := strings.Cut(line, `"question":{"name":"`); is {
			name, _, _ := strings.Cut(after, `"`)
			found[name]++
		}
	}
	var answered, failed int
	var gap time.Duration
	for _, a := range askers {
		answered += len(a.answered)
		gap = max(gap, a.gap)
		for _, name := range a.answered {
			if found[name] != 1 {
				t.Fatalf("%s was answered, and stands %d times in the journal\n%s", name, found[name], p.stderr)
			}
		}
		for _, asked := range a.failed {
			failed++
			if asked.Before(down.Add(-250*time.Millisecond)) || asked.After(up) {
				t.Errorf("a query got no answer %v after the stop began, and the server was up after %v", asked.Sub(down), up.Sub(down))
			}
		}
	}
	if answered < 1000 {
		t.Errorf("%d queries were answered", answered)
	}
	t.Logf("%d queries answered and in the journal, %d not answered; the stop took %v, the longest gap of a client was %v", answered, failed, stopped, gap)
}
