package blocklist

import (
	"strings"
	"testing"

	"sinkhole/blocklist/format"
)

// A list of names must not become address rules for those who load the zone.
func TestExportZoneWithoutItsOwnWords(t *testing.T) {
	names := []string{"8.0.0.0.203.rpz-ip", "8.0.0.0.127.rpz-client-ip", "24.0.2.0.192.rpz-nsip", "ns.evil.example.rpz-nsdname",
		"a.rpz-passthru", "a.rpz-drop", "a.rpz-tcp-only"}
	var entries []modelEntry
	for _, name := range append([]string{"evil.example"}, names...) {
		for _, scope := range []format.Scope{format.Exact, format.Subtree, format.Below} {
			entries = append(entries, modelEntry{name: name, Indicator: format.Indicator{Scope: scope, Action: format.NXDomain, Confidence: -1}})
		}
	}
	text, done := export(t, compileEntries(t, entries), rpzOptions())
	for line := range strings.Lines(text) {
		if owner, _, _ := strings.Cut(line, " "); strings.Contains(owner, "rpz-") {
			t.Errorf("the zone has %s", line)
		}
	}
	if done.Entries != 2 || done.LeftOut["names that end in a word of RPZ's own"] != int64(len(names)) {
		t.Errorf("found %+v, expected 2 entries and %d names left out", done, len(names))
	}

	// From the file that a feed would send.
	text, done = export(t, openText(t, map[string]string{"feed.txt": "evil.example\n" + strings.Join(names, "\n") + "\n*.rpz-nsdname\n"}), rpzOptions())
	if done.Entries != 2 || strings.Contains(text, ".rpz-") {
		t.Errorf("%+v\n%s\nexpected evil.example alone", done, text)
	}
}
