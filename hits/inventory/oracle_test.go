package inventory

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sinkhole/hits"
)

// naive is the inventory in memory, made by encoding/json without any bound.
type naive struct {
	machines map[string]*naiveMachine
	holder   map[string]*naiveMachine
}

type naiveMachine struct {
	Machine
	order     int
	connected bool
	sent      bool
	lines     []naiveLine
}

// naiveLine is what a line counts: so many hits of rules that matched together.
type naiveLine struct {
	at    time.Time
	rules []hits.RecordIndicator
	hits  uint64
}

func newNaive(t *testing.T, lines [][]byte) *naive {
	n := &naive{map[string]*naiveMachine{}, map[string]*naiveMachine{}}
	for _, text := range lines {
		r, err := hits.ParseRecord(text)
		if err != nil {
			t.Fatal(err)
		}
		var more struct {
			Sinkhole struct {
				Evidence string
				Noise    bool
			}
		}
		if err := json.Unmarshal(text, &more); err != nil {
			t.Fatal(err)
		}
		landing := r.Event.Dataset == hits.DatasetLanding
		if !landing && r.Event.Dataset != hits.DatasetHit || more.Sinkhole.Noise || r.Sinkhole.Expected {
			continue
		}
		n.add(r, landing, more.Sinkhole.Evidence)
	}
	return n
}

func (n *naive) add(r *hits.Record, landing bool, evidence string) {
	s, ip := &r.Sinkhole, r.Client.IP.String()
	own := ip
	var key string
	switch {
	case s.Forwarder:
		key = "f" + ip
	case r.Client.MAC != "":
		key = "m" + r.Client.MAC
	case s.Identity.Device != "":
		key = "d" + s.Identity.Device
	case s.Identity.CPE != "":
		key = "c" + s.Identity.CPE
	default:
		key = "a" + ip
	}
	more := key[0] == 'm' || key[0] == 'd' || key[0] == 'c'
	if more && r.Client.Port != 0 {
		own = ""
	}
	if own != "" && (key[0] == 'd' || key[0] == 'c') {
		key += "/" + own
	}
	m := n.machines[key]
	if landing && n.holder[ip] != nil {
		m = n.holder[ip]
		more, own = false, ip
	}
	if m == nil {
		m = &naiveMachine{order: len(n.machines)}
		m.FirstSeen = timeOf(r.Time)
		n.machines[key] = m
	}
	first, last := timeOf(r.Time), timeOf(r.End())
	m.FirstSeen, m.LastSeen = min(m.FirstSeen, first), max(m.LastSeen, last)
	m.Forwarder = s.Forwarder
	m.SourceProven = m.SourceProven || s.SourceProven
	m.Address, m.MAC = cmp.Or(own, m.Address), cmp.Or(r.Client.MAC, m.MAC)
	if s.Identity.Trusted {
		m.CPE, m.Device = cmp.Or(s.Identity.CPE, m.CPE), cmp.Or(s.Identity.Device, m.Device)
		if via := cmp.Or(s.Identity.Forwarder, s.Peer.IP); via.IsValid() && via != r.Client.IP {
			m.Via = via.String()
		}
	}
	if more && own != "" {
		n.holder[own] = m
		m.hold(own, first, last)
	}
	m.connected = m.connected || evidence != ""
	m.sent = m.sent || evidence == Sent
	m.lines = append(m.lines, naiveLines(r)...)
}

func (m *naiveMachine) hold(own string, first, last Time) {
	a := Address{own, first, last}
	if i := slices.IndexFunc(m.Addresses, func(a Address) bool { return a.Address == own }); i >= 0 {
		a.FirstSeen, a.LastSeen = min(first, m.Addresses[i].FirstSeen), max(last, m.Addresses[i].LastSeen)
		m.Addresses = slices.Delete(m.Addresses, i, i+1)
	}
	m.Addresses = append([]Address{a}, m.Addresses...)
}

