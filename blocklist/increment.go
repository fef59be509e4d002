package blocklist

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"

	"sinkhole/blocklist/format"
	"sinkhole/blocklist/guard"
)

// increment is what changed in a zone (RFC 1995): resource records in wire form,
// uncompressed, their owners complete.
type increment struct {
	origin         []byte // name of the zone, wire form
	removed, added iter.Seq[[]byte]
	version        string // of the zone after it
}

// errInapplicable says that an increment is not one of the content in force: the
// zone has to be transferred whole.
var errInapplicable = errors.New("the increment does not fit the content in force")

// amendment works an increment into a list: the base, as it was read, stays, but
// for entries that are replaced; what replaces them and what is new is in one
// further segment.
type amendment struct {
	spec           *Spec
	terms          *terms
	policy         *Policy
	list           int
	before         *content
	triggers       map[string]*amended // by packed trigger
	order          []string
	added, removed int // records
	refused        int
}

// amended is one trigger with the rules that it had and has then.
type amended struct {
	trigger format.Trigger
	name    []byte
	prefix  netip.Prefix
	place   uint32 // of its entry before
	known   bool   // it had one
	rules   []amendedRule
}

// amendedRule is a rule of the segment that it comes from, or a new one.
type amendedRule struct {
	from *segment
	rule rule
	new  *format.Indicator // name, prefix and data are its own
}

// amend works out what a list is after an increment, from what it is in a policy.
func amend(spec *Spec, t *terms, p *Policy, before *content, inc *increment) (*content, error) {
	at := p.listNamed(spec.Name)
	if before == nil || at < 0 {
		return nil, errInapplicable
	}
	a := &amendment{spec: spec, terms: t, policy: p, list: at, before: before, triggers: map[string]*amended{}}
	reader := format.NewZoneReader(inc.origin)
	var failed error
	for rr := range inc.removed {
		a.removed++
		reader.Record(rr, func(i *format.Indicator) {
			if err := a.remove(i); err != nil && failed == nil {
				failed = err
			}
		}, func(format.Fault) {})
	}
	for rr := range inc.added {
		a.added++
		reader.Record(rr, a.add, func(format.Fault) { a.refused++ })
	}
	if failed != nil {
		return nil, failed
	}
	return a.content(inc.version)
}

// at is the state of an indicator's trigger.
func (a *amendment) at(i *format.Indicator) *amended {
	packed := string(i.Name)
	if i.Trigger != format.QName {
		packed = string(appendPrefix(nil, i.Trigger, i.Prefix))
	}
	if known := a.triggers[packed]; known != nil {
		return known
	}
	t := &amended{trigger: i.Trigger, name: append([]byte(nil), i.Name...), prefix: i.Prefix}
	a.triggers[packed] = t
	a.order = append(a.order, packed)
	for place := range a.policy.same([]byte(packed)) {
		part, entry := a.policy.entryAt(place)
		if int(part.list) != a.list {
			continue
		}
		t.place, t.known = place, true
		for r := range part.eachRule(entry) {
			t.rules = append(t.rules, amendedRule{from: part.segment, rule: r})
		}
	}
	return t
}

func (a *amendment) remove(i *format.Indicator) error {
	t := a.at(i)
	for n := range t.rules {
		if a.is(&t.rules[n], i) {
			t.rules = append(t.rules[:n:n], t.rules[n+1:]...)
			return nil
		}
	}
	if !a.admits(i) {
		return nil // it was never let in
	}
	return fmt.Errorf("%w: it removes %s, which is not there", errInapplicable, guard.Entry(i))
}

// is tells whether a rule is what an indicator of the same trigger becomes.
func (a *amendment) is(r *amendedRule, i *format.Indicator) bool {
	action := actionOf(a.spec, a.terms.action, i.Action)
	if r.new != nil {
		return r.new.Scope == i.Scope && r.new.Action == i.Action && string(r.new.Data) == string(i.Data)
	}
	return r.rule.action == action && (i.Trigger != format.QName || r.rule.scope == i.Scope) &&
		(action != format.LocalData || string(r.from.records(&r.rule)) == string(i.Data))
}

func (a *amendment) admits(i *format.Indicator) bool {
	return a.terms.guard == nil || a.spec.Allow || a.terms.guard.Judge(i).Outcome == guard.Accept || a.terms.overrides.Has(i)
}

