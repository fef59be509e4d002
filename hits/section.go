package hits

import (
	"net/netip"
	"slices"
	"strconv"

	"go.uber.org/zap/zapcore"
)

// The objects of a line, each in the order in which it is written.

type ecsSection line

func (*ecsSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("version", ecsVersion)
	return nil
}

type eventSection line

func (s *eventSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	action, denied := s.h.Action, !s.h.allowed()
	if s.g != nil {
		action, denied = s.g.action, s.g.denied
	}
	kind := words{"connection", "allowed"}
	if denied {
		kind[1] = "denied"
	}
	enc.AddString("kind", "alert")
	addArray(enc, "category", words{"network", "intrusion_detection"})
	addArray(enc, "type", kind)
	addString(enc, "action", action)
	enc.AddString("outcome", "success")
	enc.AddString("id", s.id)
	enc.AddUint64("sequence", s.sequence)
	enc.AddString("dataset", DatasetHit)
	if s.g != nil {
		enc.AddString("start", formatTime(s.h.Time))
		enc.AddString("end", formatTime(s.g.last))
	}
	return nil
}

type clientSection line

func (s *clientSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	addEndpoint(enc, s.h.Client)
	return nil
}

type serverSection line

func (s *serverSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	addEndpoint(enc, s.h.Server)
	return nil
}

type observerSection line

func (s *observerSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	addString(enc, "name", s.observer.Name)
	enc.AddString("type", "dns-sinkhole")
	addString(enc, "version", s.observer.Version)
	return nil
}

type networkSection line

func (s *networkSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("transport", s.h.Transport.Network())
	enc.AddString("protocol", "dns")
	if a := s.h.Client.Addr().Unmap(); a.Is4() {
		enc.AddString("type", "ipv4")
	} else if a.Is6() {
		enc.AddString("type", "ipv6")
	}
	return nil
}

type dnsSection line

func (s *dnsSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("id", strconv.Itoa(int(s.h.ID)))
	addObject(enc, "question", (*questionSection)(s))
	if s.h.Answered {
		enc.AddString("response_code", rcodeName(s.h.RCode))
		if f := headerFlags(s.h); len(f) > 0 {
			addArray(enc, "header_flags", f)
		}
	}
	if s.h.Sink.IsValid() {
		addArray(enc, "resolved_ip", words{s.h.Sink.String()})
	}
	return nil
}

type questionSection line

func (s *questionSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	addString(enc, "name", s.question)
	enc.AddString("type", typeName(s.h.QType))
	enc.AddString("class", className(s.h.QClass))
	addString(enc, "registered_domain", registeredDomain(s.question))
	return nil
}

// headerFlags are the flags that ECS has words for (RFC 1035 section 4.1.1, RFC
// 4035 section 3.2).
func headerFlags(h *Hit) words {
	var f words
	for _, flag := range [...]struct {
		bit  uint16
		word string
	}{{1 << 10, "AA"}, {1 << 9, "TC"}, {1 << 8, "RD"}, {1 << 7, "RA"}, {1 << 5, "AD"}, {1 << 4, "CD"}} {
		if h.Flags&flag.bit != 0 || flag.word == "TC" && h.Truncated {
			f = append(f, flag.word)
		}
	}
	return f
}

type threatSection line

func (s *threatSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	if len(s.indicators) > 0 {
		addObject(enc, "threat", (*threatObject)(&s.indicators[0]))
	}
	return nil
}

type threatObject Indicator

func (ind *threatObject) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	addObject(enc, "indicator", (*threatIndicator)(ind))
	addPair(enc, "feed", "name", ind.List)
	if ind.Family != "" {
		addObject(enc, "software", softwareSection(ind.Family))
	}
	return nil
}

type threatIndicator Indicator

