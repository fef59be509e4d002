package blocklist

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sinkhole/blocklist/format"
)

// TestPolicyEqualsModel compares random policies with the model.
func TestPolicyEqualsModel(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped with -short, as under the race detector: one goroutine")
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		choices := make([]byte, 40+random.IntN(1500))
		for i := range choices {
			choices[i] = byte(random.Uint32())
		}
		comparePolicies(t, choices)
		if t.Failed() {
			return
		}
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(nil))
	random := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		choices := make([]byte, 800)
		for i := range choices {
			choices[i] = byte(random.Uint32())
		}
		f.Add(choices)
	}
	f.Fuzz(comparePolicies)
}

// comparePolicies makes lists of the choices, updates some of them several
// times, and after each update compares the policy, in which the others are
// carried over, with one compiled from scratch and with the model.
func comparePolicies(t *testing.T, choices []byte) {
	d := dice{choices}
	now := int64(100)
	lists := d.lists()
	all := d.groups(lists)
	l := &Lists{content: map[string]*content{}, groups: newGroups(all)}
	l.policy.Store(compileEntries(t))
	for i := range lists {
		l.Specs = append(l.Specs, lists[i].spec)
	}
	for update := range 1 + d.pick(4) {
		next := map[string]*content{}
		for i := range lists {
			if update == 0 || d.pick(3) == 0 {
				lists[i].entries = d.entries()
				lists[i].judge()
				next[lists[i].spec.Name] = contentOf(&lists[i].spec, lists[i].reading(t, update))
			}
		}
		if update > 0 && d.pick(4) == 0 {
			at := d.pick(len(lists)) // two lists of a kind change places
			if at > 0 && lists[at].spec.Allow == lists[at-1].spec.Allow {
				lists[at], lists[at-1] = lists[at-1], lists[at]
				l.Specs[at], l.Specs[at-1] = l.Specs[at-1], l.Specs[at]
			}
		}
		if err := l.put(next); err != nil {
			t.Fatal(err)
		}
		policy := l.Policy()
		scratch := &Lists{content: map[string]*content{}, groups: newGroups(all)}
		scratch.Specs = l.Specs
		scratch.policy.Store(compileEntries(t))
		again := map[string]*content{}
		for i := range lists {
			again[lists[i].spec.Name] = contentOf(&lists[i].spec, lists[i].reading(t, 0))
		}
		if err := scratch.put(again); err != nil {
			t.Fatal(err)
		}
		fresh := scratch.Policy()
		comparePolicy(t, policy, fresh)
		for range 8 {
			compareVerdict(t, lists, all, policy, &d, now)
		}
		if t.Failed() {
			for i := range lists {
				t.Logf("list %s: %+v", lists[i].spec.Name, lists[i].spec)
				for _, e := range lists[i].entries {
					t.Logf("  %d: %v %q %v %v %v family %q confidence %d expires %v", e.Line, e.Trigger, e.name, e.Scope, e.Prefix, e.Action, e.Family, e.Confidence, e.Expires)
				}
			}
			return
		}
	}
}

