package format

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// mispField is a member of MISP attributes that has one plain value.
type mispField uint8

const (
	mispType mispField = iota
	mispValue
	mispToIDs
	mispDeleted
	mispComment
	mispFirstSeen
	mispLastSeen
	mispRelation
	mispFields
)

func mispFieldOf(name []byte) (mispField, bool) {
	switch string(name) {
	case "type":
		return mispType, true
	case "value":
		return mispValue, true
	case "to_ids":
		return mispToIDs, true
	case "deleted":
		return mispDeleted, true
	case "comment":
		return mispComment, true
	case "first_seen":
		return mispFirstSeen, true
	case "last_seen":
		return mispLastSeen, true
	case "object_relation":
		return mispRelation, true
	}
	return 0, false
}

type mispAttribute struct {
	line   int
	fields [mispFields][]byte
	seen   uint32
	twice  string
	tags   mispTags
	event  string // UUID of the event, where it stands within the attribute
}

func (a *mispAttribute) reset(line int) {
	for f := range a.fields {
		a.fields[f] = a.fields[f][:0]
	}
	*a = mispAttribute{line: line, fields: a.fields, tags: mispTags{families: a.tags.families[:0], confidence: -1}}
}

// mispTags is what the tags of an attribute or event tell.
type mispTags struct {
	families   []string // of the galaxy that names them best
	rank       int      // of that galaxy
	tlp        string
	confidence int8
	doubtful   bool
}

// mispObject is what an object says of all its attributes.
type mispObject struct {
	number      uint64
	deleted     bool
	first, last time.Time
	family      string // the name of the app that it describes
}

// mispEvent is what an event says of all its attributes.
type mispEvent struct {
	tags    mispTags
	link    string // the first attribute of type link
	uuid    string
	objects []mispObject
}

// misp reads events.
type misp struct {
	*jsonStream
	out     *sink
	scope   Scope
	event   mispEvent
	object  uint64 // the number of the object that is read; 0 outside of objects
	app     string // what its attribute "name" says
	objects uint64 // how many there were
	held    held   // the attributes of the event
	attr    mispAttribute
	words   words
	scratch []byte
}

// readMISP reads events, one or more, by themselves, in arrays or in the answer
// of a server. What an event says of all its attributes may stand behind them,
// so that the attributes are held until its end.
func readMISP(in *lines, out *sink, scope Scope) error {
	m := &misp{jsonStream: &jsonStream{in: in}, out: out, scope: scope, scratch: make([]byte, 0, 2*maxName)}
	for m.more() {
		m.readDocument()
	}
	return m.finish()
}

// readDocument reads an event, an object that holds some, or an array of these.
func (m *misp) readDocument() {
	if m.isArray() {
		for range m.elements {
			m.readDocument()
		}
		return
	}
	if !m.isObject() {
		m.fail("found %s, expected a MISP event, a JSON object", m.found())
		return
	}
	line := m.line()
	outer := m.event
	m.event = mispEvent{tags: mispTags{confidence: -1}}
	var known, strange []string
	for name := range m.members {
		switch text := printable(name); {
		case slices.Contains(known, text):
			m.fail("the member %q is there twice, expected it once", text)
		case m.readMember(name):
			known = append(known, text)
		case len(strange) < 5:
			strange = append(strange, text)
		}
	}
	m.emit()
	m.event = outer
	if len(known) == 0 && len(strange) > 0 {
		m.stop(&Error{Line: line, Err: noEvent(strange)})
	}
}

func noEvent(members []string) error {
	if slices.ContainsFunc(members, isUUID) {
		return ErrManifest
	}
	return fmt.Errorf("a JSON object that is no MISP event (members found: %s), expected Event, response, Attribute or Object", strings.Join(members, ", "))
}

// readMember reads a member of an event, or of what holds events; false for one
// that does not show it to be either.
func (m *misp) readMember(name []byte) bool {
	switch string(name) {
	case "Event", "response":
		m.emit()
		m.readDocument()
	case "Attribute":
		m.readAttributes()
	case "Object":
		for range m.elements {
			m.readObject()
		}
	case "Tag":
		m.readTags(&m.event.tags)
	case "Galaxy":
		m.readGalaxies(&m.event.tags)
	case "info", "Orgc":
	case "uuid": // answers that are no event have one too
		m.event.uuid = m.readUUID()
		return false
	default:
		return false
	}
	return true
}

// readUUID reads a UUID; "" where it is none.
func (m *misp) readUUID() string {
	if text := m.scalar(); isUUID(string(text)) {
		return m.words.string(text)
	}
	return ""
}

