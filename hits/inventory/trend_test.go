package inventory

import (
	"math/rand/v2"
	"testing"
	"time"
)

// By the hour a family has the hits that it has in all, whatever is let through.
func TestTrendsAddUpToFamilies(t *testing.T) {
	lines := randomLines(t, rand.New(rand.NewPCG(3, 4)), 500)
	w := newWriter(t)
	w.write(lines...)
	o := options(t, w.dir)
	feed(t, o)
	r, err := OpenReader(t.Context(), o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all, err := r.Families(t.Context(), Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 3 {
		t.Fatalf("only %d families", len(all))
	}
	half := time.Unix(0, int64(all[0].FirstHour+all[0].LastHour)/2)
	for name, f := range map[string]Filter{
		"all": {}, "since": {Since: half}, "until": {Until: half}, "family": {Family: all[1].Family}, "none": {Family: "no such family"},
	} {
		families, err := r.Families(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]*Family{}
		for _, x := range families {
			want[x.Family] = x
		}
		views, err := r.Views(t.Context(), f, true)
		if err != nil {
			t.Fatal(err)
		}
		trends := views.Trends()
		seen := 0
		for i, x := range trends {
			if i > 0 && x.Hits > trends[i-1].Hits {
				t.Errorf("%s: not by their hits", name)
			}
			y := want[x.Family]
			if y == nil {
				if f.Family == "" {
					t.Errorf("%s: a trend of %q, which is no family", name, x.Family)
				}
				continue // of a hit of several
			}
			seen++
			sum := uint64(0)
			for i, h := range x.Hours {
				sum += h.Hits
				if i > 0 && h.Hour <= x.Hours[i-1].Hour {
					t.Errorf("%s: %s: hours out of order", name, x.Family)
				}
			}
			if sum != y.Hits || x.Hits != y.Hits || x.Hours[0].Hour != y.FirstHour || x.Hours[len(x.Hours)-1].Hour != y.LastHour {
				t.Errorf("%s: %s: %d hits of %d from %s to %s, want %d from %s to %s", name, x.Family, sum, x.Hits,
					x.Hours[0].Hour, x.Hours[len(x.Hours)-1].Hour, y.Hits, y.FirstHour, y.LastHour)
			}
		}
		if seen != len(want) {
			t.Errorf("%s: %d trends of %d families", name, seen, len(want))
		}
	}
}
