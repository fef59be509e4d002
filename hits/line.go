package hits

import (
	"bufio"
	"crypto/rand"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// timeForm is the form of every time in the journal. All have one length, so
// that they sort as text.
const timeForm = "2006-01-02T15:04:05.000000000Z"

const ecsVersion = "9.4.0"

// encoder makes the journal's lines. It belongs to the writer.
type encoder struct {
	json     zapcore.Encoder
	observer Observer
	sequence uint64 // of the last line
	entropy  *ulid.MonotonicEntropy
	idTime   uint64 // of the last id, milliseconds

	scratch []byte // for names

	line   line // the one being made
	hit    []zapcore.Field
	client []zapcore.Field // of a line merged by client
	own    []zapcore.Field // of a record of the journal's own
}

// line is what the sections of one line share. Its sections are marshalled
// through the types below, each a view of it.
type line struct {
	h          *Hit
	g          *group // nil: the hit has a line of its own, or shares it with none
	observer   Observer
	id         string
	sequence   uint64
	question   string
	indicators []Indicator // that the line names, the deciding one first
	own        ownRecord
}

// ownRecord is a record of the journal about itself.
type ownRecord struct {
	action, outcome, kind string
	lost                  uint64
	previousStop          string
	tornBytes             int64
	accounting            *Accounting
}

func newEncoder(o Observer, sequence uint64) *encoder {
	e := &encoder{
		json: zapcore.NewJSONEncoder(zapcore.EncoderConfig{
			TimeKey:    "@timestamp",
			LineEnding: "\n",
			EncodeTime: func(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
				enc.AppendString(t.UTC().Format(timeForm))
			},
		}),
		observer: o,
		sequence: sequence,
		entropy:  ulid.Monotonic(bufio.NewReader(rand.Reader), 0),
	}
	l := &e.line
	l.observer = o
	ecs := zap.Object("ecs", (*ecsSection)(l))
	event := zap.Object("event", (*eventSection)(l))
	client := zap.Object("client", (*clientSection)(l))
	server := zap.Object("server", (*serverSection)(l))
	observer := zap.Object("observer", (*observerSection)(l))
	network := zap.Object("network", (*networkSection)(l))
	dns := zap.Object("dns", (*dnsSection)(l))
	threat := zap.Inline((*threatSection)(l)) // left out as a whole without an indicator
	sinkhole := zap.Object("sinkhole", (*sinkholeSection)(l))
	e.hit = []zapcore.Field{ecs, event, client, server, observer, network, dns, threat, sinkhole}
	e.client = []zapcore.Field{ecs, event, client, server, observer, network, threat, sinkhole}
	e.own = []zapcore.Field{ecs, zap.Object("event", (*ownEventSection)(l)), observer, zap.Object("sinkhole", (*ownSection)(l))}
	return e
}

// appendHit appends the line of one hit.
func (e *encoder) appendHit(dst []byte, h *Hit, now time.Time) []byte {
	l := &e.line
	l.h, l.g = h, nil
	e.describe()
	return e.finish(dst, h.Time, now, e.hit)
}

// appendGroup appends the line of a group.
func (e *encoder) appendGroup(dst []byte, g *group, now time.Time) []byte {
	if g.count == 1 && g.kind == MergedIndicator {
		return e.appendHit(dst, &g.first, now)
	}
	l := &e.line
	l.h, l.g = &g.first, g
	e.describe()
	fields := e.hit
	if g.kind == MergedClient {
		fields = e.client
	}
	return e.finish(dst, g.first.Time, now, fields)
}

// appendOwn appends a record of the journal about itself.
func (e *encoder) appendOwn(dst []byte, r ownRecord, now time.Time) []byte {
	e.line.own = r
	return e.finish(dst, now, now, e.own)
}

// describe puts what the line names into words.
func (e *encoder) describe() {
	l := &e.line
	l.indicators = l.indicators[:0]
	e.scratch, _ = appendName(e.scratch[:0], l.h.QName[:l.h.QNameLen])
	l.question = string(e.scratch)
	if l.g != nil {
		for _, r := range l.g.rules {
			l.indicators = append(l.indicators, r.evidence.Indicator(r.rule))
		}
		return
	}
	for _, r := range l.h.rules() {
		l.indicators = append(l.indicators, l.h.Evidence.Indicator(r))
	}
}

func (e *encoder) finish(dst []byte, t, now time.Time, fields []zapcore.Field) []byte {
	l := &e.line
	e.sequence++
	l.sequence = e.sequence
	l.id = e.newID(now)
	buf, err := e.json.EncodeEntry(zapcore.Entry{Time: t}, fields)
	if err != nil {
		// The JSON encoder reports marshallers' errors in the line itself.
		panic(err)
	}
	dst = appendPrintable(dst, buf.Bytes())
	buf.Free()
	l.h, l.g = nil, nil
	clear(l.indicators) // they may hold on to a replaced policy
	return dst
}

// newID returns an identifier greater than all before, also when the clock was
// set back.
func (e *encoder) newID(now time.Time) string {
	e.idTime = max(e.idTime, ulid.Timestamp(now))
	id, err := ulid.New(e.idTime, e.entropy)
	for err != nil { // the 80 bits of this millisecond are used up
		e.idTime++
		id, err = ulid.New(e.idTime, e.entropy)
	}
	return id.String()
}

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

// addObject, addArray and appendObject add what cannot fail: no marshaller of
// this package returns an error, and zap's JSON encoder has none of its own.
func addObject(enc zapcore.ObjectEncoder, key string, o zapcore.ObjectMarshaler) {
	_ = enc.AddObject(key, o)
}

func addArray(enc zapcore.ObjectEncoder, key string, a zapcore.ArrayMarshaler) {
	_ = enc.AddArray(key, a)
}

func appendObject(enc zapcore.ArrayEncoder, o zapcore.ObjectMarshaler) {
	_ = enc.AppendObject(o)
}

// pair is an object of one field.
type pair struct{ key, value string }

func (p pair) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString(p.key, p.value)
	return nil
}

func addString(enc zapcore.ObjectEncoder, key, value string) {
	if value != "" {
		enc.AddString(key, value)
	}
}

func addPair(enc zapcore.ObjectEncoder, key, field, value string) {
	if value != "" {
		addObject(enc, key, pair{field, value})
	}
}

func addTime(enc zapcore.ObjectEncoder, key string, t time.Time) {
	if !t.IsZero() {
		enc.AddString(key, t.UTC().Format(time.RFC3339Nano))
	}
}

func formatTime(t time.Time) string { return t.UTC().Format(timeForm) }

func addEndpoint(enc zapcore.ObjectEncoder, a netip.AddrPort) {
	if !a.Addr().IsValid() {
		return
	}
	// The zone is of this machine and no part of an ECS address.
	enc.AddString("ip", a.Addr().Unmap().WithZone("").String())
	enc.AddUint16("port", a.Port())
}
