package names

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
)

// dnsmasqParser reads the lease file of dnsmasq: when the lease ends (0: never), MAC address,
// address, name, client identifier; behind a line with duid those of IPv6, which have an IAID in
// the place of the MAC address and the DUID at the end. When a lease began is not in it.
type dnsmasqParser struct{}

func (*dnsmasqParser) line(c *content, line []byte) error {
	f := bytes.Fields(line)
	if len(f) == 0 || line[0] == '#' || string(f[0]) == "duid" {
		return nil
	}
	if len(f) < 4 {
		return fmt.Errorf("found %d fields, expected those of a lease: end, MAC address, address, name", len(f))
	}
	end, err := strconv.ParseInt(string(f[0]), 10, 64)
	if err != nil || end < 0 {
		return fmt.Errorf("found the end %q, expected seconds since 1970", f[0])
	}
	a, err := netip.ParseAddr(string(f[2]))
	if err != nil {
		return fmt.Errorf("found the address %q, expected an IP address", f[2])
	}
	l := lease{held: held{until: seconds(end), mac: parseMAC(string(f[1])), name: hostName(string(f[3]))}}
	if end == 0 {
		l.until = never
	}
	if a.Is6() && len(f) > 4 {
		l.mac = macOfHexDUID(string(f[4]))
	}
	c.lease(a, l)
	return nil
}
