//go:build !race

package blocklist

import (
	"net/netip"
	"testing"

	"sinkhole/blocklist/format"
)

// TestJudgingDoesNotAllocate: the race detector allocates by itself, so that it
// is left out there.
func TestJudgingDoesNotAllocate(t *testing.T) {
	entries := []modelEntry{
		{name: "evil.example", Indicator: format.Indicator{Scope: format.Subtree}},
		{name: "seen.example", Indicator: format.Indicator{Scope: format.Subtree, Action: format.Log}},
		{name: "pass.example", Indicator: format.Indicator{Scope: format.Subtree, Action: format.PassThru}},
		{Indicator: format.Indicator{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("192.0.2.0/24")}},
		{Indicator: format.Indicator{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("192.0.2.1/32")}},
		{Indicator: format.Indicator{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("2001:db8::/32")}},
		{Indicator: format.Indicator{Trigger: format.ClientIP, Prefix: netip.MustParsePrefix("198.51.100.0/24")}},
	}
	north := Group{Name: "north", Clients: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}
	p := compileEntries(t, entries, families(maxRulesPerList, format.Log)).regrouped(2, newGroups([]Group{north}))
	chain := append(wireName("a.good.test"), wireName("b.good.test")...)
	listed := append(wireName("a.good.test"), wireName("b.evil.example")...)
	for _, test := range []struct {
		name         string
		qname        string
		client       string
		names, kinds []byte
		addrs        []netip.Addr
		want         Decision
	}{
		{name: "question miss", qname: "a.b.c.good.test", want: None},
		{name: "question hit", qname: "a.b.evil.example", want: Enforce},
		{name: "question observed", qname: "seen.example", want: Observe},
		{name: "question exempt", qname: "pass.example", want: Allow},
		{name: "client hit", qname: "good.test", client: "198.51.100.9", want: Enforce},
		{name: "answer miss", qname: "good.test", names: chain, kinds: make([]byte, 2), addrs: []netip.Addr{netip.MustParseAddr("203.0.113.1")}, want: None},
		{name: "answer name", qname: "good.test", names: listed, kinds: make([]byte, 2), want: Enforce},
		{name: "answer service", qname: "good.test", names: listed, kinds: []byte{0, 1}, want: Enforce},
		{name: "answer IPv4", qname: "good.test", addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, want: Enforce},
		{name: "answer IPv6", qname: "seen.example", addrs: []netip.Addr{netip.MustParseAddr("2001:db8::1")}, want: Enforce},
	} {
		t.Run(test.name, func(t *testing.T) {
			qname := wireName(test.qname)
			client, _ := netip.ParseAddr(test.client)
			var v Verdict
			group := ""
			var found [1]Found
			allocs := testing.AllocsPerRun(200, func() {
				v = Verdict{}
				p.FindAll([][]byte{qname}, found[:])
				p.JudgeFound(client, qname, &found[0], 0, &v)
				v = Verdict{}
				p.JudgeQuestion(client, qname, 0, &v)
				p.JudgeAnswer(test.names, test.kinds, test.addrs, 0, &v)
				group = p.GroupName(&v)
			})
			if v.Decision != test.want {
				t.Errorf("decision %d, expected %d", v.Decision, test.want)
			}
			if inGroup := test.client != ""; inGroup != (group == north.Name) {
				t.Errorf("group %q", group)
			}
			if allocs != 0 {
				t.Errorf("%v allocations, expected none", allocs)
			}
		})
	}
}
