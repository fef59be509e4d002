//go:build linux

package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// latencies are of one server and what it was asked, round by round.
type latencies map[string][]lag

// TestComparedLatency asks this server and others at half of the highest rate that
// the slower of this one and the best other sustains, all at the same rate, and times
// each answer: also while a list reloads, and while the journal rotates. All servers
// run all the time, and are asked in turn, so that the machine is the same to all.
func TestComparedLatency(t *testing.T) {
	if os.Getenv("SINKHOLE_MEASURE") == "" {
		t.Skip("skipped: runs by `make peers` (SINKHOLE_MEASURE), alone on the machine")
	}
	const span = 2 * time.Second
	rounds := measuredRounds(t, 5)
	pin(t, os.Getpid(), 1)
	upstream := startBareUpstream(t)
	names, cached := listedNames(200_000), numbered(20_000, "www%d.clean.example")
	var all []*running
	for _, c := range available(t) {
		if c.bare == "forward" || c.name == everythingOn { // which would go on beside the others
			continue
		}
		all = append(all, startContender(t, c, upstream, names))
		if c.name == "sinkhole" {
			rotating := c
			rotating.name = "sinkhole, journal rotating"
			rotating.files = map[string]string{"sinkhole.yaml": strings.Replace(c.files["sinkhole.yaml"], "{path: hits}", "{path: hits, rotate_size: 8MiB}", 1)}
			all = append(all, startContender(t, rotating, upstream, names))
		}
	}
	for _, r := range all {
		press(t, r.addr, asking(t, cached), time.Minute, len(cached))
	}
	asked := map[string][]string{"blocked": names[:20_000], "cached": cached}
	for _, what := range []string{"blocked", "cached"} {
		rate := halfRate(t, all, asked[what])
		took := latencies{}
		for range rounds {
			for _, r := range all {
				took[r.name] = append(took[r.name], measureLag(t, r.addr, asked[what], rate, span))
				if r.name == "sinkhole" {
					took.whileReloading(t, r, names, asked[what], rate, span)
				}
			}
		}
		t.Logf("%s, %d queries a second, medians of %d rounds of %v\n%s", what, rate, rounds, span, took.table())
		took.judge(t, what, rate*int(span/time.Second)*rounds)
	}
	for _, r := range all {
		if strings.Contains(r.name, "rotating") {
			segments, err := filepath.Glob(filepath.Join(r.dir, "hits", "*"))
			if err != nil || len(segments) < 4 {
				t.Errorf("the journal has %d files, %v: it did not rotate", len(segments), err)
			}
		}
	}
}

// halfRate is half of the highest rate that this server, or the best of the others
// if that is slower, answers.
func halfRate(t *testing.T, all []*running, names []string) int {
	ours, others := 0.0, 0.0
	for _, r := range all {
		rate := press(t, r.addr, asking(t, names), 2*time.Second, 0).rate
		switch {
		case r.name == "sinkhole":
			ours = rate
		case r.program != "":
			others = max(others, rate)
		}
	}
	return int(min(ours, cmp.Or(others, ours)) / 2)
}

// whileReloading measures once more, with another list of the same length coming at
// the beginning.
func (l latencies) whileReloading(t *testing.T, r *running, names, asked []string, rate int, span time.Duration) {
	name := r.name + ", list reloading"
	version := fmt.Sprintf("version-%d.example", len(l[name]))
	r.writeList(t, append([]string{version}, names[1:]...))
	l[name] = append(l[name], measureLag(t, r.addr, append([]string{asked[1]}, asked[1:]...), rate, span))
	r.wait(t, version)
	r.writeList(t, names)
	r.wait(t, names[0])
}

func (l latencies) table() string {
	var b strings.Builder
	fmt.Fprintln(&b, "| server | 99.9th percentile | worst | unanswered |\n|---|---|---|---|")
	for _, name := range l.names() {
		m := medianLag(slices.Clone(l[name]))
		fmt.Fprintf(&b, "| %s | %v | %v | %d |\n", name, m.p999, m.worst, m.lost)
	}
	return b.String()
}

func (l latencies) names() (all []string) {
	for name := range l {
		all = append(all, name)
	}
	slices.SortFunc(all, func(a, b string) int {
		return int(medianLag(slices.Clone(l[a])).p999 - medianLag(slices.Clone(l[b])).p999)
	})
	return all
}

// judge holds this server's medians to the best of the others.
// One that leaves more than a thousandth of all queries unanswered has no 99.9th percentile.
func (l latencies) judge(t *testing.T, what string, asked int) {
	best := time.Duration(0)
	for name, all := range l {
		m := medianLag(slices.Clone(all))
		if m.lost > asked/1000 {
			continue
		}
		if !strings.HasPrefix(name, "sinkhole") && !strings.HasPrefix(name, "bare") && (best == 0 || m.p999 < best) {
			best = m.p999
		}
	}
	for name, all := range l {
		m := medianLag(slices.Clone(all))
		if strings.HasPrefix(name, "sinkhole") && (m.lost > 0 || best > 0 && m.p999 > best) {
			t.Errorf("%s, %s: 99.9th percentile %v, %d unanswered; the best of the others %v", what, name, m.p999, m.lost, best)
		}
	}
}
