package resolver

import (
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/cache"
	"sinkhole/resolver/wire"
)

// denied gives what the cache has of an upstream to say that the name of q, or one
// above it, does not exist: then there is nothing to ask for (RFC 8020, RFC 2308
// section 5); nil where there is no such thing. The answer is made by cut.
func (r *Resolver) denied(q *request, key []byte, now int64) *cache.Entry {
	if !r.cuts {
		return nil
	}
	e := r.cache.Denied(key, now)
	if e != nil && r.apart(q.QName(), e) {
		e = nil
	}
	if q.below = e != nil; q.below && !q.atOnce { // else it is left to whoever answers
		r.count.cuts.Add(1)
	}
	return e
}

// apart tells whether a name lies in a zone with servers of its own, and the answer
// comes from those of a zone above it, who cannot know.
func (r *Resolver) apart(name []byte, above *cache.Entry) bool {
	found := r.zones.find(name)
	if found.kind != forwarded {
		return false
	}
	denied, _, _, _, _, _ := above.Question()
	return len(name)-found.at > len(denied)
}

// cut appends the answer to q out of one that denies a name which that of q ends in.
func (r *Resolver) cut(q *request, e *cache.Entry, dst []byte) []byte {
	aged := uint32(max(0, q.received.UnixNano()-e.Stored) / int64(time.Second))
	msg, ok := q.AppendBelow(dst, e.Packed, int(e.QuestionEnd), aged)
	if !ok {
		return r.fail(q, dst, wire.RCodeServFail, wire.EDE{})
	}
	var n counts
	n.answers, n.authorities, n.additionals = wire.Counts(e.Packed)
	return r.finish(q, msg, n, e.RCode, wire.EDE{Code: dns.ExtendedErrorCodeSynthesized})
}
