// Package resolver is the life of one query: client checks, policy, cache,
// upstream, policy again, answer, hit. [Resolver.respond] has the order of the
// steps; the listeners are beside it.
package resolver

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"sinkhole/blocklist"
	"sinkhole/blocklist/format"
	"sinkhole/hits"
	"sinkhole/resolver/cache"
	"sinkhole/resolver/upstream"
	"sinkhole/resolver/wire"
)

// Options of [New].
type Options struct {
	Settings Settings
	Policy   func() *blocklist.Policy // the policy in force
	Journal  *hits.Journal
	Cache    *cache.Cache
	Forward  func(ctx context.Context, query []byte) (upstream.Reply, error)
	TTL      TTLBounds
	NAT64    []netip.Prefix // AAAA answers in these are judged by their IPv4 address too
	Logger   *zap.Logger
}

// TTLBounds limit how long upstream answers are cached.
type TTLBounds struct {
	Min, Max, Negative time.Duration
}

// Resolver answers queries. All methods may be called from any goroutine.
type Resolver struct {
	settings atomic.Pointer[settings]
	policy   func() *blocklist.Policy
	journal  *hits.Journal
	cache    *cache.Cache
	forward  func(ctx context.Context, query []byte) (upstream.Reply, error)
	ttl      TTLBounds
	nat64    []netip.Prefix
	log      *zap.Logger

	pending singleflight.Group // identical questions on their way upstream
	misses  atomic.Int64       // queries that wait for an upstream now
	count   counters
}

// New makes a resolver.
func New(o Options) *Resolver {
	r := &Resolver{
		policy: o.Policy, journal: o.Journal, cache: o.Cache, forward: o.Forward,
		ttl: o.TTL, nat64: o.NAT64, log: o.Logger,
	}
	r.Configure(o.Settings)
	return r
}

// Configure puts other settings in force, from the next query on.
func (r *Resolver) Configure(s Settings) { r.settings.Store(compileSettings(s)) }

// respond appends the answer to a query to dst, which must be empty; nil means
// that the client gets none. Client checks were made when the query was read.
func (r *Resolver) respond(q *request, dst []byte) []byte {
	if answer := r.unserved(q, dst); answer != nil {
		return answer
	}
	s, p := r.settings.Load(), r.policy()
	now := q.received.Unix()

	var v blocklist.Verdict
	p.JudgeQuestion(q.client.Addr(), q.QName(), now, &v)
	if enforced(q, &v) {
		return r.enforce(q, s, p, &v, dst)
	}
	if !q.RD && v.Decision == blocklist.None {
		return r.fail(q, dst, wire.RCodeRefused, &wire.EDE{Code: dns.ExtendedErrorCodeNotAuthoritative})
	}
	e, failure := r.lookup(q)
	if e == nil {
		answer := r.fail(q, dst, wire.RCodeServFail, failure)
		r.observe(q, p, &v, answer)
		return answer
	}
	if v.Decision != blocklist.Allow && (v.Decision != blocklist.None || e.Clean.Load() != p.Serial()) {
		p.JudgeAnswer(e.Names, e.NameKinds, e.Addrs, now, &v)
		if enforced(q, &v) {
			return r.enforce(q, s, p, &v, dst)
		}
		if v.Decision == blocklist.None {
			e.Clean.Store(p.Serial())
		}
	}
	answer := r.cached(q, e, dst)
	r.observe(q, p, &v, answer)
	return answer
}

// enforced tells whether the verdict decides the answer. TCP-only is satisfied
// by every transport but UDP.
func enforced(q *request, v *blocklist.Verdict) bool {
	return v.Decision == blocklist.Enforce && (v.Action != format.TCPOnly || q.transport == hits.UDP)
}

// observe records what matched although the client gets the true answer.
func (r *Resolver) observe(q *request, p *blocklist.Policy, v *blocklist.Verdict, answer []byte) {
	switch {
	case v.Decision == blocklist.Enforce: // TCP-only, over TCP
		r.record(q, p, v, v.Action.String(), answer, given{})
	case v.Observed(p):
		r.record(q, p, v, format.Log.String(), answer, given{})
	}
}

// unserved answers what a forwarder does not resolve at all; nil otherwise.
func (r *Resolver) unserved(q *request, dst []byte) []byte {
	switch {
	case q.EDNS && q.Version != 0:
		return r.fail(q, dst, wire.RCodeBadVers, nil)
	case q.Class != dns.ClassINET:
		return r.fail(q, dst, wire.RCodeRefused, nil)
	}
	return nil
}

// fail appends an answer without records. Its extended DNS error goes only to
// clients that sent an OPT.
func (r *Resolver) fail(q *request, dst []byte, rcode uint16, ede *wire.EDE) []byte {
	dst = q.AppendResponse(dst, rcode&wire.RCodeMask, 0)
	return r.finish(q, dst, counts{}, rcode, ede)
}

// counts are the records of an answer, section by section, the OPT not included.
type counts struct{ answers, authorities, additionals uint16 }

// finish adds the OPT that a client with EDNS gets, sets the counts, and cuts
// down to TC what is too large for the client.
func (r *Resolver) finish(q *request, msg []byte, n counts, rcode uint16, ede *wire.EDE) []byte {
	if q.EDNS {
		msg = wire.AppendOPT(msg, maxUDPSize, q.DO, rcode, ede)
		n.additionals++
	}
	wire.SetCounts(msg, n.answers, n.authorities, n.additionals)
	if len(msg) <= q.sizeLimit() {
		return msg
	}
	r.count.truncated.Add(1)
	return r.truncated(q, msg, rcode)
}

// truncated rewrites msg as an answer without records and with TC set.
func (r *Resolver) truncated(q *request, msg []byte, rcode uint16) []byte {
	ad := wire.Flags(msg) & wire.AD
	msg = q.AppendResponse(msg[:0], rcode&wire.RCodeMask, ad|wire.TC)
	n := counts{}
	if q.EDNS {
		msg = wire.AppendOPT(msg, maxUDPSize, q.DO, rcode, nil)
		n.additionals = 1
	}
	wire.SetCounts(msg, 0, 0, n.additionals)
	return msg
}

// cached appends an upstream's answer as the cache holds it.
func (r *Resolver) cached(q *request, e *cache.Entry, dst []byte) []byte {
	dst = q.AppendReply(dst, e.Packed)
	wire.Age(dst, e.TTLs, uint32(max(0, q.received.UnixNano()-e.Stored)/int64(time.Second)), 0)
	rcode := e.RCode
	if rcode > wire.RCodeMask && !q.EDNS { // its upper bits have no place without an OPT
		return r.fail(q, dst[:0], wire.RCodeServFail, nil)
	}
	var n counts
	n.answers, n.authorities, n.additionals = wire.Counts(e.Packed)
	return r.finish(q, dst, n, rcode, nil)
}
