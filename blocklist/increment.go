package blocklist

import (
	"encoding/binary"
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
	spec     *Spec
	terms    *terms
	policy   *Policy
	list     int
	before   *content
	crowded  bool                // of some triggers not all rules are kept
	triggers map[string]*amended // by packed trigger
	order    []string
	ledger   ledger
	err      error
}

// amended is one trigger with the rules that it had and has then.
type amended struct {
	trigger format.Trigger
	name    []byte
	prefix  netip.Prefix
	place   uint32 // of its entry before
	known   bool   // it had one
	changed bool
	rules   []amendedRule // maxRulesPerList at most
	octets  int           // of their local data
}

// amendedRule is a rule of the segment that it comes from, or a new one.
type amendedRule struct {
	action format.Action // as it is in force
	scope  format.Scope  // of a name
	data   []byte        // local data
	from   *segment      // nil: new is there
	rule   rule
	new    *format.Indicator // name, prefix and data are its own
}

func (r *amendedRule) says(o *amendedRule) bool {
	return r.action == o.action && r.scope == o.scope && string(r.data) == string(o.data)
}

// amend works out what a list is after an increment, from what it is in a policy.
// The content's account has been brought up to date by the ledger.
func amend(spec *Spec, t *terms, p *Policy, before *content, inc *increment) (*content, *ledger, error) {
	at := p.listNamed(spec.Name)
	if before == nil || at < 0 {
		return nil, nil, errInapplicable
	}
	a := &amendment{
		spec: spec, terms: t, policy: p, list: at, before: before, crowded: before.account.excess+p.tally[at].excess > 0,
		triggers: map[string]*amended{}, ledger: ledger{origin: format.Text(inc.origin)},
	}
	reader := format.NewZoneReader(inc.origin)
	for rr := range inc.removed {
		if reader.Record(rr, a.remove, a.removeFault); a.err != nil {
			return nil, nil, a.err
		}
	}
	for rr := range inc.added {
		if reader.Record(rr, a.add, a.addFault); a.err != nil {
			return nil, nil, a.err
		}
	}
	after, err := a.content(inc.version)
	return after, &a.ledger, err
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
			t.take(amendedRule{action: r.action, scope: r.scope, data: part.records(&r), from: part.segment, rule: r})
		}
	}
	return t
}

func (t *amended) take(r amendedRule) {
	t.rules = append(t.rules, r)
	t.octets += len(r.data)
}

// ruleOf is what becomes of an indicator.
func (a *amendment) ruleOf(i *format.Indicator) amendedRule {
	r := amendedRule{action: actionOf(a.spec, a.terms.action, i.Action)}
	if i.Trigger == format.QName {
		r.scope = i.Scope
	}
	if r.action == format.LocalData {
		r.data = i.Data
	}
	return r
}

func (a *amendment) remove(i *format.Indicator) {
	a.ledger.since.entries--
	if f, outcome := a.judge(i); outcome != guard.Accept {
		a.ledger.keptOut(outcome).leave(aboutEntry(&f))
		return
	}
	if a.isLow() {
		a.ledger.low--
		return
	}
	t, r := a.at(i), a.ruleOf(i)
	switch {
	case a.isPartial(t):
		a.err = fmt.Errorf("%w: it removes a record of %s, of which not all are kept", errInapplicable, guard.Entry(i))
		return
	case r.action != format.LocalData && isOneOfMany(i):
		a.err = fmt.Errorf("%w: it removes a record of %s, beside which others may do the same", errInapplicable, guard.Entry(i))
		return
	}
	for n := range t.rules {
		if known := &t.rules[n]; known.says(&r) {
			t.octets -= len(known.data)
			t.rules, t.changed = append(t.rules[:n:n], t.rules[n+1:]...), true
			return
		}
	}
	a.err = fmt.Errorf("%w: it removes %s, which is not there", errInapplicable, guard.Entry(i))
}

// isOneOfMany tells whether an indicator is of a record beside which its owner may
// have others. Where a list overrides the action of local data, all of them become
// one rule.
func isOneOfMany(i *format.Indicator) bool {
	const typeAt = 1 // behind the owner, the root
	return i.Action == format.LocalData && len(i.Data) > typeAt+1 && binary.BigEndian.Uint16(i.Data[typeAt:]) != typeCNAME
}

const typeCNAME = 5

func (a *amendment) add(i *format.Indicator) {
	a.ledger.since.entries++
	if f, outcome := a.judge(i); outcome != guard.Accept {
		a.ledger.keptOut(outcome).came.add(f)
		return
	}
	if a.isLow() {
		a.ledger.low++
		return
	}
	t, r := a.at(i), a.ruleOf(i)
	for n := range t.rules {
		if t.rules[n].says(&r) {
			return // said twice
		}
	}
	if len(t.rules) == maxRulesPerList || t.octets+len(r.data) > maxEntryData {
		a.ledger.excess++
		return
	}
	if _, repeated := a.policy.repeated[t.place]; repeated && t.known && a.isPartial(t) { // how many the policy left out of it is not known
		a.err = fmt.Errorf("%w: it adds a record of %s, of which not all are kept", errInapplicable, guard.Entry(i))
		return
	}
	own := *i
	own.Name, own.Data, own.Line = t.name, append([]byte(nil), i.Data...), 0
	r.new = &own
	if r.data != nil {
		r.data = own.Data
	}
	t.take(r)
	t.changed = true
}

// isPartial tells whether the list may have said more of a trigger than was kept.
func (a *amendment) isPartial(t *amended) bool { return a.crowded && t.octets > 0 }

// isLow tells whether the list is left out as a whole: no record of a zone states a
// confidence of its own.
func (a *amendment) isLow() bool {
	return a.spec.Confidence > 0 && a.spec.Confidence < a.spec.MinConfidence
}

// judge asks the guard about an indicator.
func (a *amendment) judge(i *format.Indicator) (Fault, guard.Outcome) {
	return a.terms.judge(a.spec, shown(a.spec.Source), i)
}

func (a *amendment) removeFault(f format.Fault) {
	a.ledger.fault(&f, -1)
	a.ledger.faults.leave(a.ledger.aboutFault(&Fault{Fault: f}))
}

func (a *amendment) addFault(f format.Fault) {
	a.ledger.fault(&f, 1)
	a.ledger.faults.came.add(Fault{File: shown(a.spec.Source), Fault: f})
}

// content is the list with what was amended.
func (a *amendment) content(version string) (*content, error) {
	b := newBuilder(a.spec, a.terms.action, a.terms.spill)
	b.addFile(shown(a.spec.Source))
	b.setVersion(version)
	dead := a.dead()
	for _, packed := range a.order {
		t := a.triggers[packed]
		if !t.changed {
			continue
		}
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
	a.ledger.excess += b.excess // of entries that come together
	after := *a.before
	after.version, after.account = version, a.ledger.account(a.before.account)
	after.account.amended, after.entries = b.warnings(), after.account.entries()
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
		if !t.known || !t.changed {
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
		var kept bool
		if moved.reference, kept = b.refs.add(r.from.reference(&r.rule)); !kept {
			p.fields &^= hasReference
		}
	}
	return b.put(t.trigger, t.name, t.prefix, &moved, r.from.records(&r.rule))
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
