package hits

import (
	"bufio"
	"crypto/rand"
	"net/netip"
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
