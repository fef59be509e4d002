package resolver

import (
	"sync/atomic"

	"sinkhole/hits"
	"sinkhole/resolver/wire"
)

// counters are what the data path counts. Each handler has its own, so that the
// listeners share no memory while they count; those of the Resolver are for what
// happens behind them.
type counters struct {
	queries   [hits.DoQ + 1]atomic.Uint64 // by transport
	rcodes    [wire.RCodeMask + 1]atomic.Uint64
	refused   atomic.Uint64 // queries of strangers, answered REFUSED
	ignored   atomic.Uint64 // queries of strangers, not answered
	dropped   atomic.Uint64 // not answered by policy
	truncated atomic.Uint64
	coalesced atomic.Uint64
	shed      atomic.Uint64
	failed    atomic.Uint64
	unsent    atomic.Uint64
	paused    atomic.Uint64
	panics    atomic.Uint64
	malformed atomic.Uint64
	crowded   atomic.Uint64
	evicted   atomic.Uint64
	unproxied atomic.Uint64
	// limited counts queries over the limit of their client, restrained answers over the
	// limit of alike ones, badCookies server cookies that are not ours.
	limited, restrained, badCookies atomic.Uint64
	// handshakes counts those of TLS that failed.
	handshakes atomic.Uint64
	stale      atomic.Uint64
	rebound    atomic.Uint64
	// failedBefore counts queries that nobody was asked for, since that failed lately.
	failedBefore atomic.Uint64
	hits         atomic.Uint64 // look-ups of the cache that it does not count
	waiting      atomic.Int64  // clients of a reader that wait for upstreams now

	cuts, prefetches, prefetchesDropped atomic.Uint64
}

func (c *counters) answer(msg []byte) { c.rcodes[wire.Flags(msg)&wire.RCodeMask].Add(1) }

// unanswered counts a query that policy leaves without an answer; what is over a limit is
// counted there.
func (c *counters) unanswered(q *request) {
	if !q.limited && !q.withheld {
		c.dropped.Add(1)
	}
}

// Stats are the resolver's counts since start.
type Stats struct {
	Queries    map[string]uint64 // by transport
	Responses  map[uint16]uint64 // by the lower four bits of the response code
	Refused    uint64            // queries of clients outside clients.allow, answered REFUSED
	Ignored    uint64            // the same, dropped
	Dropped    uint64            // not answered, by policy
	Truncated  uint64            // answers cut down to TC
	Coalesced  uint64            // queries that shared the upstream exchange of an identical one
	Shed       uint64            // queries answered SERVFAIL since too many waited for upstreams
	Failed     uint64            // upstream exchanges without a usable reply
	Unsent     uint64            // answers that the socket did not take
	Paused     uint64            // waits of readers for the journal's writer
	Panics     uint64            // faults in the server
	Malformed  uint64            // messages that are no DNS
	Crowded    uint64            // TCP connections closed since too many were open, of all clients or of one
	Evicted    uint64            // silent TCP connections closed for others when too many were open
	Limited    uint64            // queries over the limit of their client
	Restrained uint64            // answers held back, or cut down to TC, since there were too many alike
	BadCookies uint64            // server cookies of clients that are not ours, or too old
	// Unproxied counts datagrams and connections of balancers without a valid PROXY header.
	Unproxied uint64
	// Handshakes counts those of TLS that failed.
	Handshakes uint64
	Rebound    uint64 // upstream answers that lost private addresses
	Stale      uint64 // answers given although they had expired
	// FailedBefore counts queries for what could not be found out a moment before:
	// nobody was asked again.
	FailedBefore uint64
	CacheHits    uint64 // look-ups answered from the cache, beside those that it counts itself
	Waiting      int64  // queries that wait for an upstream now

	Cuts              uint64 // queries answered since their name, or one above it, does not exist (RFC 8020); they are misses of the cache
	Prefetches        uint64 // exchanges for popular answers before they expired
	PrefetchesDropped uint64 // those that there was no room for

	Encrypted EncryptedStats
}

// newCounters returns counters that Stats counts in.
func (r *Resolver) newCounters() *counters {
	r.counting.Lock()
	defer r.counting.Unlock()
	c := new(counters)
	r.counters = append(r.counters, c)
	return c
}

// Stats reads the counts.
func (r *Resolver) Stats() Stats {
	r.counting.Lock()
	defer r.counting.Unlock()
	s := Stats{Queries: map[string]uint64{}, Responses: map[uint16]uint64{}, Waiting: r.misses.Load(), Encrypted: r.encrypted.stats()}
	r.count.addTo(&s)
	for _, c := range r.counters {
		c.addTo(&s)
	}
	return s
}

func (c *counters) addTo(s *Stats) {
	for _, part := range [...]struct {
		sum *uint64
		n   *atomic.Uint64
	}{
		{&s.Refused, &c.refused}, {&s.Ignored, &c.ignored}, {&s.Dropped, &c.dropped}, {&s.Truncated, &c.truncated},
		{&s.Coalesced, &c.coalesced}, {&s.Shed, &c.shed}, {&s.Failed, &c.failed}, {&s.Unsent, &c.unsent}, {&s.Paused, &c.paused},
		{&s.Panics, &c.panics}, {&s.Malformed, &c.malformed}, {&s.Crowded, &c.crowded}, {&s.Evicted, &c.evicted}, {&s.Handshakes, &c.handshakes}, {&s.Unproxied, &c.unproxied},
		{&s.Limited, &c.limited}, {&s.Restrained, &c.restrained}, {&s.BadCookies, &c.badCookies}, {&s.CacheHits, &c.hits},
		{&s.Stale, &c.stale}, {&s.Rebound, &c.rebound}, {&s.FailedBefore, &c.failedBefore},
		{&s.Cuts, &c.cuts}, {&s.Prefetches, &c.prefetches}, {&s.PrefetchesDropped, &c.prefetchesDropped},
	} {
		*part.sum += part.n.Load()
	}
	s.Waiting += c.waiting.Load()
	for _, t := range transports() {
		s.Queries[t.String()] += c.queries[t].Load()
	}
	for code := range c.rcodes {
		if n := c.rcodes[code].Load(); n > 0 {
			s.Responses[uint16(code)] += n
		}
	}
}
