package resolver

import (
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"sinkhole/blocklist"
	"sinkhole/hits"
	"sinkhole/resolver/cache"
	"sinkhole/resolver/wire"
)

// RateLimit bounds the queries of one client prefix; none where PerSecond is 0.
type RateLimit struct {
	PerSecond, Burst int
	Bits4, Bits6     int // prefix lengths that count as one client
}

// The prefixes that count as one client when answers are bounded.
const responseBits4, responseBits6 = 24, 56

// limits are those in force. nil: there is no such limit.
type limits struct {
	queries, responses *limiter
	rate               RateLimit
	perSecond          int // of responses
}

// limitsOf are those of settings; what does not change keeps what it knows.
func limitsOf(s *Settings, before *limits) *limits {
	l := &limits{rate: s.RateLimit, perSecond: s.ResponsesPerSecond}
	if l.rate.PerSecond > 0 {
		if before != nil && before.rate == l.rate {
			l.queries = before.queries
		} else {
			l.queries = newLimiter(l.rate.PerSecond, l.rate.Burst)
		}
	}
	if l.perSecond > 0 {
		if before != nil && before.perSecond == l.perSecond {
			l.responses = before.responses
		} else {
			l.responses = newLimiter(l.perSecond, 0)
		}
	}
	return l
}

// overLimit tells whether a client has asked more than it may: what proves its source has
// a limit of its own, so that nobody is shut out by what others forge in his name.
// Forwarders ask for many, and have none.
func (r *Resolver) overLimit(client netip.Addr, proven bool, now time.Time) bool {
	s := r.settings.Load()
	l := s.limits.queries
	if l == nil || s.believes(client) {
		return false
	}
	key := l.client(client, s.limits.rate.Bits4, s.limits.rate.Bits6)
	if proven {
		key = ^key
	}
	return !l.take(key, now)
}

// limited answers a query over the client's limit, and records what policy found all the
// same: over UDP one in two with TC, so that a client whose address is not forged comes
// back over TCP, and the others not at all; elsewhere REFUSED.
func (r *Resolver) limited(q *request, p *blocklist.Policy, v *blocklist.Verdict, dst []byte) []byte {
	r.count.limited.Add(1)
	var answer []byte
	switch {
	case q.transport != hits.UDP:
		answer = r.fail(q, dst, wire.RCodeRefused, wire.EDE{Code: dns.ExtendedErrorCodeProhibited})
	case slips():
		answer = r.truncated(q, q.AppendResponse(dst, 0, 0), 0)
	}
	if enforced(q, v) {
		r.record(q, p, v, v.Action.String(), answer, given{})
	} else {
		r.observe(q, p, v, answer)
	}
	return answer
}

// restrain bounds alike answers to what may be forged addresses, so that nobody can be
// flooded by our answers to what others ask in his name: of those over the limit one in
// two goes out with TC, the others not at all.
func (r *Resolver) restrain(q *request, msg []byte, rcode uint16) []byte {
	l := r.settings.Load().limits.responses
	if l == nil || q.transport != hits.UDP || q.cookie.proven || l.take(l.response(q, msg, rcode), q.received) {
		return msg
	}
	r.count.restrained.Add(1)
	q.withheld = !slips()
	return r.truncated(q, msg, rcode)
}

// slips tells, by chance, of one answer in slip. Counting would have whoever asks in step
// always get the same.
func slips() bool { return rand.N(slip) == 0 }

// response is the key of an answer: whom it goes to, and what it says. What does not exist
// counts by the zone that says so: random names are one flood.
func (l *limiter) response(q *request, msg []byte, rcode uint16) uint64 {
	name := q.QName()
	if rcode == wire.RCodeNXDomain {
		var buffer [wire.MaxName]byte
		if zone := wire.AuthorityOwner(msg, &buffer); zone != nil {
			name = zone
		}
	}
	var h maphash.Hash
	h.SetSeed(l.seed)
	octets := prefixOf(q.client.Addr(), responseBits4, responseBits6)
	_, _ = h.Write(octets[:])
	_, _ = h.Write(name)
	_ = h.WriteByte(byte(rcode))
	return h.Sum64()
}

// reflects tells whether an answer is one to ANY that is worth reflecting: with records, and
// to what may be a forged address.
func (q *request) reflects(e *cache.Entry) bool {
	if q.Type != dns.TypeANY || q.transport != hits.UDP || q.cookie.proven {
		return false
	}
	records, _, _ := wire.Counts(e.Packed)
	return records > 0
}

// minimal answers ANY with one short record (RFC 8482 section 4.2). Policy has judged
// what it stands for.
func (r *Resolver) minimal(q *request, dst []byte) []byte {
	dst = wire.AppendHINFO8482(q.AppendResponse(dst, 0, 0), localTTL)
	return r.finish(q, dst, counts{answers: 1}, 0, wire.EDE{})
}
