package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"sinkhole/blocklist"
	"sinkhole/blocklist/feed"
)

// A zone of which nothing came yet has no serial, and its entries have no lines.
func TestShowZones(t *testing.T) {
	show := func(z *feed.ZoneStatus) string {
		t.Helper()
		var out bytes.Buffer
		l := listView{Status: blocklist.Status{Name: "cert", Source: "rpz://192.0.2.1/rpz.test", State: blocklist.StateFailed, Zone: z}}
		if err := new(listsShow).printWhole(&out, &l); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if text := show(&feed.ZoneStatus{Error: "no such primary"}); strings.Contains(text, "zone:") || strings.Contains(text, "serial") {
		t.Errorf("a zone that cannot be asked for:\n%s", text)
	}
	if text := show(&feed.ZoneStatus{Zone: "rpz.test"}); !strings.Contains(text, "zone:      rpz.test, never transferred\n") || strings.Contains(text, "serial") {
		t.Errorf("a zone that never came:\n%s", text)
	}
	if text := show(&feed.ZoneStatus{Zone: "rpz.test", Serial: 7, Primary: 8, Good: &feed.Copy{}}); !strings.Contains(text, "zone:      rpz.test, serial 7, at the primary 8; ") {
		t.Errorf("a zone that came:\n%s", text)
	}

	var out bytes.Buffer
	x := explanation{Indicators: []explainedIndicator{{Indicator: "lumma.example", List: "cert", Action: "nxdomain"}, {Indicator: "lumma.example", List: "file", Action: "nxdomain", Line: 12}}}
	if err := x.printIndicators(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`cert +-  `, `file +12  `} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no match of %q in\n%s", want, &out)
		}
	}
}
