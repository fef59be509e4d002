package blocklist

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sinkhole/blocklist/format"
)

// TestCrowdedIncrement has increments with more records of one name than a list may
// say of it: they cost no more than others, and the list says so as one that was
// read whole.
func TestCrowdedIncrement(t *testing.T) {
	const records = 200_000 / raceFactor
	var all []string
	for i := range records {
		all = append(all, fmt.Sprintf("crowded.example.rpz.test. 60 IN TXT \"%d\"", i))
	}
	half := records / 2
	l, spec := zoneLists(t, zoneRecords{"evil.example.rpz.test. 60 IN CNAME .": true})
	none := wireRecords(t, nil)
	for i, added := range [][]string{all[:half], all[half:]} {
		inc := &increment{origin: rpzOrigin, removed: none, added: wireRecords(t, added), version: fmt.Sprintf("serial:%d", i+2)}
		start := time.Now()
		if err := l.applyIncrement(&spec, inc, committed); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 3*time.Second*raceFactor { // by itself 0.2 s; in quadratic time a minute
			t.Errorf("increment %d: %v, expected at most 3 s", i, took)
		}
	}
	want := fmt.Sprintf("%d entries left out: more than 16 that differ, or more than 64 KiB of local data, on one name or prefix", records-maxRulesPerList)
	s := status(t, l, "zone")
	if s.Entries != records+1 || s.Rules != maxRulesPerList+1 || s.Excess != records-maxRulesPerList || len(s.Warnings) != 1 || s.Warnings[0] != want {
		t.Errorf("%d entries, %d rules, %d too many, warnings %q", s.Entries, s.Rules, s.Excess, s.Warnings)
	}

	// Which of them are not kept is not known, so none can be taken away.
	inc := &increment{origin: rpzOrigin, removed: wireRecords(t, all), added: none, version: "serial:4"}
	start := time.Now()
	if err := l.applyIncrement(&spec, inc, committed); !errors.Is(err, errInapplicable) || !strings.Contains(err.Error(), "crowded.example, of which not all are kept") {
		t.Errorf("error %v", err)
	}
	if took := time.Since(start); took > 3*time.Second*raceFactor {
		t.Errorf("it took %v", took)
	}
	inc = &increment{origin: rpzOrigin, removed: wireRecords(t, []string{"evil.example.rpz.test. 60 IN CNAME ."}), added: none, version: "serial:4"}
	if err := l.applyIncrement(&spec, inc, committed); err != nil {
		t.Error(err)
	}
	expect(t, l, "evil.example", "none")
}

// largeRecord is a TXT record of about 50,000 octets.
func largeRecord(owner string, number int) string {
	return fmt.Sprintf("%s 60 IN TXT \"%d\"", owner, number) + strings.Repeat(" \""+strings.Repeat("x", 250)+"\"", 200)
}

// TestLargeLocalData says more of one name than a DNS message carries, in one place
// of the file and in turn with another name: what is too much is not kept.
func TestLargeLocalData(t *testing.T) {
	const records = 300 / raceFactor
	for name, owners := range map[string][]string{
		"one name":          {"large.example"},
		"two names in turn": {"large.example", "larger.example"},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/zone"
			fillFile(t, path, plainly, func(w *bufio.Writer) {
				fmt.Fprint(w, "$ORIGIN rpz.test.\n@ 60 IN SOA localhost. root.localhost. 1 60 60 60 60\n")
				for i := range records {
					for _, owner := range owners {
						fmt.Fprintln(w, largeRecord(owner, i))
					}
				}
			})
			l := open(t, Options{Configuration: specsOf(Spec{Name: "zone", Source: path, Format: format.RPZ})})
			s := status(t, l, "zone")
			n := len(owners)
			if s.State != StateOK || s.Entries != n*records || s.Excess != n*(records-1) || s.Error != "" {
				t.Errorf("%s, %d entries, %d too many: %s", s.State, s.Entries, s.Excess, s.Error)
			}
			if kept := len(l.content["zone"].parts[0].data); n == 1 && kept > maxEntryData {
				t.Errorf("%d octets of local data kept, expected at most %d", kept, maxEntryData)
			}
			for _, owner := range owners {
				if got := localDataOf(l, owner); len(got) != 1 || len(got[0]) < 50_000 {
					t.Errorf("%s: %d records, expected the first", owner, len(got))
				}
			}
		})
	}
}

// localDataOf are the records with which the policy in force answers for a name.
func localDataOf(l *Lists, name string) (all [][]byte) {
	p := l.Policy()
	for _, rule := range everyRule(p) {
		if p.Indicator(rule).Name == name {
			p.LocalData(rule, func(rr []byte) { all = append(all, rr) })
			return all
		}
	}
	return nil
}

