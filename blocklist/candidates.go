package blocklist

import "net/netip"

// maxCandidates bounds the matching rules that one phase weighs; more than
// that is counted, and those that come first in precedence are kept.
const maxCandidates = 48

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
	addr     netip.Addr
}

func (c *candidate) rank() int { return int(c.key >> 46 & 3) }

func (c *candidate) before(o *candidate) bool {
	switch {
	case c.key != o.key:
		return c.key < o.key
	case c.addr != o.addr:
		return c.addr.Less(o.addr)
	}
	return c.rule < o.rule
}

// candidates is an insertion-sorted list on the stack of the judge.
type candidates struct {
	list [maxCandidates]candidate
	n    int
	more int
}

func (c *candidates) add(p *Policy, rule uint32, rank, position, length int, now int64) {
	c.insert(p, candidate{rule: rule, position: uint16(position)}, rank, position, length, now)
}

func (c *candidates) addPrefixes(p *Policy, s *prefixSet, addr netip.Addr, rank, position int, now int64) {
	for _, i := range s.table.Supernets(netip.PrefixFrom(addr, addr.BitLen())) {
		e := &s.entries[i]
		length := e.prefix.Bits() + 128 - addr.BitLen()
		for r := e.first; r < e.first+e.n; r++ {
			c.insert(p, candidate{rule: r, position: uint16(position), addr: e.prefix.Addr()}, rank, 0, length, now)
		}
	}
}

func (c *candidates) insert(p *Policy, n candidate, rank, position, length int, now int64) {
	r := &p.rules[n.rule]
	if e := p.details[r.detail].expires; e != 0 && now >= int64(e) {
		return
	}
	n.key = uint64(p.files[r.file].list)<<48 | uint64(rank)<<46 | uint64(min(position, 1<<16-1))<<30 | uint64(255-length)<<22
	if r.kind != kindExact {
		n.key |= 1 << 21
	}
	if c.n == maxCandidates {
		c.more++
		if !n.before(&c.list[c.n-1]) {
			return
		}
		c.n--
	}
	i := c.n
	for ; i > 0 && n.before(&c.list[i-1]); i-- {
		c.list[i] = c.list[i-1]
	}
	c.list[i] = n
	c.n++
}
