package format

import (
	"bytes"
	"net/netip"
	"strconv"
)

// The widest prefixes that a list of addresses may name. RPZ, which is written
// by hand as a policy, may name any.
const (
	widestIPv4 = 8
	widestIPv6 = 16
)

// parseAddr reads an IPv4 address in dotted decimal or an IPv6 address. An
// IPv4-mapped one becomes IPv4.
func parseAddr(text []byte) (netip.Addr, bool) {
	if bytes.IndexByte(text, ':') < 0 {
		return parseIPv4(text)
	}
	if len(text) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(string(text))
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

// hostPrefix is the prefix of one address.
func hostPrefix(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, addr.BitLen()) }

// parseIPv4 takes no leading zeros: some read them as octal.
func parseIPv4(text []byte) (netip.Addr, bool) {
	var octets [4]byte
	at := 0
	for i := range octets {
		if i > 0 {
			if at >= len(text) || text[at] != '.' {
				return netip.Addr{}, false
			}
			at++
		}
		start, v := at, 0
		for at < len(text) && at < start+3 && isDigit(text[at]) {
			v = v*10 + int(text[at]-'0')
			at++
		}
		if at == start || v > 255 || at > start+1 && text[start] == '0' {
			return netip.Addr{}, false
		}
		octets[i] = byte(v)
	}
	return netip.AddrFrom4(octets), at == len(text)
}

// parsePrefix reads what stands before and behind the slash of a CIDR prefix.
func parsePrefix(addr netip.Addr, mapped bool, length []byte) (netip.Prefix, problem) {
	bits, ok := parseUint(length, 128)
	if ok && mapped {
		bits -= 96
	}
	if !ok || bits < 0 || bits > addr.BitLen() {
		return netip.Prefix{}, malformed("a prefix length of %q, expected 0 to %d", length, addr.BitLen())
	}
	prefix := netip.PrefixFrom(addr, bits)
	if masked := prefix.Masked(); masked != prefix {
		return netip.Prefix{}, malformed("host bits are set beyond the prefix length, expected %s for the network or %s for the host", masked, addr)
	}
	return prefix, problem{}
}

// listable says why an address or prefix may not stand in a list of addresses
// to be matched in answers.
func listable(prefix netip.Prefix) problem {
	widest := widestIPv6
	if prefix.Addr().Is4() {
		widest = widestIPv4
	}
	switch {
	case prefix.Bits() < widest:
		return refused("a prefix shorter than /" + strconv.Itoa(widest) + " would block a good part of the Internet; list the networks that are meant")
	case prefix.Overlaps(netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8)),
		prefix.Contains(netip.IPv6Loopback()):
		return refused("a loopback address in answers is no sign of malware: other blockers answer so")
	case prefix.Contains(netip.IPv4Unspecified()), prefix.Contains(netip.IPv6Unspecified()):
		return refused("the unspecified address in answers is no sign of malware: other blockers answer so")
	}
	return problem{}
}

// parseUint reads a decimal number of at most limit.
func parseUint(text []byte, limit int) (int, bool) {
	if len(text) == 0 || len(text) > 10 {
		return 0, false
	}
	v := 0
	for _, c := range text {
		if !isDigit(c) {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, v <= limit
}
