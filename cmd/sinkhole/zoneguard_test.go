package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sinkhole/blocklist"
	"sinkhole/blocklist/feed"
)

// view is what `lists show --json` says of cert.
func (p *process) view() listView {
	p.t.Helper()
	var all []listView
	if err := json.Unmarshal([]byte(p.run("lists", "show", "cert", "--json")), &all); err != nil || len(all) != 1 {
		p.t.Fatalf("%d lists, %v", len(all), err)
	}
	return all[0]
}

// TestZoneGuard has increments bring what the guard keeps out and what no
// resolver can apply. All that shows lists tells of it; an entry is let in by
// approval, and what is deleted is told of no more. Reload and restart tell the
// same.
func TestZoneGuard(t *testing.T) {
	tool(t, "nsupdate")
	p, b := startSecondary(t, true)
	p.answered("lumma.example", blockedAnswer)
	p.shown(`cert +ok +4 +0 +0 +0 +0 `)

	// An increment of which nothing is in force.
	b.update("update add github.io.rpz.test 300 CNAME .", "update add gitlab.io.rpz.test 300 CNAME .",
		"update add mark.rpz-nsdname.rpz.test 300 CNAME .", "update add sub.rpz.test 300 NS ns.example.")
	b.update("update add redline.example.rpz.test 300 CNAME .")
	p.answered("redline.example", blockedAnswer)
	p.answered("github.io", passedAnswer)
	shows := func(what string) {
		t.Helper()
		p.shown(`cert +ok +7 +0 +2 +2 +0 `, `2 refused by the guard`, `test: public-suffix: github\.io: `, `test: public-suffix: gitlab\.io: `, `in force: +5 entries`,
			`2 lines left out \(of them 1 that no resolver could apply\)`, `test: "mark\.rpz-nsdname.* looks at name servers`, `test: "sub.* NS below`)
		if t.Failed() {
			t.Fatalf("%s:\n%s", what, p.run("lists", "show", "cert"))
		}
	}
	shows("increments")
	p.shown(`file: .* rpz, 9 lines, as it was at serial 1, sha256:`)
	if out := p.run("lists", "diff", "cert"); !strings.Contains(out, "the guard refused") || !strings.Contains(out, "github.io") {
		t.Errorf("the difference does not tell of the guard:\n%s", out)
	}
	m := p.metrics()
	for sample, want := range map[string]float64{
		`sinkhole_list_entries{list="cert"}`: 7, `sinkhole_list_rules{list="cert"}`: 5,
		`sinkhole_list_entries_left_out{list="cert",reason="guard_refused"}`:  2,
		`sinkhole_list_entries_left_out{list="cert",reason="refused"}`:        1,
		`sinkhole_list_entries_left_out{list="cert",reason="not_applicable"}`: 1,
	} {
		if got, found := m[sample]; !found || got != want {
			t.Errorf("%s is %v (there: %v), expected %v", sample, got, found, want)
		}
	}
	if z := p.view().Zone; !z.Fetched.After(z.Good.Fetched) {
		t.Errorf("fetched %v, expected the time of the last increment, after %v", z.Fetched, z.Good.Fetched)
	}

	p.run("reload")
	shows("reload")
	p.shown(`as it was at serial 3, sha256:`)
	p.stop()
	p.start()
	shows("restart")

	if out := p.run("lists", "approve", "cert", "github.io"); !strings.Contains(out, "github.io approved by") {
		t.Error(out)
	}
	p.holds("github.io", blockedAnswer)
	p.shown(`cert +ok +7 +0 +2 +1 +0 `, `1 refused by the guard`, `approved: +github\.io by`)

	b.update("update delete gitlab.io.rpz.test CNAME", "update delete mark.rpz-nsdname.rpz.test CNAME", "update delete redline.example.rpz.test CNAME",
		"update add github.com.rpz.test 300 CNAME .")
	p.answered("redline.example", passedAnswer)
	p.shown(`cert +ok +6 +0 +1 +1 +0 `, `platform: github\.com: `, `1 lines? left out\n`)
	if out := p.run("lists", "show", "cert"); strings.Contains(out, "gitlab") || strings.Contains(out, "mark") {
		t.Errorf("what was deleted is told of:\n%s", out)
	}
	p.holds("github.io", blockedAnswer)
	p.stop()
	if log := p.stderr.String(); !strings.Contains(log, `"msg":"entry refused"`) || !strings.Contains(log, `github.io is a public suffix`) || !strings.Contains(log, "mark.rpz-nsdname") {
		t.Error("the log does not tell of what was left out")
	}
	p.start()
	p.holds("github.io", blockedAnswer)
	p.shown(`cert +ok +6 +0 +1 +1 +0 `)
	p.stop()
}

// TestFetchedByIncrement is when the last increment of a zone came, of a list over
// HTTPS when its content did.
func TestFetchedByIncrement(t *testing.T) {
	first := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	good := &feed.Copy{Fetched: first, Confirmed: first}
	for want, status := range map[time.Time]blocklist.Status{
		first:                      {Remote: &feed.RemoteStatus{Good: good}},
		first.Add(time.Hour):       {Zone: &feed.ZoneStatus{Good: good, Fetched: first.Add(time.Hour)}},
		first.Add(0 * time.Second): {Zone: &feed.ZoneStatus{Good: good}},
	} {
		if got := sourceOf(&status).fetched; got != want {
			t.Errorf("fetched %v, expected %v", got, want)
		}
	}
}
