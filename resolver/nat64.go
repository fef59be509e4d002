package resolver

import (
	"net/netip"
	"slices"

	"sinkhole/resolver/wire"
)

// NAT64 are prefixes in which IPv6 addresses stand for IPv4 ones (RFC 6052).
type NAT64 []netip.Prefix

// NewNAT64 adds the well-known prefix, 64:ff9b::/96, to those of a network.
func NewNAT64(own []netip.Prefix) NAT64 {
	wellKnown := netip.MustParsePrefix("64:ff9b::/96")
	if slices.Contains(own, wellKnown) {
		return own
	}
	return append(slices.Clone(own), wellKnown)
}

// WithEmbedded appends the IPv4 addresses inside the addresses of an answer:
// what is judged of it.
func (n NAT64) WithEmbedded(addrs []netip.Addr) []netip.Addr {
	for _, addr := range addrs {
		for _, prefix := range n {
			if ipv4, ok := wire.EmbeddedIPv4(addr, prefix); ok {
				addrs = append(addrs, ipv4)
			}
		}
	}
	return addrs
}
