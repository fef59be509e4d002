package hits

import (
	"net/netip"
	"slices"
	"time"
)

// The objects of a line, each in the order in which it is written.

func (e *encoder) addEvent(l *line, now time.Time) {
	action, denied := l.h.Action, !l.h.allowed()
	if l.g != nil {
		action, denied = l.g.action, l.g.denied
	}
	l.raw(`"event":{"kind":"alert","category":["network","intrusion_detection"]`)
	if denied {
		l.raw(`"type":["connection","denied"]`)
	} else {
		l.raw(`"type":["connection","allowed"]`)
	}
	l.some("action", action)
	l.raw(`"outcome":"success"`)
	e.number(l, now)
	l.raw(`"dataset":"` + DatasetHit + `"`)
	if l.g != nil {
		l.time("start", l.h.Time, &e.clock)
		l.time("end", l.g.last, &e.clock)
	}
	l.end('}')
}

// words adds an array of strings.
func (l *line) words(key string, all ...string) {
	l.array(key)
	for _, w := range all {
		l.word(w)
	}
	l.end(']')
}

func (l *line) addEndpoint(key string, a netip.AddrPort) {
	l.object(key)
	l.addAddrPort(a)
	l.end('}')
}

func (l *line) addAddrPort(a netip.AddrPort) {
	if a.Addr().IsValid() {
		l.addr("ip", a.Addr())
		l.uint("port", uint64(a.Port()))
	}
}

// observerMember is the member that tells who observed: the same in every line.
func observerMember(o *Observer) string {
	t := text("{")
	t.object("observer")
	t.some("name", o.Name)
	t.string("type", "dns-sinkhole")
	t.some("version", o.Version)
	t.end('}')
	return string(t[1:])
}

func (l *line) addNetwork() {
	l.object("network")
	l.token("transport", l.h.Transport.Network())
	l.raw(`"protocol":"dns"`)
	if l.ipv4 {
		l.raw(`"type":"ipv4"`)
	} else if l.ipv6 {
		l.raw(`"type":"ipv6"`)
	}
	l.end('}')
}

func (l *line) addDNS() {
	h := l.h
	l.object("dns")
	l.digits("id", int64(h.ID))
	l.addQuestion()
	if h.Answered {
		l.token("response_code", rcodeName(h.RCode))
		l.addHeaderFlags()
	}
	if h.Sink.IsValid() {
		l.array("resolved_ip")
		l.quotedAddr(h.Sink)
		l.end(']')
	}
	l.end('}')
}

func (l *line) addQuestion() {
	l.object("question")
	l.some("name", l.question)
	l.token("type", typeName(l.h.QType))
	l.token("class", className(l.h.QClass))
	l.some("registered_domain", registeredDomain(l.question))
	l.end('}')
}

// addHeaderFlags adds the flags that ECS has words for (RFC 1035 section 4.1.1,
// RFC 4035 section 3.2), if there are any.
func (l *line) addHeaderFlags() {
	flags := l.h.Flags
	if l.h.Truncated {
		flags |= 1 << 9
	}
	opened := false
	for _, flag := range [...]struct {
		bit  uint16
		word string
	}{{1 << 10, `"AA"`}, {1 << 9, `"TC"`}, {1 << 8, `"RD"`}, {1 << 7, `"RA"`}, {1 << 5, `"AD"`}, {1 << 4, `"CD"`}} {
		if flags&flag.bit == 0 {
			continue
		}
		if !opened {
			l.array("header_flags")
			opened = true
		}
		l.raw(flag.word)
	}
	if opened {
		l.end(']')
	}
}

func (l *line) addThreat(i *Indicator) {
	l.object("threat")
	l.object("indicator")
	l.some("type", i.Type)
	l.some("name", i.Name)
	l.some("confidence", confidenceWord(i.Confidence))
	l.someTime("first_seen", i.FirstSeen)
	l.someTime("last_seen", i.LastSeen)
	l.some("provider", i.List)
	l.some("reference", i.Reference)
	if i.TLP != "" {
		l.object("marking")
		l.string("tlp", i.TLP)
		l.end('}')
	}
	l.end('}')
	if i.List != "" {
		l.object("feed")
		l.string("name", i.List)
		l.end('}')
	}
	if i.Family != "" {
		l.object("software")
		l.string("name", i.Family)
		l.raw(`"type":"Malware"`)
		l.end('}')
	}
	l.end('}')
}

// confidenceWord is ECS's word for a confidence of 0 to 100, by the scale of
// STIX 2.1, appendix A ("None/Low/Med/High"); "" for an unknown one.
func confidenceWord(c int) string {
	switch {
	case c < 0:
		return ""
	case c == 0:
		return "None"
	case c < 30:
		return "Low"
	case c < 70:
		return "Medium"
	}
	return "High"
}

func (l *line) addSinkhole() {
	h := l.h
	observed, proven := h.Observe, h.SourceProven
	if l.g != nil {
		observed, proven = !l.g.enforced, l.g.proven
	}
	l.object("sinkhole")
	l.digits("time_unix_ns", h.Time.UnixNano())
	l.token("transport", h.Transport.String())
	if !l.byClient() {
		l.addMatch()
	}
	l.addIndicators()
	if !l.byClient() {
		if h.Sink.IsValid() {
			l.addr("address", h.Sink)
		}
		if h.HasTTL {
			l.uint("ttl", uint64(h.TTL))
		}
	}
	l.bool("source_proven", proven)
	if h.peer().IsValid() {
		l.addPeer()
	}
	l.addIdentity()
	if observed {
		l.raw(`"mode":"observe"`)
	} else {
		l.raw(`"mode":"enforce"`)
	}
	l.some("group", h.Group)
	if l.g == nil {
		l.raw(`"count":1`)
	} else {
		l.addMerged()
	}
	l.end('}')
}

