package resolver

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// The bounds on encrypted connections; those over TLS and those over QUIC have as
// many each, so that a flood of the one leaves the other alone.
const (
	// maxQUICConnections bounds those over QUIC, handshakes counted. Over TLS
	// connectionLimit holds: each has a descriptor.
	maxQUICConnections = 4000
	// guestShare is the part of all connections, and of all queries under way, that
	// one client may have: many may stand behind one address.
	guestShare = 8
	minGuest   = 16
	// maxGuestQueries bounds the queries under way: from when their first octet is
	// read until the client has the answer.
	maxGuestQueries = 8192
)

// guests are the clients with encrypted connections of one kind. A client is an IPv4
// address or the /56 of an IPv6 address.
type guests struct {
	maxConnections, maxQueries int64

	mu          sync.Mutex
	open        map[netip.Prefix]*guest // guarded by mu
	connections atomic.Int64            // written under mu
	queries     atomic.Int64

	crowded, busy atomic.Uint64 // connections and queries turned away
}

// guest is one client with all its connections.
type guest struct {
	all         *guests
	prefix      netip.Prefix
	connections int64 // guarded by guests.mu
	queries     atomic.Int64
}

func newGuests(maxConnections int64) *guests {
	return &guests{maxConnections: maxConnections, maxQueries: maxGuestQueries, open: map[netip.Prefix]*guest{}}
}

// enter counts a connection; nil: there are too many. A guest that has entered is to
// leave.
func (g *guests) enter(addr netip.Addr) *guest {
	prefix := clientPrefix(addr.Unmap())
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.open[prefix]
	if g.connections.Load() >= g.maxConnections || one != nil && one.connections >= max(g.maxConnections/guestShare, minGuest) {
		g.crowded.Add(1)
		return nil
	}
	if one == nil {
		one = &guest{all: g, prefix: prefix}
		g.open[prefix] = one
	}
	one.connections++
	g.connections.Add(1)
	return one
}

func (one *guest) leave() {
	g := one.all
	g.mu.Lock()
	defer g.mu.Unlock()
	g.connections.Add(-1)
	if one.connections--; one.connections == 0 {
		delete(g.open, one.prefix)
	}
}

// begin counts a query; false: too many are under way. One that has begun is to end.
func (one *guest) begin() bool {
	g := one.all
	if g.queries.Add(1) > g.maxQueries {
		g.queries.Add(-1)
		g.busy.Add(1)
		return false
	}
	if one.queries.Add(1) > max(g.maxQueries/guestShare, minGuest) {
		one.end()
		g.busy.Add(1)
		return false
	}
	return true
}

func (one *guest) end() {
	one.queries.Add(-1)
	one.all.queries.Add(-1)
}
