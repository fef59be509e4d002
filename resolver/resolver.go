// Package resolver is the life of one query: client checks, policy, cache,
// upstream, policy again, answer, hit. [Resolver.decide] has the order of the
// steps; the listeners are beside it.
package resolver

import (
	"cmp"
	"context"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"
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
	// Ports makes what a reader of datagrams asks upstreams with itself, where
	// that goes the usual way (see upstream.Ports). Nil: all goes through Forward.
	Ports func(watch func(fd int) error) *upstream.Ports
	TTL   TTLBounds
	// Returned tells, by the name of a query, that it is one of our own that an upstream
	// has sent back (see upstream.Forwarder). Nil: none is.
	Returned func(name []byte) bool
	// Zones are the names that Forward and Ports have servers of their own for.
	Zones []string
	// Prefetch has popular answers asked for again before they expire, NXDomainCut a
	// name that does not exist stand for all below it (RFC 8020).
	Prefetch, NXDomainCut bool

	Rebind Rebind

	NAT64 []netip.Prefix // AAAA answers in these, and in 64:ff9b::/96, are judged by their IPv4 address too
	// Notified answers a NOTIFY, as it came, with a message or nil for none; it
	// does not wait. Nil: there are no zones that are transferred.
	Notified func(msg []byte, from netip.AddrPort) []byte
	// Balancers are those from whom a PROXY header is required.
	Balancers []netip.Prefix
	// Readers is how many sockets read the datagrams of one address, each in a
	// thread of its own; 0: one for each processor. Elsewhere than on Linux there
	// is one.
	Readers int
	Logger  *zap.Logger
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
	ports    func(watch func(fd int) error) *upstream.Ports
	returned func(name []byte) bool
	forwards []string  // zones, as the settings want them
	zones    *nameTree // those that have servers of their own
	ttl      TTLBounds
	nat64    NAT64

	rebinding rebinding

	notified func(msg []byte, from netip.AddrPort) []byte
	log      *zap.Logger

	cookieSecrets []CookieSecret // of this process
	own           ownAddresses
	encrypted     *encrypted
	designated    atomic.Pointer[designation] // see Designate; nil: none
	connections   *connections                // over TCP
	balancers     *bart.Lite                  // nil: there are none

	pending  singleflight.Group // identical questions on their way upstream
	asked    *questions         // of the readers, on their way upstream
	misses   atomic.Int64       // queries of the library that wait for an upstream now
	failedAt atomic.Int64       // Unix nanoseconds: when a failure was noted last
	count    counters

	prefetches, cuts bool         // are to be made
	prefetching      atomic.Int64 // exchanges for what the cache still has

	counting sync.Mutex  // guards counters, not what they count
	counters []*counters // of the handlers

	readers  int           // of datagrams, for each address
	fairWait time.Duration // for which nobody who waits is given up for others
}

// fairWait is what an upstream may well need.
const fairWait = 100 * time.Millisecond

// New makes a resolver.
func New(o Options) *Resolver {
	r := &Resolver{
		policy: o.Policy, journal: o.Journal, cache: o.Cache, forward: o.Forward, ports: o.Ports,
		connections: newConnections(connectionLimit()), balancers: table(o.Balancers), readers: readers(o.Readers), asked: newQuestions(), fairWait: fairWait, encrypted: newEncrypted(), cookieSecrets: randomSecrets(),
		returned: o.Returned, forwards: o.Zones, zones: treeOf(forwarded, o.Zones), ttl: o.TTL, prefetches: o.Prefetch, cuts: o.NXDomainCut, nat64: NewNAT64(o.NAT64), notified: o.Notified, log: o.Logger,
	}
	r.rebinding = newRebinding(o.Rebind, o.Zones, r.nat64)
	r.Configure(o.Settings)
	return r
}

// readers is how many there are where so many are wanted.
func readers(wanted int) int {
	if runtime.GOOS != "linux" {
		return 1
	}
	return cmp.Or(max(wanted, 0), runtime.NumCPU())
}

