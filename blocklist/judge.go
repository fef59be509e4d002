package blocklist

import (
	"math"
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
	// Rules are the rules that matched, each once: the deciding one first, or
	// with Observe the first in order. More counts the matches beyond MaxRules;
	// there a rule that matched at several places may count more than once.
	Rules [MaxRules]uint64
	N     uint8
	Group uint16 // number of the client's group in the policy; 0: in none
	More  uint16
	// Exempt is the rule that exempted the query; only when Decision is Allow.
	// That of an allow list is in Rules too. A PASSTHRU is not: what stands
	// there was observed by the lists before it.
	Exempt uint64
	// Name is the matched name of an answer (part of the slice that was judged)
	// and Chain what stood before it; both nil for question triggers.
	Name, Chain []byte
	Addr        netip.Addr // the matched address, for address triggers
}

// Rule is the deciding rule; only with N > 0.
func (v *Verdict) Rule() uint64 { return v.Rules[0] }

// JudgeQuestion is the first phase: client IP and QNAME. name is in lower-case
// wire form, now in Unix seconds. It allocates nothing.
func (p *Policy) JudgeQuestion(client netip.Addr, name []byte, now int64, v *Verdict) {
	var f Found
	f.matches.find(p, name)
	p.JudgeFound(client, name, &f, now, v)
}

// JudgeFound is JudgeQuestion with what FindAll has found for the name.
func (p *Policy) JudgeFound(client netip.Addr, name []byte, f *Found, now int64, v *Verdict) {
	if p.groups.table != nil || p.clients.count > 0 {
		client = client.Unmap()
		v.Group = p.groups.of(client)
	}
	named := p.clients.contains(client)
	m := &f.matches
	if m.n == 0 && !named || p.groups.mode(v.Group) == GroupOff {
		return
	}
	if m.n == 1 && !named && v.Group == 0 && !p.silencing && p.judgeOne(&m.at[0], len(name), now, v) {
		return
	}
	p.judgeAll(client, named, name, m, now, v)
}

// judgeAll weighs all that matched.
func (p *Policy) judgeAll(client netip.Addr, named bool, name []byte, m *matches, now int64, v *Verdict) {
	c := candidates{policy: p, now: now, lists: p.groups.lists(v.Group), scouting: p.silencing}
	for {
		if named {
			c.addPrefixes(&p.clients, client, rankClient, 0)
		}
		c.addNames(m, name, 0)
		if !c.scouting {
			break
		}
		c.scouting = false
	}
	c.decide(v, &exchange{client: client})
}

// judgeOne judges the usual hit: one entry with one rule. It tells whether it did.
func (p *Policy) judgeOne(m *match, length int, now int64, v *Verdict) bool {
	part, entry := p.entryAt(m.place)
	all := rules{segment: part.segment, packed: entry[m.length:], more: true}
	r := all.next()
	if all.more {
		return false
	}
	list := &p.lists[part.list]
	if !covers(r.scope, int(m.length) == length) || r.expired(list, now) {
		return true
	}
	v.Rules[0], v.N = ruleNumber(m.place, 0), 1
	switch r.action {
	case format.Log:
		v.Decision = Observe
	case format.PassThru:
		v.Decision, v.Action, v.Exempt = Allow, format.PassThru, v.Rules[0]
		if !list.Allow {
			v.Rules[0], v.N = 0, 0
		}
	default:
		v.Decision, v.Action = Enforce, r.action
	}
	return true
}

// JudgeAnswer is the second phase: the names and addresses of an upstream's
// answer. names holds lower-case wire names one after the other in the order
// of the chain, kinds one octet for each (0: CNAME or DNAME, else SVCB or
// HTTPS). An IPv4-mapped address is judged as its IPv4 address. v is the verdict
// of the first phase; it is amended. The slices must never change, since v
// refers to them. It allocates nothing.
func (p *Policy) JudgeAnswer(names, kinds []byte, addrs []netip.Addr, now int64, v *Verdict) {
	if v.Decision == Allow || v.Decision == Enforce || p.groups.mode(v.Group) == GroupOff {
		return
	}
	c := candidates{policy: p, now: now, lists: p.groups.lists(v.Group), scouting: p.silencing}
	for {
		c.addAnswer(names, addrs)
		if !c.scouting {
			break
		}
		c.scouting = false
	}
	c.decide(v, &exchange{names: names, kinds: kinds, addrs: addrs, answer: true})
}

