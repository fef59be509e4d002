package format

import (
	"encoding/binary"
	"net/netip"
)

// policyPrefix reads the labels before rpz-ip or rpz-client-ip: the prefix
// length, then the address backwards: four octets, or the groups of IPv6 in
// hexadecimal with "zz" for "::".
func policyPrefix(labels []byte) (netip.Prefix, problem) {
	var parts [9][]byte
	n := 0
	for at := 0; at < len(labels); at += 1 + int(labels[at]) {
		if n == len(parts) {
			return netip.Prefix{}, badPolicyAddr()
		}
		parts[n] = labels[at+1 : at+1+int(labels[at])]
		n++
	}
	if n < 2 {
		return netip.Prefix{}, badPolicyAddr()
	}
	addr, ok := policyAddr(parts[1:n])
	if !ok {
		return netip.Prefix{}, badPolicyAddr()
	}
	bits, ok := parseUint(parts[0], addr.BitLen())
	if !ok || bits == 0 {
		return netip.Prefix{}, malformed("a prefix length of %q, expected 1 to %d", printable(parts[0]), addr.BitLen())
	}
	prefix := netip.PrefixFrom(addr, bits)
	if masked := prefix.Masked(); masked != prefix {
		return netip.Prefix{}, malformed("host bits are set beyond the prefix length, expected those of %s", masked)
	}
	if addr.Is4In6() {
		if prefix = netip.PrefixFrom(addr.Unmap(), bits-96); bits == 96 {
			return netip.Prefix{}, malformed("a prefix of all IPv4 addresses, expected a length above 96")
		}
	}
	return prefix, problem{}
}

func badPolicyAddr() problem {
	return malformed("no address, expected LENGTH.D.C.B.A for A.B.C.D/LENGTH, or LENGTH and the groups of an IPv6 address backwards with zz for ::")
}

// policyAddr reads an address whose parts stand backwards.
func policyAddr(parts [][]byte) (netip.Addr, bool) {
	gap := -1
	for i, part := range parts {
		if string(part) != "zz" {
			continue
		}
		if gap >= 0 {
			return netip.Addr{}, false
		}
		gap = i
	}
	if len(parts) == 4 && gap < 0 {
		var octets [4]byte
		for i, part := range parts {
			v, ok := parseUint(part, 255)
			if !ok || len(part) > 1 && part[0] == '0' {
				return netip.Addr{}, false
			}
			octets[3-i] = byte(v)
		}
		return netip.AddrFrom4(octets), true
	}
	if len(parts) > 8 || gap < 0 && len(parts) != 8 {
		return netip.Addr{}, false
	}
	var octets [16]byte
	group := 7
	for i, part := range parts {
		if i == gap {
			group -= 8 - (len(parts) - 1)
			continue
		}
		v, ok := parseGroup(part)
		if !ok {
			return netip.Addr{}, false
		}
		binary.BigEndian.PutUint16(octets[2*group:], v)
		group--
	}
	return netip.AddrFrom16(octets), true
}

func parseGroup(text []byte) (uint16, bool) {
	if len(text) == 0 || len(text) > 4 {
		return 0, false
	}
	var v uint16
	for _, c := range text {
		switch c = lower(c); {
		case isDigit(c):
			v = v<<4 | uint16(c-'0')
		case 'a' <= c && c <= 'f':
			v = v<<4 | uint16(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