func naiveLines(r *hits.Record) (lines []naiveLine) {
	s := &r.Sinkhole
	switch {
	case s.Merged == hits.MergedClient:
		for _, i := range s.Indicators {
			lines = append(lines, naiveLine{r.Time, []hits.RecordIndicator{i}, 0})
		}
		var outline []hits.RecordIndicator
		for _, f := range s.Families {
			outline = append(outline, hits.RecordIndicator{Family: f})
		}
		for _, l := range s.Lists {
			outline = append(outline, hits.RecordIndicator{List: l.Name})
		}
		return append(lines, naiveLine{r.Time, outline, s.Count})
	case len(s.Indicators) > 0:
		return []naiveLine{{r.Time, s.Indicators, s.Count}}
	}
	t := &r.Threat
	return []naiveLine{{r.Time, []hits.RecordIndicator{{Type: t.Indicator.Type, Name: t.Indicator.Name, List: t.Feed.Name, Family: t.Software.Name}}, s.Count}}
}

// lets filters a line by hour, family and list.
func (l *naiveLine) lets(f Filter) bool {
	hour := l.at.Truncate(time.Hour)
	if !f.Since.IsZero() && hour.Before(f.Since.Truncate(time.Hour)) {
		return false
	}
	if !f.Until.IsZero() && !hour.Before(f.Until) {
		return false
	}
	family := f.Family == "" || slices.ContainsFunc(l.rules, func(r hits.RecordIndicator) bool { return strings.EqualFold(r.Family, f.Family) })
	return family && (f.List == "" || slices.ContainsFunc(l.rules, func(r hits.RecordIndicator) bool { return r.List == f.List }))
}

// machinesOf is the view of machines.
func (n *naive) machinesOf(f Filter) []*Machine {
	out := []*Machine{}
	all := slices.SortedFunc(maps.Values(n.machines), func(a, b *naiveMachine) int { return a.order - b.order })
	for _, m := range all {
		x := m.Machine
		x.Evidence = Queried
		if m.connected {
			x.Evidence = Connected
		}
		if m.sent {
			x.Evidence = Sent
		}
		if f.Evidence == Connected && !m.connected || f.Evidence == Sent && !m.sent {
			continue
		}
		if f.Client.IsValid() && !slices.ContainsFunc(append(slices.Clone(x.Addresses), Address{Address: x.Address}), func(a Address) bool {
			ip, err := netip.ParseAddr(a.Address)
			return err == nil && f.Client.Contains(ip)
		}) {
			continue
		}
		if m.fill(&x, f) {
			out = append(out, &x)
		}
	}
	slices.SortStableFunc(out, func(a, b *Machine) int { return cmp.Compare(b.LastSeen, a.LastSeen) })
	if f.Limit > 0 {
		out = out[:min(f.Limit, len(out))]
	}
	return out
}

func (m *naiveMachine) fill(x *Machine, f Filter) (some bool) {
	families, lists, indicators, hours := map[string]bool{}, map[string]bool{}, map[[2]string]uint64{}, map[Time]uint64{}
	for _, l := range m.lines {
		if !l.lets(f) {
			continue
		}
		some = true
		x.Hits += l.hits
		hours[timeOf(l.at.Truncate(time.Hour))] += l.hits
		named := map[[2]string]bool{}
		for _, r := range l.rules {
			families[r.Family], lists[r.List] = true, true
			if r.Name != "" {
				named[[2]string{r.Type, r.Name}] = true
			}
		}
		for i := range named {
			indicators[i] += l.hits
		}
	}
	delete(families, "")
	delete(lists, "")
	x.Families, x.Lists = append([]string{}, slices.Sorted(maps.Keys(families))...), append([]string{}, slices.Sorted(maps.Keys(lists))...)
	x.Indicators, x.Addresses = []IndicatorCount{}, append([]Address{}, x.Addresses...)
	for i, hits := range indicators {
		x.Indicators = append(x.Indicators, IndicatorCount{i[0], i[1], hits})
	}
	slices.SortFunc(x.Indicators, func(a, b IndicatorCount) int {
		return cmp.Or(cmp.Compare(b.Hits, a.Hits), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type))
	})
	if f.Hours {
		for _, h := range slices.Sorted(maps.Keys(hours)) {
			x.Hours = append(x.Hours, HourCount{h, hours[h]})
		}
	}
	return some
}

