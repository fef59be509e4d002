package blocklist

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDiffNamesChanges changes what entries do, and leaves them there.
func TestDiffNamesChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zone")
	head := "$TTL 60\n@ SOA localhost. root.localhost. 1 60 60 60 60\n@ NS localhost.\n"
	write(t, path, head+"same CNAME .\n*.same CNAME .\nallowed CNAME .\n*.allowed CNAME .\nnarrow CNAME .\n*.narrow CNAME .\n"+
		"data A 192.0.2.1\ntwice A 192.0.2.1\ntwice A 192.0.2.2\n24.0.2.0.192.rpz-ip CNAME .\ngone CNAME .\n")
	l := open(t, Options{Configuration: specsOf(spec("feed", path))})
	write(t, path, head+"new CNAME .\nsame CNAME .\n*.same CNAME .\nallowed CNAME rpz-passthru.\n*.allowed CNAME .\n*.narrow CNAME .\n"+
		"data A 192.0.2.2\ntwice A 192.0.2.2\ntwice A 192.0.2.1\n24.0.2.0.192.rpz-ip CNAME rpz-drop.\n")
	if _, err := l.Reload(); err != nil {
		t.Fatal(err)
	}
	d := l.Diff("feed")
	if d == nil || d.Added != 1 || d.Removed != 1 || d.Changed != 4 {
		t.Fatalf("diff %+v", d)
	}
	var got []string
	for _, c := range d.ChangedEntries {
		got = append(got, fmt.Sprintf("%s: %s -> %s", c.Entry, c.Before, c.After))
	}
	want := []string{
		"allowed: nxdomain below, nxdomain exactly -> nxdomain below, passthru exactly",
		"narrow: nxdomain below, nxdomain exactly -> nxdomain below",
		"data: local-data exactly 60 A 192.0.2.1 -> local-data exactly 60 A 192.0.2.2",
		"192.0.2.0/24: nxdomain -> drop",
	}
	if !slices.Equal(got, want) {
		t.Errorf("changes\n%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestDiffEqualsSets compares lists in like, shifted and shuffled order, with
// repeats, with sets of names.
func TestDiffEqualsSets(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	path := filepath.Join(t.TempDir(), "list")
	pick := func() []string {
		var all []string
		for range random.IntN(60) {
			all = append(all, fmt.Sprintf("n%d.example", random.IntN(50)))
		}
		return all
	}
	for round := range 300 {
		before := pick()
		after := slices.Clone(before)
		switch round % 4 {
		case 0:
			after = pick()
		case 1:
			random.Shuffle(len(after), func(i, j int) { after[i], after[j] = after[j], after[i] })
			after = append(after, "new.example")
		case 2:
			at := random.IntN(len(after) + 1)
			after = slices.Insert(after, at, pick()...)
		case 3:
			after = slices.Delete(after, len(after)/3, len(after)/2)
		}
		write(t, path, "first.example\n"+strings.Join(before, "\n")+"\n")
		l := open(t, Options{Configuration: specsOf(spec("feed", path))})
		write(t, path, "first.example\n"+strings.Join(after, "\n")+"\n")
		u, err := l.Reload()
		if err != nil || u.Err() != nil {
			t.Fatal(err, u.Err())
		}
		old, now := setOf(before), setOf(after)
		added, removed := without(now, old), without(old, now)
		if u.Added != len(added) || u.Removed != len(removed) {
			t.Fatalf("round %d: %d added, %d removed; expected %d, %d", round, u.Added, u.Removed, len(added), len(removed))
		}
		d := l.Diff("feed")
		if slices.Sort(d.AddedEntries); !slices.Equal(d.AddedEntries, added) || d.Changed != 0 {
			t.Fatalf("round %d: %d changed, added %q, expected %q", round, d.Changed, d.AddedEntries, added)
		}
		if slices.Sort(d.RemovedEntries); !slices.Equal(d.RemovedEntries, removed) {
			t.Fatalf("round %d: removed %q, expected %q", round, d.RemovedEntries, removed)
		}
	}
}

func setOf(all []string) map[string]bool {
	set := map[string]bool{}
	for _, one := range all {
		set[one] = true
	}
	return set
}

// without are the members of one set that another lacks, sorted.
func without(one, other map[string]bool) (all []string) {
	for _, name := range slices.Sorted(maps.Keys(one)) {
		if !other[name] {
			all = append(all, name)
		}
	}
	return all
}