func nameEnd(names []byte, at int) int {
	for names[at] != 0 {
		at += 1 + int(names[at])
	}
	return at + 1
}

// decide makes the matches of a phase a verdict. Rules of action log are noted
// and never decide.
func (c *candidates) decide(v *Verdict, x *exchange) {
	if !c.decided {
		c.observe(v, x)
		return
	}
	if c.decider.action != format.PassThru && c.policy.groups.mode(v.Group) == GroupObserve {
		c.keep(c.decider)
		c.observe(v, x)
		return
	}
	v.Action = c.decider.action
	if v.Action == format.PassThru {
		c.exempt(v, x)
		return
	}
	v.Decision = Enforce
	v.putFirst(c.decider.rule)
	v.locate(&c.decider, x)
	c.putOthers(v)
}

func (c *candidates) observe(v *Verdict, x *exchange) {
	if c.n == 0 {
		return
	}
	v.Decision = Observe
	if v.N == 0 {
		v.locate(&c.others[0], x)
	}
	c.putOthers(v)
}

func (c *candidates) putOthers(v *Verdict) {
	for i := range c.n {
		v.put(c.others[i].rule)
	}
	v.addMore(c.more)
}

// exempt ends the evaluation. An allow list silences every match; a PASSTHRU
// of an RPZ leaves standing what the lists before it observed.
func (c *candidates) exempt(v *Verdict, x *exchange) {
	if c.policy.ListOf(c.decider.rule).Allow {
		*v = Verdict{Action: format.PassThru, Group: v.Group}
		v.putFirst(c.decider.rule)
		v.locate(&c.decider, x)
	}
	v.Decision, v.Exempt = Allow, c.decider.rule
	for i := 0; i < c.n && c.before(&c.others[i], &c.decider); i++ {
		if v.N == 0 {
			v.locate(&c.others[i], x)
		}
		v.put(c.others[i].rule)
	}
}

// Observed tells whether the verdict is to be recorded as a hit although the
// client gets the true answer.
func (v *Verdict) Observed(p *Policy) bool {
	return v.Decision == Observe || v.Decision == Allow && v.N > 0 && !p.ListOf(v.Rule()).Allow
}

func (v *Verdict) putFirst(rule uint64) {
	copy(v.Rules[1:], v.Rules[:])
	v.Rules[0] = rule
	if v.N < MaxRules {
		v.N++
	} else {
		v.addMore(1)
	}
}

// put adds a rule unless the first phase has named it already.
func (v *Verdict) put(rule uint64) {
	for _, known := range v.Rules[:v.N] {
		if known == rule {
			return
		}
	}
	if v.N == MaxRules {
		v.addMore(1)
		return
	}
	v.Rules[v.N] = rule
	v.N++
}

func (v *Verdict) addMore(n int) {
	v.More += uint16(min(n, math.MaxUint16-int(v.More)))
}

// exchange is what one phase judges.
type exchange struct {
	client       netip.Addr
	names, kinds []byte
	addrs        []netip.Addr
	answer       bool
}

// locate notes what part of the exchange a candidate matched.
func (v *Verdict) locate(c *candidate, x *exchange) {
	v.Name, v.Chain, v.Addr = nil, nil, netip.Addr{}
	switch c.rank() {
	case rankClient:
		v.Match, v.Addr = MatchClientIP, x.client
	case rankAnswer:
		v.Match, v.Addr, v.Chain = MatchResponseIP, x.addrs[c.position].Unmap(), aliases(x.names, x.kinds)
	case rankName:
		v.Match = MatchQName
		if x.answer {
			v.locateName(c, x)
		}
	}
}

func (v *Verdict) locateName(c *candidate, x *exchange) {
	at := 0
	for range c.position {
		at = nameEnd(x.names, at)
	}
	v.Name = x.names[at:nameEnd(x.names, at)]
	v.Match, v.Chain = MatchAlias, x.names[:at]
	if x.kinds[c.position] != 0 {
		v.Match, v.Chain = MatchService, aliases(x.names[:at], x.kinds)
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
