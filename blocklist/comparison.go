package blocklist

import (
	"slices"
	"strings"

	"sinkhole/blocklist/format"
)

// comparison goes through the triggers of a list in one policy, and looks for
// them in a list of another.
type comparison struct {
	one, other      *Policy
	list, otherList int // otherList is -1 where other has no such list

	lacking int      // triggers that the other list has not
	entries []string // the first of them, unless there is no other list
	fresh   int      // those of them that no list of other has
	changed int      // triggers that both have, and that do something else
	changes []Change // the first of them

	plain map[*segment]effect // of segments whose rules all do one thing
}

func (c *comparison) run() {
	c.plain = map[*segment]effect{}
	beside := newCursor(c.other, c.otherList)
	for place, entry := range c.one.differing(c.list, c.other, c.otherList) {
		if found, ok := beside.passes(entry); ok {
			c.both(place, entry, found)
			continue
		}
		found, inList, inAny := c.other.knows(c.otherList, entry)
		switch {
		case inList:
			beside.after(found)
			c.both(place, entry, found)
		case c.one.first(c.list, entry) == place:
			c.lacks(place, entry, inAny)
		}
	}
}

func (c *comparison) lacks(place uint32, entry []byte, inAny bool) {
	c.lacking++
	if c.otherList >= 0 && len(c.entries) < maxDiff {
		c.entries = append(c.entries, textOf(entry))
	}
	if !inAny && c.one.first(-1, entry) == place {
		c.fresh++
	}
}

// both notes a trigger that both lists have if it does something else.
func (c *comparison) both(place uint32, entry []byte, found uint32) {
	part, _ := c.one.entryAt(place)
	otherPart, other := c.other.entryAt(found)
	if e := c.effectOf(part.segment); e.single && e == c.effectOf(otherPart.segment) {
		return
	}
	if _, repeated := c.one.repeated[place]; repeated && c.one.first(c.list, entry) != place {
		return // the entry that has the rules of all comes too
	}
	if _, repeated := c.other.repeated[found]; repeated {
		otherPart, other = c.other.entryAt(c.other.first(c.otherList, entry))
	}
	before, after := otherPart.effects(other), part.effects(entry)
	if slices.Equal(before, after) {
		return
	}
	c.changed++
	if len(c.changes) < maxDiff {
		c.changes = append(c.changes, Change{Entry: textOf(entry), Before: strings.Join(before, ", "), After: strings.Join(after, ", ")})
	}
}

// effect is what the rules of a segment do, if all do the same.
type effect struct {
	single bool
	action format.Action
	scope  format.Scope
}

func (c *comparison) effectOf(s *segment) effect {
	if known, found := c.plain[s]; found {
		return known
	}
	e := effect{}
	for i := range s.profiles {
		p := &s.profiles[i]
		if this := (effect{true, p.action, p.scope}); i == 0 {
			e = this
		} else if this != e {
			e.single = false
		}
	}
	e.single = e.single && e.action != format.LocalData
	c.plain[s] = e
	return e
}

// effects are what the rules of an entry do, each once, in order.
func (s *segment) effects(entry []byte) (all []string) {
	for r := range s.eachRule(entry) {
		text := r.action.String()
		switch {
		case entry[0] >= tagResponse4:
		case r.scope == format.Exact:
			text += " exactly"
		case r.scope == format.Below:
			text += " below"
		}
		if r.action == format.LocalData {
			text += " " + recordText(s.records(&r))
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
