package inventory

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sinkhole/hits"
)

// WhoIs is whom a client was at a time.
type WhoIs func(hits.Client) hits.Who

// Filter chooses what a view is made of. The zero Filter lets all through.
type Filter struct {
	// Since and Until bound the hits that count, by whole hours: Since is rounded down, Until
	// up. The zero Time leaves an end open.
	Since, Until time.Time
	Client       netip.Prefix // machines with an address in it, now or before
	Family       string       // hits of this family, in any case
	List         string       // hits on this list
	Evidence     string       // machines with this level at least; "": all
	Limit        int          // only the first so many; 0: all
	Hours        bool         // count by the hour, too
	WhoIs        WhoIs        // nil: nobody knows

	only map[int64]int // of these alone; nil: all
}

// Machine is a machine, or a forwarder, with the hits that a Filter let through. FirstSeen,
// LastSeen, Evidence and identity are of all that is kept.
type Machine struct {
	Address      string           `json:"address"` // the latest; "": only a forwarder's is known
	Name         string           `json:"name"`
	Owner        string           `json:"owner"`
	Site         string           `json:"site"`
	Subscriber   string           `json:"subscriber"`
	MAC          string           `json:"mac"`
	CPE          string           `json:"cpe_id"`
	Device       string           `json:"device_id"`
	Via          string           `json:"via"`       // the forwarder, or balancer, that told
	Addresses    []Address        `json:"addresses"` // of what is known by more than its address, the latest first
	Evidence     string           `json:"evidence"`
	Families     []string         `json:"families"`
	Lists        []string         `json:"lists"`
	Indicators   []IndicatorCount `json:"indicators"`
	Hits         uint64           `json:"hits"`
	FirstSeen    Time             `json:"first_seen"`
	LastSeen     Time             `json:"last_seen"`
	SourceProven bool             `json:"source_proven"` // of one hit at least
	Forwarder    bool             `json:"forwarder"`     // no infected machine: who asked through it is not known
	ManyBehind   bool             `json:"many_behind"`   // a hint: many machines are likely behind it
	Shared       bool             `json:"shared"`        // several subscribers have the address: no single machine
	Hours        []HourCount      `json:"hours"`         // nil without Filter.Hours

	// BySubscriber says that Subscriber is what tells the machine, wherever it asks from.
	BySubscriber bool `json:"-"`

	id      int64
	matched []matched
	places  map[uint32]int // of matches in matched; nil while there are few
}

// IndicatorCount is an indicator and the hits that matched it. Of 0 the number is not known:
// a flood's lines name indicators without.
type IndicatorCount struct {
	Type string `json:"type"`
	Name string `json:"name"`
	Hits uint64 `json:"hits"`
}

// HourCount is the hits of an hour.
type HourCount struct {
	Hour Time   `json:"hour"`
	Hits uint64 `json:"hits"`
}

// Family is a malware family, "" for hits of none, with the hits that a Filter let through.
type Family struct {
	Family     string   `json:"family"`
	Machines   int      `json:"machines"`
	Connected  int      `json:"connected"`  // of Machines, with this evidence or more
	Sent       int      `json:"sent"`       // of Machines
	Forwarders int      `json:"forwarders"` // beside Machines
	Shared     int      `json:"shared"`     // addresses of several subscribers, beside Machines
	Indicators int      `json:"indicators"`
	Lists      []string `json:"lists"`
	Hits       uint64   `json:"hits"`
	FirstHour  Time     `json:"first_hour"`
	LastHour   Time     `json:"last_hour"`
}

// Indicator is an indicator with the hits that a Filter let through.
type Indicator struct {
	Type       string   `json:"type"`
	Name       string   `json:"name"`
	Families   []string `json:"families"`
	Lists      []string `json:"lists"`
	Machines   int      `json:"machines"`
	Connected  int      `json:"connected"`
	Sent       int      `json:"sent"`
	Forwarders int      `json:"forwarders"`
	Shared     int      `json:"shared"`
	Hits       uint64   `json:"hits"`
	FirstHour  Time     `json:"first_hour"`
	LastHour   Time     `json:"last_hour"`
}

// Machines are the machines and forwarders that have hits which the filter lets through, the
// one seen last first.
func (r *Reader) Machines(ctx context.Context, f Filter) ([]*Machine, error) {
	first := f
	if f.Limit > 0 {
		first = f.byTotal() // only those shown are worth counting by the hour
	}
	v, err := r.Views(ctx, first, false)
	if err != nil {
		return nil, err
	}
	all := v.Machines()
	all = cutTo(all, f.Limit)
	if f.Hours && !first.Hours {
		if err := r.recount(ctx, f, all); err != nil {
			return nil, err
		}
	}
	v.Describe(all...)
	return all, nil
}

