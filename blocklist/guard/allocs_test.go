//go:build !race

package guard

import (
	"net/netip"
	"testing"

	"sinkhole/blocklist/format"
)

// Under the race detector the runtime itself allocates.
func TestAcceptingDoesNotAllocate(t *testing.T) {
	g := protected(t)
	for _, i := range []*format.Indicator{
		{Name: wire(t, "evil.invalid"), Scope: format.Subtree},
		{Name: wire(t, "a.quite.long.name.below.a.listed.customer.duckdns.org"), Scope: format.Subtree},
		{Name: wire(t, "www.evil.invalid"), FromURL: true},
		{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("198.51.100.1/32")},
		{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("2001:db8:1::/48")},
		{Trigger: format.ClientIP, Prefix: netip.MustParsePrefix("10.1.0.0/16")},
	} {
		if n := testing.AllocsPerRun(200, func() {
			if g.Judge(i).Outcome != Accept {
				t.Errorf("%s: not accepted", Entry(i))
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, expected none", Entry(i), n)
		}
	}
}