func (i *threatIndicator) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	addString(enc, "type", i.Type)
	addString(enc, "name", i.Name)
	addString(enc, "confidence", confidenceWord(i.Confidence))
	addTime(enc, "first_seen", i.FirstSeen)
	addTime(enc, "last_seen", i.LastSeen)
	addString(enc, "provider", i.List)
	addString(enc, "reference", i.Reference)
	addPair(enc, "marking", "tlp", i.TLP)
	return nil
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

type softwareSection string

func (s softwareSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("name", string(s))
	enc.AddString("type", "Malware")
	return nil
}

type sinkholeSection line

func (s *sinkholeSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	h := s.h
	byClient := s.g != nil && s.g.kind == MergedClient
	observed, proven := h.Observe, h.SourceProven
	if s.g != nil {
		observed, proven = !s.g.enforced, s.g.proven
	}
	enc.AddString("time_unix_ns", strconv.FormatInt(h.Time.UnixNano(), 10))
	enc.AddString("transport", h.Transport.String())
	if !byClient {
		s.addMatch(enc)
	}
	s.addIndicators(enc, byClient)
	if !byClient {
		if h.Sink.IsValid() {
			enc.AddString("address", h.Sink.String())
		}
		if h.HasTTL {
			enc.AddUint32("ttl", h.TTL)
		}
	}
	enc.AddBool("source_proven", proven)
	if h.Client.IsValid() {
		addObject(enc, "peer", peerSection(h.Client))
	}
	if observed {
		enc.AddString("mode", "observe")
	} else {
		enc.AddString("mode", "enforce")
	}
	addString(enc, "group", h.Group)
	if s.g == nil {
		enc.AddUint64("count", 1)
		return nil
	}
	s.addMerged(enc)
	return nil
}

// addMatch adds what matched and how.
func (s *sinkholeSection) addMatch(enc zapcore.ObjectEncoder) {
	h := s.h
	enc.AddString("trigger", h.Trigger.String())
	if len(s.indicators) > 0 {
		addString(enc, "scope", s.indicators[0].Scope)
	}
	switch {
	case h.Matched.IsValid():
		enc.AddString("value", h.Matched.String())
	case h.Value != nil:
		value, _ := appendName(nil, h.Value)
		enc.AddString("value", string(value))
	case h.Trigger == TriggerClientIP:
		enc.AddString("value", h.Client.Addr().Unmap().WithZone("").String())
	default:
		addString(enc, "value", s.question)
	}
	if len(h.Chain) > 0 {
		addArray(enc, "chain", chainNames(h.Chain))
	}
}

// addIndicators adds the matched indicators: what each list says. The deciding
// one stands under threat; all stand here only if there are several.
func (s *sinkholeSection) addIndicators(enc zapcore.ObjectEncoder, byClient bool) {
	var families words
	var lists listArray
	for i := range s.indicators {
		ind := &s.indicators[i]
		if ind.Family != "" && !slices.Contains(families, ind.Family) {
			families = append(families, ind.Family)
		}
		if ind.List != "" && !slices.ContainsFunc(lists, func(o *Indicator) bool {
			return o.List == ind.List && o.File == ind.File && o.Line == ind.Line
		}) {
			lists = append(lists, ind)
		}
	}
	if len(families) > 0 {
		addArray(enc, "families", families)
	}
	if len(lists) > 0 {
		addArray(enc, "lists", lists)
	}
	if len(s.indicators) > 1 || byClient && len(s.indicators) > 0 {
		addArray(enc, "indicators", indicatorArray(s.indicators))
	}
	if byClient {
		return
	}
	more := int(s.h.MoreRules)
	if s.g != nil {
		more = s.g.moreRules
	}
	if more > 0 {
		enc.AddInt("more_rules", more)
	}
	if len(s.indicators) > 0 {
		if c := s.indicators[0].Confidence; c >= 0 {
			enc.AddInt("confidence", c)
		}
		addTime(enc, "expires", s.indicators[0].Expires)
	}
}

