package resolver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"sinkhole/resolver/cache"
	"sinkhole/resolver/upstream"
	"sinkhole/resolver/wire"
)

// maxMisses bounds the queries that wait for upstreams at one time. One more is
// answered SERVFAIL at once.
const maxMisses = 8192

var errQuestion = errors.New("the reply has another question than the query")

// upstreamSize is the EDNS buffer offered to upstreams (the DNS flag day of 2020).
const upstreamSize = 1232

// lookup gives the upstream's answer, from the cache or fresh; nil with the
// reason, as an extended DNS error, when there is none.
func (r *Resolver) lookup(q *request) (*cache.Entry, wire.EDE) {
	var buffer [cache.MaxKey]byte // on the stack: nothing may keep it
	key := q.appendKey(buffer[:0])
	now := q.received.UnixNano()
	q.below = false
	if f := q.fetched; f != nil && f.key == string(key) {
		return r.orStale(q, key, f.entry, f.failure)
	}
	if q.atOnce {
		if e := q.seen.cached(r.cache, key, now); e != nil {
			q.hit = true
			return e, wire.EDE{}
		}
		if e := r.denied(q, key, now); e != nil {
			r.cache.Missed(key)
			return e, wire.EDE{}
		}
		if f := r.failure(key, now); f != nil {
			return r.failedBefore(q, key, f)
		}
		if q.refused {
			return nil, wire.EDE{Code: dns.ExtendedErrorCodeNoReachableAuthority}
		}
		q.waits, q.asks = true, true
		return nil, wire.EDE{}
	}
	if e := r.cache.Get(key, now); e != nil {
		return e, wire.EDE{}
	}
	if e := r.denied(q, key, now); e != nil {
		return e, wire.EDE{}
	}
	if f := r.failure(key, now); f != nil {
		return r.failedBefore(q, key, f)
	}
	e, failure := r.ask(q, string(key))
	return r.orStale(q, key, e, failure)
}

// ask waits for an upstream's answer; identical questions share one exchange.
func (r *Resolver) ask(q *request, key string) (*cache.Entry, wire.EDE) {
	defer r.misses.Add(-1)
	if r.misses.Add(1) > maxMisses {
		r.count.shed.Add(1)
		return nil, wire.EDE{Code: dns.ExtendedErrorCodeNoReachableAuthority}
	}
	if e := r.cache.Stale([]byte(key), q.received.UnixNano()); e != nil {
		return r.askNoLonger(q, key, e)
	}
	first := false
	shared, err, _ := r.pending.Do(key, func() (any, error) {
		first = true
		return r.fetchSafely(&q.Query, key)
	})
	if !first {
		r.count.coalesced.Add(1)
	}
	return settled(shared, err)
}

func settled(shared any, err error) (*cache.Entry, wire.EDE) {
	if err != nil {
		return nil, wire.EDE{Code: failureCode(err)}
	}
	return shared.(*cache.Entry), wire.EDE{}
}

// failureCode is the extended DNS error for a failed exchange.
func failureCode(err error) uint16 {
	if failure, ok := errors.AsType[*upstream.Error](err); ok {
		return failure.EDE()
	}
	return dns.ExtendedErrorCodeNetworkError
}

// fetch asks an upstream, and caches its answer as the upstream said it.
func (r *Resolver) fetch(q *wire.Query, key string) (*cache.Entry, error) {
	query, generation := appendUpstreamQuery(make([]byte, 0, 512), q), r.cache.Generation()
	reply, err := r.forward(context.Background(), query)
	if err != nil {
		r.count.failed.Add(1)
		r.noteFailure(key, generation, &cache.Entry{EDE: failureCode(err)})
		return nil, err
	}
	return r.keep(new(admission), reply.Msg, query, key, generation, reply.Server)
}

// appendUpstreamQuery appends what an upstream is asked for a client.
func appendUpstreamQuery(dst []byte, q *wire.Query) []byte {
	asked := *q
	asked.AD = true // whoever shares the answer may want to know (RFC 6840 section 5.7)
	return wire.AppendQuery(dst, &asked, upstreamSize)
}

// admission is the memory in which replies become entries, one after the other.
type admission struct {
	key   []byte
	reply wire.Reply
	entry cache.Entry
}

// keep caches an upstream's reply, which is changed, and gives the entry that it became.
// generation is the cache's, of when the query was asked.
func (r *Resolver) keep(a *admission, msg, query []byte, key string, generation uint64, server fmt.Stringer) (*cache.Entry, error) {
	lifetime, err := r.admit(a, msg, query, key)
	if err != nil {
		r.count.failed.Add(1)
		r.log.Debug("upstream reply unusable", zap.Stringer("server", server), zap.Error(err))
		return nil, err
	}
	e := &a.entry
	switch {
	case lifetime > 0:
		e.Expires = e.Stored + int64(lifetime)
		if kept := r.cache.PutSince(e, generation); kept != nil {
			return kept, nil
		}
	case e.RCode == wire.RCodeServFail:
		r.noteFailure(key, generation, e)
	}
	return e.Clone(), nil
}

// admit makes a cache entry of an upstream's reply, and says how long it may be
// kept: not at all for failures and for what carries no lifetime. The entry is in the
// memory of a and of msg.
func (r *Resolver) admit(a *admission, msg, query []byte, key string) (time.Duration, error) {
	if !wire.QuestionEqual(msg, query) { // answers are made by writing over the question
		return 0, errQuestion
	}
	f, e := &a.reply, &a.entry
	if err := f.Parse(msg); err != nil {
		return 0, err
	}
	said := upstreamEDE(f)
	msg, err := withoutBogus(msg, f)
	if err != nil {
		return 0, err
	}
	if msg, err = f.Scrub(f.Strip(msg)); err != nil {
		return 0, err
	}
	lifetime := r.lifetime(f)
	minTTL, maxTTL := uint32(r.ttl.Min/time.Second), uint32(r.ttl.Max/time.Second)
	if f.Negative {
		minTTL, maxTTL = 0, uint32(lifetime/time.Second)
	}
	wire.Clamp(msg, f.TTLs, minTTL, maxTTL)
	a.key = append(a.key[:0], key...)
	*e = cache.Entry{
		Key: a.key, Packed: msg, TTLs: f.TTLs, RCode: f.RCode,
		Stored: time.Now().UnixNano(), QuestionEnd: uint16(f.QuestionEnd), Names: f.Names, NameKinds: f.NameKinds, Addrs: r.nat64.WithEmbedded(f.Addrs),
		EDE: said.Code, Text: said.Text,
	}
	if name, _, _, _, _, _ := e.Question(); r.rebinding.guards(name) {
		removed, err := r.rebinding.withoutPrivate(e, f, min(lifetime, r.ttl.Negative))
		if err != nil {
			return 0, err
		}
		if removed {
			r.count.rebound.Add(1)
		}
	}
	return lifetime, nil
}

// lifetime is how long a reply may be kept.
func (r *Resolver) lifetime(f *wire.Reply) time.Duration {
	said := time.Duration(f.TTL()) * time.Second
	switch {
	case f.Negative:
		return min(said, r.ttl.Negative, r.ttl.Max)
	case f.TC || f.RCode != wire.RCodeNoError:
		return 0
	}
	return min(max(said, r.ttl.Min), r.ttl.Max)
}