func (m *misp) readObject() {
	m.objects++
	object, isApp := mispObject{number: m.objects}, false
	m.object, m.app = object.number, ""
	for name := range m.members {
		switch string(name) {
		case "Attribute":
			m.readAttributes()
		case "name":
			isApp = string(m.scalar()) == "android-app"
		case "deleted":
			object.deleted = isTrue(m.scalar())
		case "first_seen":
			object.first, _ = readTime(m.scalar())
		case "last_seen":
			object.last, _ = readTime(m.scalar())
		}
	}
	m.object = 0
	if isApp {
		object.family = m.app
	}
	if object.family != "" || object.deleted || !object.first.IsZero() || !object.last.IsZero() {
		m.event.objects = append(m.event.objects, object)
		m.held.size += sizeMISPObject
		m.stop(m.held.checkSize(m.line()))
	}
}

// sizeMISPObject is counted for an object, slack of the growing slice included.
const sizeMISPObject = 128

func (m *misp) readAttributes() {
	for range m.elements {
		if m.out.hopeless() {
			m.stop(m.out.verdict())
			return
		}
		if !m.isObject() {
			m.out.leaveOut(m.line(), 0, m.here(), malformed("no JSON object, expected a MISP attribute"))
			continue
		}
		m.readAttribute()
		if m.err == nil {
			m.takeAttribute()
		}
	}
}

func (m *misp) readAttribute() {
	a := &m.attr
	a.reset(m.line())
	for name := range m.members {
		if f, ok := mispFieldOf(name); ok {
			if a.seen&(1<<f) != 0 {
				a.twice = string(name)
			}
			a.seen |= 1 << f
			a.fields[f] = append(a.fields[f][:0], m.scalar()...)
			continue
		}
		switch string(name) {
		case "Tag":
			m.readTags(&a.tags)
		case "Galaxy":
			m.readGalaxies(&a.tags)
		case "warnings": // the warning lists of known innocents that have the value
			for range m.elements {
				a.tags.doubtful = true
			}
		case "Event":
			for name := range m.members {
				if string(name) == "uuid" {
					a.event = m.readUUID()
				}
			}
		}
	}
}

func (m *misp) readTags(tags *mispTags) {
	for range m.elements {
		for name := range m.members {
			if string(name) == "name" {
				tags.add(m.scalar(), &m.words)
			}
		}
	}
}

func (m *misp) readGalaxies(tags *mispTags) {
	for range m.elements {
		for name := range m.members {
			if string(name) != "GalaxyCluster" {
				continue
			}
			for range m.elements {
				for name := range m.members {
					if string(name) == "tag_name" {
						tags.add(m.scalar(), &m.words)
					}
				}
			}
		}
	}
}

// add takes what a tag tells: TLP, a family, or how confident the analyst is and
// how likely it is that he errs.
func (t *mispTags) add(tag []byte, words *words) {
	if tlp, ok := tlpTag(tag); ok {
		t.tlp = strictest(t.tlp, tlp)
		return
	}
	if confidence, ok := confidenceTag(tag); ok {
		t.confidence = confidence
		return
	}
	if isRisky(tag) {
		t.doubtful = true
		return
	}
	family, rank := galaxyFamily(tag)
	if rank == 0 || t.rank > 0 && rank > t.rank {
		return
	}
	if rank < t.rank {
		t.families = t.families[:0]
	}
	t.rank = rank
	if name := words.line(family); len(t.families) < maxFamilies && !slices.Contains(t.families, name) {
		t.families = append(t.families, name)
	}
}

// takeAttribute holds the attribute, or leaves it out.
func (m *misp) takeAttribute() {
	a := &m.attr
	kind, value := mispKind(a.fields[mispType], a.fields[mispValue])
	leaveOut := func(text []byte, p problem) { m.out.leaveOut(a.line, 0, text, p) }
	switch {
	case a.twice != "":
		leaveOut(value, malformed("the member %q is there twice, expected it once", a.twice))
		return
	case isTrue(a.fields[mispDeleted]):
		leaveOut(value, notApplicable("a deleted attribute"))
		return
	}
	if string(a.fields[mispType]) == "link" && m.event.link == "" && len(value) <= maxReference {
		m.event.link = m.words.line(value)
	}
	if m.object != 0 && string(a.fields[mispRelation]) == "name" && len(value) <= maxWord {
		m.app = m.words.line(trim(value))
	}
	switch {
	case len(a.fields[mispToIDs]) > 0 && !isTrue(a.fields[mispToIDs]):
		leaveOut(value, notApplicable("an attribute that is not meant for detection (to_ids is false)"))
		return
	case kind == "":
		leaveOut(value, notApplicable("an attribute of a type that DNS does not show, expected domain, hostname, domain|ip, hostname|port, ip-src, ip-dst, ip-src|port, ip-dst|port, url or uri"))
		return
	}
	e, p := readTyped(m.scratch, []byte(kind), value)
	if p.is() {
		leaveOut(value, p)
		return
	}
	ind := Indicator{Line: a.line, TLP: a.tags.tlp, Confidence: a.tags.confidence, Doubtful: a.tags.doubtful}
	if f, p := a.times(&ind); p.is() {
		leaveOut(a.fields[f], p)
		return
	}
	e.fill(&ind, m.scope)
	m.hold(&ind)
}

