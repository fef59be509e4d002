package blocklist

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sinkhole/blocklist/format"
)

// model is the policy as the design words it, with slices, strings and loops
// only: slow, and plain enough to be checked by reading. Allow lists stand
// first.
type model []modelList

type modelList struct {
	spec    Spec
	entries []modelEntry
	inForce []modelEntry // what is left of them, by judge
}

// modelEntry is an indicator with its name as text, "" for the root.
type modelEntry struct {
	name string
	format.Indicator
}

// modelMatch is an entry that matched, and where.
type modelMatch struct {
	list, entry int
	modelEntry
	rank     int
	position int // of the name in the chain
	at       int // of the name or address in the answer
}

// modelName is a name of an answer.
type modelName struct {
	name    string
	service bool
}

// modelVerdict is what a [Verdict] says, with rules as "list:line".
type modelVerdict struct {
	decision Decision
	action   format.Action
	exempt   string
	rules    []string
	match    MatchKind
	name     string
	chain    []string
	addr     netip.Addr
}

// judge finds what the list says after confidence, action and repetitions.
func (l *modelList) judge() {
	var all []modelEntry
	said := map[string]bool{}
	onTrigger := map[string]int{}
	for _, e := range l.entries {
		if e.Confidence < 0 && l.spec.Confidence > 0 {
			e.Confidence = l.spec.Confidence
		}
		if e.FromURL && (e.Confidence < 0 || e.Confidence > 50) {
			e.Confidence = 50
		}
		seen := e.LastSeen
		if seen.IsZero() {
			seen = e.FirstSeen
		}
		if aged := seen.Add(l.spec.Expires); l.spec.Expires > 0 && !seen.IsZero() && (e.Expires.IsZero() || aged.Before(e.Expires)) {
			e.Expires = aged
		}
		if e.Confidence >= 0 && e.Confidence < l.spec.MinConfidence {
			continue
		}
		if e.Family == "" {
			e.Family = l.spec.Family
		}
		switch {
		case l.spec.Allow || e.Action == format.PassThru:
			e.Action = format.PassThru
		case l.spec.Action != format.Unstated:
			e.Action = l.spec.Action
		case e.Action == format.Unstated:
			e.Action = format.Sinkhole
		}
		if e.Action != format.LocalData {
			e.Data = nil
		}
		trigger := fmt.Sprint(e.Trigger, e.name, e.Prefix)
		entry := fmt.Sprint(trigger, e.Scope, e.Precedence, e.Action, e.Family, e.Reference, e.TLP, e.Confidence, e.FirstSeen, e.LastSeen, e.Expires, e.Data)
		if said[entry] || onTrigger[trigger] == maxRulesPerList {
			continue
		}
		said[entry] = true
		onTrigger[trigger]++
		all = append(all, e)
	}
	l.inForce = all
}

// covers tells whether a name entry covers a name.
func (e *modelEntry) covers(name string) bool {
	same := e.name == name
	below := strings.HasSuffix(name, "."+e.name) || e.name == "" && name != ""
	switch e.Scope {
	case format.Exact:
		return same
	case format.Below:
		return below
	}
	return same || below
}

// modelGroup is the group of one client, as configured; nil: in none.
type modelGroup = *Group

// groupOf is the first group that a client is in.
func groupOf(all []Group, client netip.Addr) modelGroup {
	for i, g := range all {
		for _, prefix := range g.Clients {
			if client.IsValid() && prefix.Contains(client.Unmap()) {
				return &all[i]
			}
		}
	}
	return nil
}

// holds tells whether a list holds for the clients of a group.
func holds(g modelGroup, s *Spec) bool {
	return g == nil || g.Mode != GroupOff && (len(g.Lists) == 0 || s.Allow || slices.Contains(g.Lists, s.Name))
}

func (m model) question(g modelGroup, client netip.Addr, name string, now int64) modelVerdict {
	var found []modelMatch
	for i := range m {
		if !holds(g, &m[i].spec) {
			continue
		}
		for j, e := range m[i].inForce {
			if !e.Expires.IsZero() && e.Expires.Unix() <= now {
				continue
			}
			switch {
			case e.Trigger == format.ClientIP && client.IsValid() && e.Prefix.Contains(client.Unmap()):
				found = append(found, modelMatch{list: i, entry: j, modelEntry: e, rank: 1})
			case e.Trigger == format.QName && e.covers(name):
				found = append(found, modelMatch{list: i, entry: j, modelEntry: e, rank: 2})
			}
		}
	}
	return m.decide(g, found, modelVerdict{}, func(v *modelVerdict, by modelMatch) {
		if v.match = MatchQName; by.rank == 1 {
			v.match, v.addr = MatchClientIP, client.Unmap()
		}
	})
}

