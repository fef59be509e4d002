package blocklist

import (
	"net/netip"

	"sinkhole/blocklist/format"
)

// maxRulesPerList bounds what one list can say about one trigger, so that no
// feed can make a look-up slow. What is beyond is left out and counted.
const maxRulesPerList = 64

// compiler merges segments and the unchanged lists of an older policy into a
// new policy. Lists are added in order of precedence.
type compiler struct {
	*Policy
	in      interner
	pending []rule
}

func newCompiler(serial uint64, names int) *compiler {
	return &compiler{Policy: &Policy{serial: serial, names: newNameSet(names)}, in: newInterner()}
}

// addSegment adds a freshly parsed list.
func (c *compiler) addSegment(list List, s *segment) error {
	return c.addList(list, s.files, &s.tables, s.each)
}

// carry adds a list as it stands in an older policy, with what is configured
// for it now.
func (c *compiler) carry(list List, old *Policy, index uint16) error {
	var names []string
	fileAt := make([]uint16, len(old.files))
	for i, f := range old.files {
		if f.list == index {
			fileAt[i] = uint16(len(names))
			names = append(names, f.name)
		}
	}
	return c.addList(list, names, &old.tables, func(fn func(*rule, []byte, netip.Prefix)) {
		old.eachOf(index, func(r *rule, name []byte, prefix netip.Prefix) {
			moved := *r
			moved.file = fileAt[r.file]
			fn(&moved, name, prefix)
		})
	})
}

func (c *compiler) addList(list List, files []string, from *tables, each func(func(*rule, []byte, netip.Prefix))) error {
	c.lists = append(c.lists, list)
	firstFile := uint16(len(c.files))
	for _, name := range files {
		c.files = append(c.files, file{list: uint16(len(c.lists) - 1), name: name})
	}
	detailAt := c.in.transfer(from)
	var failed error
	each(func(r *rule, name []byte, prefix netip.Prefix) {
		added := *r
		added.file += firstFile
		added.detail = detailAt(r.detail)
		if !c.enter(&added, name, prefix) {
			failed = errTooLarge
			return
		}
		c.pending = append(c.pending, added)
	})
	return failed
}

// enter finds or makes the entry of a rule and counts the rule there.
func (c *compiler) enter(r *rule, name []byte, prefix netip.Prefix) bool {
	switch r.kind {
	case kindResponseIP:
		r.entry = c.answers.add(prefix)
		c.answers.entries[r.entry].n++
	case kindClientIP:
		r.entry = c.clients.add(prefix)
		c.clients.entries[r.entry].n++
	default:
		at, _, ok := c.names.add(name)
		if !ok {
			return false
		}
		r.entry = at
		first, n := c.names.rules(at)
		c.names.setRules(at, first, n+1)
	}
	return true
}

// finish groups the rules by entry and gives the policy.
func (c *compiler) finish() *Policy {
	c.reserve()
	c.rules = make([]rule, len(c.pending))
	for i := range c.rules {
		c.rules[i].kind = kindNone
	}
	for i := range c.pending {
		c.place(&c.pending[i])
	}
	c.tables = c.in.tables
	return c.Policy
}

// reserve gives each entry its run of rules, still empty.
func (c *compiler) reserve() {
	next := uint32(0)
	for at := range c.names.each() {
		_, n := c.names.rules(at)
		c.names.setRules(at, next, 0)
		next += n
	}
	for _, s := range []*prefixSet{&c.answers, &c.clients} {
		for i := range s.entries {
			n := s.entries[i].n
			s.entries[i].first, s.entries[i].n = next, 0
			next += n
		}
	}
}

// place puts a rule into its run unless the list has said the same already.
func (c *compiler) place(r *rule) {
	first, n := c.group(r)
	same := 0
	for i := first; i < first+n; i++ {
		o := &c.rules[i]
		if c.files[o.file].list != c.files[r.file].list {
			continue
		}
		if same++; same >= maxRulesPerList || o.kind == r.kind && o.action == r.action && o.detail == r.detail && r.action != format.LocalData {
			return
		}
	}
	c.rules[first+n] = *r
	c.live++
	switch r.kind {
	case kindResponseIP:
		c.answers.entries[r.entry].n++
	case kindClientIP:
		c.clients.entries[r.entry].n++
	default:
		c.names.setRules(r.entry, first, n+1)
	}
}
