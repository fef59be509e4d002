package wire

import "net/netip"

// EmbeddedIPv4 is the IPv4 address in an IPv6 address of a NAT64 prefix (RFC
// 6052 section 2.2); false where addr is not in prefix, or prefix has none of
// the lengths 32, 40, 48, 56, 64 and 96. Octet 8, which the standard reserves,
// is skipped whatever it holds: a translator would do so too.
func EmbeddedIPv4(addr netip.Addr, prefix netip.Prefix) (netip.Addr, bool) {
	if !addr.Is6() || addr.Is4In6() || !prefix.Contains(addr) {
		return netip.Addr{}, false
	}
	switch prefix.Bits() {
	case 32, 40, 48, 56, 64, 96:
	default:
		return netip.Addr{}, false
	}
	const reserved = 8
	from := addr.As16()
	at := prefix.Bits() / 8
	var v4 [4]byte
	for i := range v4 {
		if at == reserved {
			at++
		}
		v4[i] = from[at]
		at++
	}
	return netip.AddrFrom4(v4), true
}