// TestLargeIncrement has the same come by an increment.
func TestLargeIncrement(t *testing.T) {
	l, spec := zoneLists(t, zoneRecords{largeRecord("large.example.rpz.test.", 0): true})
	added := []string{largeRecord("large.example.rpz.test.", 1), "large.example.rpz.test. 60 IN TXT \"small\""}
	inc := &increment{origin: rpzOrigin, removed: wireRecords(t, nil), added: wireRecords(t, added), version: "serial:2"}
	if err := l.applyIncrement(&spec, inc, committed); err != nil {
		t.Fatal(err)
	}
	if s := status(t, l, "zone"); s.Entries != 3 || s.Rules != 2 || s.Excess != 1 {
		t.Errorf("%d entries, %d rules, %d too many", s.Entries, s.Rules, s.Excess)
	}
	if got := localDataOf(l, "large.example"); len(got) != 2 {
		t.Errorf("%d records, expected 2", len(got))
	}
}

// TestPatchBeyondNumbers has as many entries as can be numbered and no place for
// those that are merged.
func TestPatchBeyondNumbers(t *testing.T) {
	b := newBuilder(&Spec{}, format.Sinkhole, t.TempDir())
	b.addFile("file")
	for i, family := range []string{"Lumma", "Vidar"} {
		if i == 1 {
			if err := b.seal(); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.add(&format.Indicator{Name: wireName("evil.example"), Family: family, Line: 1}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := b.finish()
	if err != nil {
		t.Fatal(err)
	}
	for len(s.chunks) < maxChunks {
		s.chunks = append(s.chunks, s.chunks[0])
	}
	if _, err := compile(1, []compiled{{parts: []listPart{{segment: s}}}}, groups{}); !errors.Is(err, errTooLarge) {
		t.Errorf("error %v, expected %v", err, errTooLarge)
	}
	s.chunks = s.chunks[:maxChunks-1]
	if p, err := compile(1, []compiled{{parts: []listPart{{segment: s}}}}, groups{}); err != nil || p.Rules() != 2 {
		t.Errorf("one chunk less: %v", err)
	}
}

// TestIncrementWarns moves entries whose references find no room any more.
func TestIncrementWarns(t *testing.T) {
	dir := t.TempDir()
	var text strings.Builder
	text.WriteString("indicator,reference\n")
	var added []string
	for i := range 300 {
		fmt.Fprintf(&text, "n%d.example,https://reports.example/%d/%s\n", i, i, strings.Repeat("x", 1900))
		added = append(added, fmt.Sprintf("n%d.example.rpz.test. 60 IN CNAME *.", i))
	}
	write(t, dir+"/list", text.String())
	spec := Spec{Name: "zone", Source: dir + "/list", Format: format.CSV}
	l := open(t, Options{Configuration: specsOf(spec)})
	if s := status(t, l, "zone"); s.Rules != 300 || len(s.Warnings) != 0 {
		t.Fatalf("status %+v", s)
	}
	t.Setenv("TMPDIR", dir+"/none")
	inc := &increment{origin: rpzOrigin, removed: wireRecords(t, nil), added: wireRecords(t, added), version: "serial:2"}
	if err := l.applyIncrement(&spec, inc, committed); err != nil {
		t.Fatal(err)
	}
	if s := status(t, l, "zone"); s.Rules != 600 || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "no reference of its entries is kept") {
		t.Errorf("%d rules, warnings %q", s.Rules, s.Warnings)
	}
}

// TestIncrementBelowConfidence counts what is left out for its confidence.
func TestIncrementBelowConfidence(t *testing.T) {
	path := t.TempDir() + "/zone"
	zone := zoneRecords{"evil.example.rpz.test. 60 IN CNAME .": true, "worse.example.rpz.test. 60 IN CNAME .": true}
	write(t, path, zone.text())
	spec := Spec{Name: "zone", Source: path, Format: format.RPZ, Confidence: 30, MinConfidence: 50}
	l := open(t, Options{Configuration: specsOf(spec)})
	inc := &increment{
		origin: rpzOrigin, removed: wireRecords(t, []string{"evil.example.rpz.test. 60 IN CNAME ."}),
		added:   wireRecords(t, []string{"a.example.rpz.test. 60 IN CNAME .", "b.example.rpz.test. 60 IN CNAME ."}),
		version: "serial:2",
	}
	if err := l.applyIncrement(&spec, inc, committed); err != nil {
		t.Fatal(err)
	}
	if s := status(t, l, "zone"); s.Entries != 3 || s.Low != 3 || s.Rules != 0 {
		t.Errorf("%d entries, %d below min_confidence, %d rules", s.Entries, s.Low, s.Rules)
	}
}
