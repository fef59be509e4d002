package blocklist

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"sinkhole/blocklist/format"
)

// zoneRecords are the resource records of a policy zone, as a secondary has them.
type zoneRecords map[string]bool // by presentation form

func (z zoneRecords) text() string {
	lines := slices.Sorted(maps.Keys(z))
	return "$ORIGIN rpz.test.\n@ 60 IN SOA localhost. root.localhost. 1 60 60 60 60\n@ 60 IN NS localhost.\n" + strings.Join(lines, "\n") + "\n"
}

func wireRecord(t testing.TB, text string) []byte {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	wire := make([]byte, dns.Len(rr)+64)
	n, err := dns.PackRR(rr, wire, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return wire[:n]
}

func wireRecords(t testing.TB, all []string) func(func([]byte) bool) {
	var packed [][]byte
	for _, text := range all {
		packed = append(packed, wireRecord(t, text))
	}
	return slices.Values(packed)
}

func committed() error { return nil }

var rpzOrigin = []byte("\x03rpz\x04test\x00")

// randomRecord is one of a few hundred records that a zone may have.
func randomRecord(random *rand.Rand) string {
	owner := fmt.Sprintf("n%d.example.rpz.test.", random.IntN(40))
	switch random.IntN(15) {
	case 6:
		return fmt.Sprintf("%s.rpz.test. 60 IN CNAME .", [...]string{"github.io", "*.github.io", "co.uk", "com", "popular.test", "8.8.8.8.0.rpz-ip"}[random.IntN(6)])
	case 7:
		return fmt.Sprintf("%s.rpz.test. 60 IN A 192.0.2.%d", [...]string{"gitlab.io", "www.popular.test"}[random.IntN(2)], random.IntN(5))
	case 8:
		return fmt.Sprintf("%d.rpz-nsdname.rpz.test. 60 IN CNAME .", random.IntN(20))
	case 9:
		return fmt.Sprintf("%d.example.rpz.test. 60 IN NS ns.example.", random.IntN(20))
	case 10:
		return fmt.Sprintf("40.%d.2.0.192.rpz-ip.rpz.test. 60 IN CNAME .", random.IntN(20))
	case 11, 12, 13:
		return fmt.Sprintf("crowded.example.rpz.test. 60 IN TXT \"%d\"", random.IntN(60))
	case 0:
		return fmt.Sprintf("32.%d.2.0.192.rpz-ip.rpz.test. 60 IN CNAME .", random.IntN(20))
	case 1:
		return "*." + owner + " 60 IN CNAME ."
	case 2:
		return fmt.Sprintf("d%s 60 IN A 192.0.2.%d", owner, random.IntN(3))
	case 3:
		return fmt.Sprintf("32.%d.100.51.198.rpz-client-ip.rpz.test. 60 IN CNAME rpz-drop.", random.IntN(20))
	}
	return owner + " 60 IN CNAME " + [...]string{".", "*.", "rpz-passthru."}[random.IntN(3)]
}

// owns tells whether a zone has a CNAME where another is to stand: a zone cannot.
func (z zoneRecords) clashes(record string) bool {
	owner, _, _ := strings.Cut(record, " ")
	return strings.Contains(record, "CNAME") && slices.ContainsFunc(slices.Collect(maps.Keys(z)), func(r string) bool { return strings.HasPrefix(r, owner+" ") })
}

// TestIncrementsEqualTheWhole takes a zone through random increments: after each,
// the policy says what one says that was read from the whole zone, and the list's
// state tells of the same entries that were left out.
func TestIncrementsEqualTheWhole(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	popular := t.TempDir() + "/popular"
	write(t, popular, "popular.test\n")
	applied, whole, crowded := 0, 0, 0
	for round := range 20 {
		action := [...]format.Action{format.Unstated, format.NXDomain}[round%2]
		zone := zoneRecords{}
		for range random.IntN(80) {
			if r := randomRecord(random); !zone.clashes(r) {
				zone[r] = true
			}
		}
		l, spec := guardedZone(t, zone, action, popular)
		fresh, freshSpec := guardedZone(t, zone, action, popular)
		for step := range 12 {
			var removed, added []string
			for _, r := range slices.Sorted(maps.Keys(zone)) {
				if random.IntN(6) == 0 && (!strings.HasPrefix(r, "crowded") || random.IntN(12) == 0) {
					removed = append(removed, r)
					delete(zone, r)
				}
			}
			for range random.IntN(12) {
				if r := randomRecord(random); !zone.clashes(r) && !zone[r] && !slices.Contains(removed, r) {
					added = append(added, r)
					zone[r] = true
				}
			}
			version := fmt.Sprintf("serial:%d", step+2)
			before := len(l.Policy().parts)
			inc := &increment{origin: rpzOrigin, removed: wireRecords(t, removed), added: wireRecords(t, added), version: version}
			err := l.applyIncrement(&spec, inc, committed)
			if errors.Is(err, errInapplicable) { // the zone is transferred whole
				if crowded := status(t, l, "zone").Excess > 0; !crowded && action == format.Unstated {
					t.Fatalf("step %d, removed %q, added %q: %v", step, removed, added, err)
				}
				whole++
				write(t, spec.Source, zone.text())
				if u, err := l.Reload(); err != nil || u.Err() != nil {
					t.Fatal(err, u.Err())
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			applied++
			u := l.LastUpdate()
			write(t, freshSpec.Source, zone.text())
			if u, err := fresh.Reload(); err != nil || u.Err() != nil {
				t.Fatal(err, u.Err())
			}
			got, want := saidOf(l.Policy()), saidOf(fresh.Policy())
			s, wanted := status(t, l, "zone"), status(t, fresh, "zone")
			if s.Excess > 0 {
				crowded++
				got, want = withoutPart(got, "crowded"), withoutPart(want, "crowded") // which of its records are kept goes by the order in which they came
			}
			if !slices.Equal(got, want) {
				t.Fatalf("step %d, removed %q, added %q (%d parts before):\n got %s\nwant %s", step, removed, added, before, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
			}
			if l.Policy().Indicators() != fresh.Policy().Indicators() || l.Policy().Rules() != fresh.Policy().Rules() || u.Indicators != fresh.Policy().Indicators() {
				t.Fatalf("step %d: %d indicators and %d rules, expected %d and %d", step, l.Policy().Indicators(), l.Policy().Rules(), fresh.Policy().Indicators(), fresh.Policy().Rules())
			}
			if n := len(l.content["zone"].parts); n > 2 {
				t.Fatalf("%d parts", n)
			}
			if s.Version != version || s.State != StateOK {
				t.Fatalf("status %+v", s)
			}
			if got, want := leftOutOf(&s), leftOutOf(&wanted); got != want {
				t.Fatalf("step %d, removed %q, added %q:\n got %s\nwant %s", step, removed, added, got, want)
			}
		}
	}
	if applied < 100 || whole < 10 || crowded < 10 {
		t.Errorf("%d increments applied, %d of them with too many records of one name, %d times the whole zone: expected more", applied, crowded, whole)
	}
}

// zoneLists has a list that was read from a zone.
func zoneLists(t testing.TB, zone zoneRecords) (*Lists, Spec) {
	t.Helper()
	path := t.TempDir() + "/zone"
	write(t, path, zone.text())
	spec := Spec{Name: "zone", Source: path, Format: format.RPZ}
	return open(t, Options{Configuration: specsOf(spec)}), spec
}

// guardedZone is zoneLists behind a guard, which holds the names in a file.
func guardedZone(t testing.TB, zone zoneRecords, action format.Action, popular string) (*Lists, Spec) {
	t.Helper()
	path := t.TempDir() + "/zone"
	write(t, path, zone.text())
	spec := Spec{Name: "zone", Source: path, Format: format.RPZ, Action: action}
	o := Options{Configuration: protecting(spec)}
	o.Guard.Hold = []string{popular}
	return open(t, o), spec
}

func withoutPart(all []string, part string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return strings.Contains(s, part) })
}

// leftOutOf is what a list's state tells of what is not in force, without places
// and in any order.
func leftOutOf(s *Status) string {
	texts := func(all []Fault) string {
		var lines []string
		for i := range all {
			owner, _, _ := strings.Cut(all[i].Text, " ")
			lines = append(lines, fmt.Sprintf("%s %s: %s %t %t", all[i].Kind, strings.TrimSuffix(owner, ".rpz.test."), all[i].Reason, all[i].Refused, all[i].NotApplicable))
		}
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	return fmt.Sprintf("%d entries, %d malformed, %d refused, %d not applicable, %d too many\n%d refused by the guard\n%s\n%d held\n%s\nfaults\n%s",
		s.Entries, s.Malformed, s.Refused, s.NotApplicable, s.Excess, s.Kept, texts(s.GuardRefused), s.Held, texts(s.GuardHeld), texts(s.Faults))
}

// saidOf is all that a policy says of its triggers, without files and lines.
func saidOf(p *Policy) (all []string) {
	for _, rule := range everyRule(p) {
		i := p.Indicator(rule)
		i.File, i.Version, i.Line = "", "", 0
		var records [][]byte
		if i.Action == format.LocalData {
			p.LocalData(rule, func(rr []byte) { records = append(records, rr) })
		}
		all = append(all, fmt.Sprintf("%+v %x", i, len(records)))
	}
	slices.Sort(all)
	return all
}

func TestIncrementThatDoesNotFit(t *testing.T) {
	l, spec := zoneLists(t, zoneRecords{"evil.example.rpz.test. 60 IN CNAME .": true})
	none := wireRecords(t, nil)
	err := l.applyIncrement(&spec, &increment{origin: rpzOrigin, removed: wireRecords(t, []string{"other.example.rpz.test. 60 IN CNAME ."}), added: none}, committed)
	if !errors.Is(err, errInapplicable) {
		t.Errorf("a removal of what is not there: %v", err)
	}
	err = l.applyIncrement(&spec, &increment{origin: rpzOrigin, removed: wireRecords(t, []string{"evil.example.rpz.test. 60 IN CNAME *."}), added: none}, committed)
	if !errors.Is(err, errInapplicable) {
		t.Errorf("a removal of another action: %v", err)
	}
	expect(t, l, "evil.example", "enforce nxdomain zone:4")
}

// TestIncrementThatShrinks leaves the judgement to the whole zone.
func TestIncrementThatShrinks(t *testing.T) {
	zone := zoneRecords{}
	var all []string
	for i := range 10 {
		r := fmt.Sprintf("n%d.example.rpz.test. 60 IN CNAME .", i)
		zone[r] = true
		all = append(all, r)
	}
	l, spec := zoneLists(t, zone)
	l.HoldShrunk, l.ShrinkLimit = true, 50
	none := wireRecords(t, nil)
	if err := l.applyIncrement(&spec, &increment{origin: rpzOrigin, removed: wireRecords(t, all[:6]), added: none}, committed); !errors.Is(err, errShrinks) {
		t.Errorf("six of ten removed: %v", err)
	}
	expect(t, l, "n0.example", "enforce nxdomain zone:4")
	if err := l.applyIncrement(&spec, &increment{origin: rpzOrigin, removed: wireRecords(t, all[:5]), added: none}, committed); err != nil {
		t.Error(err)
	}
	expect(t, l, "n0.example", "none")
}

// BenchmarkIncrement works a thousand changes into a zone of a million names.
func BenchmarkIncrement(b *testing.B) {
	path := writeList(b, format.RPZ, million)
	l, err := Open(Options{Configuration: protecting(Spec{Name: "zone", Source: path})})
	if err != nil {
		b.Fatal(err)
	}
	spec := l.spec("zone")
	step := 0
	for b.Loop() {
		step++
		var added []string
		for i := range 1000 {
			added = append(added, fmt.Sprintf("s%d-%d.example.rpz.test. 60 IN CNAME .", step, i))
		}
		inc := &increment{origin: rpzOrigin, removed: wireRecords(b, nil), added: wireRecords(b, added), version: "serial:2"}
		if err := l.applyIncrement(spec, inc, committed); err != nil {
			b.Fatal(err)
		}
	}
}
