package hits

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// mergeModel is merging as DESIGN.md tells it, over all hits at once and without
// bounds on memory.
type mergeModel struct {
	above, maxKeys, maxClientKeys, maxClients int

	single  map[int64]int
	keys    map[int64]map[string]*modelGroup
	clients map[int64]map[string]*modelGroup
	ofOne   map[string]int // keys of one client and second
	lost    int
}

type modelGroup struct {
	first, last time.Time
	firstPort   uint16
	count       int
	ports       map[uint16]bool
	rules       map[string]bool
	proven      bool
	enforced    bool
}

func (m *mergeModel) add(h *Hit) {
	sec := h.Time.Unix()
	if m.single[sec] < m.above {
		m.single[sec]++
		return
	}
	rule := fmt.Sprintf("%p/%d", h.Evidence, h.Rules[0])
	client := h.Client.Addr().String()
	key := fmt.Sprint(client, rule, h.QType, h.Action)
	if m.keys[sec] == nil {
		m.keys[sec], m.clients[sec] = map[string]*modelGroup{}, map[string]*modelGroup{}
	}
	table, name := m.keys[sec], key
	one := fmt.Sprint(sec, client)
	if table[name] == nil && (len(table) == m.maxKeys || m.ofOne[one] == m.maxClientKeys) {
		table, name = m.clients[sec], client
		if table[name] == nil && len(table) == m.maxClients {
			m.lost++
			return
		}
	}
	g := table[name]
	if g == nil {
		g = &modelGroup{first: h.Time, firstPort: h.Client.Port(), ports: map[uint16]bool{}, rules: map[string]bool{}, proven: true}
		table[name] = g
		if name == key {
			m.ofOne[one]++
		}
	}
	g.count++
	if h.Time.Before(g.first) {
		g.first, g.firstPort = h.Time, h.Client.Port()
	}
	if h.Time.After(g.last) {
		g.last = h.Time
	}
	g.ports[h.Client.Port()] = true
	g.rules[rule] = true
	g.proven = g.proven && h.SourceProven
	g.enforced = g.enforced || !h.Observe
}

func TestMergingKeepsEveryCount(t *testing.T) {
	policies := []*testPolicy{{}, {}}
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		m := newMerger(rnd.IntN(40), time.Second)
		m.maxKeys, m.maxClientKeys, m.maxClients = 1+rnd.IntN(30), 1+rnd.IntN(8), 1+rnd.IntN(10)
		model := &mergeModel{above: m.above, maxKeys: m.maxKeys, maxClientKeys: m.maxClientKeys, maxClients: m.maxClients, ofOne: map[string]int{},
			single: map[int64]int{}, keys: map[int64]map[string]*modelGroup{}, clients: map[int64]map[string]*modelGroup{}}

		// Every other time hits are late by up to 200 ms, as from a queue. Then a
		// second may have several lines for one key, and only the sums are told.
		late := seed%2 == 1
		now := testTime
		var single, lost, total int
		var groups []*group
		for range 2000 {
			now = now.Add(time.Duration(rnd.IntN(3_000_000)))
			h := testHit(func(h *Hit) {
				h.Time = now
				if late {
					h.Time = now.Add(-time.Duration(rnd.IntN(200_000_000)))
				}
				h.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(rnd.IntN(12))}), uint16(rnd.IntN(100)))
				h.Evidence = policies[rnd.IntN(2)]
				h.Rules[0] = uint64(rnd.IntN(12))
				h.QType = []uint16{1, 28}[rnd.IntN(2)]
				h.Observe = rnd.IntN(2) == 0
				h.SourceProven = rnd.IntN(5) > 0
				if h.Observe {
					h.Action = "log"
				}
			})
			total++
			model.add(h)
			switch m.admit(h, now) {
			case admitSingle:
				single++
			case admitLost:
				lost++
			}
			m.flush(now, false, rnd.IntN(5), func(g *group) { groups = append(groups, g) })
		}
		for m.flush(now, true, 7, func(g *group) { groups = append(groups, g) }) > 0 {
		}
		if m.pending != 0 {
			t.Fatalf("seed %d: %d hits pending after the last flush", seed, m.pending)
		}
		wantSingle := 0
		for _, n := range model.single {
			wantSingle += n
		}
		if single != wantSingle || !late && lost != model.lost {
			t.Fatalf("seed %d: single %d lost %d, want %d and %d", seed, single, lost, wantSingle, model.lost)
		}
		sum := single + lost
		for _, g := range groups {
			sum += int(g.count)
			if !late {
				checkGroup(t, seed, model, g)
			}
		}
		if sum != total {
			t.Fatalf("seed %d: %d hits came out of %d", seed, sum, total)
		}
		for sec := range model.keys {
			if late {
				break
			}
			if n := len(model.keys[sec]) + len(model.clients[sec]); n > 0 {
				t.Fatalf("seed %d: %d groups of second %d did not come out", seed, n, sec)
			}
		}
	}
}

