package wire_test

import (
	"net/netip"
	"testing"

	"sinkhole/resolver/wire"
)

// The addresses of RFC 6052 section 2.4.
func TestEmbeddedIPv4(t *testing.T) {
	for _, tc := range []struct{ addr, prefix, want string }{
		{"2001:db8:c000:221::", "2001:db8::/32", "192.0.2.33"},
		{"2001:db8:1c0:2:21::", "2001:db8:100::/40", "192.0.2.33"},
		{"2001:db8:122:c000:2:2100::", "2001:db8:122::/48", "192.0.2.33"},
		{"2001:db8:122:3c0:0:221::", "2001:db8:122:300::/56", "192.0.2.33"},
		{"2001:db8:122:344:c0:2:2100::", "2001:db8:122:344::/64", "192.0.2.33"},
		{"2001:db8:122:344:ffc0:2:2100::", "2001:db8:122:344::/64", "192.0.2.33"}, // reserved octet set
		{"2001:db8:122:344::192.0.2.33", "2001:db8:122:344::/96", "192.0.2.33"},
		{"64:ff9b::192.0.2.33", "64:ff9b::/96", "192.0.2.33"},
		{"64:ff9b:1::192.0.2.33", "64:ff9b::/96", ""},
		{"2001:db8::1", "2001:db8::/33", ""},
		{"192.0.2.33", "64:ff9b::/96", ""},
		{"::ffff:192.0.2.33", "::ffff:0:0/96", ""},
		{"192.0.2.33", "192.0.0.0/32", ""},
	} {
		got, ok := wire.EmbeddedIPv4(netip.MustParseAddr(tc.addr), netip.MustParsePrefix(tc.prefix))
		if ok != (tc.want != "") || ok && got.String() != tc.want {
			t.Errorf("%s in %s: got %v %v, want %q", tc.addr, tc.prefix, got, ok, tc.want)
		}
	}
	if _, ok := wire.EmbeddedIPv4(netip.Addr{}, netip.Prefix{}); ok {
		t.Error("something in nothing")
	}
}