// Views are made in one reading, and of one moment.
type Views struct {
	r    *Reader
	f    Filter
	all  []*Machine // by their ids
	grid *grid
}

// Views reads what the filter lets through; trends only where they are wanted. They are good until
// the Reader reads again.
func (r *Reader) Views(ctx context.Context, f Filter, trends bool) (v *Views, err error) {
	v = &Views{r: r, f: f}
	v.all, v.grid, err = r.collect(ctx, f, true, trends)
	return v, err
}

// Machines are those of [Reader.Machines], whatever the limit, with what is of themselves and their
// hits; Describe gives them the rest.
func (v *Views) Machines() []*Machine {
	all := slices.Clone(v.all)
	slices.SortFunc(all, func(a, b *Machine) int {
		return cmp.Or(cmp.Compare(b.LastSeen, a.LastSeen), cmp.Compare(a.id, b.id))
	})
	return all
}

// Asking are those of Machines that have hits of an indicator of the name, of whatever type.
func (v *Views) Asking(name string) []*Machine {
	has := make([]bool, len(v.r.matches))
	for id, k := range v.r.matches {
		has[id] = k != nil && slices.ContainsFunc(k.indicators, func(i indicatorName) bool { return i.name == name })
	}
	return slices.DeleteFunc(v.Machines(), func(m *Machine) bool {
		return !slices.ContainsFunc(m.matched, func(x matched) bool { return has[x.match] })
	})
}

// Describe gives machines what is in words: families, lists, indicators, and who it is.
func (v *Views) Describe(machines ...*Machine) {
	for _, m := range machines {
		v.r.describe(m, v.f)
	}
}

// Families are those of [Reader.Families].
func (v *Views) Families() []*Family { return v.r.families(v.all, v.f) }

// Indicators are those of [Reader.Indicators].
func (v *Views) Indicators() []*Indicator { return v.r.indicators(v.all, v.f) }

// Trends are the families' hits that the filter lets through, by the hour, the family of most
// hits first. A hit of two families counts in both; those of forwarders count too.
func (v *Views) Trends() []*Trend { return cutTo(v.grid.trends(), v.f.Limit) }

// cutTo is the first so many, all for 0.
func cutTo[T any](all []T, limit int) []T {
	if limit > 0 {
		return all[:min(len(all), limit)]
	}
	return all
}

func (f Filter) byTotal() Filter {
	f.Hours = false
	return f
}

// recount counts the hits of machines anew, by the hour.
func (r *Reader) recount(ctx context.Context, f Filter, all []*Machine) error {
	some := chosen{machines: slices.Clone(all), of: r.known}
	for _, m := range all {
		m.Hits, m.matched, m.places = 0, nil, nil
	}
	slices.SortFunc(some.machines, func(a, b *Machine) int { return cmp.Compare(a.id, b.id) })
	return r.activities(ctx, f, some, nil)
}

// describe puts the matches of a machine into words.
func (r *Reader) describe(m *Machine, f Filter) {
	m.Families, m.Lists, m.Indicators = []string{}, []string{}, []IndicatorCount{}
	slices.SortFunc(m.matched, func(a, b matched) int { return cmp.Compare(a.match, b.match) })
	var places map[indicatorName]int
	if len(m.matched) > 1 {
		places = make(map[indicatorName]int)
	}
	for _, x := range m.matched {
		of := r.matches[x.match]
		m.Families = union(m.Families, of.families)
		m.Lists = union(m.Lists, of.lists)
		for _, name := range of.indicators {
			i, found := places[name]
			if !found {
				i = len(m.Indicators)
				if places != nil { // a match has each once
					places[name] = i
				}
				m.Indicators = append(m.Indicators, IndicatorCount{Type: name.typ, Name: name.name})
			}
			m.Indicators[i].Hits += x.hits
		}
	}
	slices.SortFunc(m.Indicators, func(a, b IndicatorCount) int {
		return cmp.Or(cmp.Compare(b.Hits, a.Hits), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type))
	})
	slices.Sort(m.Families)
	slices.Sort(m.Lists)
	if m.Addresses == nil {
		m.Addresses = []Address{}
	}
	if f.WhoIs != nil {
		m.name(f.WhoIs)
	}
}

// name says whom the machine was when it was seen last.
func (m *Machine) name(who WhoIs) {
	a, _ := netip.ParseAddr(m.Address) // the zero Addr where none is known
	w := who(hits.Client{Addr: a, MAC: m.MAC, Subscriber: m.Subscriber, At: time.Unix(0, int64(m.LastSeen))})
	m.Name, m.Owner, m.Site = w.Name, w.Owner, w.Site
	if m.Subscriber == "" && !m.Shared {
		m.Subscriber = w.Subscriber
	}
}

