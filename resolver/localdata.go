package resolver

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"sinkhole/blocklist"
	"sinkhole/blocklist/format"
	"sinkhole/hits"
	"sinkhole/resolver/wire"
)

// localData answers from the records of an RPZ under the name that was asked:
// those of the type, or the CNAME and what its target resolves to; NODATA where
// the policy has neither. The target is not judged: rules are never applied to
// synthesized data. This is the uncommon case, so the library packs it.
func (r *Resolver) localData(q *request, s *settings, p *blocklist.Policy, v *blocklist.Verdict, dst []byte) ([]byte, given) {
	owner := dns.Fqdn(format.Text(q.SpelledName()))
	records, alias := r.localRecords(q, p, v, owner)
	if alias != nil && !expand(alias, owner, v) {
		return r.packed(q, dst, resolved{rcode: wire.RCodeYXDomain}, s.explain(p, v, false))
	}
	if alias == nil || q.Type == dns.TypeCNAME || q.Type == dns.TypeANY {
		if len(records) == 0 {
			return r.negative(q, s, p, v, dst, wire.RCodeNoError)
		}
		return r.packed(q, dst, resolved{answer: records}, s.explain(p, v, true))
	}
	target, failure := r.resolveTarget(q, s, alias.Target)
	if failure.Code != 0 {
		return r.fail(q, dst, wire.RCodeServFail, failure), given{}
	}
	if target.rcode != wire.RCodeNoError && target.rcode != wire.RCodeNXDomain {
		return r.fail(q, dst, target.rcode, wire.EDE{}), given{}
	}
	target.answer = append([]dns.RR{alias}, target.answer...)
	return r.packed(q, dst, target, s.explain(p, v, true))
}

// expand puts the name that the policy matched in front of a wildcard target:
// the name asked for, or the one that it led to, or the one that has the
// matched address. It reports whether the target is a name still.
func expand(alias *dns.CNAME, asked string, v *blocklist.Verdict) bool {
	rest, wildcard := strings.CutPrefix(alias.Target, "*.")
	if !wildcard {
		return true
	}
	matched := asked
	switch {
	case v.Name != nil:
		matched = dns.Fqdn(format.Text(v.Name))
	case v.Match == blocklist.MatchResponseIP && len(v.Chain) > 0:
		matched = dns.Fqdn(format.Text(lastName(v.Chain)))
	}
	alias.Target = strings.TrimPrefix(matched+rest, ".") // before the root stands nothing
	_, ok := packName(alias.Target)
	return ok
}

// lastName is the last of several wire names, one after the other.
func lastName(names []byte) []byte {
	for {
		n := wire.NameLen(names)
		if n == 0 || n == len(names) {
			return names
		}
		names = names[n:]
	}
}

// localRecords are the records of the deciding rule that answer q, and its
// CNAME, whatever q asks for, all with the given owner.
func (r *Resolver) localRecords(q *request, p *blocklist.Policy, v *blocklist.Verdict, owner string) (records []dns.RR, alias *dns.CNAME) {
	p.LocalData(v.Rule(), func(packed []byte) {
		rr, _, err := dns.UnpackRR(packed, 0)
		if err != nil {
			r.log.Error("local data unusable", zap.Error(err))
			return
		}
		rr.Header().Name = owner
		if cname, isCNAME := rr.(*dns.CNAME); isCNAME {
			alias = cname
		}
		if t := rr.Header().Rrtype; t == q.Type || q.Type == dns.TypeANY {
			records = append(records, rr)
		}
	})
	return records, alias
}

// resolved is what a name resolves to, in the library's form.
type resolved struct {
	answer, authority []dns.RR
	rcode             uint16
}

// resolveTarget asks for the type of q at another name. failure has a code if
// that brought nothing.
func (r *Resolver) resolveTarget(q *request, s *settings, name string) (found resolved, failure wire.EDE) {
	unusable := wire.EDE{Code: dns.ExtendedErrorCodeInvalidData}
	target := *q
	target.transport = hits.TCP // whole: what is too large is cut when all is together
	spelled, ok := packName(name)
	if !ok || !target.SetName(spelled) {
		return found, unusable
	}
	var m dns.Msg
	if answer := r.unforwarded(&target, s, nil); answer != nil {
		if m.Unpack(answer) != nil {
			return found, unusable
		}
		return resolved{answer: m.Answer, authority: m.Ns, rcode: uint16(m.Rcode)}, wire.EDE{}
	}
	e, failure := r.lookup(&target)
	if e == nil {
		return found, failure
	}
	if err := m.Unpack(r.cached(&target, e, nil)); err != nil || e.RCode > wire.RCodeMask {
		return found, unusable
	}
	return resolved{answer: m.Answer, authority: m.Ns, rcode: e.RCode}, wire.EDE{}
}

// packName is the wire form of a name; ok is false where it has none.
func packName(name string) (wireName []byte, ok bool) {
	buffer := make([]byte, wire.MaxName+1)
	n, err := dns.PackDomainName(name, buffer, 0, nil, false)
	return buffer[:n], err == nil && n <= wire.MaxName
}

// givenBy is the first address in an answer and its TTL, or else the TTL of the
// last record, for the hit.
func givenBy(records []dns.RR) (sink given) {
	for _, rr := range records {
		sink.ttl, sink.hasTTL = rr.Header().Ttl, true
		switch rr := rr.(type) {
		case *dns.A:
			sink.addr, _ = netip.AddrFromSlice(rr.A.To4())
			return sink
		case *dns.AAAA:
			sink.addr, _ = netip.AddrFromSlice(rr.AAAA)
			return sink
		}
	}
	return sink
}

// packed appends an answer of library records.
func (r *Resolver) packed(q *request, dst []byte, found resolved, ede wire.EDE) ([]byte, given) {
	m := dns.Msg{Compress: true, Answer: found.answer, Ns: found.authority}
	m.Question = []dns.Question{{Name: dns.Fqdn(format.Text(q.SpelledName())), Qtype: q.Type, Qclass: q.Class}}
	whole, err := m.Pack()
	if err != nil {
		r.log.Error("local data unusable", zap.Error(fmt.Errorf("packing: %w", err)))
		return r.fail(q, dst, wire.RCodeServFail, wire.EDE{}), given{}
	}
	wire.SetFlags(whole, found.rcode)
	n := counts{answers: uint16(len(found.answer)), authorities: uint16(len(found.authority))}
	return r.finish(q, q.AppendReply(dst, whole), n, found.rcode, ede), givenBy(found.answer)
}
