package resolver

import (
	"net/netip"

	"sinkhole/blocklist"
	"sinkhole/blocklist/format"
	"sinkhole/hits"
	"sinkhole/resolver/wire"
)

// evidence lets a hit speak of the rules of the policy that judged it. One
// pointer wide, it becomes a hits.Evidence without an allocation.
type evidence struct{ policy *blocklist.Policy }

func (e evidence) Indicator(rule uint64) hits.Indicator {
	i := e.policy.Indicator(rule)
	return hits.Indicator{
		Type: indicatorType(&i), Name: i.Value(), Scope: scopeWord(&i), Action: i.Action.String(),
		List: i.List, ListVersion: i.Version, File: i.File, Line: i.Line,
		Family: i.Family, Confidence: i.Confidence, Reference: i.Reference, TLP: i.TLP,
		FirstSeen: i.FirstSeen, LastSeen: i.LastSeen, Expires: i.Expires,
	}
}

// Indicator is a rule of a policy as hits tell of it.
func Indicator(p *blocklist.Policy, rule uint64) hits.Indicator { return evidence{p}.Indicator(rule) }

// indicatorType is the STIX object type of an indicator.
func indicatorType(i *blocklist.Indicator) string {
	switch {
	case i.Trigger == format.QName:
		return "domain-name"
	case i.Prefix.Addr().Is4():
		return "ipv4-addr"
	}
	return "ipv6-addr"
}

func scopeWord(i *blocklist.Indicator) string {
	switch {
	case i.Trigger != format.QName:
		return "prefix"
	case i.Scope == format.Exact:
		return "exact"
	case i.Scope == format.Below:
		return "below"
	}
	return "subtree"
}

// record turns a verdict into a hit and hands it to the journal's queue. answer
// is what the client gets, nil if nothing; sink is what was synthesized of it.
func (r *Resolver) record(q *request, p *blocklist.Policy, v *blocklist.Verdict, action string, answer []byte, sink given) {
	h := hits.Hit{
		Time: q.received, Client: q.client, Group: p.GroupName(v), Server: q.server, Transport: q.transport, SourceProven: (q.transport != hits.UDP || q.cookie.proven) && !q.forgeable,
		QNameLen: q.NameLen, QType: q.Type, QClass: q.Class, ID: q.ID,
		Trigger: triggerOf(v.Match), Value: v.Name, Matched: v.Addr, Chain: v.Chain,
		NRules: v.N, MoreRules: v.More, Evidence: evidence{p},
		Observe: v.Decision != blocklist.Enforce, Satisfied: v.Decision == blocklist.Enforce && !enforced(q, v),
		Action: action, Sink: sink.addr, TTL: sink.ttl, HasTTL: sink.hasTTL,
	}
	r.attribute(&h, q)
	copy(h.QName[:], q.QName())
	copy(h.Rules[:], v.Rules[:v.N])
	if answer != nil && !q.withheld {
		h.Answered = true
		h.Flags = wire.Flags(answer)
		h.RCode = h.Flags & wire.RCodeMask
		if h.Truncated = h.Flags&wire.TC != 0; h.Truncated {
			h.Sink, h.TTL, h.HasTTL = netip.Addr{}, 0, false // cut off: the client has none yet
		}
	}
	q.queue.Record(&h)
}

func triggerOf(m blocklist.MatchKind) hits.Trigger {
	switch m {
	case blocklist.MatchClientIP:
		return hits.TriggerClientIP
	case blocklist.MatchAlias:
		return hits.TriggerCNAME
	case blocklist.MatchService:
		return hits.TriggerSVCB
	case blocklist.MatchResponseIP:
		return hits.TriggerResponseIP
	}
	return hits.TriggerQName
}