// addMerged adds what a line says that stands for several hits.
func (s *sinkholeSection) addMerged(enc zapcore.ObjectEncoder) {
	g := s.g
	enc.AddUint64("count", g.count)
	enc.AddString("merged", g.kind)
	enc.AddString("last_unix_ns", strconv.FormatInt(g.last.UnixNano(), 10))
	addArray(enc, "ports", portArray(g.ports))
	if g.portsTruncated {
		enc.AddBool("ports_truncated", true)
	}
	if g.kind == MergedClient {
		enc.AddInt("indicators_distinct", g.distinct)
		if g.atLeast {
			enc.AddBool("indicators_at_least", true)
		}
	}
}

// peerSection is the socket's other end. No proxy is believed yet, so it is the
// client too.
type peerSection netip.AddrPort

func (p peerSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	addEndpoint(enc, netip.AddrPort(p))
	enc.AddString("proxy", "none")
	return nil
}

type ownEventSection line

func (s *ownEventSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("kind", "event")
	addArray(enc, "category", words{"process"})
	addArray(enc, "type", words{s.own.kind})
	enc.AddString("action", s.own.action)
	enc.AddString("outcome", s.own.outcome)
	enc.AddString("id", s.id)
	enc.AddUint64("sequence", s.sequence)
	enc.AddString("dataset", DatasetJournal)
	return nil
}

type ownSection line

func (s *ownSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	if s.own.lost > 0 {
		enc.AddUint64("lost", s.own.lost)
	}
	addString(enc, "previous_stop", s.own.previousStop)
	if s.own.tornBytes > 0 {
		enc.AddInt64("torn_bytes", s.own.tornBytes)
	}
	if s.own.accounting != nil {
		addObject(enc, "journal", s.own.accounting)
	}
	return nil
}

// MarshalLogObject makes an Accounting a zap object.
func (a *Accounting) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddUint64("verdicts", a.Verdicts)
	enc.AddUint64("journaled", a.Journaled)
	enc.AddUint64("queued", a.Queued)
	enc.AddUint64("lost", a.Lost)
	enc.AddUint64("lost_queue_full", a.LostQueueFull)
	enc.AddUint64("lost_closed", a.LostClosed)
	enc.AddUint64("lost_clients", a.LostClients)
	enc.AddUint64("lost_write", a.LostWrite)
	return nil
}

type words []string

func (w words) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	for _, s := range w {
		enc.AppendString(s)
	}
	return nil
}

type portArray []uint16

func (p portArray) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	for _, port := range p {
		enc.AppendUint16(port)
	}
	return nil
}

// chainNames is names in wire form, one after the other.
type chainNames []byte

func (c chainNames) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	var name []byte
	for rest := []byte(c); len(rest) > 0; {
		name, rest = appendName(name[:0], rest)
		enc.AppendByteString(name)
	}
	return nil
}

type listArray []*Indicator

func (a listArray) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	for _, ind := range a {
		appendObject(enc, (*listSection)(ind))
	}
	return nil
}

type listSection Indicator

func (s *listSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("name", s.List)
	addString(enc, "version", s.ListVersion)
	addString(enc, "file", s.File)
	if s.Line > 0 {
		enc.AddInt("line", s.Line)
	}
	return nil
}

type indicatorArray []Indicator

func (a indicatorArray) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	for i := range a {
		appendObject(enc, (*indicatorSection)(&a[i]))
	}
	return nil
}

type indicatorSection Indicator

func (s *indicatorSection) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	addString(enc, "type", s.Type)
	addString(enc, "name", s.Name)
	addString(enc, "scope", s.Scope)
	addString(enc, "action", s.Action)
	addString(enc, "list", s.List)
	if s.Line > 0 {
		enc.AddInt("line", s.Line)
	}
	addString(enc, "family", s.Family)
	if s.Confidence >= 0 {
		enc.AddInt("confidence", s.Confidence)
	}
	addString(enc, "reference", s.Reference)
	addString(enc, "tlp", s.TLP)
	addTime(enc, "first_seen", s.FirstSeen)
	addTime(enc, "last_seen", s.LastSeen)
	addTime(enc, "expires", s.Expires)
	return nil
}
