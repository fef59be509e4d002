package resolver

import (
	"net/netip"

	"sinkhole/blocklist"
	"sinkhole/resolver/cache"
)

// ahead is a look at the datagrams of a batch before the first of them is answered:
// they are read, and what policy and cache have for them is looked up or loaded, step
// by step for all of them. It decides nothing, changes nothing and counts nothing,
// and nobody is answered by it: that is for [Resolver.respond], one after the other.
type ahead struct {
	policy   *blocklist.Policy // whose found is; nil: nothing was looked at
	requests [maxBatch]request // of datagrams, with no more than their queries
	places   [maxBatch]int     // of datagrams, in what follows; -1: not looked at
	names    [maxBatch][]byte  // in requests
	found    [maxBatch]blocklist.Found
	asked    [maxBatch]*request
	hashed   [maxBatch]bool   // those that have one of hashes
	hashes   [maxBatch]uint64 // of the cache's keys
}

// glance is what was seen of one datagram; the zero glance: nothing.
type glance struct {
	of       *ahead
	datagram int // number of the datagram in its batch
	place    int // in found and hashes
}

// aheadFrom is how many datagrams make it worth while.
const aheadFrom = 2

// look is for n datagrams that were just read. Those of clients that may not ask are
// left alone.
func (a *ahead) look(r *Resolver, n int, datagram func(i int) (from netip.Addr, msg []byte)) {
	s, seen := r.settings.Load(), 0
	for i := range n {
		a.places[i] = -1
		q := &a.requests[i]
		if from, msg := datagram(i); !s.allowed(from) || q.Parse(msg) != nil {
			continue
		}
		a.places[i], a.names[seen], a.asked[seen] = seen, q.QName(), q
		seen++
	}
	a.policy = r.policy()
	a.policy.FindAll(a.names[:seen], a.found[:seen])
	a.touch(r.cache, seen)
}

// touch loads what the cache has, but for names on which an entry stands: nearly
// always that is the answer.
func (a *ahead) touch(c *cache.Cache, seen int) {
	var hashes [maxBatch]uint64
	var buffer [cache.MaxKey]byte
	n := 0
	for i, q := range a.asked[:seen] {
		if a.hashed[i] = !a.found[i].Any(); a.hashed[i] {
			a.hashes[i] = c.Hash(q.appendKey(buffer[:0]))
			hashes[n] = a.hashes[i]
			n++
		}
	}
	c.Touch(hashes[:n])
}

// forget lets go of the policy: one that was replaced must not live on in a reader
// that waits.
func (a *ahead) forget() { a.policy = nil }

// at is what was seen of datagram i of the batch.
func (a *ahead) at(i int) glance {
	if a.policy == nil || a.places[i] < 0 {
		return glance{}
	}
	return glance{of: a, datagram: i, place: a.places[i]}
}

// request is the one that was read; nil where nothing was seen.
func (g glance) request() *request {
	if g.of == nil {
		return nil
	}
	return &g.of.requests[g.datagram]
}

// judge is the question phase.
func (g glance) judge(p *blocklist.Policy, q *request, now int64, v *blocklist.Verdict) {
	if g.of == nil || g.of.policy != p {
		p.JudgeQuestion(q.asker(), q.QName(), now, v)
		return
	}
	p.JudgeFound(q.asker(), q.QName(), &g.of.found[g.place], now, v)
}

// cached is the cache's entry of a key.
func (g glance) cached(c *cache.Cache, key []byte, now int64) *cache.Entry {
	if g.of == nil || !g.of.hashed[g.place] {
		return c.TryGet(key, now)
	}
	return c.TryGetHashed(g.of.hashes[g.place], key, now)
}
