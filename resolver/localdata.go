package resolver

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"sinkhole/blocklist"
	"sinkhole/blocklist/format"
	"sinkhole/resolver/wire"
)

// localData answers from the records of an RPZ under the name that was asked:
// those of the type, or the CNAME and what its target resolves to; NODATA where
// the policy has neither. The target is not judged: rules are never applied to
// synthesized data. This is the uncommon case, so the library packs it.
func (r *Resolver) localData(q *request, s *settings, p *blocklist.Policy, v *blocklist.Verdict, dst []byte) []byte {
	var records []dns.RR
	var alias *dns.CNAME
	owner := dns.Fqdn(format.Text(q.SpelledName()))
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
	if alias == nil || q.Type == dns.TypeCNAME || q.Type == dns.TypeANY {
		if len(records) == 0 {
			return r.negative(q, s, p, v, dst, wire.RCodeNoError)
		}
		return r.packed(q, dst, records, wire.RCodeNoError, s.explain(p, v, true))
	}
	if rest, wildcard := strings.CutPrefix(alias.Target, "*."); wildcard {
		alias.Target = owner + rest
		if _, err := dns.PackDomainName(alias.Target, make([]byte, wire.MaxName+1), 0, nil, false); err != nil {
			return r.packed(q, dst, nil, wire.RCodeYXDomain, s.explain(p, v, false))
		}
	}
	target, rcode := r.resolveTarget(q, alias.Target)
	return r.packed(q, dst, append([]dns.RR{alias}, target...), rcode, s.explain(p, v, true))
}

// resolveTarget asks for the type of q at another name.
func (r *Resolver) resolveTarget(q *request, name string) ([]dns.RR, uint16) {
	target := *q
	var spelled [wire.MaxName + 1]byte
	n, err := dns.PackDomainName(name, spelled[:], 0, nil, false)
	if err != nil || !target.SetName(spelled[:n]) {
		return nil, wire.RCodeServFail
	}
	e, _ := r.lookup(&target)
	if e == nil {
		return nil, wire.RCodeServFail
	}
	var m dns.Msg
	if err := m.Unpack(r.cached(&target, e, nil)); err != nil {
		return nil, wire.RCodeServFail
	}
	return m.Answer, uint16(m.Rcode) & wire.RCodeMask
}

// packed appends an answer of library records.
func (r *Resolver) packed(q *request, dst []byte, answer []dns.RR, rcode uint16, ede *wire.EDE) []byte {
	m := dns.Msg{Compress: true, Answer: answer}
	m.Question = []dns.Question{{Name: dns.Fqdn(format.Text(q.SpelledName())), Qtype: q.Type, Qclass: q.Class}}
	whole, err := m.Pack()
	if err != nil {
		r.log.Error("local data unusable", zap.Error(fmt.Errorf("packing: %w", err)))
		return r.fail(q, dst, wire.RCodeServFail, nil)
	}
	wire.SetFlags(whole, rcode)
	return r.finish(q, q.AppendReply(dst, whole), counts{answers: uint16(len(answer))}, rcode, ede)
}
