package main

import (
	"fmt"
	"net/netip"
	"slices"

	"sinkhole/configs"
)

// deafSinkholes names the sinkhole addresses and ports at which nothing of ours
// listens, so that what infected machines do there is not seen.
func deafSinkholes(c *configs.Config) (warnings []string) {
	var addrs []netip.Addr
	note := func(s configs.Sink) {
		if s.Kind == configs.SinkAddress && !slices.Contains(addrs, s.Addr) {
			addrs = append(addrs, s.Addr)
		}
	}
	note(c.Sinkhole.IPv4)
	note(c.Sinkhole.IPv6)
	for _, l := range c.Lists {
		note(l.IPv4)
		note(l.IPv6)
	}
	for _, addr := range addrs {
		for _, landing := range []struct {
			key     string
			port    uint16
			listens []netip.AddrPort
		}{{"landing.http", 80, c.Landing.HTTP}, {"landing.tls", 443, c.Landing.TLS}} {
			if !answersAt(landing.listens, netip.AddrPortFrom(addr, landing.port)) {
				warnings = append(warnings, fmt.Sprintf("nothing of ours listens on %s, where listed names lead to: connections there are not recorded (%s)",
					netip.AddrPortFrom(addr, landing.port), landing.key))
			}
		}
	}
	return warnings
}

// answersAt tells whether one of the listeners serves an address.
func answersAt(listens []netip.AddrPort, at netip.AddrPort) bool {
	return slices.ContainsFunc(listens, func(l netip.AddrPort) bool {
		return l.Port() == at.Port() && (l.Addr() == at.Addr() || l.Addr().IsUnspecified() && (l.Addr().Is6() || at.Addr().Is4()))
	})
}