// addMatch adds what matched and how.
func (l *line) addMatch() {
	h := l.h
	l.token("trigger", h.Trigger.String())
	if len(l.indicators) > 0 {
		l.some("scope", l.indicators[0].Scope)
	}
	switch {
	case h.Matched.IsValid():
		l.addr("value", h.Matched)
	case h.Value != nil:
		l.wireName("value", h.Value)
	case h.Trigger == TriggerClientIP:
		l.addr("value", h.Client.Addr())
	default:
		l.some("value", l.question)
	}
	if len(h.Chain) > 0 {
		l.array("chain")
		for rest := h.Chain; len(rest) > 0; {
			rest = l.nameWord(rest)
		}
		l.end(']')
	}
}

// addIndicators adds the matched indicators: what each list says. The deciding
// one stands under threat; all stand here only if there are several.
func (l *line) addIndicators() {
	l.gather()
	l.addFamilies()
	if l.byClient() {
		return
	}
	more := int(l.h.MoreRules)
	if l.g != nil {
		more = l.g.moreRules
	}
	if more > 0 {
		l.int("more_rules", int64(more))
	}
	if len(l.indicators) > 0 {
		if c := l.indicators[0].Confidence; c >= 0 {
			l.int("confidence", int64(c))
		}
		l.someTime("expires", l.indicators[0].Expires)
	}
}

// addFamilies adds what was gathered, and all indicators if there are several.
func (l *line) addFamilies() {
	if len(l.families) > 0 {
		l.words("families", l.families...)
	}
	if len(l.lists) > 0 {
		l.array("lists")
		for _, i := range l.lists {
			l.addList(i)
		}
		l.end(']')
	}
	if len(l.indicators) > 1 || l.byClient() && len(l.indicators) > 0 {
		l.array("indicators")
		for i := range l.indicators {
			l.addIndicator(&l.indicators[i])
		}
		l.end(']')
	}
}

// gather finds the families and the list entries among the indicators, each once.
func (l *line) gather() {
	l.families, l.lists = l.families[:0], l.lists[:0]
	for i := range l.indicators {
		ind := &l.indicators[i]
		if ind.Family != "" && !slices.Contains(l.families, ind.Family) {
			l.families = append(l.families, ind.Family)
		}
		if ind.List != "" && !slices.ContainsFunc(l.lists, func(o *Indicator) bool {
			return o.List == ind.List && o.File == ind.File && o.Line == ind.Line
		}) {
			l.lists = append(l.lists, ind)
		}
	}
}

func (l *line) addList(i *Indicator) {
	l.element()
	l.string("name", i.List)
	l.some("version", i.ListVersion)
	l.some("file", i.File)
	if i.Line > 0 {
		l.int("line", int64(i.Line))
	}
	l.end('}')
}

func (l *line) addIndicator(i *Indicator) {
	l.element()
	l.some("type", i.Type)
	l.some("name", i.Name)
	l.some("scope", i.Scope)
	l.some("action", i.Action)
	l.some("list", i.List)
	if i.Line > 0 {
		l.int("line", int64(i.Line))
	}
	l.some("family", i.Family)
	if i.Confidence >= 0 {
		l.int("confidence", int64(i.Confidence))
	}
	l.some("reference", i.Reference)
	l.some("tlp", i.TLP)
	l.someTime("first_seen", i.FirstSeen)
	l.someTime("last_seen", i.LastSeen)
	l.someTime("expires", i.Expires)
	l.end('}')
}

// addMerged adds what a line says that stands for several hits.
func (l *line) addMerged() {
	g := l.g
	l.uint("count", g.count)
	l.string("merged", g.kind)
	l.digits("last_unix_ns", g.last.UnixNano())
	if len(g.ports) > 0 {
		l.array("ports")
		for _, port := range g.ports {
			l.numeral(uint64(port))
		}
		l.end(']')
	}
	if g.portsTruncated {
		l.bool("ports_truncated", true)
	}
	if g.kind == MergedClient {
		l.int("indicators_distinct", int64(g.distinct))
		if g.atLeast {
			l.bool("indicators_at_least", true)
		}
	}
}

func (e *encoder) addOwnEvent(l *line, r *ownRecord, now time.Time) {
	l.object("event")
	l.string("kind", "event")
	l.words("category", "process")
	l.words("type", r.kind)
	l.string("action", r.action)
	l.string("outcome", r.outcome)
	e.number(l, now)
	l.string("dataset", DatasetJournal)
	l.end('}')
}

func (l *line) addOwn(r *ownRecord) {
	l.object("sinkhole")
	if r.lost.hits > 0 {
		l.uint("lost", r.lost.hits)
	}
	if r.lost.connections > 0 {
		l.uint("lost_connections", r.lost.connections)
	}
	l.some("previous_stop", r.previousStop)
	if r.tornBytes > 0 {
		l.int("torn_bytes", r.tornBytes)
	}
	if a := r.accounting; a != nil {
		l.object("journal")
		l.uint("verdicts", a.Verdicts)
		l.uint("journaled", a.Journaled)
		l.uint("queued", a.Queued)
		l.uint("lost", a.Lost)
		l.uint("lost_queue_full", a.LostQueueFull)
		l.uint("lost_closed", a.LostClosed)
		l.uint("lost_clients", a.LostClients)
		l.uint("lost_write", a.LostWrite)
		l.uint("connections", a.Connections)
		l.uint("connections_journaled", a.ConnectionsJournaled)
		l.uint("connections_queued", a.ConnectionsQueued)
		l.uint("connections_lost", a.ConnectionsLost)
		l.end('}')
	}
	l.end('}')
}