// checkGroup compares a group with the model's, and takes it from there.
func checkGroup(t *testing.T, seed uint64, model *mergeModel, g *group) {
	t.Helper()
	sec := g.first.Time.Unix()
	client := g.first.Client.Addr().String()
	table, name := model.clients[sec], client
	if g.kind == MergedIndicator {
		table = model.keys[sec]
		name = fmt.Sprint(client, fmt.Sprintf("%p/%d", g.first.Evidence, g.first.Rules[0]), g.first.QType, g.first.Action)
	}
	want := table[name]
	if want == nil {
		t.Fatalf("seed %d: group %s of second %d is not the model's, or came twice", seed, name, sec)
	}
	delete(table, name)
	if int(g.count) != want.count || !g.first.Time.Equal(want.first) || !g.last.Equal(want.last) ||
		g.proven != want.proven || g.enforced != want.enforced {
		t.Fatalf("seed %d: group %s: %+v, want %+v", seed, name, g, want)
	}
	if len(g.ports) != min(len(want.ports), MaxMergedPorts) || g.portsTruncated != (len(want.ports) > MaxMergedPorts) {
		t.Fatalf("seed %d: group %s names %d of %d ports, truncated %v", seed, name, len(g.ports), len(want.ports), g.portsTruncated)
	}
	for _, p := range g.ports {
		if !want.ports[p] {
			t.Fatalf("seed %d: port %d never asked", seed, p)
		}
	}
	if g.kind == MergedClient {
		if g.distinct != len(want.rules) || g.atLeast || len(g.rules) != min(g.distinct, MaxRules) {
			t.Fatalf("seed %d: %d distinct indicators, %d named, want %d", seed, g.distinct, len(g.rules), len(want.rules))
		}
	}
}

func TestMergingOfOneClient(t *testing.T) {
	m := newMerger(2, time.Second)
	now := testTime
	hit := func(port uint16) *Hit {
		return testHit(func(h *Hit) {
			h.Time = now
			h.Client = netip.AddrPortFrom(h.Client.Addr(), port)
		})
	}
	var got []admission
	for i := range 70 {
		got = append(got, m.admit(hit(uint16(i)), now))
		now = now.Add(time.Millisecond)
	}
	if !slices.Equal(got[:3], []admission{admitSingle, admitSingle, admitMerged}) {
		t.Fatalf("admissions %v", got[:3])
	}
	var groups []*group
	emit := func(g *group) { groups = append(groups, g) }
	if m.flush(now, false, 10, emit); len(groups) != 0 {
		t.Fatal("flushed before the second was over")
	}
	m.flush(testTime.Add(windowAge), false, 10, emit)
	if len(groups) != 1 {
		t.Fatalf("%d groups, want 1", len(groups))
	}
	if g := groups[0]; g.count != 68 || len(g.ports) != 64 || !g.portsTruncated {
		t.Errorf("count %d, %d ports, truncated %v", g.count, len(g.ports), g.portsTruncated)
	}
}

