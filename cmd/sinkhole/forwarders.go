package main

import (
	"fmt"
	"net/netip"
	"slices"

	"sinkhole/configs"
)

// clientWarnings are of forwarders that may not ask, and of prefixes that make
// everyone a forwarder or an expected client.
func clientWarnings(c *configs.Config) (warnings []string) {
	for _, kind := range []struct {
		key      string
		prefixes []netip.Prefix
		everyone string
	}{
		{"clients.forwarders", c.Clients.Forwarders, "every client is believed when it says who asks, and can put another's address into a hit; name your forwarders alone"},
		{"clients.expected", c.Clients.Expected, "hits of every client are marked as expected, as if nobody were infected; name the gateways and sandboxes alone"},
	} {
		for i, p := range kind.prefixes {
			line, column := c.Position(fmt.Sprintf("%s[%d]", kind.key, i))
			place := fmt.Sprintf("%s:%d:%d: %s[%d]: ", c.File(), line, column, kind.key, i)
			switch {
			case p.Bits() == 0:
				warnings = append(warnings, fmt.Sprintf("%sfound %s: %s", place, p, kind.everyone))
			case kind.key == "clients.forwarders" && !slices.ContainsFunc(c.Clients.Allow, p.Overlaps):
				warnings = append(warnings, fmt.Sprintf("%sfound %s, which clients.allow has no part of: nobody there may ask", place, p))
			}
		}
	}
	return warnings
}