func union(all, more []string) []string {
	for _, s := range more {
		if s != "" && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// tally counts machines under a name, each once.
type tally struct {
	machines, connected, sent, forwarders, shared int
	hits                                          uint64
	first, last                                   uint32
	by                                            *Machine // counted last
}

func (t *tally) add(m *Machine, x matched) {
	if t.by == nil || x.first < t.first {
		t.first = x.first
	}
	t.last = max(t.last, x.last)
	t.hits += x.hits
	if t.by == m {
		return
	}
	t.by = m
	if m.Forwarder {
		t.forwarders++
		return
	}
	if m.Shared {
		t.shared++
		return
	}
	t.machines++
	if m.Evidence != Queried {
		t.connected++
	}
	if m.Evidence == Sent {
		t.sent++
	}
}

func (t *tally) hours() (first, last Time) {
	return Time(int64(t.first) * hour), Time(int64(t.last) * hour)
}

// Families are the families of the hits that the filter lets through, the one of most machines
// first.
func (r *Reader) Families(ctx context.Context, f Filter) ([]*Family, error) {
	all, _, err := r.collect(ctx, f.byTotal(), false, false)
	if err != nil {
		return nil, err
	}
	return r.families(all, f), nil
}

func (r *Reader) families(all []*Machine, f Filter) []*Family {
	tallies := make([]tally, len(r.names))
	seen := make([]bool, len(r.matches))
	matches := make([][]uint32, len(r.names))
	for _, m := range all {
		for _, x := range m.matched {
			numbers := r.matches[x.match].numbers
			for _, n := range numbers {
				tallies[n].add(m, x)
				if !seen[x.match] {
					matches[n] = append(matches[n], x.match)
				}
			}
			seen[x.match] = true
		}
	}
	out := []*Family{}
	for n, name := range r.names {
		t := &tallies[n]
		if t.by == nil || f.Family != "" && !strings.EqualFold(f.Family, name) {
			continue
		}
		x := &Family{Family: name, Machines: t.machines, Connected: t.connected, Sent: t.sent, Forwarders: t.forwarders, Shared: t.shared, Hits: t.hits, Lists: []string{}}
		x.FirstHour, x.LastHour = t.hours()
		indicators := make(map[indicatorName]bool)
		for _, id := range matches[n] {
			of := r.matches[id]
			if len(of.indicators) == 0 { // families and lists of a flood
				x.Lists = union(x.Lists, of.lists)
			}
			for _, rule := range of.rules {
				if rule.family != name {
					continue
				}
				x.Lists = union(x.Lists, []string{rule.list})
				if rule.name != "" {
					indicators[indicatorName{rule.typ, rule.name}] = true
				}
			}
		}
		x.Indicators = len(indicators)
		slices.Sort(x.Lists)
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b *Family) int {
		return cmp.Or(cmp.Compare(b.Machines, a.Machines), cmp.Compare(b.Hits, a.Hits), cmp.Compare(a.Family, b.Family))
	})
	return cutTo(out, f.Limit)
}

// Indicators are the indicators of the hits that the filter lets through, the one of most
// machines first.
func (r *Reader) Indicators(ctx context.Context, f Filter) ([]*Indicator, error) {
	all, _, err := r.collect(ctx, f.byTotal(), false, false)
	if err != nil {
		return nil, err
	}
	return r.indicators(all, f), nil
}

func (r *Reader) indicators(all []*Machine, f Filter) []*Indicator {
	tallies := make(map[indicatorName]*tally)
	found := make(map[indicatorName]*Indicator)
	seen := make(map[uint32]bool)
	for _, m := range all {
		for _, x := range m.matched {
			of := r.matches[x.match]
			for _, name := range of.indicators {
				t := tallies[name]
				if t == nil {
					t = new(tally)
					tallies[name], found[name] = t, &Indicator{Type: name.typ, Name: name.name, Families: []string{}, Lists: []string{}}
				}
				t.add(m, x)
			}
			if seen[x.match] {
				continue
			}
			seen[x.match] = true
			for _, rule := range of.rules {
				if i := found[indicatorName{rule.typ, rule.name}]; i != nil {
					i.Families, i.Lists = union(i.Families, []string{rule.family}), union(i.Lists, []string{rule.list})
				}
			}
		}
	}
	out := make([]*Indicator, 0, len(found))
	for name, i := range found {
		t := tallies[name]
		i.Machines, i.Connected, i.Sent, i.Forwarders, i.Shared, i.Hits = t.machines, t.connected, t.sent, t.forwarders, t.shared, t.hits
		i.FirstHour, i.LastHour = t.hours()
		slices.Sort(i.Families)
		slices.Sort(i.Lists)
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b *Indicator) int {
		return cmp.Or(cmp.Compare(b.Machines, a.Machines), cmp.Compare(b.Hits, a.Hits), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type))
	})
	return cutTo(out, f.Limit)
}