// A hit is held back for the span at most, so that a kill costs no more; what a
// second may write singly stays what it is.
func TestMergingHoldsBackForTheSpan(t *testing.T) {
	m := newMerger(1, 100*time.Millisecond)
	count, groups, singles := uint64(0), 0, 0
	for i := range 900 {
		now := testTime.Truncate(time.Second).Add(time.Duration(i) * time.Millisecond)
		if m.admit(testHit(func(h *Hit) { h.Time = now }), now) == admitSingle {
			singles++
		}
		if at, ok := m.due(); ok && at.Sub(now) > 100*time.Millisecond {
			t.Fatalf("a hit of %v is due at %v", now, at)
		}
		m.flush(now, false, 10, func(g *group) { count += g.count; groups++ })
	}
	m.flush(testTime, true, 10, func(g *group) { count += g.count; groups++ })
	if singles != 1 || count != 899 || groups != 9 {
		t.Errorf("%d singles, %d hits in %d lines, want 1 and 899 in 9", singles, count, groups)
	}
}

// One client that asks for everything costs the others no detail.
func TestMergingKeepsTheDetailOfOthers(t *testing.T) {
	m := newMerger(0, time.Second)
	hit := func(client byte, rule int) *Hit {
		return testHit(func(h *Hit) {
			h.Client, h.Rules[0] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, client}), 1), uint64(rule)
		})
	}
	for rule := range 2 * MaxMergedKeys {
		m.admit(hit(1, rule), testTime)
	}
	for rule := range 10 {
		m.admit(hit(2, rule), testTime)
	}
	lines := map[byte]map[string]int{1: {}, 2: {}}
	m.flush(testTime, true, 4*MaxMergedKeys, func(g *group) { lines[g.first.Client.Addr().As4()[3]][g.kind]++ })
	if lines[1][MergedIndicator] != MaxClientKeys || lines[1][MergedClient] != 1 || lines[2][MergedIndicator] != 10 || lines[2][MergedClient] != 0 {
		t.Errorf("lines by client %v", lines)
	}
}

func TestMergingBoundsDistinctIndicatorsOfOneClient(t *testing.T) {
	m := newMerger(0, time.Second)
	for rule := range MaxClientKeys + maxClientDistinct + 10 {
		m.admit(testHit(func(h *Hit) { h.Rules[0], h.NRules = uint64(rule), 1 }), testTime)
	}
	m.admit(testHit(func(h *Hit) {
		h.Client, h.Rules[0], h.NRules = netip.MustParseAddrPort("192.0.2.200:1"), 1, 1
	}), testTime)
	byClient := 0
	m.flush(testTime, true, 4*MaxMergedKeys, func(g *group) {
		if g.kind != MergedClient {
			return
		}
		byClient++
		if g.count != maxClientDistinct+10 || g.distinct != maxClientDistinct || !g.atLeast {
			t.Errorf("count %d, distinct %d, at least %v", g.count, g.distinct, g.atLeast)
		}
	})
	if byClient != 1 {
		t.Errorf("%d lines by client", byClient)
	}
}

func TestMergingBoundsDistinctIndicators(t *testing.T) {
	m := newMerger(0, time.Second)
	m.maxKeys, m.maxPairs = 0, 20
	for i := range 30 {
		m.admit(testHit(func(h *Hit) { h.Rules[0] = uint64(i) }), testTime)
	}
	m.flush(testTime, true, 10, func(g *group) {
		if g.count != 30 || g.distinct != 20 || !g.atLeast || len(g.rules) != MaxRules {
			t.Errorf("count %d, distinct %d, at least %v, named %d", g.count, g.distinct, g.atLeast, len(g.rules))
		}
	})
}

func TestMergingSurvivesJumpsOfTheClock(t *testing.T) {
	m := newMerger(0, time.Second)
	for i := range 100 {
		m.admit(testHit(func(h *Hit) { h.Time = testTime.Add(time.Duration(i%7) * time.Hour) }), testTime)
	}
	if len(m.windows) > maxWindows {
		t.Errorf("%d seconds open at a time", len(m.windows))
	}
	sum := uint64(0)
	m.flush(testTime.Add(windowAge), false, 1000, func(g *group) { sum += g.count })
	if sum != 100 || m.pending != 0 {
		t.Errorf("%d of 100 hits, %d pending", sum, m.pending)
	}
}