func (a *amendment) add(i *format.Indicator) {
	if !a.admits(i) {
		a.refused++
		return
	}
	t := a.at(i)
	for n := range t.rules {
		if a.is(&t.rules[n], i) {
			return // said twice
		}
	}
	own := *i
	own.Name, own.Data, own.Line = t.name, append([]byte(nil), i.Data...), 0
	t.rules = append(t.rules, amendedRule{new: &own})
}

// content is the list with what was amended.
func (a *amendment) content(version string) (*content, error) {
	b := newBuilder(a.spec, a.terms.action, a.terms.spill)
	b.addFile(shown(a.spec.Source))
	b.setVersion(version)
	dead := a.dead()
	for _, packed := range a.order {
		t := a.triggers[packed]
		for n := range t.rules {
			if err := b.amend(t, &t.rules[n]); err != nil {
				return nil, err
			}
		}
	}
	base := a.before.parts[0]
	whole := len(dead[base.segment])+b.seg.rules > max(leastCompacted, base.rules/8)
	carried := a.before.parts[1:] // into one further segment, not ever more
	if whole {
		carried = a.before.parts
	}
	for _, part := range carried {
		if err := a.carry(b, part, dead[part.segment]); err != nil {
			return nil, err
		}
	}
	s, err := b.finish()
	if err != nil {
		return nil, err
	}
	after := *a.before
	after.version, after.entries = version, max(0, a.before.entries+a.added-a.removed)
	after.parts = []listPart{{segment: s}}
	if !whole {
		after.parts = []listPart{{segment: base.segment, dead: dead[base.segment]}, {segment: s}}
	}
	return &after, nil
}

// leastCompacted is how many changes a list gathers before it is written anew.
const leastCompacted = 20_000

// dead are the entries of the list's segments that the amended triggers replace,
// beside those that were before.
func (a *amendment) dead() map[*segment]map[uint32]struct{} {
	dead := map[*segment]map[uint32]struct{}{}
	mark := func(s *segment, at uint32) { dead[s][at] = struct{}{} }
	for _, part := range a.before.parts {
		if dead[part.segment] = maps.Clone(part.dead); part.dead == nil {
			dead[part.segment] = map[uint32]struct{}{}
		}
	}
	repeated := map[string]bool{}
	for packed, t := range a.triggers {
		if !t.known {
			continue
		}
		if _, more := a.policy.repeated[t.place]; more {
			repeated[packed] = true
			continue
		}
		part, _ := a.policy.entryAt(t.place)
		mark(part.segment, t.place-uint32(part.first)<<chunkBits)
	}
	if len(repeated) == 0 {
		return dead
	}
	for _, part := range a.before.parts {
		for at, entry := range part.all() {
			if repeated[string(entry[:triggerSize(entry)])] {
				mark(part.segment, at)
			}
		}
	}
	return dead
}

// carry copies what still holds of a segment.
func (a *amendment) carry(b *builder, from listPart, dead map[uint32]struct{}) error {
	for at, entry := range from.all() {
		if _, gone := dead[at]; gone {
			continue
		}
		t := &amended{}
		t.trigger, t.name, t.prefix = triggerOf(entry)
		for r := range from.eachRule(entry) {
			if err := b.amend(t, &amendedRule{from: from.segment, rule: r}); err != nil {
				return err
			}
		}
	}
	return nil
}

// amend adds a rule of an amended trigger.
func (b *builder) amend(t *amended, r *amendedRule) error {
	if r.new != nil {
		return b.add(r.new)
	}
	p := *r.rule.profile
	p.family, p.tlp = b.labelOf(0, r.from.labels[p.family]), b.labelOf(1, r.from.labels[p.tlp])
	p.file = b.fileOf(r.from.files[p.file])
	moved := r.rule
	moved.profile = &p
	if p.fields&hasReference != 0 {
		var err error
		if moved.reference, err = b.refs.add(r.from.reference(&r.rule)); err != nil {
			return err
		}
	}
	if p.fields&hasData != 0 {
		moved.data = b.blob(r.from.records(&r.rule))
	}
	return b.put(t.trigger, t.name, t.prefix, &moved)
}

// fileOf numbers a file of another segment.
func (b *builder) fileOf(f file) uint16 {
	for i, known := range b.seg.files {
		if known == f {
			return uint16(i)
		}
	}
	b.seg.files = append(b.seg.files, f)
	return uint16(len(b.seg.files) - 1)
}
