package landing

import (
	"net/netip"
	"time"

	"sinkhole/hits"
)

const (
	// window is how long after a hit a connection belongs to it.
	window = 5 * time.Minute
	// maxIndexed bounds each of the maps of a generation, of which there are two. An entry
	// takes some 250 octets: 100 MB where all are full.
	maxIndexed = 65_536
)

// index knows the hits of late. It belongs to the ledger's goroutine.
type index struct {
	now, before generation
	count       *counters
}

// generation is the hits of a time as long as the window, or of a shorter one where there are
// too many.
type generation struct {
	began   time.Time
	names   map[clientName]pair
	clients map[clientAddress]pair
	relayed map[string]pair // by name: of forwarders' clients, who may be anybody
	matches map[string]*match
}

type clientName struct {
	client netip.Addr
	name   string
}

// clientAddress has no address where the line tells of none.
type clientAddress struct{ client, address netip.Addr }

// match is what hits have in common that matched the same.
type match struct {
	name       string
	indicators []hits.Indicator
}

// sighting is a line of hits.
type sighting struct {
	match    *match
	id       string
	from, to int64 // Unix nanoseconds of its first and last hit
	expected bool
}

// pair is the two latest: a connection may come between them.
type pair struct{ last, before sighting }

func newIndex(count *counters) *index {
	return &index{count: count, now: newGeneration(time.Time{}), before: newGeneration(time.Time{})}
}

func newGeneration(began time.Time) generation {
	return generation{
		began: began, names: make(map[clientName]pair), clients: make(map[clientAddress]pair), relayed: make(map[string]pair),
		matches: make(map[string]*match),
	}
}

// add takes in a line.
func (x *index) add(l *hitLine, now time.Time) {
	x.turn(now)
	g := &x.now
	s := sighting{match: g.match(l), id: l.Event.ID, from: l.Time.UnixNano(), to: max(l.Time.UnixNano(), l.Event.End.UnixNano()), expected: l.Sinkhole.Expected}
	if l.Event.End.IsZero() {
		s.to = s.from
	}
	client, known := l.Client.IP.Unmap(), l.DNS.Question.Name != ""
	told := l.Sinkhole.Forwarder || l.Sinkhole.Identity.Trusted
	switch {
	case told && known:
		put(g.relayed, l.DNS.Question.Name, s)
		if !l.Sinkhole.Forwarder && client.IsValid() {
			put(g.names, clientName{client, s.match.name}, s)
		}
	case told || !client.IsValid():
	case known:
		put(g.names, clientName{client, s.match.name}, s)
		if a := l.Sinkhole.Address; a.IsValid() {
			put(g.clients, clientAddress{client, a.Unmap()}, s)
		}
	default: // merged by client
		put(g.clients, clientAddress{client: client}, s)
	}
	x.count.indexed.Store(uint64(len(g.names) + len(g.clients) + len(g.relayed) + len(x.before.names) + len(x.before.clients) + len(x.before.relayed)))
}

// turn begins another generation when the time of this one is over, or it is full.
func (x *index) turn(now time.Time) {
	full := max(len(x.now.names), len(x.now.clients), len(x.now.relayed), len(x.now.matches)) >= maxIndexed
	if now.Sub(x.now.began) < window && !full {
		return
	}
	if now.Sub(x.now.began) < window { // those before are within the window of some connection
		x.count.forgotten.Add(uint64(len(x.before.names) + len(x.before.clients) + len(x.before.relayed)))
	}
	x.now, x.before = newGeneration(now), x.now
}

func put[K comparable](m map[K]pair, key K, s sighting) {
	p := m[key]
	if p.last.match != nil && s.from < p.last.from { // listeners' lines mix
		p.before = s
	} else {
		p.last, p.before = s, p.last
	}
	m[key] = p
}

// match is the one of a line, made once for all lines that say the same.
func (g *generation) match(l *hitLine) *match {
	key := l.key()
	m := g.matches[key]
	if m == nil {
		m = &match{name: l.DNS.Question.Name, indicators: l.indicators()}
		g.matches[key] = m
	}
	return m
}

// find is the hit that a connection belongs to, and by what; the client as the journal writes
// it.
func (x *index) find(client, address netip.Addr, at time.Time, names ...string) (s sighting, joined string) {
	for _, name := range names {
		if name == "" {
			continue
		}
		if s, ok := seen(x, at, func(g *generation) pair { return g.names[clientName{client, name}] }); ok {
			return s, hits.JoinedName
		}
		if s, ok := seen(x, at, func(g *generation) pair { return g.relayed[name] }); ok {
			return s, hits.JoinedName
		}
	}
	for _, a := range []netip.Addr{address, {}} {
		if s, ok := seen(x, at, func(g *generation) pair { return g.clients[clientAddress{client, a}] }); ok {
			return s, hits.JoinedAddress
		}
	}
	return sighting{}, hits.JoinedNone
}

// seen is the latest sighting before a moment and within the window.
func seen(x *index, at time.Time, of func(*generation) pair) (sighting, bool) {
	moment := at.UnixNano()
	for _, g := range []*generation{&x.now, &x.before} {
		p := of(g)
		for _, s := range []sighting{p.last, p.before} {
			if s.match != nil && s.from <= moment && s.to >= moment-int64(window) {
				return s, true
			}
		}
	}
	return sighting{}, false
}
