package inventory

import (
	"cmp"
	"maps"
	"slices"
)

// Trend is the hits of a family, "" for those of none, by the hour.
type Trend struct {
	Family string      `json:"family"`
	Hits   uint64      `json:"hits"`
	Hours  []HourCount `json:"hours"` // those with hits, the earliest first
}

// grid is hits by family and hour.
type grid struct {
	families []string // by their number
	spans    map[int64][]*[spanHours]uint64
	span     []*[spanHours]uint64 // the one that is counted in, by family
	begin    uint32               // of it
}

func newGrid(families []string) *grid {
	return &grid{families: families, spans: make(map[int64][]*[spanHours]uint64)}
}

func (g *grid) turnTo(number int64) {
	if g.spans[number] == nil {
		g.spans[number] = make([]*[spanHours]uint64, len(g.families))
	}
	g.span, g.begin = g.spans[number], uint32(number*spanHours)
}

func (g *grid) count(x fact, of *knownMatch) {
	at := x.hour - g.begin
	if at >= spanHours {
		return // no span has such a fact
	}
	for _, n := range of.numbers {
		if g.span[n] == nil {
			g.span[n] = new([spanHours]uint64)
		}
		g.span[n][at] += uint64(x.hits)
	}
}

func (g *grid) trends() []*Trend {
	found := make([]*Trend, len(g.families))
	for _, number := range slices.Sorted(maps.Keys(g.spans)) {
		for n, hours := range g.spans[number] {
			if hours == nil {
				continue
			}
			if found[n] == nil {
				found[n] = &Trend{Family: g.families[n], Hours: []HourCount{}}
			}
			t := found[n]
			for i, hits := range hours {
				if hits > 0 {
					t.Hits += hits
					t.Hours = append(t.Hours, HourCount{Time((number*spanHours + int64(i)) * hour), hits})
				}
			}
		}
	}
	all := slices.DeleteFunc(found, func(t *Trend) bool { return t == nil })
	slices.SortFunc(all, func(a, b *Trend) int {
		return cmp.Or(cmp.Compare(b.Hits, a.Hits), cmp.Compare(a.Family, b.Family))
	})
	return all
}
