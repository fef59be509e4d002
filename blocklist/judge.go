package blocklist

import (
	"net/netip"

	"sinkhole/blocklist/format"
)

// Decision is what the policy says about a query.
type Decision uint8

const (
	None    Decision = iota // nothing matched
	Observe                 // only rules of action log matched: the query goes on
	Allow                   // exempt: an allow entry or an RPZ PASSTHRU decided
	Enforce                 // Verdict.Rule decides what the client gets
)

// MatchKind is the part of the exchange that the deciding rule matched.
type MatchKind uint8

const (
	MatchQName MatchKind = iota
	MatchClientIP
	MatchAlias   // a CNAME or DNAME target
	MatchService // a SVCB or HTTPS target
	MatchResponseIP
)

// MaxRules bounds the rules that a verdict names.
const MaxRules = 16

// Verdict is what the policy found about one query, phase by phase. The zero
// value is a fresh one.
type Verdict struct {
	Decision Decision
	Action   format.Action // of the deciding rule, never Unstated or Log when Decision is Enforce
	Match    MatchKind
	// Rules are the rules that matched, the deciding one first, or with
	// Observe the first in order; More counts those beyond MaxRules.
	Rules [MaxRules]uint32
	N     uint8
	More  uint16
	// Name is the matched name of an answer (part of the slice that was judged)
	// and Chain what stood before it; both nil for question triggers.
	Name, Chain []byte
	Addr        netip.Addr // the matched address, for address triggers
}

// Rule is the deciding rule; only with N > 0.
func (v *Verdict) Rule() uint32 { return v.Rules[0] }

// JudgeQuestion is the first phase: client IP and QNAME. name is in lower-case
// wire form, now in Unix seconds. It allocates nothing.
func (p *Policy) JudgeQuestion(client netip.Addr, name []byte, now int64, v *Verdict) {
	var c candidates
	p.matchName(&c, name, 0, now)
	if p.clients.contains(client) {
		c.addPrefixes(p, &p.clients, client, rankClient, 0, now)
	}
	if c.n > 0 {
		p.decide(&c, v, nil, nil, nil, client)
	}
}

// JudgeAnswer is the second phase: the names and addresses of an upstream's
// answer. names holds lower-case wire names one after the other in the order
// of the chain, kinds one octet for each (0: CNAME or DNAME, else SVCB or
// HTTPS). v is the verdict of the first phase; it is amended. The slices must
// never change, since v refers to them. It allocates nothing.
func (p *Policy) JudgeAnswer(names, kinds []byte, addrs []netip.Addr, now int64, v *Verdict) {
	if v.Decision == Allow || v.Decision == Enforce {
		return
	}
	var c candidates
	for at, i := 0, 0; at < len(names); i++ {
		end := nameEnd(names, at)
		p.matchName(&c, names[at:end], i, now)
		at = end
	}
	for i, addr := range addrs {
		if p.answers.contains(addr) {
			c.addPrefixes(p, &p.answers, addr, rankAnswer, i, now)
		}
	}
	if c.n > 0 {
		p.decide(&c, v, names, kinds, addrs, netip.Addr{})
	}
}

func nameEnd(names []byte, at int) int {
	for names[at] != 0 {
		at += 1 + int(names[at])
	}
	return at + 1
}

// matchName collects the rules on a name and on the names above it. position
// is the name's place in the chain.
func (p *Policy) matchName(c *candidates, name []byte, position int, now int64) {
	for at := 0; ; at += 1 + int(name[at]) {
		if entry, found := p.names.find(name[at:]); found {
			first, n := p.names.rules(entry)
			for i := first; i < first+n; i++ {
				if p.rules[i].kind.covers(at == 0) {
					c.add(p, i, rankName, position, len(name)-at, now)
				}
			}
		}
		if name[at] == 0 {
			return
		}
	}
}

// decide walks the candidates in order of precedence. Rules of action log are
// noted and passed over; the first other one decides.
func (p *Policy) decide(c *candidates, v *Verdict, names, kinds []byte, addrs []netip.Addr, client netip.Addr) {
	decider := -1
	for i := range c.n {
		if p.rules[c.list[i].rule].action != format.Log {
			decider = i
			break
		}
	}
	if decider >= 0 && p.rules[c.list[decider].rule].action == format.PassThru {
		p.exempt(c, decider, v, names, kinds, addrs, client)
		return
	}
	lead := max(decider, 0)
	if decider >= 0 {
		v.Decision, v.Action = Enforce, p.rules[c.list[decider].rule].action
		v.putFirst(c.list[decider].rule)
	} else {
		v.Decision = Observe
	}
	if decider >= 0 || v.N == 0 {
		v.locate(&c.list[lead], names, kinds, addrs, client)
	}
	for i := range c.n {
		r := c.list[i].rule
		if i != decider && p.rules[r].action != format.PassThru {
			v.put(r)
		}
	}
	v.More += uint16(min(c.more, 1<<16-1-int(v.More)))
}

// exempt ends the evaluation. An allow list silences every match; a PASSTHRU
// of an RPZ leaves standing what the lists before it observed.
func (p *Policy) exempt(c *candidates, decider int, v *Verdict, names, kinds []byte, addrs []netip.Addr, client netip.Addr) {
	v.Decision = Allow
	if p.ListOf(c.list[decider].rule).Allow {
		*v = Verdict{Decision: Allow, Action: format.PassThru}
		v.putFirst(c.list[decider].rule)
		return
	}
	v.Action = format.PassThru
	for i := range decider {
		if v.N == 0 {
			v.locate(&c.list[i], names, kinds, addrs, client)
		}
		v.put(c.list[i].rule)
	}
}

// Observed tells whether the verdict is to be recorded as a hit although the
// client gets the true answer.
func (v *Verdict) Observed(p *Policy) bool {
	return v.Decision == Observe || v.Decision == Allow && v.N > 0 && !p.ListOf(v.Rule()).Allow
}

func (v *Verdict) putFirst(rule uint32) {
	copy(v.Rules[1:], v.Rules[:])
	v.Rules[0] = rule
	if v.N < MaxRules {
		v.N++
	} else {
		v.More++
	}
}

func (v *Verdict) put(rule uint32) {
	if v.N == MaxRules {
		v.More++
		return
	}
	v.Rules[v.N] = rule
	v.N++
}

// locate notes what part of the exchange a candidate matched.
func (v *Verdict) locate(c *candidate, names, kinds []byte, addrs []netip.Addr, client netip.Addr) {
	v.Name, v.Chain, v.Addr = nil, nil, netip.Addr{}
	switch c.rank() {
	case rankClient:
		v.Match, v.Addr = MatchClientIP, client
	case rankAnswer:
		v.Match, v.Addr, v.Chain = MatchResponseIP, addrs[c.position], aliases(names, kinds)
	case rankName:
		v.Match = MatchQName
		if names == nil {
			return
		}
		at := 0
		for range c.position {
			at = nameEnd(names, at)
		}
		v.Name, v.Chain = names[at:nameEnd(names, at)], names[:at]
		v.Match = MatchAlias
		if kinds[c.position] != 0 {
			v.Match, v.Chain = MatchService, aliases(names[:at], kinds)
		}
	}
}

// aliases is the leading part of names that is CNAME and DNAME targets.
func aliases(names, kinds []byte) []byte {
	at := 0
	for i := 0; at < len(names) && kinds[i] == 0; i++ {
		at = nameEnd(names, at)
	}
	return names[:at]
}
