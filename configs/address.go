package configs

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// parseListener reads address:port. No address means every address of both
// families, which is [::] on a socket that is not IPv6-only; localhost is
// 127.0.0.1. Port 0 takes a free port.
func parseListener(s string) (netip.AddrPort, error) {
	const expected = `expected address:port, as in "127.0.0.1:5300", "[::1]:5300" or ":53"`
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPort{}, fmt.Errorf("found %q without a port, %s; did you mean %q?",
			s, expected, netip.AddrPortFrom(addr, portDNS))
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("found %q, %s", s, expected)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("found %q with port %q, expected a port from 0 to 65535", s, port)
	}
	switch host {
	case "":
		return netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(number)), nil
	case "localhost":
		host = "127.0.0.1"
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("found %q, %s; a listener is given by its address, not its name", s, expected)
	}
	if addr.IsMulticast() {
		return netip.AddrPort{}, fmt.Errorf("found %q, a multicast address, %s", s, expected)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), nil
}

// parsePrefix reads a prefix, or an address as the prefix of it alone.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf(`found %q, expected an address or a prefix, as in "192.0.2.7", "10.0.0.0/8" or "2001:db8::/32"`, s)
	case p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("found %q, an IPv4 prefix in IPv6 form, expected it in IPv4 form", s)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("found %q with bits set beyond its length, expected %s, or %s for the one address", s, p.Masked(), p.Addr())
	}
	return p, nil
}