func comparePolicy(t *testing.T, carried, fresh *Policy) {
	t.Helper()
	if carried.Indicators() != fresh.Indicators() || carried.Rules() != fresh.Rules() {
		t.Errorf("carried over: %d indicators, %d rules; from scratch: %d, %d", carried.Indicators(), carried.Rules(), fresh.Indicators(), fresh.Rules())
	}
	if a, b := everything(carried), everything(fresh); !slices.Equal(a, b) {
		t.Errorf("carried over:\n%s\nfrom scratch:\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
	var u Update
	(&Lists{diffs: map[string]*Diff{}}).compare(carried, fresh, nil, &u)
	if u.Added != 0 || u.Removed != 0 {
		t.Errorf("difference = %d, %d, expected none", u.Added, u.Removed)
	}
}

// everything is all that a policy says, sorted.
func everything(p *Policy) (all []string) {
	for _, rule := range everyRule(p) {
		var records [][]byte
		i := p.Indicator(rule)
		if i.Action == format.LocalData {
			p.LocalData(rule, func(rr []byte) { records = append(records, rr) })
		}
		all = append(all, fmt.Sprintf("%+v %x", i, records))
	}
	slices.Sort(all)
	return all
}

// everyRule is the number of every rule in force, in the order of lists.
func everyRule(p *Policy) (all []uint64) {
	for list := range p.lists {
		for place, entry := range p.entries(list) {
			part, _ := p.entryAt(place)
			for ordinal := range part.count(entry) {
				if p.first(list, entry) == place {
					all = append(all, ruleNumber(place, ordinal))
				}
			}
		}
	}
	return all
}

func compareVerdict(t *testing.T, m model, groups []Group, p *Policy, d *dice, now int64) {
	t.Helper()
	client, qname := d.addr(), d.name()
	var names []modelName
	for range d.pick(4) {
		names = append(names, modelName{d.name(), d.pick(4) == 0})
	}
	var addrs []netip.Addr
	for range d.pick(4) {
		addrs = append(addrs, d.addr())
	}
	var packed, kinds []byte
	for _, n := range names {
		kind := byte(0)
		if n.service {
			kind = 1
		}
		packed, kinds = append(packed, wireName(n.name)...), append(kinds, kind)
	}

	var v Verdict
	p.JudgeQuestion(client, wireName(qname), now, &v)
	g := groupOf(groups, client)
	want := m.question(g, client, qname, now)
	sameVerdict(t, p, fmt.Sprintf("client %s asks %q", client, qname), &v, want)
	sameTogether(t, p, d, client, qname, now, v)
	p.JudgeAnswer(packed, kinds, addrs, now, &v)
	want = m.answer(g, want, names, addrs, now)
	sameVerdict(t, p, fmt.Sprintf("client %s asks %q, answer %v %v", client, qname, names, addrs), &v, want)
}

// sameTogether holds that a name is judged alike when it was looked for with others.
func sameTogether(t *testing.T, p *Policy, d *dice, client netip.Addr, qname string, now int64, want Verdict) {
	t.Helper()
	names := [][]byte{wireName(d.name()), wireName(qname), wireName("1.2.3.4.5.6.7.8." + qname)}
	found := make([]Found, len(names))
	found[1].matches.n = 7 // of an earlier batch
	p.FindAll(names, found)
	for i, name := range names {
		alone, together := Verdict{}, Verdict{}
		p.JudgeQuestion(client, name, now, &alone)
		if p.JudgeFound(client, name, &found[i], now, &together); !reflect.DeepEqual(together, alone) {
			t.Fatalf("%q looked for with others: %+v, alone %+v", textsOf(name), together, alone)
		}
		if i == 1 && !reflect.DeepEqual(together, want) {
			t.Fatalf("%q: %+v, then %+v", qname, want, together)
		}
	}
}

func sameVerdict(t *testing.T, p *Policy, what string, v *Verdict, want modelVerdict) {
	t.Helper()
	got := modelVerdict{
		decision: v.Decision, action: v.Action, match: v.Match,
		rules: rulesOf(p, v), addr: v.Addr, name: format.Text(orRoot(v.Name)), chain: textsOf(v.Chain),
	}
	if v.Name == nil || got.name == "." {
		got.name = ""
	}
	if v.Decision == Allow {
		got.exempt = ruleText(p, v.Exempt)
	}
	wantMore := max(0, len(want.rules)-MaxRules)
	if len(want.rules) > MaxRules {
		want.rules = want.rules[:MaxRules]
	}
	// Of observers before a PASSTHRU, what is beyond MaxRules is not counted.
	if int(v.More) < wantMore && v.Decision != Allow || wantMore == 0 && v.More != 0 {
		t.Errorf("%s: More = %d, expected %d", what, v.More, wantMore)
	}
	if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); a != b {
		t.Errorf("%s:\n got %s\nwant %s", what, a, b)
	}
}

func rulesOf(p *Policy, v *Verdict) (all []string) {
	for _, r := range v.Rules[:v.N] {
		all = append(all, ruleText(p, r))
	}
	return all
}

func ruleText(p *Policy, rule uint64) string {
	i := p.Indicator(rule)
	return fmt.Sprintf("%s:%d", i.List, i.Line)
}

func orRoot(name []byte) []byte {
	if name == nil {
		return []byte{0}
	}
	return name
}

func textsOf(names []byte) (all []string) {
	for at := 0; at < len(names); {
		end := nameEnd(names, at)
		text := format.Text(names[at:end])
		all = append(all, strings.TrimSuffix(text, "."))
		at = end
	}
	return all
}

func wireName(text string) []byte {
	var wire []byte
	for _, label := range strings.Split(text, ".") {
		if label != "" {
			wire = append(append(wire, byte(len(label))), label...)
		}
	}
	return append(wire, 0)
}

// reading is the list as if it had been read from two files.
func (l *modelList) reading(t *testing.T, version int) *reading {
	t.Helper()
	b := newBuilder(&l.spec, format.Sinkhole, t.TempDir())
	b.addFile(l.spec.Name + ".1")
	for i, e := range l.entries {
		if i == len(l.entries)/2 {
			b.addFile(l.spec.Name + ".2")
		}
		// The parser takes its buffers back after each entry.
		name, data := wireName(e.name), bytes.Clone(e.Data)
		e.Name, e.Data = name, data
		if err := b.add(&e.Indicator); err != nil {
			t.Fatal(err)
		}
		clear(name)
		clear(data)
	}
	s, err := b.finish()
	if err != nil {
		t.Fatal(err)
	}
	return &reading{segment: s, version: fmt.Sprint(version)}
}

// dice makes choices from bytes; when they are used up, it is always 0.
type dice struct{ left []byte }

func (d *dice) pick(n int) int {
	if len(d.left) == 0 {
		return 0
	}
	c := d.left[0]
	d.left = d.left[1:]
	return int(c) % n
}

func (d *dice) lists() (all model) {
	for i := range d.pick(2) + 1 + d.pick(4) {
		l := modelList{spec: Spec{Name: fmt.Sprintf("l%d", i), Confidence: -1}}
		l.spec.Action = [...]format.Action{0, 0, 0, format.Log, format.NXDomain, format.Drop}[d.pick(6)]
		l.spec.MinConfidence = int8([...]int{0, 0, 20, 60}[d.pick(4)])
		l.spec.Confidence = int8([...]int{0, 0, 10, 50}[d.pick(4)])
		l.spec.Family = [...]string{"", "Vidar"}[d.pick(2)]
		l.spec.Expires = [...]time.Duration{0, 0, 40 * time.Second}[d.pick(3)]
		if i == 0 {
			l.spec.Allow = d.pick(2) == 0
		}
		all = append(all, l)
	}
	return all
}

func (d *dice) groups(lists model) (all []Group) {
	for i := range d.pick(3) {
		g := Group{Name: fmt.Sprintf("g%d", i), Mode: GroupMode(d.pick(3))}
		for range 1 + d.pick(3) {
			g.Clients = append(g.Clients, d.prefix())
		}
		for i := range lists {
			if d.pick(2) == 0 {
				g.Lists = append(g.Lists, lists[i].spec.Name)
			}
		}
		all = append(all, g)
	}
	return all
}

func (d *dice) entries() (all []modelEntry) {
	for range d.pick(12) {
		e := modelEntry{Indicator: format.Indicator{Trigger: [...]format.Trigger{0, 0, 0, 1, 1, 2}[d.pick(6)], Confidence: -1}}
		if e.Trigger == format.QName {
			e.name, e.Scope = d.name(), format.Scope(d.pick(3))
		} else {
			e.Prefix = d.prefix()
		}
		e.Action = format.Action(d.pick(int(format.LocalData) + 1))
		if d.pick(3) == 0 {
			e.Action = format.Log
		}
		if e.Action == format.LocalData {
			e.Data = []byte{byte(1 + d.pick(3))}
		}
		e.Family = [...]string{"", "", "Lumma", "Raccoon"}[d.pick(4)]
		e.Reference = [...]string{"", "", "https://a.example", "https://b.example"}[d.pick(4)]
		e.Confidence = int8([...]int{-1, -1, 10, 50, 90}[d.pick(5)])
		e.FromURL, e.Precedence = d.pick(6) == 0, uint8([...]int{0, 0, 0, 1, 2}[d.pick(5)])
		if d.pick(6) == 0 {
			e.LastSeen = time.Unix(int64(40+d.pick(40)), 0)
		}
		if d.pick(6) == 0 {
			e.FirstSeen = time.Unix(int64(30+d.pick(40)), 0)
		}
		if d.pick(4) == 0 {
			e.Expires = time.Unix(int64(98+d.pick(4)), 0)
		}
		if len(all) > 0 && d.pick(4) == 0 { // what was said before, once more or of another scope
			e = all[d.pick(len(all))]
			if e.Trigger == format.QName {
				e.Scope = format.Scope(d.pick(3))
			}
		}
		times := 1
		if d.pick(16) == 0 {
			times = 70
		}
		for i := range times {
			if e.Line = len(all) + 1; i > 0 {
				e.Family = fmt.Sprintf("family %d", i%(1+d.pick(70)))
			}
			all = append(all, e)
		}
	}
	return all
}

func (d *dice) name() string {
	name := [...]string{"", "a", "b", "c.d"}[d.pick(4)]
	for range d.pick(4) {
		name = strings.TrimSuffix([...]string{"a", "b", "bb"}[d.pick(3)]+"."+name, ".")
	}
	return name
}

func (d *dice) addr() netip.Addr {
	switch d.pick(5) {
	case 0:
		return netip.Addr{}
	case 1:
		return netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 8: byte(d.pick(2)), 15: byte(d.pick(4))})
	case 2:
		return netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff, 12: 192, 14: 2, 15: byte(d.pick(4))})
	}
	return netip.AddrFrom4([4]byte{192, 0, 2, byte(d.pick(4))})
}

func (d *dice) prefix() netip.Prefix {
	for {
		if a := d.addr().Unmap(); a.IsValid() {
			bits := a.BitLen() - [...]int{0, 0, 1, 2, 8, 16, a.BitLen()}[d.pick(7)]
			return netip.PrefixFrom(a, bits).Masked()
		}
		if len(d.left) == 0 {
			return netip.MustParsePrefix("192.0.2.0/24")
		}
	}
}