func (a *mispAttribute) times(ind *Indicator) (mispField, problem) {
	var p problem
	if ind.FirstSeen, p = readTime(a.fields[mispFirstSeen]); p.is() {
		return mispFirstSeen, p
	}
	if ind.LastSeen, p = readTime(a.fields[mispLastSeen]); p.is() {
		return mispLastSeen, p
	}
	return 0, problem{}
}

// hold puts an indicator aside, once for each family that the attribute itself
// names. Its owner is the object's number and, in the lowest bit, whether its
// reference gives way to the event's link or UUID.
func (m *misp) hold(ind *Indicator) {
	owner := m.object << 1
	comment := trim(m.attr.fields[mispComment])
	switch {
	case isLink(comment):
		ind.Reference = m.words.line(comment)
	case m.attr.event != "":
		owner |= 1
		ind.Reference = mispEventPrefix + m.attr.event
	default:
		owner |= 1
		ind.Reference = m.words.line(comment)
	}
	if len(m.attr.tags.families) == 0 {
		m.held.put(ind, owner)
	}
	for _, family := range m.attr.tags.families {
		ind.Family = family
		m.held.put(ind, owner)
	}
	m.stop(m.held.checkSize(ind.Line))
}

// emit hands out the attributes that are held with what the event says of them.
func (m *misp) emit() {
	if m.err != nil {
		return
	}
	objects, tags := m.event.objects, &m.event.tags
	reference := m.event.link
	if reference == "" && m.event.uuid != "" {
		reference = mispEventPrefix + m.event.uuid
	}
	for ind, owner := range m.held.all(m.out) {
		app := ""
		for len(objects) > 0 && objects[0].number < owner>>1 {
			objects = objects[1:]
		}
		if len(objects) > 0 && objects[0].number == owner>>1 {
			if objects[0].deleted {
				continue
			}
			app = objects[0].family
			if ind.FirstSeen.IsZero() && ind.LastSeen.IsZero() {
				ind.FirstSeen, ind.LastSeen = objects[0].first, objects[0].last
			}
		}
		if owner&1 != 0 && reference != "" {
			ind.Reference = reference
		}
		ind.Doubtful = ind.Doubtful || tags.doubtful
		if ind.TLP == "" {
			ind.TLP = tags.tlp
		}
		if ind.Confidence < 0 {
			ind.Confidence = tags.confidence
		}
		if ind.Family != "" || len(tags.families) == 0 {
			ind.Family = cmp.Or(ind.Family, app)
			m.out.put()
			continue
		}
		for _, family := range tags.families {
			ind.Family = family
			m.out.put()
		}
	}
	m.held.reset()
	m.event.objects = m.event.objects[:0]
}

// mispEventPrefix makes a reference of an event's UUID, for what has no link: the
// event is found by it at the source, in a feed as the file UUID.json.
const mispEventPrefix = "misp:event/"

// mispKind is the type of an attribute as the CSV names it, empty for what DNS
// does not show, and the part of its value that is meant. Of a name and the
// address it had the name alone is taken: the address may have others too.
func mispKind(kind, value []byte) (string, []byte) {
	first, _, _ := bytes.Cut(value, []byte{'|'})
	switch string(kind) {
	case "domain":
		return "domain", value
	case "hostname":
		return "hostname", value
	case "url", "uri":
		return "url", value
	case "ip-src", "ip-dst":
		return "ip", value
	case "ip-src|port", "ip-dst|port":
		return "ip", trim(first)
	case "domain|ip", "hostname|port":
		return "hostname", trim(first)
	}
	return "", value
}

func isTrue(text []byte) bool { return string(text) == "true" || string(text) == "1" }

func isLink(text []byte) bool {
	return (bytes.HasPrefix(text, []byte("https://")) || bytes.HasPrefix(text, []byte("http://"))) && !bytes.ContainsAny(text, " \t\r\n")
}

// confidenceTag reads the confidence of MISP's own taxonomy by the values that
// the taxonomy gives its words.
func confidenceTag(tag []byte) (int8, bool) {
	switch string(bytes.ReplaceAll(tag, []byte(`"`), nil)) {
	case "misp:confidence-level=completely-confident":
		return 100, true
	case "misp:confidence-level=usually-confident":
		return 75, true
	case "misp:confidence-level=fairly-confident":
		return 50, true
	case "misp:confidence-level=rarely-confident":
		return 25, true
	case "misp:confidence-level=unconfident":
		return 0, true
	}
	return 0, false
}

// isRisky knows the tags by which an analyst warns of false positives.
func isRisky(tag []byte) bool {
	switch string(bytes.ReplaceAll(tag, []byte(`"`), nil)) {
	case "false-positive:risk=high", "false-positive:risk=medium":
		return true
	}
	return false
}
