package resolver

import (
	"errors"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/cache"
	"sinkhole/resolver/wire"
)

const (
	// failureTime is how long a failure to find something out is remembered, and
	// nobody asked for it again (RFC 9520 section 3.2: 1 s to 5 min).
	failureTime = 5 * time.Second
	// staleWait is how long a client waits for a fresh answer where there is a stale
	// one, and staleTTL what that is worth (RFC 8767 sections 5 and 4).
	staleWait = 1800 * time.Millisecond
	staleTTL  = 30 // seconds
)

var errFault = errors.New("a fault in the server")

// noteFailure remembers that nobody could tell what key asks for. e has the reply of
// a server that said so itself, or what clients are to be told.
func (r *Resolver) noteFailure(key string, generation uint64, e *cache.Entry) {
	now := time.Now().UnixNano()
	r.failedAt.Store(now)
	r.cache.PutSince(&cache.Entry{
		Key:    cache.FailureKey(nil, []byte(key)),
		Packed: e.Packed, TTLs: e.TTLs, RCode: wire.RCodeServFail, EDE: e.EDE, Text: e.Text, QuestionEnd: e.QuestionEnd,
		Stored: now, Expires: now + int64(failureTime),
	}, generation)
}

// failure is what is remembered of a failure; nil: nothing. Mostly there is none to look for.
func (r *Resolver) failure(key []byte, now int64) *cache.Entry {
	if now-r.failedAt.Load() >= int64(failureTime) {
		return nil
	}
	var buffer [cache.MaxKey]byte
	return r.cache.TryGet(cache.FailureKey(buffer[:0], key), now)
}

// failedBefore answers without asking anyone, since that failed a moment ago.
func (r *Resolver) failedBefore(q *request, key []byte, f *cache.Entry) (*cache.Entry, wire.EDE) {
	r.count.failedBefore.Add(1)
	if len(f.Packed) == 0 {
		return r.orStale(q, key, nil, wire.EDE{Code: f.EDE})
	}
	return r.orStale(q, key, f, wire.EDE{})
}

// orStale gives, in place of a failure, what was true lately (RFC 8767).
func (r *Resolver) orStale(q *request, key []byte, e *cache.Entry, failure wire.EDE) (*cache.Entry, wire.EDE) {
	if e != nil && e.RCode != wire.RCodeServFail {
		return e, failure
	}
	if old := r.cache.Stale(key, q.received.UnixNano()); old != nil {
		q.stale = true
		return old, wire.EDE{}
	}
	return e, failure
}

// askNoLonger is ask for as long as a client is to wait where there is a stale answer.
// The exchange goes on.
func (r *Resolver) askNoLonger(q *request, key string, old *cache.Entry) (*cache.Entry, wire.EDE) {
	query := q.Query
	done := r.pending.DoChan(key, func() (any, error) { return r.fetchSafely(&query, key) })
	late := time.NewTimer(time.Until(q.received.Add(staleWait)))
	defer late.Stop()
	select {
	case got := <-done:
		return settled(got.Val, got.Err)
	case <-late.C:
		q.stale = true
		return old, wire.EDE{}
	}
}

// fetchSafely is fetch for an exchange that nobody may be waiting for: a fault in it is
// recovered here, since singleflight would end the process for it.
func (r *Resolver) fetchSafely(q *wire.Query, key string) (e *cache.Entry, err error) {
	defer func() {
		if r.faulty(&r.count, recover(), "upstream exchange without a result") {
			e, err = nil, errFault
		}
	}()
	return r.fetch(q, key)
}

// staleCode is the extended DNS error of a stale answer.
func staleCode(rcode uint16) uint16 {
	if rcode == wire.RCodeNXDomain {
		return dns.ExtendedErrorCodeStaleNXDOMAINAnswer
	}
	return dns.ExtendedErrorCodeStaleAnswer
}
