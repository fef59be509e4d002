package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// cutGzip is compressed text without its end.
func cutGzip(t *testing.T, text string) string {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return packed.String()
}

// TestLeftOut has a list with lines that nobody can apply, and one that breaks off:
// table, details, JSON and /metrics count the same of them.
func TestLeftOut(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"ads.txt":   "[Adblock Plus 2.0]\n||evil.example^\nexample.com##.banner\nexample.org##.banner\n||example.net/path/\n/regular[0-9]/\n||bad!name.example^\n||github.io^\n||localhost^\n",
		"trunc.txt": cutGzip(t, "evil.example\nworse.example\nbad!name.example\n"),
	} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := startProcess(t, dir, "lists: [{name: ads, source: ads.txt}, {name: trunc, source: trunc.txt, format: domains}]")
	var all []listView
	if err := json.Unmarshal([]byte(p.run("lists", "--json")), &all); err != nil || len(all) != 2 {
		t.Fatalf("%d lists, %v", len(all), err)
	}
	ads, trunc := &all[0], &all[1]
	if ads.NotApplicable < 2 || ads.Refused < 1 || ads.Malformed != 1 || ads.Kept != 1 || ads.Entries != 2 ||
		ads.Malformed+ads.Refused+ads.NotApplicable != len(ads.Faults) {
		t.Errorf("%d not applicable, %d refused, %d malformed, %d entries, and %d faults", ads.NotApplicable, ads.Refused, ads.Malformed, ads.Entries, len(ads.Faults))
	}
	if trunc.State != "failed" || trunc.Entries != 0 || trunc.Rules != 0 || trunc.Malformed == 0 {
		t.Errorf("of the list that breaks off %s, %d entries, %d in force, %d malformed", trunc.State, trunc.Entries, trunc.Rules, trunc.Malformed)
	}

	m := p.metrics()
	for sample, value := range m {
		if strings.HasPrefix(sample, "sinkhole_list_") && value < 0 {
			t.Errorf("%s is %v", sample, value)
		}
	}
	for sample, want := range map[string]int{
		`sinkhole_list_entries_left_out{list="ads",reason="not_applicable"}`: ads.NotApplicable,
		`sinkhole_list_entries_left_out{list="ads",reason="refused"}`:        ads.Refused,
		`sinkhole_list_entries_left_out{list="ads",reason="malformed"}`:      ads.Malformed,
		`sinkhole_list_entries{list="ads"}`:                                  2,
		`sinkhole_list_entries{list="trunc"}`:                                0,
		`sinkhole_list_rules{list="trunc"}`:                                  0,
	} {
		if got, found := m[sample]; !found || got != float64(want) {
			t.Errorf("%s is %v (there: %v), expected %d", sample, got, found, want)
		}
	}

	for name, expressions := range map[string][]string{
		"ads": {
			`ads +ok +2 +1 +` + count(ads.LeftOut()) + ` +1 +0 `, `in force: +1 entry`,
			count(len(ads.Faults)) + ` lines left out \(of them ` + count(ads.NotApplicable) + ` that no resolver could apply\)`,
		},
		"trunc": {`trunc +failed +0 `, `in force: +0 entries`, `file: .*trunc\.txt: domains, 3 lines and 2 entries, as far as it was read`},
	} {
		out := p.run("lists", "show", name)
		for _, e := range expressions {
			if !regexp.MustCompile(e).MatchString(out) {
				t.Errorf("no match of %s in\n%s", e, out)
			}
		}
		if strings.Contains(out, "more\n") {
			t.Errorf("counts lines that are not there:\n%s", out)
		}
	}
	p.stop()
}
