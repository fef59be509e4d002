package format

import (
	"bytes"
	"errors"
	"strings"
	"time"
)

// stixField is a member of STIX objects that has one plain value.
type stixField uint8

const (
	stixType stixField = iota
	stixID
	stixModified
	stixName
	stixPatternText
	stixPatternType
	stixValidFrom
	stixValidUntil
	stixConfidence
	stixRevoked
	stixRelationship
	stixSource
	stixTarget
	stixFields
)

func stixFieldOf(name []byte) (stixField, bool) {
	switch string(name) {
	case "type":
		return stixType, true
	case "id":
		return stixID, true
	case "modified":
		return stixModified, true
	case "name":
		return stixName, true
	case "pattern":
		return stixPatternText, true
	case "pattern_type":
		return stixPatternType, true
	case "valid_from":
		return stixValidFrom, true
	case "valid_until":
		return stixValidUntil, true
	case "confidence":
		return stixConfidence, true
	case "revoked":
		return stixRevoked, true
	case "relationship_type":
		return stixRelationship, true
	case "source_ref":
		return stixSource, true
	case "target_ref":
		return stixTarget, true
	}
	return 0, false
}

// stixObject is what we read of an object, of whichever type.
type stixObject struct {
	line      int
	fields    [stixFields][]byte
	seen      uint32 // a bit for each field that was there
	twice     string // a member that was there again
	reference string
	tlp       string    // of labels and well-known markings
	markings  []stixKey // the other markings
	defines   string    // the label that a marking definition stands for
	family    string    // of labels
	benign    bool      // stands for something harmless, or
	malicious bool      // says that it does not
}

func (o *stixObject) reset(line int) {
	for f := range o.fields {
		o.fields[f] = o.fields[f][:0]
	}
	*o = stixObject{line: line, fields: o.fields, markings: o.markings[:0]}
}

// stix reads bundles and TAXII envelopes.
type stix struct {
	*jsonStream
	out     *sink
	scope   Scope
	object  stixObject
	pattern stixPattern
	joins   stixJoins
	words   words
	scratch []byte
}

// readSTIX reads STIX 2 bundles, TAXII 2.1 envelopes and arrays of objects, one
// or more of them. Objects may come in any order, so that the indicators are
// held until the end of the list.
func readSTIX(in *lines, out *sink, scope Scope) error {
	s := &stix{jsonStream: &jsonStream{in: in}, out: out, scope: scope, scratch: make([]byte, 0, 2*maxName)}
	for s.more() {
		s.readDocument()
	}
	if err := s.finish(); err != nil {
		return err
	}
	s.joins.emit(out)
	return nil
}

func (s *stix) readDocument() {
	line, objects, envelope, empty := s.line(), false, false, true
	if s.isArray() {
		s.readObjects()
		return
	}
	for name := range s.members {
		empty = false
		switch string(name) {
		case "objects":
			if objects {
				s.fail(`the member "objects" is there twice, expected it once`)
				return
			}
			objects = true
			s.readObjects()
		case "more":
			envelope = true // which may be empty
			if string(s.scalar()) == "true" {
				s.out.warn(`the TAXII envelope says that more objects follow ("more": true): this is a part of the collection`)
			}
		}
	}
	if !objects && !envelope && !empty {
		s.stop(&Error{Line: line, Err: errors.New(`a JSON document without the member "objects", expected a STIX 2 bundle or a TAXII envelope`)})
	}
}

func (s *stix) readObjects() {
	if !s.isArray() {
		s.fail("found %s, expected an array of STIX objects", s.found())
		return
	}
	for range s.elements {
		if s.out.hopeless() {
			s.stop(s.out.verdict())
			return
		}
		if !s.isObject() {
			s.out.leaveOut(s.line(), 0, s.here(), malformed("no JSON object, expected a STIX object"))
			continue
		}
		s.readObject()
		if s.err == nil {
			s.takeObject()
		}
	}
}

func (s *stix) readObject() {
	o := &s.object
	o.reset(s.line())
	for name := range s.members {
		if f, ok := stixFieldOf(name); ok {
			if o.seen&(1<<f) != 0 {
				o.twice = string(name)
			}
			o.seen |= 1 << f
			o.fields[f] = append(o.fields[f][:0], s.scalar()...)
			continue
		}
		switch string(name) {
		case "labels", "indicator_types":
			s.readLabels()
		case "object_marking_refs":
			for range s.elements {
				s.readMarking()
			}
		case "external_references":
			for range s.elements {
				s.readReference()
			}
		case "definition":
			s.readDefinition("tlp")
		case "extensions":
			for name := range s.members {
				if string(name) == tlpExtension {
					s.readDefinition("tlp_2_0")
				}
			}
		}
	}
}

// readLabels reads types of indicators, and the tags that exporters put beside
// them.
func (s *stix) readLabels() {
	o := &s.object
	for range s.elements {
		label := s.scalar()
		switch string(label) {
		case "benign":
			o.benign = true
		case "malicious-activity":
			o.malicious = true
		}
		if tlp, ok := tlpTag(label); ok {
			o.tlp = strictest(o.tlp, tlp)
		}
		if family, rank := galaxyFamily(label); rank > 0 && o.family == "" {
			o.family = s.words.line(family)
		}
	}
}

