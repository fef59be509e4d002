package blocklist

import (
	"fmt"
	"math"
	"net/netip"
)

// maxRulesPerList bounds what one list can say about one trigger: no more than
// a verdict can name, so that no feed can make a look-up slow. What is beyond
// is left out and counted in Status.Excess.
const maxRulesPerList = MaxRules

// compiler merges segments and the unchanged lists of an older policy into a
// new policy. Lists are added in order of precedence.
type compiler struct {
	*Policy
	in      interner
	pending []rule
	excess  []int // by list: rules left out because of maxRulesPerList
}

var errManyFiles = fmt.Errorf("more than %d files in all lists together: put several into one", math.MaxUint16)

// newCompiler makes room for about as much as there is in an older policy.
func newCompiler(serial uint64, old *Policy) *compiler {
	return &compiler{
		Policy:  &Policy{serial: serial, names: newNameSet(old.names.count, len(old.names.arena))},
		in:      newInterner(),
		pending: make([]rule, 0, len(old.rules)),
	}
}

// addSegment adds a freshly parsed list.
func (c *compiler) addSegment(list List, s *segment) error {
	return c.addList(list, s.files, &s.tables, s.each)
}

// carry adds a list as it stands in an older policy, with what is configured
// for it now.
func (c *compiler) carry(list List, old *Policy, index uint16) error {
	var files []file
	fileAt := make([]uint16, len(old.files))
	for i, f := range old.files {
		if f.list == index {
			fileAt[i] = uint16(len(files))
			files = append(files, f)
		}
	}
	return c.addList(list, files, &old.tables, func(fn func(rule, []byte, netip.Prefix)) {
		old.eachOf(index, func(r rule, name []byte, prefix netip.Prefix) {
			r.file = fileAt[r.file]
			fn(r, name, prefix)
		})
	})
}

func (c *compiler) addList(list List, files []file, from *tables, each func(func(rule, []byte, netip.Prefix))) error {
	if len(c.files)+len(files) > math.MaxUint16 {
		return errManyFiles
	}
	c.lists = append(c.lists, list)
	c.excess = append(c.excess, 0)
	firstFile := uint16(len(c.files))
	for _, f := range files {
		f.list = uint16(len(c.lists) - 1)
		c.files = append(c.files, f)
	}
	detailAt := c.in.transfer(from)
	var failed error
	each(func(r rule, name []byte, prefix netip.Prefix) {
		var ok bool
		if r.entry, ok = c.enter(r.kind, name, prefix); !ok {
			failed = errTooLarge
			return
		}
		r.file += firstFile
		r.detail = detailAt(r.detail)
		c.pending = append(c.pending, r)
	})
	return failed
}

// enter finds or makes the entry of a rule and counts the rule there.
func (c *compiler) enter(kind ruleKind, name []byte, prefix netip.Prefix) (entry uint32, ok bool) {
	switch kind {
	case kindResponseIP:
		entry = c.answers.add(prefix)
		c.answers.entries[entry].n++
	case kindClientIP:
		entry = c.clients.add(prefix)
		c.clients.entries[entry].n++
	default:
		if entry, _, ok = c.names.add(name); !ok {
			return 0, false
		}
		first, n := c.names.rules(entry)
		c.names.setRules(entry, first, n+1)
	}
	return entry, true
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
		if o.kind == r.kind && o.action == r.action && o.detail == r.detail {
			return
		}
		same++
	}
	if same >= maxRulesPerList {
		c.excess[c.files[r.file].list]++
		return
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
