package blocklist

import (
	"math/rand/v2"
	"testing"

	"sinkhole/blocklist/format"
)

// What is exported of some lists is what a policy exports that has no others
// beside the allow lists.
func TestExportOfSomeLists(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped with -short, as under the race detector: one goroutine")
	}
	compared := map[format.Trigger]int{}
	for seed := range uint64(600) {
		random := rand.New(rand.NewPCG(seed, 7))
		trigger := []format.Trigger{format.QName, format.ResponseIP, format.ClientIP}[seed%3]
		_, p := randomPolicy(t, random, trigger)
		var some []string
		var all []compiled
		for i, list := range p.lists {
			if !list.Allow && random.IntN(2) == 0 {
				continue
			}
			if !list.Allow {
				some = append(some, list.Name)
			}
			all = append(all, compiled{List: list, parts: []listPart{{segment: p.partsOf(i)[0].segment}}})
		}
		if len(some) == 0 || len(all) == len(p.lists) {
			continue
		}
		alone, err := compile(1, all, groups{})
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range ExportFormats() {
			o := rpzOptions()
			o.Format = form
			want, _ := export(t, alone, o)
			o.Lists = some
			if got, _ := export(t, p, o); got != want {
				t.Fatalf("seed %d, %s of %q: got\n%s\nwant\n%s", seed, form, some, got, want)
			}
		}
		compared[trigger]++
	}
	if len(compared) < 3 || compared[format.ResponseIP] < 50 {
		t.Errorf("only %v policies were compared", compared)
	}
}