func (s *stix) readMarking() {
	id := s.scalar()
	if tlp := wellKnownTLP(id); tlp != "" {
		s.object.tlp = strictest(s.object.tlp, tlp)
		return
	}
	if len(s.object.markings) < maxMarkings {
		s.object.markings = append(s.object.markings, stixKeyOf(id))
	}
}

// readReference keeps the first reference that has an address.
func (s *stix) readReference() {
	for name := range s.members {
		if string(name) != "url" {
			continue
		}
		if url := s.scalar(); s.object.reference == "" && len(url) <= maxReference {
			s.object.reference = s.words.line(url)
		}
	}
}

// readDefinition reads the label out of a TLP marking definition.
func (s *stix) readDefinition(member string) {
	for name := range s.members {
		if string(name) != member {
			continue
		}
		if tlp, p := readTLP(s.scalar()); !p.is() {
			s.object.defines = tlp
		}
	}
}

func (s *stix) takeObject() {
	o := &s.object
	if o.twice != "" {
		s.out.leaveOut(o.line, 0, o.fields[stixID], malformed("the member %q is there twice, expected it once", o.twice))
		return
	}
	switch string(o.fields[stixType]) {
	case "indicator":
		s.takeIndicator()
	case "malware":
		s.joins.malware(o)
	case "marking-definition":
		s.joins.marking(o)
	case "relationship":
		if string(o.fields[stixRelationship]) == "indicates" && string(o.fields[stixRevoked]) != "true" {
			s.joins.relationship(o)
		}
	}
	s.stop(s.joins.held.checkSize(o.line))
}

func (s *stix) takeIndicator() {
	o := &s.object
	modified, _ := readTime(o.fields[stixModified])
	owner := s.joins.indicator(o, modified)
	leaveOut := func(text []byte, p problem) { s.out.leaveOut(o.line, 0, text, p) }
	switch {
	case string(o.fields[stixRevoked]) == "true":
		leaveOut(o.fields[stixPatternText], notApplicable("revoked: its maker no longer stands by it"))
		return
	case o.benign && !o.malicious:
		leaveOut(o.fields[stixPatternText], notApplicable("it stands for something benign (indicator_types)"))
		return
	}
	if kind := o.fields[stixPatternType]; len(kind) > 0 && string(kind) != "stix" {
		leaveOut(kind, notApplicable("a pattern that is not of STIX, which DNS cannot tell"))
		return
	}
	context := Indicator{Line: o.line, TLP: o.tlp, Family: o.family, Reference: o.reference}
	if id := o.fields[stixID]; context.Reference == "" && len(id) <= maxReference {
		context.Reference = strings.ToValidUTF8(string(oneLine(id)), "\uFFFD")
	}
	if f, p := o.context(&context); p.is() {
		leaveOut(o.fields[f], p)
		return
	}
	pattern := o.fields[stixPatternText]
	if len(pattern) == 0 {
		leaveOut(o.fields[stixID], malformed("an indicator without a pattern, expected one as [domain-name:value = 'bad.example']"))
		return
	}
	if p := s.pattern.read(pattern); p.is() {
		leaveOut(pattern, p)
		return
	}
	for _, v := range s.pattern.values {
		value := s.pattern.value(v)
		e, p := readTyped(s.scratch, []byte(v.kind), value)
		if p.is() {
			leaveOut(value, p)
			continue
		}
		ind := context
		e.fill(&ind, s.scope)
		s.joins.held.put(&ind, owner)
	}
	if s.pattern.lacking {
		leaveOut(pattern, notApplicable("a pattern, or a part of one, that is more than a name, an address or a URL: DNS cannot tell whether it matches"))
	}
}

// context reads what an indicator says beside its pattern.
func (o *stixObject) context(ind *Indicator) (stixField, problem) {
	var p problem
	if ind.Confidence, p = readConfidence(o.fields[stixConfidence]); p.is() {
		return stixConfidence, p
	}
	for _, when := range [...]struct {
		field stixField
		time  *time.Time
	}{{stixValidFrom, &ind.FirstSeen}, {stixValidUntil, &ind.Expires}} {
		if *when.time, p = readTime(o.fields[when.field]); p.is() {
			return when.field, p
		}
	}
	return 0, problem{}
}

// readTyped reads a value of a stated type, as the CSV's types name it, which
// must be of that type.
func readTyped(scratch, kind, text []byte) (entry, problem) {
	text = withoutBlankPath(trim(text))
	if len(text) == 0 {
		return entry{}, malformed("an empty value, expected a name, an address or a URL")
	}
	var e entry
	var p problem
	if wire, ok := plainName(scratch, text); ok {
		e.name = wire
	} else if e, p = readEntry(scratch, text); p.is() {
		return e, p
	}
	return e, e.contradicts(kind)
}

// withoutBlankPath takes off what follows a blank in the path of a URL: feeds
// have URLs that are not percent-encoded, and the path does not matter.
func withoutBlankPath(text []byte) []byte {
	blank := bytes.IndexAny(text, " \t\r\n")
	if blank < 0 {
		return text
	}
	_, host, ok := bytes.Cut(text[:blank], []byte("://"))
	if !ok || bytes.IndexByte(host, '/') < 0 {
		return text
	}
	return text[:blank]
}
