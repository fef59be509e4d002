package blocklist

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sinkhole/blocklist/format"
)

// TestDoubtful holds that what its list doubts counts for no more than half, whoever
// says how much.
func TestDoubtful(t *testing.T) {
	for _, tt := range []struct {
		stated, configured int8
		want               int
	}{{-1, 0, 50}, {-1, 30, 30}, {-1, 80, 50}, {100, 0, 50}, {20, 80, 20}} {
		s := Spec{Name: "list", Confidence: tt.configured}
		r := segmentOf(t, &s, []modelEntry{{name: "bad.example", Indicator: format.Indicator{Confidence: tt.stated, Doubtful: true}}})
		p, err := compile(1, []compiled{{List: s.list(), parts: []listPart{{segment: r.segment}}}}, groups{})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Indicator(everyRule(p)[0]).Confidence; got != tt.want {
			t.Errorf("stated %d, configured %d: %d, expected %d", tt.stated, tt.configured, got, tt.want)
		}
	}
}

// TestCompromised caps the confidence in what ThreatFox says is a broken-into site.
func TestCompromised(t *testing.T) {
	l := open(t, Options{Configuration: specsOf(spec("fox", exported(t,
		"# ioc_value,ioc_type,confidence_level,is_compromised\nbad.example,domain,100,True\nworse.example,domain,100,False\n")))})
	found := map[string]int{}
	for _, rule := range everyRule(l.Policy()) {
		i := l.Policy().Indicator(rule)
		found[i.Name] = i.Confidence
	}
	if found["bad.example"] != 50 || found["worse.example"] != 100 {
		t.Errorf("found %v", found)
	}
}

// TestFirstSeenInFuture has entries of tomorrow: they act today, and the list says so.
func TestFirstSeenInFuture(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour).UTC()
	stix := fmt.Sprintf(`{"objects": [{"type": "indicator", "id": "indicator--1", "pattern": "[domain-name:value = 'stix.example']", "valid_from": %q}]}`, tomorrow.Format(time.RFC3339))
	l := open(t, Options{Configuration: specsOf(
		spec("csv", exported(t, fmt.Sprintf("indicator,first_seen\nnew.example,%s\nold.example,2020-01-01\nundated.example,\n", tomorrow.Format(time.DateOnly)))),
		spec("stix", exported(t, stix)),
		spec("past", exported(t, "indicator,first_seen\npast.example,2020-01-01\n")))})
	expect(t, l, "new.example", "enforce sinkhole csv:2")
	expect(t, l, "stix.example", "enforce sinkhole stix:1")
	for _, name := range []string{"csv", "stix"} {
		if w := status(t, l, name).Warnings; len(w) != 1 || !strings.HasPrefix(w[0], "1 entries with a first_seen in the future, in force already") {
			t.Errorf("%s: warnings %q", name, w)
		}
	}
	if w := status(t, l, "past").Warnings; len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
}
