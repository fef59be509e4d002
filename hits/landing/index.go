package landing

import (
	"net/netip"
	"time"

	"sinkhole/hits"
)

const (
	// window is how long after a hit a connection belongs to it.
	window = 5 * time.Minute
	// ownAfter is for how long after its answer has expired an address is still the hit's own:
	// programs keep it longer than they may.
	ownAfter = time.Minute
	// maxIndexed bounds each of the maps of a generation, of which there are two. An entry
	// takes some 300 octets: 160 MB where all are full.
	maxIndexed = 65_536
)

// index knows the hits of late. It belongs to the ledger's goroutine.
type index struct {
	now, before generation
	owned       owned
	count       *counters
	// own tells whether the resolver gives each hit an address of its own from where this one
	// is, and whether nobody who was not given it can know it.
	own func(netip.Addr) (own, secret bool)
}

// owned are hits by their own address. There is one for each line, so they have generations
// of their own: many hits cost no other map its time.
type owned struct {
	began       time.Time
	now, before map[netip.Addr]pair
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

// clientAddress has no address where the line tells of none, and where the hit, or each hit of
// the line, has its own.
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
	holder   // of an own address
}

// holder is whose an own address is.
type holder struct {
	client netip.Addr
	behind bool  // somebody behind a forwarder asked
	until  int64 // then another hit may have it
	shared bool  // another one still had it
}

// pair is the two latest: a connection may come between them.
type pair struct{ last, before sighting }

func newIndex(count *counters, own func(netip.Addr) (own, secret bool)) *index {
	if own == nil {
		own = func(netip.Addr) (bool, bool) { return false, false }
	}
	return &index{count: count, own: own, owned: owned{now: make(map[netip.Addr]pair)}, now: newGeneration(time.Time{}), before: newGeneration(time.Time{})}
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
	given := l.Sinkhole.Address.Unmap()
	own, _ := x.own(given)
	if own && known {
		x.addOwned(given, s, l, now)
	}
	switch {
	case told && known:
		put(g.relayed, l.DNS.Question.Name, s)
		if !l.Sinkhole.Forwarder && client.IsValid() {
			put(g.names, clientName{client, s.match.name}, s)
		}
	case told || !client.IsValid():
	case known:
		put(g.names, clientName{client, s.match.name}, s)
		if own {
			given = netip.Addr{}
		}
		if own || given.IsValid() {
			put(g.clients, clientAddress{client, given}, s)
		}
	default: // merged by client
		put(g.clients, clientAddress{client: client}, s)
	}
	x.count.indexed.Store(uint64(x.now.entries() + x.before.entries() + len(x.owned.now) + len(x.owned.before)))
}

// addOwned notes whose an own address is: of a line that stands for several hits, it is the
// first one's.
func (x *index) addOwned(given netip.Addr, s sighting, l *hitLine, now time.Time) {
	s.to, s.until = s.from, s.from+int64(ownAfter)
	if l.Sinkhole.TTL != nil {
		s.until += int64(*l.Sinkhole.TTL) * int64(time.Second)
	}
	s.client, s.behind = l.Client.IP.Unmap(), l.Sinkhole.Forwarder || l.Sinkhole.Identity.Trusted
	o := &x.owned
	if full := len(o.now) >= maxIndexed; full || now.Sub(o.began) >= window {
		if now.Sub(o.began) < window {
			x.count.forgotten.Add(uint64(len(o.before)))
		}
		o.began, o.now, o.before = now, make(map[netip.Addr]pair), o.now
	}
	p, ok := o.now[given]
	if !ok {
		p = o.before[given]
	}
	switch last := &p.last; {
	case last.match == nil, last.id == s.id: // after a fault the journal is read again
	case last.from <= s.from:
		s.shared = last.until > s.from
	case s.until > last.from: // listeners' lines mix
		s.shared, last.shared = true, true
	}
	o.now[given] = p
	put(o.now, given, s)
}

func (g *generation) entries() int {
	return len(g.names) + len(g.clients) + len(g.relayed)
}

// turn begins another generation when the time of this one is over, or it is full.
func (x *index) turn(now time.Time) {
	full := max(len(x.now.names), len(x.now.clients), len(x.now.relayed), len(x.now.matches)) >= maxIndexed
	if now.Sub(x.now.began) < window && !full {
		return
	}
	if now.Sub(x.now.began) < window { // those before are within the window of some connection
		x.count.forgotten.Add(uint64(x.before.entries()))
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
// it, ours if it may ask the resolver.
func (x *index) find(client, address netip.Addr, ours bool, at time.Time, names ...string) (s sighting, joined string) {
	if s, ok := x.owner(client, address, ours, at); ok {
		return s, hits.JoinedQueryAddress
	}
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
	return latest(at, of(&x.now), of(&x.before))
}

func latest(at time.Time, now, before pair) (sighting, bool) {
	moment := at.UnixNano()
	for _, s := range [...]sighting{now.last, now.before, before.last, before.before} {
		if s.match != nil && s.from <= moment && s.to >= moment-int64(window) {
			return s, true
		}
	}
	return sighting{}, false
}

// owner is the hit whose own address it is, if no other hit had it just then. An address that
// can be guessed tells of the client that asked, or, where that is behind a forwarder, of those
// who may ask here: others go through all addresses that there are.
func (x *index) owner(client, address netip.Addr, ours bool, at time.Time) (s sighting, ok bool) {
	own, secret := x.own(address)
	if !own {
		return s, false
	}
	s, ok = latest(at, x.owned.now[address], x.owned.before[address])
	return s, ok && !s.shared && (secret || s.client == client || s.behind && ours)
}
