package console

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"sinkhole/hits/inventory"
)

// plot is hits over time as stacked bars. The drawing is stretched to the width that there is;
// the words stand beside it.
type plot struct {
	Bars   []bar
	Series []series
	Top    string // the largest column
	From   string
	Middle string
	To     string
	Each   string // what a column stands for
	Total  uint64
}

// bar is a part of a column, in units of a drawing of plotWidth by plotHeight.
type bar struct {
	X, Y, W, H string
	Class      int
	Title      string
}

// series is a family and its colour.
type series struct {
	Name  string
	Class int
	Hits  uint64
}

const (
	plotWidth, plotHeight = 1000, 200

	// plotSeries have a colour of their own; the rest share the last.
	plotSeries  = 5
	plotColumns = 100
)

// newPlot draws trends from a time on, by the hour, or by as many as make the columns few.
func newPlot(trends []*inventory.Trend, since, until time.Time) *plot {
	first := since.Unix() / 3600
	if since.IsZero() {
		first = until.Unix() / 3600
		for _, t := range trends {
			first = min(first, int64(t.Hours[0].Hour)/int64(time.Hour))
		}
	}
	last := max(until.Unix()/3600, first)
	step := int64(1)
	for _, s := range []int64{1, 2, 3, 6, 12, 24, 48, 24 * 7, 24 * 30} {
		if step = s; (last-first)/s < plotColumns {
			break
		}
	}
	columns := int((last-first)/step) + 1
	p := &plot{Each: "an hour"}
	if step > 1 {
		p.Each = fmt.Sprintf("%d hours", step)
	}
	counts := make([][plotSeries + 1]uint64, columns)
	for i, t := range trends {
		class := min(i, plotSeries)
		p.add(t, class)
		for _, h := range t.Hours {
			if at := (int64(h.Hour)/int64(time.Hour) - first) / step; at >= 0 && at < int64(columns) {
				counts[at][class] += h.Hits
				p.Total += h.Hits
			}
		}
	}
	top := uint64(1)
	for _, c := range counts {
		top = max(top, sum(c[:]))
	}
	w := float64(plotWidth) / float64(columns)
	for i, c := range counts {
		y := float64(plotHeight)
		for class, n := range c {
			if n == 0 {
				continue
			}
			h := float64(plotHeight) * float64(n) / float64(top)
			y -= h
			at := time.Unix((first+int64(i)*step)*3600, 0).UTC()
			p.Bars = append(p.Bars, bar{
				percent(float64(i)*w + w*0.08), percent(y), percent(w * 0.84), percent(max(h, 1)), class,
				fmt.Sprintf("%s: %s hits, %s", at.Format("2006-01-02 15:04"), grouped(n), p.named(class)),
			})
		}
	}
	p.Top = grouped(top)
	label := func(hour int64) string { return time.Unix(hour*3600, 0).UTC().Format("01-02 15:04") }
	p.From, p.Middle, p.To = label(first), label((first+last)/2), label(last)
	return p
}

func (p *plot) add(t *inventory.Trend, class int) {
	name := cmp.Or(t.Family, "no family named")
	if class < plotSeries {
		p.Series = append(p.Series, series{name, class, t.Hits})
		return
	}
	i := slices.IndexFunc(p.Series, func(s series) bool { return s.Class == class })
	if i < 0 {
		p.Series = append(p.Series, series{"others", class, t.Hits})
		return
	}
	p.Series[i].Hits += t.Hits
}

func (p *plot) named(class int) string {
	i := slices.IndexFunc(p.Series, func(s series) bool { return s.Class == class })
	return p.Series[max(i, 0)].Name
}

func sum(all []uint64) (n uint64) {
	for _, x := range all {
		n += x
	}
	return n
}
