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

// candidate is a rule that matched. Its key orders it: list, rank, then for
// names position in the chain, length (longest first) and scope (exact first),
// for addresses prefix length (longest first).
type candidate struct {
	key      uint64
	rule     uint32
	position uint16 // of the name in the chain, or of the address in the answer
}

func (c *candidate) rank() int { return int(c.key >> 46 & 3) }

// candidates are the rules that matched in one phase, on the stack of the
// judge: the one that decides so far, kept whatever else matches, and of the
// others those that come first.
type candidates struct {
	policy *Policy
	now    int64

	decider candidate // of action Log never
	decided bool
	others  [MaxRules]candidate // in order; of action PassThru never
	n       int
	more    int // matches that found no room among the others
}

func (c *candidates) addName(rule uint32, position, length int) {
	c.add(candidate{rule: rule, position: uint16(position)}, rankName, position, length)
}

func (c *candidates) addPrefixes(s *prefixSet, addr netip.Addr, rank, position int) {
	for _, i := range s.table.Supernets(netip.PrefixFrom(addr, addr.BitLen())) {
		e := &s.entries[i]
		length := e.prefix.Bits() + 128 - addr.BitLen()
		for rule := e.first; rule < e.first+e.n; rule++ {
			c.add(candidate{rule: rule, position: uint16(position)}, rank, 0, length)
		}
	}
}

// add takes a match. Names and addresses must come in the order of the answer,
// so that of several matches of one rule the first is kept.
func (c *candidates) add(n candidate, rank, position, length int) {
	r := &c.policy.rules[n.rule]
	if e := c.policy.details[r.detail].expires; e != 0 && c.now >= int64(e) {
		return
	}
	n.key = uint64(c.policy.files[r.file].list)<<48 | uint64(rank)<<46 | uint64(min(position, 1<<16-1))<<30 | uint64(255-length)<<22
	if r.kind != kindExact {
		n.key |= 1 << 21
	}
	switch {
	case r.action == format.Log:
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
	if c.policy.rules[n.rule].action != format.PassThru {
		c.keep(n)
	}
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
	entry := c.policy.rules[n.rule].entry
	if n.rank() == rankClient {
		return c.policy.clients.entries[entry].prefix
	}
	return c.policy.answers.entries[entry].prefix
}