func (m model) answer(g modelGroup, first modelVerdict, names []modelName, addrs []netip.Addr, now int64) modelVerdict {
	if first.decision == Allow || first.decision == Enforce {
		return first
	}
	var found []modelMatch
	for i := range m {
		if !holds(g, &m[i].spec) {
			continue
		}
		for j, e := range m[i].inForce {
			if !e.Expires.IsZero() && e.Expires.Unix() <= now {
				continue
			}
			switch e.Trigger {
			case format.QName:
				for at, n := range names {
					if e.covers(n.name) {
						found = append(found, modelMatch{list: i, entry: j, modelEntry: e, rank: 2, position: at, at: at})
					}
				}
			case format.ResponseIP:
				for at, addr := range addrs {
					if e.Prefix.Contains(addr.Unmap()) {
						found = append(found, modelMatch{list: i, entry: j, modelEntry: e, rank: 3, at: at})
					}
				}
			}
		}
	}
	return m.decide(g, found, first, func(v *modelVerdict, by modelMatch) {
		before := names
		if by.rank == 2 {
			before = names[:by.at]
		}
		for _, n := range before {
			if n.service {
				break
			}
			v.chain = append(v.chain, n.name)
		}
		switch {
		case by.rank == 3:
			v.match, v.addr = MatchResponseIP, addrs[by.at].Unmap()
		case names[by.at].service:
			v.match, v.name = MatchService, names[by.at].name
		default:
			v.match, v.name = MatchAlias, names[by.at].name
			v.chain = nil
			for _, n := range before {
				v.chain = append(v.chain, n.name)
			}
		}
	})
}

// settle leaves out the exceptions of lists that only observe, and what of their
// lists comes after them.
func (m model) settle(found []modelMatch) (left []modelMatch) {
	silent := map[int]bool{}
	for _, f := range found {
		s := &m[f.list].spec
		if !s.Allow && s.Action == format.Log && f.Action == format.PassThru {
			silent[f.list] = true
		}
		if !silent[f.list] {
			left = append(left, f)
		}
	}
	return left
}

// decide orders the matches; the first that does not only log decides.
func (m model) decide(g modelGroup, found []modelMatch, v modelVerdict, locate func(*modelVerdict, modelMatch)) modelVerdict {
	slices.SortStableFunc(found, modelOrder)
	found = m.settle(found)
	rule := func(f modelMatch) string { return fmt.Sprintf("%s:%d", m[f.list].spec.Name, f.Line) }
	name := func(f modelMatch) {
		if !slices.Contains(v.rules, rule(f)) {
			v.rules = append(v.rules, rule(f))
		}
	}
	put := func(f modelMatch) {
		if len(v.rules) == 0 {
			locate(&v, f)
		}
		name(f)
	}

	decider := slices.IndexFunc(found, func(f modelMatch) bool { return f.Action != format.Log })
	switch {
	case len(found) == 0:
	case decider < 0:
		v.decision = Observe
		for _, f := range found {
			put(f)
		}
	case m[found[decider].list].spec.Allow:
		f := found[decider]
		v = modelVerdict{decision: Allow, action: format.PassThru, exempt: rule(f)}
		put(f)
	case found[decider].Action == format.PassThru:
		v.decision, v.action, v.exempt = Allow, format.PassThru, rule(found[decider])
		for _, f := range found[:decider] {
			put(f)
		}
	case g != nil && g.Mode == GroupObserve:
		v.decision = Observe
		for _, f := range found {
			if f.Action != format.PassThru {
				put(f)
			}
		}
	default:
		f := found[decider]
		v.decision, v.action = Enforce, f.Action
		v.rules = append([]string{rule(f)}, v.rules...)
		v.name, v.chain, v.addr = "", nil, netip.Addr{}
		locate(&v, f)
		for _, f := range found {
			if f.Action != format.PassThru {
				name(f)
			}
		}
	}
	return v
}

// modelOrder is the order of lists, then RPZ's: client IP before QNAME before
// response IP; position in the chain; precedence; the most specific name, exact before the
// rest; the longest prefix, the smaller address; the order of the list.
func modelOrder(a, b modelMatch) int {
	labels := func(name string) int { return len(strings.Split("."+name, ".")) }
	if d := a.list - b.list; d != 0 {
		return d
	}
	if d := a.rank - b.rank; d != 0 {
		return d
	}
	if d := a.position - b.position; d != 0 {
		return d
	}
	if d := int(a.Precedence) - int(b.Precedence); d != 0 {
		return d
	}
	if a.Trigger == format.QName {
		if a.name != b.name {
			// Both cover one name, so one is below the other; the root has no label.
			if a.name == "" || b.name == "" {
				return len(b.name) - len(a.name)
			}
			return labels(b.name) - labels(a.name)
		}
		if (a.Scope == format.Exact) != (b.Scope == format.Exact) {
			if a.Scope == format.Exact {
				return -1
			}
			return 1
		}
		return a.entry - b.entry
	}
	if d := hostBits(a.Prefix) - hostBits(b.Prefix); d != 0 {
		return d
	}
	if d := a.Prefix.Addr().Compare(b.Prefix.Addr()); d != 0 {
		return d
	}
	return a.entry - b.entry
}

func hostBits(p netip.Prefix) int { return p.Addr().BitLen() - p.Bits() }
