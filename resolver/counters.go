package resolver

import (
	"sync/atomic"

	"sinkhole/hits"
	"sinkhole/resolver/wire"
)

// counters are what the data path counts.
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
	panics    atomic.Uint64
	malformed atomic.Uint64
	crowded   atomic.Uint64
}

func (c *counters) answer(msg []byte) { c.rcodes[wire.Flags(msg)&wire.RCodeMask].Add(1) }

// Stats are the resolver's counts since start.
type Stats struct {
	Queries   map[string]uint64 // by transport
	Responses map[uint16]uint64 // by the lower four bits of the response code
	Refused   uint64            // queries of clients outside clients.allow, answered REFUSED
	Ignored   uint64            // the same, dropped
	Dropped   uint64            // not answered, by policy
	Truncated uint64            // answers cut down to TC
	Coalesced uint64            // queries that shared the upstream exchange of an identical one
	Shed      uint64            // queries answered SERVFAIL since too many waited for upstreams
	Failed    uint64            // upstream exchanges without a usable reply
	Unsent    uint64            // answers that the socket did not take
	Panics    uint64            // faults in the server
	Malformed uint64            // messages that are no DNS
	Crowded   uint64            // TCP connections closed since too many were open
	Waiting   int64             // queries that wait for an upstream now
}

// Stats reads the counts.
func (r *Resolver) Stats() Stats {
	c := &r.count
	s := Stats{
		Queries: map[string]uint64{}, Responses: map[uint16]uint64{},
		Refused: c.refused.Load(), Ignored: c.ignored.Load(), Dropped: c.dropped.Load(), Truncated: c.truncated.Load(),
		Coalesced: c.coalesced.Load(), Shed: c.shed.Load(), Failed: c.failed.Load(), Unsent: c.unsent.Load(),
		Panics: c.panics.Load(), Malformed: c.malformed.Load(), Crowded: c.crowded.Load(), Waiting: r.misses.Load(),
	}
	s.Queries["udp"], s.Queries["tcp"] = c.queries[hits.UDP].Load(), c.queries[hits.TCP].Load()
	for code := range c.rcodes {
		if n := c.rcodes[code].Load(); n > 0 {
			s.Responses[uint16(code)] = n
		}
	}
	return s
}
