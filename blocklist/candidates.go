package blocklist

import (
	"net/netip"

	"sinkhole/blocklist/format"
)

// Ranks within a list, as RPZ orders them: client IP before QNAME before IP.
const (
	rankClient = iota
	rankName
	rankAnswer
)

// candidate is a rule that matched. Its key orders it: list, rank, position in
// the chain, precedence, length (longest first) and scope (exact first).
type candidate struct {
	key      uint64
	rule     uint64
	position uint16 // of the name in the chain, or of the address in the answer
	action   format.Action
}

func (c *candidate) rank() int { return int(c.key >> rankAt & 3) }

func (c *candidate) list() uint16 { return uint16(c.key >> listAt) }

// Where the fields of a key begin.
const (
	listAt       = 48
	rankAt       = 46
	positionAt   = 30
	precedenceAt = 28
	lengthAt     = 20
	scopeAt      = 19
)

// candidates are the rules that matched in one phase, on the stack of the
// judge: the one that decides so far, kept whatever else matches, and of the
// others those that come first.
type candidates struct {
	policy *Policy
	now    int64
	lists  []uint64 // those that hold for the client; nil: all

	// The exceptions of lists that only observe are looked for first, in a pass
	// of their own, where a policy has any.
	scouting bool
	silent   [8]candidate // the first of each list; of further lists they are not seen
	nSilent  int

	decider candidate // of action Log never
	decided bool
	n       int
	more    int                 // matches that found no room among the others
	others  [MaxRules]candidate // in order; of action PassThru never
}

// addAnswer takes what stands on the names and addresses of an answer.
func (c *candidates) addAnswer(names []byte, addrs []netip.Addr) {
	for at, i := 0, 0; at < len(names); i++ {
		end := nameEnd(names, at)
		var m matches
		m.find(c.policy, names[at:end])
		c.addNames(&m, names[at:end], i)
		at = end
	}
	for i, addr := range addrs {
		if addr = addr.Unmap(); c.policy.answers.contains(addr) {
			c.addPrefixes(&c.policy.answers, addr, rankAnswer, i)
		}
	}
}

// addNames takes what was found on a name. position is its place in the chain.
func (c *candidates) addNames(m *matches, name []byte, position int) {
	if m.n > len(m.at) {
		c.addManyNames(name, position)
		return
	}
	for _, found := range m.at[:m.n] {
		c.addName(found.place, int(found.length) == len(name), position, int(found.length))
	}
}

// addManyNames takes what stands on a name and on those above it where that is
// more than matches hold.
func (c *candidates) addManyNames(name []byte, position int) {
	for at := 0; ; at += 1 + int(name[at]) {
		for place := range c.policy.entriesOf(name[at:]) {
			c.addName(place, at == 0, position, len(name)-at)
		}
		if name[at] == 0 {
			return
		}
	}
}

// addName takes the matches of a name's entry. length is that of the name,
// whole is true where it is the name asked for and not one above.
func (c *candidates) addName(place uint32, whole bool, position, length int) {
	part, entry := c.policy.entryAt(place)
	if c.holds(part) {
		c.addEntry(part, place, rules{segment: part.segment, packed: entry[length:], more: true}, whole, rankName, position, position, length)
	}
}

func (c *candidates) addPrefixes(s *prefixSet, addr netip.Addr, rank, position int) {
	for prefix, node := range s.table.Supernets(netip.PrefixFrom(addr, addr.BitLen())) {
		length := prefix.Bits() + 128 - addr.BitLen()
		for {
			place := s.nodes[node].place
			if part, entry := c.policy.entryAt(place); c.holds(part) {
				c.addEntry(part, place, part.rulesOf(entry), true, rank, 0, position, length)
			}
			next := s.nodes[node].next
			if next == 0 {
				break
			}
			node = next - 1
		}
	}
}

// holds tells whether the list of a part holds for the client.
func (c *candidates) holds(part *part) bool {
	return c.lists == nil || c.lists[part.list/64]>>(part.list%64)&1 != 0
}

// addEntry takes the rules of one entry that cover what was asked. Names and
// addresses must come in the order of the answer, so that of several matches of
// one rule the first is kept.
func (c *candidates) addEntry(part *part, place uint32, all rules, whole bool, rank, order, position, length int) {
	list := &c.policy.lists[part.list]
	for ordinal := 0; all.more; ordinal++ {
		r := all.next()
		if rank == rankName && !covers(r.scope, whole) {
			continue
		}
		if r.expired(list, c.now) {
			continue
		}
		n := candidate{
			rule: ruleNumber(place, ordinal), position: uint16(position), action: r.action,
			key: uint64(part.list)<<listAt | uint64(rank)<<rankAt | uint64(min(order, 1<<16-1))<<positionAt |
				uint64(min(r.precedence, 3))<<precedenceAt | uint64(255-length)<<lengthAt,
		}
		if r.scope != format.Exact {
			n.key |= 1 << scopeAt
		}
		c.add(n)
	}
}

func (c *candidates) add(n candidate) {
	switch {
	case c.scouting:
		if c.silences(&n) {
			c.silence(n)
		}
		return
	case c.nSilent > 0 && c.silenced(&n):
		return
	case n.action == format.Log:
		c.keep(n)
		return
	case !c.decided:
		c.decider, c.decided = n, true
		return
	case n.rule == c.decider.rule:
		return
	case c.before(&n, &c.decider):
		n, c.decider = c.decider, n
	}
	if n.action != format.PassThru {
		c.keep(n)
	}
}

// silences tells whether a match is an exception in a list that only observes:
// it is one for that list alone.
func (c *candidates) silences(n *candidate) bool {
	list := &c.policy.lists[n.list()]
	return n.action == format.PassThru && list.Action == format.Log && !list.Allow
}

// silence notes such an exception.
func (c *candidates) silence(n candidate) {
	for i := range c.nSilent {
		if c.silent[i].list() == n.list() {
			if c.before(&n, &c.silent[i]) {
				c.silent[i] = n
			}
			return
		}
	}
	if c.nSilent < len(c.silent) {
		c.silent[c.nSilent] = n
		c.nSilent++
	}
}

// silenced tells whether an exception of its list comes before a match.
func (c *candidates) silenced(n *candidate) bool {
	for i := range c.nSilent {
		if c.silent[i].list() == n.list() && !c.before(n, &c.silent[i]) {
			return true
		}
	}
	return false
}

// keep puts a match among the others.
func (c *candidates) keep(n candidate) {
	for i := range c.n {
		if c.others[i].rule == n.rule {
			return
		}
	}
	i := c.n
	if i == len(c.others) {
		c.more++
		if i--; !c.before(&n, &c.others[i]) {
			return
		}
	} else {
		c.n++
	}
	for ; i > 0 && c.before(&n, &c.others[i-1]); i-- {
		c.others[i] = c.others[i-1]
	}
	c.others[i] = n
}

// before tells which of two matches comes first: by key, then the smaller
// address, then the earlier line.
func (c *candidates) before(a, b *candidate) bool {
	if a.key != b.key {
		return a.key < b.key
	}
	if a.rank() != rankName {
		if d := c.prefix(a).Addr().Compare(c.prefix(b).Addr()); d != 0 {
			return d < 0
		}
	}
	return a.rule < b.rule
}

func (c *candidates) prefix(n *candidate) netip.Prefix {
	_, entry := c.policy.entryAt(uint32(n.rule >> ordinalBits))
	_, _, prefix := triggerOf(entry)
	return prefix
}
