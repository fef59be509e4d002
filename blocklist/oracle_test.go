package blocklist

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sinkhole/blocklist/format"
)

// TestPolicyEqualsModel compares random policies with the model.
func TestPolicyEqualsModel(t *testing.T) {
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
	l := &Lists{action: format.Sinkhole}
	policy := newCompiler(0, &Policy{}).finish()
	lists := d.lists()
	for i := range lists {
		l.specs = append(l.specs, lists[i].spec)
	}
	for update := range 1 + d.pick(4) {
		read := map[string]*reading{}
		for i := range lists {
			if update == 0 || d.pick(3) == 0 {
				lists[i].entries = d.entries()
				lists[i].judge()
				read[lists[i].spec.Name] = lists[i].reading(t, update)
			}
		}
		if update > 0 && d.pick(4) == 0 {
			at := d.pick(len(lists)) // two lists of a kind change places
			if at > 0 && lists[at].spec.Allow == lists[at-1].spec.Allow {
				lists[at], lists[at-1] = lists[at-1], lists[at]
				l.specs[at], l.specs[at-1] = l.specs[at-1], l.specs[at]
			}
		}
		var err error
		if policy, err = l.compile(policy, read); err != nil {
			t.Fatal(err)
		}
		all := map[string]*reading{}
		for i := range lists {
			all[lists[i].spec.Name] = lists[i].reading(t, 0)
		}
		fresh, err := l.compile(newCompiler(0, &Policy{}).finish(), all)
		if err != nil {
			t.Fatal(err)
		}
		comparePolicy(t, policy, fresh)
		for range 8 {
			compareVerdict(t, lists, policy, &d, now)
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
	if added, removed := carried.difference(fresh); added != 0 || removed != 0 {
		t.Errorf("difference = %d, %d, expected none", added, removed)
	}
}

// everything is all that a policy says, sorted.
func everything(p *Policy) (all []string) {
	for i := range p.rules {
		if p.rules[i].kind == kindNone {
			continue
		}
		var records [][]byte
		if p.rules[i].action == format.LocalData {
			p.LocalData(uint32(i), func(rr []byte) { records = append(records, rr) })
		}
		all = append(all, fmt.Sprintf("%+v %x", p.Indicator(uint32(i)), records))
	}
	slices.Sort(all)
	return all
}

func compareVerdict(t *testing.T, m model, p *Policy, d *dice, now int64) {
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
	want := m.question(client, qname, now)
	sameVerdict(t, p, fmt.Sprintf("client %s asks %q", client, qname), &v, want)
	p.JudgeAnswer(packed, kinds, addrs, now, &v)
	want = m.answer(want, names, addrs, now)
	sameVerdict(t, p, fmt.Sprintf("client %s asks %q, answer %v %v", client, qname, names, addrs), &v, want)
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

func ruleText(p *Policy, rule uint32) string {
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
	r := &reading{segment: segment{interner: newInterner()}}
	r.segment.files = []file{{name: l.spec.Name + ".1"}}
	for i, e := range l.entries {
		if i == len(l.entries)/2 {
			r.segment.files = append(r.segment.files, file{name: l.spec.Name + ".2"})
		}
		// The parser takes its buffers back after each entry.
		name, data := wireName(e.name), bytes.Clone(e.Data)
		e.Name, e.Data = name, data
		if err := r.segment.add(&l.spec, format.Sinkhole, &e.Indicator); err != nil {
			t.Fatal(err)
		}
		clear(name)
		clear(data)
	}
	return r
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
		if i == 0 {
			l.spec.Allow = d.pick(2) == 0
		}
		all = append(all, l)
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
