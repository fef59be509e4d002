package guard

import (
	"fmt"
	"net/netip"
	"slices"

	"sinkhole/blocklist/format"

	"github.com/gaissmai/bart"
)

// The widest prefixes that an entry may have without an operator's approval.
// Addresses in answers: lists of networks that only criminals use have them up to
// this (Spamhaus DROP: all but one of 683 in 2015; DROPv6: /29, which RIPE gives a
// member unasked), and a digit lost ("/2" of "/24") is shorter.
// Addresses of clients: one entry is to decide for one network of them at most.
const (
	widestIPv4       = 12
	widestIPv6       = 29
	widestClientIPv4 = 16
	widestClientIPv6 = 32
)

// prefixes are protected addresses, each with the place that names it.
type prefixes struct {
	special bart.Table[string] // special-use blocks and what they are
	refuse  bart.Table[mark]
	hold    bart.Table[mark]
}

func newPrefixes() *prefixes {
	p := new(prefixes)
	for _, block := range specialBlocks() {
		p.special.Insert(netip.MustParsePrefix(block.prefix), block.what)
	}
	return p
}

func (p *prefixes) len() int { return p.refuse.Size() + p.hold.Size() }

type specialBlock struct{ prefix, what string }

// specialBlocks are the special-use addresses (RFC 6890 and its registries)
// that mean another machine, or none, to everyone. The documentation blocks (RFC
// 5737, 3849, 9637) are left out: examples and tests are written with them, and
// nobody is harmed.
func specialBlocks() []specialBlock {
	return []specialBlock{
		{"0.0.0.0/8", "this network (RFC 791)"},
		{"10.0.0.0/8", "private (RFC 1918)"},
		{"100.64.0.0/10", "shared by carrier-grade NAT (RFC 6598)"},
		{"127.0.0.0/8", "loopback (RFC 1122)"},
		{"169.254.0.0/16", "link-local (RFC 3927)"},
		{"172.16.0.0/12", "private (RFC 1918)"},
		{"192.0.0.0/24", "reserved for protocols (RFC 6890)"},
		{"192.168.0.0/16", "private (RFC 1918)"},
		{"198.18.0.0/15", "for benchmarks (RFC 2544)"},
		{"224.0.0.0/4", "multicast (RFC 5771)"},
		{"240.0.0.0/4", "reserved (RFC 1112)"},
		{"::/128", "the unspecified address (RFC 4291)"},
		{"::1/128", "loopback (RFC 4291)"},
		{"::ffff:0.0.0.0/96", "IPv4-mapped (RFC 4291)"},
		{"64:ff9b::/96", "a form of IPv4 addresses (RFC 6052)"},
		{"64:ff9b:1::/48", "a form of IPv4 addresses (RFC 8215)"},
		{"100::/64", "discard-only (RFC 6666)"},
		{"fc00::/7", "private (RFC 4193)"},
		{"fe80::/10", "link-local (RFC 4291)"},
		{"fec0::/10", "site-local (RFC 3879)"},
		{"ff00::/8", "multicast (RFC 4291)"},
	}
}

// SpecialUse are the special-use blocks, in order.
func SpecialUse() []netip.Prefix {
	var all []netip.Prefix
	for _, block := range specialBlocks() {
		all = append(all, netip.MustParsePrefix(block.prefix))
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return all
}

// widest is the one of two lengths that holds for a prefix.
func widest(p netip.Prefix, ipv4, ipv6 int) int {
	if p.Addr().Is4() {
		return ipv4
	}
	return ipv6
}

func judgeClients(p netip.Prefix) Finding {
	widest := widest(p, widestClientIPv4, widestClientIPv6)
	if !p.IsValid() || p.Bits() >= widest {
		return Finding{}
	}
	return Finding{Refuse, Wide, fmt.Sprintf("%s is shorter than /%d and would decide for all clients in it; list the networks that are meant, or approve the entry", p, widest)}
}

func (g *Guard) judgePrefix(i *format.Indicator) Finding {
	p := i.Prefix
	if !p.IsValid() {
		return Finding{}
	}
	special := g.prefixes.special.OverlapsPrefix(p)
	if special {
		// A rule for such a block as a whole is meant: protection against DNS
		// rebinding is written so.
		if _, whole := g.prefixes.special.Get(p); whole && i.Policy {
			return Finding{}
		}
		if _, within := g.prefixes.special.LookupPrefix(p); within {
			return g.specialFinding(p)
		}
	}
	switch widest := widest(p, widestIPv4, widestIPv6); {
	case p.Bits() < widest:
		return Finding{Refuse, Wide, fmt.Sprintf("%s is shorter than /%d and would block a good part of the Internet; list the networks that are meant, or approve the entry", p, widest)}
	case special:
		return g.specialFinding(p)
	case g.prefixes.refuse.OverlapsPrefix(p):
		return g.overlapFinding(i, &g.prefixes.refuse)
	case g.prefixes.hold.OverlapsPrefix(p):
		return g.overlapFinding(i, &g.prefixes.hold)
	}
	return Finding{}
}

func (g *Guard) specialFinding(p netip.Prefix) Finding {
	block, what := overlapping(&g.prefixes.special, p)
	found := fmt.Sprintf("%s is in %s, %s", p, block, what)
	switch {
	case block == p:
		found = fmt.Sprintf("%s is %s", p, what)
	case p.Bits() < block.Bits():
		found = fmt.Sprintf("%s contains %s, %s", p, block, what)
	}
	return Finding{Refuse, Special, found + ", which says nothing about malware; " +
		"protection against rebinding is an RPZ rule for the whole block" + orApprove}
}

func (g *Guard) overlapFinding(i *format.Indicator, t *bart.Table[mark]) Finding {
	prefix, m := overlapping(t, i.Prefix)
	s := g.source(m.source)
	found := fmt.Sprintf("%s is %s (%s:%d)", Entry(i), s.what, s.file, m.line)
	if prefix != i.Prefix {
		found = fmt.Sprintf("%s overlaps %s, %s (%s:%d)", Entry(i), prefix, s.what, s.file, m.line)
	}
	return Finding{s.outcome, s.kind, found + advice(s)}
}

// overlapping is the longest prefix of t around p, or else the first within it.
func overlapping[V any](t *bart.Table[V], p netip.Prefix) (netip.Prefix, V) {
	if around, v, ok := t.LookupPrefixLPM(p); ok {
		return around, v
	}
	for within, v := range t.Subnets(p) {
		return within, v
	}
	var none V
	return netip.Prefix{}, none
}