// The inventory of random journals is what a naive reader of all their lines finds.
func TestInventoryIsWhatTheJournalSays(t *testing.T) {
	for seed := range seeds(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			lines := randomLines(t, rand.New(rand.NewPCG(seed, 1)), 600)
			w := newWriter(t)
			w.write(lines...)
			o := options(t, w.dir)
			feed(t, o)
			n := newNaive(t, lines)
			r, err := OpenReader(t.Context(), o.Path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			some := 0
			for _, f := range testFilters() {
				got, err := r.Machines(t.Context(), f)
				if err != nil {
					t.Fatal(err)
				}
				want := n.machinesOf(f)
				some += len(want)
				for _, m := range got {
					m.ManyBehind = false // has tests of its own
				}
				if len(got) == 0 {
					got = []*Machine{}
				}
				if g, w := asJSON(t, got, nil), asJSON(t, want, nil); g != w {
					t.Fatalf("filter %+v: found\n%s\nwant\n%s", f, g, w)
				}
				n.checkTallies(t, r, f)
			}
			if some < 50 {
				t.Errorf("only %d machines in all", some)
			}
		})
	}
}

// checkTallies compares the views of families and indicators with sums over machines.
func (n *naive) checkTallies(t *testing.T, r *Reader, f Filter) {
	t.Helper()
	if f.Limit > 0 {
		return
	}
	type sum struct {
		machines, connected, sent, forwarders int
		hits                                  uint64
	}
	indicators, families := map[string]sum{}, map[string]sum{}
	add := func(all map[string]sum, key string, m *Machine, hits uint64) {
		s := all[key]
		s.hits += hits
		switch {
		case m.Forwarder:
			s.forwarders++
		case m.Evidence == Sent:
			s.sent++
			fallthrough
		case m.Evidence == Connected:
			s.connected++
			fallthrough
		default:
			s.machines++
		}
		all[key] = s
	}
	for _, m := range n.machinesOf(f) {
		for _, i := range m.Indicators {
			add(indicators, i.Type+" "+i.Name, m, i.Hits)
		}
	}
	for _, name := range familyNames(f) {
		g := f
		g.Family = name
		for _, m := range n.machinesOf(g) {
			add(families, name, m, m.Hits)
		}
	}
	some, err := r.Families(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range some {
		if want := families[x.Family]; x.Family != "" && want != (sum{x.Machines, x.Connected, x.Sent, x.Forwarders, x.Hits}) {
			t.Errorf("%+v: %+v, want %+v", f, x, want)
		}
		delete(families, x.Family)
	}
	all, err := r.Indicators(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range all {
		if want := indicators[x.Type+" "+x.Name]; want != (sum{x.Machines, x.Connected, x.Sent, x.Forwarders, x.Hits}) {
			t.Errorf("%+v: %+v, want %+v", f, x, want)
		}
		delete(indicators, x.Type+" "+x.Name)
	}
	if len(families) > 0 || len(indicators) > 0 {
		t.Errorf("%+v: not found: %v %v", f, families, indicators)
	}
}

// familyNames are the names to look for.
func familyNames(f Filter) []string {
	if f.Family != "" {
		return []string{"Vidar"}
	}
	return []string{"Lumma Stealer", "Vidar", "RedLine"}
}

// seeds is how many random journals are made, of n with all the time in the world.
func seeds(n uint64) uint64 {
	if testing.Short() {
		return n / 3
	}
	return n
}
