package hits

import (
	"bufio"
	"crypto/rand"
	"time"

	"github.com/oklog/ulid/v2"
)

// timeForm is the form of every time in the journal. All have one length, so
// that they sort as text.
const timeForm = "2006-01-02T15:04:05.000000000Z"

func formatTime(t time.Time) string { return t.UTC().Format(timeForm) }

const ecsVersion = "9.4.0"

// encoder makes the journal's lines. It belongs to the writer.
type encoder struct {
	observer string // the member of every line
	clock    clock
	sequence uint64 // of the last line
	entropy  *ulid.MonotonicEntropy
	idTime   uint64 // of the last id, milliseconds

	line line // the one being made

	veil     *Veil // nil: nothing is hidden
	veiled   Hit   // what veil has left of the hit, and of who is said to ask
	identity Identity
}

// line is one line on its way: what its sections share, and the text itself.
type line struct {
	text
	h          *Hit
	g          *group // nil: the hit has a line of its own, or shares it with none
	ipv4, ipv6 bool   // the socket's
	question   string
	indicators []Indicator // that the line names, the deciding one first

	// Memory of the sections, kept from line to line.
	name     []byte
	families []string
	lists    []*Indicator
}

// ownRecord is a record of the journal about itself.
type ownRecord struct {
	action, outcome, kind string
	lost                  losses
	previousStop          string
	tornBytes             int64
	accounting            *Accounting
}

func newEncoder(o Observer, sequence uint64, v *Veil) *encoder {
	return &encoder{veil: v, observer: observerMember(&o), sequence: sequence, entropy: ulid.Monotonic(bufio.NewReader(rand.Reader), 0)}
}

// appendHit appends the line of one hit.
func (e *encoder) appendHit(dst []byte, h *Hit, now time.Time) []byte {
	return e.appendLine(dst, h, nil, now)
}

// appendGroup appends the line of a group.
func (e *encoder) appendGroup(dst []byte, g *group, now time.Time) []byte {
	if g.count == 1 && g.kind == MergedIndicator {
		return e.appendHit(dst, &g.first, now)
	}
	return e.appendLine(dst, &g.first, g, now)
}

func (e *encoder) appendLine(dst []byte, h *Hit, g *group, now time.Time) []byte {
	l := &e.line
	peer := h.peer().Addr().Unmap()
	l.ipv4, l.ipv6 = peer.Is4(), peer.Is6()
	l.h, l.g = h, g
	if e.veil != nil {
		e.veil.hide(&e.veiled, &e.identity, h)
		l.h = &e.veiled
	}
	l.describe()
	if e.veil != nil {
		for i := range l.indicators {
			e.veil.indicator(&l.indicators[i], h.Client.Addr())
		}
	}
	l.text = dst
	e.open(l, h.Time)
	e.addEvent(l, now)
	l.addClient()
	l.addEndpoint("server", h.Server)
	l.raw(e.observer)
	l.addNetwork()
	if !l.byClient() {
		l.addDNS()
	}
	if len(l.indicators) > 0 {
		l.addThreat(&l.indicators[0])
	}
	l.addSinkhole()
	if e.veil != nil {
		e.veiled = Hit{} // it refers to the policy
	}
	return l.close()
}

// appendOwn appends a record of the journal about itself.
func (e *encoder) appendOwn(dst []byte, r ownRecord, now time.Time) []byte {
	l := &e.line
	l.text = dst
	e.open(l, now)
	e.addOwnEvent(l, &r, now)
	l.raw(e.observer)
	l.addOwn(&r)
	return l.close()
}

// open begins a line, with the part that every one has.
func (e *encoder) open(l *line, at time.Time) {
	l.text = append(l.text, '{')
	l.time("@timestamp", at, &e.clock)
	l.raw(`"ecs":{"version":"` + ecsVersion + `"}`)
}

// close ends a line, and forgets what it was of.
func (l *line) close() []byte {
	done := append(l.text, '}', '\n')
	l.text, l.h, l.g = nil, nil, nil
	clear(l.indicators) // they may hold on to a replaced policy
	clear(l.families)
	clear(l.lists)
	return done
}

// describe puts what the line names into words.
func (l *line) describe() {
	l.indicators = l.indicators[:0]
	l.name, _ = appendName(l.name[:0], l.h.QName[:l.h.QNameLen])
	l.question = string(l.name)
	if l.g != nil {
		for _, r := range l.g.rules {
			l.indicators = append(l.indicators, l.g.judges.policies[r.policy].Indicator(r.rule))
		}
		return
	}
	for _, r := range l.h.rules() {
		l.indicators = append(l.indicators, l.h.Evidence.Indicator(r))
	}
}

// byClient tells whether the line stands for hits of several indicators.
func (l *line) byClient() bool { return l.g != nil && l.g.kind == MergedClient }

// number gives the line its number, and an identifier of its own.
func (e *encoder) number(l *line, now time.Time) {
	e.sequence++
	id := e.newID(now)
	var form [ulid.EncodedSize]byte
	_ = id.MarshalTextTo(form[:]) // fails for another size only
	l.token("id", string(form[:]))
	l.uint("sequence", e.sequence)
}

// newID returns an identifier greater than all before, also when the clock was
// set back.
func (e *encoder) newID(now time.Time) ulid.ULID {
	e.idTime = max(e.idTime, ulid.Timestamp(now))
	id, err := ulid.New(e.idTime, e.entropy)
	for err != nil { // the 80 bits of this millisecond are used up
		e.idTime++
		id, err = ulid.New(e.idTime, e.entropy)
	}
	return id
}
