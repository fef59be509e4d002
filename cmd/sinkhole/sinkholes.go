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
	var sinks []configs.Sink
	note := func(s configs.Sink) {
		if (s.Kind == configs.SinkAddress || s.Kind == configs.SinkPrefix) && !slices.Contains(sinks, s) {
			sinks = append(sinks, s)
		}
	}
	note(c.Sinkhole.IPv4)
	note(c.Sinkhole.IPv6)
	for _, l := range c.Lists {
		note(l.IPv4)
		note(l.IPv6)
	}
	for _, s := range sinks {
		for _, landing := range []struct {
			key     string
			port    uint16
			listens []netip.AddrPort
		}{{"landing.http", 80, c.Landing.HTTP}, {"landing.tls", 443, c.Landing.TLS}} {
			switch {
			case s.Kind == configs.SinkPrefix && !answersIn(landing.listens, s.Prefix, landing.port):
				warnings = append(warnings, fmt.Sprintf("nothing of ours listens on port %d of %s, where listed names lead to: connections there are not recorded (%s)",
					landing.port, s.Prefix, landing.key))
			case s.Kind == configs.SinkAddress && !answersAt(landing.listens, netip.AddrPortFrom(s.Addr, landing.port)):
				warnings = append(warnings, fmt.Sprintf("nothing of ours listens on %s, where listed names lead to: connections there are not recorded (%s)",
					netip.AddrPortFrom(s.Addr, landing.port), landing.key))
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

// answersIn tells whether one of the listeners serves a prefix: a wildcard, or one within it,
// to which rules of the system may lead the rest.
func answersIn(listens []netip.AddrPort, prefix netip.Prefix, port uint16) bool {
	return answersAt(listens, netip.AddrPortFrom(prefix.Addr(), port)) ||
		slices.ContainsFunc(listens, func(l netip.AddrPort) bool { return l.Port() == port && prefix.Contains(l.Addr()) })
}
