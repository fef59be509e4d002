package guard

import (
	"bytes"
	"net/netip"
	"strconv"

	"sinkhole/blocklist/format"
)

// The shortest prefixes whose names in the reverse DNS may be blocked: what one
// customer has. Phishing is hosted on such zones.
const (
	widestReverseIPv4 = 24
	widestReverseIPv6 = 48
)

// isEssentialArpa tells an entry for what the DNS itself needs of arpa: all but
// the names of few public addresses. A policy may have those of special-use
// addresses, since networks answer for them themselves (RFC 6303).
func (g *Guard) isEssentialArpa(i *format.Indicator) bool {
	if g.arpa == 0 || !bytes.HasSuffix(i.Name, []byte("\x04arpa\x00")) {
		return false
	}
	prefix, in := reversePrefix(i.Name)
	switch {
	case !in:
		return false
	case !prefix.IsValid():
		return true
	case i.Policy:
		if _, within := g.prefixes.special.LookupPrefix(prefix); within {
			return false
		}
	}
	return prefix.Bits() < widest(prefix, widestReverseIPv4, widestReverseIPv6) || g.prefixes.special.OverlapsPrefix(prefix)
}

// reversePrefix is the shortest prefix whose names in the reverse DNS a name
// covers (RFC 1035 section 3.5, RFC 3596 section 2.5), invalid for other names in
// arpa; in is false outside it.
func reversePrefix(name []byte) (prefix netip.Prefix, in bool) {
	var starts [128]uint8 // of each label; names have 127 at most
	n := 0
	for at := 0; name[at] != 0; at += 1 + int(name[at]) {
		starts[n] = uint8(at)
		n++
	}
	label := func(i int) []byte { return name[starts[n-1-i]+1:][:name[starts[n-1-i]]] } // from the right
	if string(label(0)) != "arpa" {
		return netip.Prefix{}, false
	}
	if n == 1 {
		return netip.Prefix{}, true
	}
	var octets [16]byte
	bits := 0
	switch string(label(1)) {
	case "in-addr":
		for i := 2; i < n && bits < 32; i, bits = i+1, bits+8 {
			v, err := strconv.ParseUint(string(label(i)), 10, 8)
			if err != nil {
				break
			}
			octets[bits/8] = byte(v)
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(octets[:])), bits), true
	case "ip6":
		for i := 2; i < n && bits < 128; i, bits = i+1, bits+4 {
			v, err := strconv.ParseUint(string(label(i)), 16, 4)
			if err != nil {
				break
			}
			octets[bits/8] |= byte(v) << (4 - bits%8)
		}
		return netip.PrefixFrom(netip.AddrFrom16(octets), bits), true
	}
	return netip.Prefix{}, true
}
