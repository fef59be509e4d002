package blocklist

import (
	"fmt"
	"math"
	"net/netip"
	"slices"

	"sinkhole/blocklist/format"
)

// maxRulesPerList bounds what one list can say about one trigger: no more than
// a verdict can name, so that no feed can make a look-up slow. What is beyond
// is left out and counted in Status.Excess.
const maxRulesPerList = MaxRules

// maxParts leaves room for patches among what 16 bits number.
const maxParts = math.MaxUint16 / 2

var (
	errManyParts = fmt.Errorf("more than %d lists: put several into one", maxParts)
)

// compiled is one list on its way into a policy.
type compiled struct {
	List
	parts []listPart
}

// has tells whether a list has rules of an action.
func (c *compiled) has(a format.Action) bool {
	return slices.ContainsFunc(c.parts, func(l listPart) bool {
		return slices.ContainsFunc(l.profiles, func(p profile) bool { return p.action == a })
	})
}

// listPart is a segment of a list, and what of it later parts replace.
type listPart struct {
	*segment
	dead map[uint32]struct{}
}

// compile makes the policy of some lists, given in order of precedence. The
// segments are shared with the policy, not copied.
func compile(serial uint64, lists []compiled, g groups) (*Policy, error) {
	p := &Policy{serial: serial, key: newHashKey(), tally: make([]tally, len(lists)), groups: g}
	names := 0
	for i, list := range lists {
		p.lists = append(p.lists, list.List)
		p.silencing = p.silencing || list.Action == format.Log && !list.Allow && list.has(format.PassThru)
		for _, s := range list.parts {
			p.parts = append(p.parts, part{segment: s.segment, dead: s.dead, list: uint16(i), first: len(p.chunks)})
			for range s.chunks {
				p.owners = append(p.owners, uint16(len(p.parts)-1))
			}
			p.chunks = append(p.chunks, s.chunks...)
			names += s.names
		}
	}
	switch {
	case len(p.parts) > maxParts:
		return nil, errManyParts
	case len(p.chunks) > maxChunks:
		return nil, errTooLarge
	}
	p.groups.resolve(p.lists)
	p.repeated = map[uint32]struct{}{}
	p.index, p.filter = newIndex(names), newFilter(names)
	in := newIndexer(p)
	in.foresee()
	in.enter()
	in.deepen()
	if err := in.repeats.merge(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Policy) enterPrefix(set *prefixSet, part *part, prefix netip.Prefix, place uint32) (first uint32, repeated bool) {
	for known := range set.places(prefix) {
		if other, _ := p.entryAt(known); other.list == part.list {
			return known, true
		}
	}
	set.add(prefix, place)
	return 0, false
}

// repeats are the triggers that a list has in several entries, with other lines
// between. Each becomes one entry with the rules of all, in a segment that
// belongs to the policy.
type repeats struct {
	policy *Policy
	firsts []uint32            // in order
	more   map[uint32][]uint32 // the further entries, by the first
}

func (r *repeats) note(first, place uint32) {
	if r.more[first] == nil {
		r.firsts = append(r.firsts, first)
	}
	r.more[first] = append(r.more[first], place)
}

func (r *repeats) merge() error {
	p := r.policy
	var patch *part // of the segment that the entries at hand are in
	var entry []byte
	for _, first := range r.firsts {
		p.repeated[first] = struct{}{}
		owner, _ := p.entryAt(first)
		merged, rules, excess := r.join(entry[:0], first)
		t := &p.tally[owner.list]
		t.excess += excess
		if rules == 0 {
			continue
		}
		if patch == nil || !sameTables(patch.segment, owner.segment) || len(patch.chunks[len(patch.chunks)-1])+len(merged) > chunkSize {
			if len(p.chunks) == maxChunks {
				return errTooLarge
			}
			patch = p.addPatch(owner)
		}
		last := len(patch.chunks) - 1
		at := len(patch.chunks[last])
		patch.chunks[last] = append(patch.chunks[last], merged...)
		p.chunks[patch.first] = patch.chunks[last]
		place := uint32(patch.first)<<chunkBits + uint32(at)
		p.replace(merged, first, place)
		p.repeated[place] = struct{}{}
		t.rules += rules
		entry = merged
	}
	return nil
}

// join packs the rules of all entries of a trigger into one, without what is said
// twice. rules is how many the first entry did not have.
func (r *repeats) join(dst []byte, first uint32) (merged []byte, rules, excess int) {
	owner, entry := r.policy.entryAt(first)
	n := owner.size(entry)
	dst = append(dst, entry[:n]...)
	have, last, data := 0, triggerSize(entry), 0
	for all := owner.rulesOf(dst); all.more; have++ {
		last = len(dst) - len(all.packed)
		rule := all.next()
		data += len(owner.records(&rule))
	}
	for _, place := range r.more[first] {
		other, entry := r.policy.entryAt(place)
		all := other.rulesOf(entry)
		for all.more {
			from := all.packed
			rule := all.next()
			switch {
			case owner.says(dst, &rule):
			case have+rules == maxRulesPerList, data+len(owner.records(&rule)) > maxEntryData:
				excess++
			default:
				data += len(owner.records(&rule))
				dst[last] |= 1
				last = len(dst)
				dst = append(dst, from[:len(from)-len(all.packed)]...)
				dst[last] &^= 1
				rules++
			}
		}
	}
	return dst, rules, excess
}

// says tells whether an entry says what a rule of the same segment does.
func (s *segment) says(entry []byte, r *rule) bool {
	for all := s.rulesOf(entry); all.more; {
		if known := all.next(); known.says(r) {
			return true
		}
	}
	return false
}

// addPatch begins a chunk for the merged entries of a part.
func (p *Policy) addPatch(owner *part) *part {
	s := *owner.segment
	s.chunks, s.names, s.prefixes, s.rules = [][]byte{make([]byte, 0, 4096)}, 0, 0, 0
	p.parts = append(p.parts, part{segment: &s, list: owner.list, first: len(p.chunks), patch: true})
	p.chunks = append(p.chunks, s.chunks[0])
	p.owners = append(p.owners, uint16(len(p.parts)-1))
	return &p.parts[len(p.parts)-1]
}

func sameTables(a, b *segment) bool {
	return len(a.profiles) == len(b.profiles) && &a.profiles[0] == &b.profiles[0]
}

// replace moves a trigger from one place to another.
func (p *Policy) replace(entry []byte, from, to uint32) {
	trigger, name, prefix := triggerOf(entry)
	switch trigger {
	case format.ResponseIP:
		p.answers.replace(prefix, from, to)
	case format.ClientIP:
		p.clients.replace(prefix, from, to)
	default:
		p.index.replace(p.key.name(name), from, to)
	}
}

// count is the number of rules in an entry.
func (s *segment) count(entry []byte) int {
	_, n := s.walk(entry, triggerSize(entry))
	return n
}

func sameName(a, b []byte) bool {
	n := nameEnd(b, 0)
	return len(a) >= n && string(a[:n]) == string(b[:n])
}
