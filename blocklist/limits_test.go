package blocklist

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sinkhole/blocklist/format"
)

// segmentOf is a list with the given entries.
func segmentOf(t testing.TB, spec *Spec, entries []modelEntry) *reading {
	t.Helper()
	b := newBuilder(spec, format.Sinkhole, t.TempDir())
	b.addFile("file")
	for j, e := range entries {
		e.Name, e.Line = wireName(e.name), j+1
		if err := b.add(&e.Indicator); err != nil {
			t.Fatal(err)
		}
	}
	s, err := b.finish()
	if err != nil {
		t.Fatal(err)
	}
	return &reading{segment: s, account: account{low: b.low, excess: b.excess}}
}

// compileEntries is the policy of some lists, each with the given entries.
func compileEntries(t testing.TB, lists ...[]modelEntry) *Policy {
	t.Helper()
	var all []compiled
	for i, entries := range lists {
		r := segmentOf(t, &Spec{}, entries)
		all = append(all, compiled{List: List{Name: fmt.Sprintf("l%d", i)}, parts: []listPart{{segment: r.segment}}})
	}
	p, err := compile(1, all, groups{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func families(n int, action format.Action) (all []modelEntry) {
	for i := range n {
		e := modelEntry{name: "evil.example", Indicator: format.Indicator{Scope: format.Subtree, Action: action, Confidence: -1}}
		e.Family = fmt.Sprintf("family %d", i)
		all = append(all, e)
	}
	return all
}

func TestMaxRules(t *testing.T) {
	for _, test := range []struct {
		entries int
		named   int
		more    int
	}{
		{1, 1, 0},
		{MaxRules, MaxRules, 0},
		{MaxRules + 1, MaxRules, 0}, // one list says no more of one trigger
		{10_000, MaxRules, 0},
	} {
		p := compileEntries(t, families(test.entries, format.Sinkhole))
		var v Verdict
		p.JudgeQuestion(netip.Addr{}, wireName("a.evil.example"), 0, &v)
		if v.Decision != Enforce || int(v.N) != test.named || int(v.More) != test.more {
			t.Errorf("%d entries: decision %d, %d rules and %d more, expected %d and %d", test.entries, v.Decision, v.N, v.More, test.named, test.more)
		}
		if line := p.Indicator(v.Rule()).Line; line != 1 {
			t.Errorf("%d entries: line %d decides, expected the first", test.entries, line)
		}
	}
}

// TestLogBeforeDecider has more observers before the deciding rule than a
// verdict has room for: it decides all the same.
func TestLogBeforeDecider(t *testing.T) {
	decider := families(1, format.Drop)
	for _, before := range []int{MaxRules / 2, MaxRules - 1, MaxRules} {
		p := compileEntries(t, families(before, format.Log), families(before, format.Log), decider)
		var v Verdict
		p.JudgeQuestion(netip.Addr{}, wireName("evil.example"), 0, &v)
		if v.Decision != Enforce || v.Action != format.Drop || p.ListOf(v.Rule()).Name != "l2" {
			t.Errorf("%d observers: decision %d, action %v, list %s, expected l2 to enforce drop", before, v.Decision, v.Action, p.ListOf(v.Rule()).Name)
		}
		if want := 2*before + 1 - MaxRules; int(v.N) != MaxRules || int(v.More) != want {
			t.Errorf("%d observers: %d rules and %d more, expected %d more", before, v.N, v.More, want)
		}
	}
}

// TestLogBeforeAnswer has a verdict that the first phase filled with observers.
func TestLogBeforeAnswer(t *testing.T) {
	address := modelEntry{Indicator: format.Indicator{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("192.0.2.1/32"), Action: format.NXDomain}}
	p := compileEntries(t, families(MaxRules, format.Log), families(4, format.Log), []modelEntry{address})
	var v Verdict
	p.JudgeQuestion(netip.Addr{}, wireName("evil.example"), 0, &v)
	if v.Decision != Observe || v.More != 4 {
		t.Fatalf("decision %d, %d more, expected observe and 4", v.Decision, v.More)
	}
	p.JudgeAnswer(nil, nil, []netip.Addr{netip.MustParseAddr("192.0.2.1")}, 0, &v)
	if v.Decision != Enforce || p.ListOf(v.Rule()).Name != "l2" || v.N != MaxRules || v.More != 5 {
		t.Errorf("decision %d by %s, %d rules and %d more, expected l2 to enforce, 16 and 5", v.Decision, p.ListOf(v.Rule()).Name, v.N, v.More)
	}
}

// TestCrowdedTrigger is a feed that says ever new things of one name and one
// prefix: it is bounded, counted, and compiled in no time.
func TestCrowdedTrigger(t *testing.T) {
	entries := families(10_000, format.Sinkhole)
	for i := range 10_000 {
		e := modelEntry{Indicator: format.Indicator{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("192.0.2.0/24")}}
		e.Reference = fmt.Sprintf("https://reference.example/%d", i)
		entries = append(entries, e)
	}
	start := time.Now()
	p, excess := compileList(t, entries)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("compiling took %v", took)
	}
	if p.Rules() != 2*maxRulesPerList || excess != 20_000-2*maxRulesPerList {
		t.Errorf("%d rules and %d beyond, expected %d and %d", p.Rules(), excess, 2*maxRulesPerList, 20_000-2*maxRulesPerList)
	}
	// The same with other lines between.
	var scattered []modelEntry
	for i := range 10_000 {
		scattered = append(scattered, entries[i], entries[10_000+i])
	}
	p, excess = compileList(t, scattered)
	if p.Rules() != 2*maxRulesPerList || excess != 20_000-2*maxRulesPerList {
		t.Errorf("scattered: %d rules and %d beyond, expected %d and %d", p.Rules(), excess, 2*maxRulesPerList, 20_000-2*maxRulesPerList)
	}
}

// compileList is the policy of one list, and how many of its rules were too many.
func compileList(t testing.TB, entries []modelEntry) (p *Policy, excess int) {
	t.Helper()
	r := segmentOf(t, &Spec{}, entries)
	p, err := compile(1, []compiled{{List: List{Name: "feed"}, parts: []listPart{{segment: r.segment}}}}, groups{})
	if err != nil {
		t.Fatal(err)
	}
	return p, p.tally[0].excess + r.excess
}

// nested are names below each other down to a name of 237 octets, each with as many
// families as a feed cares to say.
func nested(families int, action format.Action) (all []modelEntry, longest string) {
	for range 118 {
		longest += "a."
		for i := range families {
			e := modelEntry{name: strings.TrimSuffix(longest, "."), Indicator: format.Indicator{Scope: format.Subtree, Action: action, Confidence: -1}}
			e.Family = fmt.Sprintf("family %d", i)
			all = append(all, e)
		}
	}
	return all, strings.TrimSuffix(longest, ".")
}

// TestNestedNames is the feed that makes a look-up cost most: what it weighs is
// bounded by the labels of a name.
func TestNestedNames(t *testing.T) {
	for _, action := range []format.Action{format.Sinkhole, format.Log} {
		entries, name := nested(64, action)
		p := compileEntries(t, entries)
		if p.Rules() != 118*maxRulesPerList {
			t.Errorf("%d rules, expected %d", p.Rules(), 118*maxRulesPerList)
		}
		var v Verdict
		p.JudgeQuestion(netip.Addr{}, wireName(name), 0, &v)
		if v.N != MaxRules || int(v.More) != 117*maxRulesPerList {
			t.Errorf("%v: %d rules and %d more, expected %d and %d", action, v.N, v.More, MaxRules, 117*maxRulesPerList)
		}
		if i := p.Indicator(v.Rule()); i.Name != name {
			t.Errorf("%v: decided by %s, expected the longest name", action, i.Name)
		}
	}
}

func TestRepetitionsAreDropped(t *testing.T) {
	e := modelEntry{name: "evil.example", Indicator: format.Indicator{Confidence: -1, Family: "Lumma"}}
	surer, wider := e, e
	surer.Confidence, wider.Scope = 80, format.Subtree
	p := compileEntries(t, []modelEntry{e, e, surer, wider, e}, []modelEntry{e})
	if p.Indicators() != 1 || p.Rules() != 4 {
		t.Errorf("%d indicators and %d rules, expected 1 and 4", p.Indicators(), p.Rules())
	}
}

func TestLocalData(t *testing.T) {
	record := func(name, data string, scope format.Scope) modelEntry {
		return modelEntry{name: name, Indicator: format.Indicator{Action: format.LocalData, Data: []byte(data), Scope: scope}}
	}
	p := compileEntries(t,
		[]modelEntry{
			record("a.example", "one", format.Exact), record("b.example", "one", format.Exact), record("a.example", "two", format.Exact),
			record("a.example", "one", format.Exact), record("a.example", "below", format.Below),
		},
		[]modelEntry{record("a.example", "of another list", format.Exact)},
	)
	for name, want := range map[string]string{"a.example": "one two", "b.example": "one", "x.a.example": "below"} {
		var v Verdict
		p.JudgeQuestion(netip.Addr{}, wireName(name), 0, &v)
		var got []string
		p.LocalData(v.Rule(), func(rr []byte) { got = append(got, string(rr)) })
		if v.Action != format.LocalData || strings.Join(got, " ") != want {
			t.Errorf("%s: %v %q, expected %q", name, v.Action, got, want)
		}
	}
}

// TestLongestNames are names of 255 octets: one of the longest labels, one of
// the most.
func TestLongestNames(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, name := range []string{
		strings.Join([]string{long, long, long, strings.Repeat("b", 61)}, "."),
		strings.TrimSuffix(strings.Repeat("a.", 127), "."),
	} {
		wire := wireName(name)
		if len(wire) != 255 {
			t.Fatalf("%d octets", len(wire))
		}
		below := name[strings.IndexByte(name, '.')+1:]
		p := compileEntries(t, []modelEntry{
			{name: below, Indicator: format.Indicator{Scope: format.Below, Action: format.NXDomain}},
			{name: name, Indicator: format.Indicator{Scope: format.Exact, Action: format.Drop}},
			{name: "", Indicator: format.Indicator{Scope: format.Subtree, Action: format.NoData}},
		})
		var v Verdict
		p.JudgeQuestion(netip.Addr{}, wire, 0, &v)
		if v.Action != format.Drop || v.N != 3 {
			t.Errorf("%.20s...: %v by %d rules, expected drop by 3", name, v.Action, v.N)
		}
	}
}

func TestIndicator(t *testing.T) {
	seen := time.Date(2026, 2, 1, 3, 4, 5, 0, time.UTC)
	p := compileEntries(t, []modelEntry{
		{name: "evil.example", Indicator: format.Indicator{
			Scope: format.Below, Action: format.NXDomain, Family: "Lumma", Reference: "https://report.example", TLP: "AMBER", Confidence: 80,
			FirstSeen: seen, LastSeen: seen.Add(time.Hour), Expires: seen.Add(2 * time.Hour),
		}},
		{Indicator: format.Indicator{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("192.0.2.0/24"), Confidence: -1}},
		{Indicator: format.Indicator{Trigger: format.ClientIP, Prefix: netip.MustParsePrefix("2001:db8::1/128"), Confidence: 0}},
		{Indicator: format.Indicator{Expires: time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)}},
	})
	want := []Indicator{
		{
			Trigger: format.QName, Name: "evil.example", Scope: format.Below, Action: format.NXDomain, List: "l0", File: "file", Line: 1,
			Family: "Lumma", Reference: "https://report.example", TLP: "AMBER", Confidence: 80,
			FirstSeen: seen, LastSeen: seen.Add(time.Hour), Expires: seen.Add(2 * time.Hour),
		},
		{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("192.0.2.0/24"), Action: format.Sinkhole, List: "l0", File: "file", Line: 2, Confidence: -1},
		{Trigger: format.ClientIP, Prefix: netip.MustParsePrefix("2001:db8::1/128"), Action: format.Sinkhole, List: "l0", File: "file", Line: 3},
		{Trigger: format.QName, Name: ".", Action: format.Sinkhole, List: "l0", File: "file", Line: 4, Expires: time.Unix(1, 0).UTC()},
	}
	values := []string{"evil.example", "192.0.2.0/24", "2001:db8::1", "."}
	rules := everyRule(p)
	for i := range want {
		got := p.Indicator(rules[i])
		if got != want[i] {
			t.Errorf("rule %d:\n got %+v\nwant %+v", i, got, want[i])
		}
		if got.Value() != values[i] {
			t.Errorf("rule %d: value %q, expected %q", i, got.Value(), values[i])
		}
	}
	if f := p.Family(rules[0]); f != "Lumma" {
		t.Errorf("family %q", f)
	}
}

// TestExample gives a name that a person can try: listed, not allowed, in time.
func TestExample(t *testing.T) {
	for _, test := range []struct {
		lists []string
		want  string
	}{
		{[]string{"feed: evil.example; more.example"}, "evil.example"},
		{[]string{"feed: *.evil.example; a.example log; b.example passthru; c.example expired"}, ""},
		{[]string{"feed: evil.example; more.test", "allow own: example"}, "more.test"},
		{[]string{"feed: 192.0.2.1"}, ""},
	} {
		s := scenario{lists: test.lists}
		p := s.compile(t)
		if got := p.Example(); got != test.want {
			t.Errorf("%q: %q, expected %q", test.lists, got, test.want)
		}
	}
}