// Configure puts other settings in force, from the next query on.
func (r *Resolver) Configure(s Settings) {
	next := compileSettings(s, r.forwards)
	var before *limits
	if now := r.settings.Load(); now != nil {
		before = now.limits
	}
	next.limits = limitsOf(&s, before)
	if next.cookieSecrets = s.CookieSecrets; len(next.cookieSecrets) == 0 {
		next.cookieSecrets = r.cookieSecrets
	}
	r.settings.Store(next)
}

// respond appends the answer to a query to dst, which must be empty; nil means
// that the client gets none. Client checks were made when the query was read.
func (r *Resolver) respond(q *request, dst []byte) []byte {
	answer := r.decide(q, dst)
	if q.withheld {
		return nil
	}
	return answer
}

// decide has the steps of respond in their order.
func (r *Resolver) decide(q *request, dst []byte) []byte {
	if answer := r.unserved(q, dst); answer != nil {
		q.withheld = q.withheld || q.limited
		return answer
	}
	s, p := r.settings.Load(), r.policy()
	now := q.received.Unix()

	var v blocklist.Verdict
	q.seen.judge(p, q, now, &v)
	if q.limited {
		return r.limited(q, p, &v, dst)
	}
	if enforced(q, &v) {
		return r.enforce(q, s, p, &v, dst)
	}
	if answer := r.unforwarded(q, s, dst); answer != nil {
		r.observe(q, p, &v, answer)
		return answer
	}
	if answer := r.unresolved(q, dst); answer != nil {
		r.observe(q, p, &v, answer)
		return answer
	}
	e, failure := r.lookup(q)
	if q.waits {
		q.noted = v.Decision != blocklist.None
		return nil
	}
	if e == nil {
		answer := r.fail(q, dst, wire.RCodeServFail, failure)
		r.observe(q, p, &v, answer)
		return answer
	}
	if v.Decision != blocklist.Allow && (v.Decision != blocklist.None || !p.IsClean(e.Clean.Load(), &v)) {
		p.JudgeAnswer(e.Names, e.NameKinds, e.Addrs, now, &v)
		if enforced(q, &v) {
			return r.enforce(q, s, p, &v, dst)
		}
		if v.Decision == blocklist.None {
			e.Clean.Store(p.Clean(e.Clean.Load(), &v))
		}
	}
	if r.prefetches && !q.below && v.Decision != blocklist.Enforce && e.Due(q.received.UnixNano()) {
		r.prefetch(q)
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

// unserved answers what no list can mean, since it is of another protocol or
// class; nil otherwise.
func (r *Resolver) unserved(q *request, dst []byte) []byte {
	switch {
	case q.EDNS && q.Version != 0:
		return r.fail(q, dst, wire.RCodeBadVers, wire.EDE{})
	case q.Class != dns.ClassINET:
		return r.fail(q, dst, wire.RCodeRefused, wire.EDE{Code: dns.ExtendedErrorCodeNotSupported})
	}
	return nil
}

// unresolved answers what a forwarder does not forward, although a list may
// speak of it; nil otherwise. Without RD only an authoritative server has an
// answer (RFC 8914 section 4.21); zone transfers are between servers of a zone
// (RFC 5936 section 2.2.1); the other meta types have no data (RFC 6895 section
// 3.1).
func (r *Resolver) unresolved(q *request, dst []byte) []byte {
	const firstMeta, lastMeta = 128, dns.TypeANY - 1
	switch {
	case int(q.Name[0]) == upstream.ProbeLabel && r.returned != nil && r.returned(q.QName()):
		return r.fail(q, dst, wire.RCodeRefused, wire.EDE{})
	case !q.RD:
		return r.fail(q, dst, wire.RCodeRefused, wire.EDE{Code: dns.ExtendedErrorCodeNotAuthoritative})
	case q.Type == dns.TypeAXFR, q.Type == dns.TypeIXFR:
		return r.fail(q, dst, wire.RCodeRefused, wire.EDE{Code: dns.ExtendedErrorCodeNotSupported})
	case q.Type == dns.TypeOPT, firstMeta <= q.Type && q.Type <= lastMeta:
		return r.fail(q, dst, wire.RCodeNotImp, wire.EDE{Code: dns.ExtendedErrorCodeNotSupported})
	}
	return nil
}
