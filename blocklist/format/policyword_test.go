package format

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// A name that would say something else in a policy zone is none in a list.
func TestWordsOfPolicyZones(t *testing.T) {
	const csv = "indicator,type,action\n"
	for _, name := range []string{
		"8.0.0.0.203.rpz-ip", "8.0.0.0.127.rpz-client-ip", "8.0.0.0.203.rpz-nsip", "evil.example.rpz-nsdname", "evil.rpz-passthru", "evil.rpz-drop", "evil.rpz-tcp-only",
		"evil.RPZ-IP.", "evil.rpz-", "rpz-ip",
	} {
		for _, list := range []struct {
			kind Kind
			text string
		}{
			{Domains, name}, {Domains, "*." + name}, {Domains, "http://" + name + "/x"}, {Hosts, "0.0.0.0 " + name}, {CSV, csv + name + ",domain,nxdomain"},
			{Adblock, "||" + name + "^"}, {Dnsmasq, "address=/" + name + "/"}, {Unbound, `local-zone: "` + name + `" always_nxdomain`},
			{BIND, `zone "` + name + `" { type primary; file "x"; };`}, {Dnscrypt, "=" + name},
			{STIX, `{"type":"bundle","id":"bundle--1","objects":[{"type":"indicator","id":"indicator--1","pattern_type":"stix","pattern":"[domain-name:value = '` + name + `']"}]}`},
		} {
			got := parse(list.text+"\n", Options{Kind: list.kind})
			if len(got.entries) != 0 || !slices.ContainsFunc(got.faults, func(f Fault) bool { return f.Refused && strings.Contains(f.Reason, "RPZ") }) {
				t.Errorf("%s: %s: entries %q, faults %+v, want it refused with RPZ as the reason", list.kind, list.text, got.entries, got.faults)
			}
		}
	}
	for _, name := range []string{"rpz-ip.example", "rpz.example", "evil.rpz", "evil.rp-ip", "evil.xrpz-ip", "rpz-drop.evil.rpz"} {
		got := parse(name+"\n", Options{Kind: Domains})
		expect(t, got, "1 subtree "+name)
	}
}

func TestIsPolicyWord(t *testing.T) {
	for name, want := range map[string]bool{
		"8.0.0.0.203.rpz-ip": true, "rpz-drop": true, "a.RPZ-NSDNAME": true, "rpz-ip.example": false, "evil.rpz": false, ".": false, `a.x\.rpz-ip`: false,
	} {
		wire, err := Name(nil, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := IsPolicyWord(wire); got != want {
			t.Errorf("%s: got %t, want %t", name, got, want)
		}
	}
}

// Only rules of policy zones, from files and transfers, say that they are.
func TestPolicy(t *testing.T) {
	for _, list := range []struct {
		kind Kind
		text string
		want bool
	}{
		{RPZ, "@ SOA . . 1 2 3 4 5\n8.0.0.0.10.rpz-ip CNAME *.\n", true},
		{RPZ, "@ SOA . . 1 2 3 4 5\nevil.example A 192.0.2.1\n", true},
		{CSV, "indicator,action\n10.0.0.0/8,nxdomain\n", false},
		{Domains, "10.0.0.0/8\n", false},
		{Unbound, "local-zone: evil.example inform\n", false},
		{Dnsmasq, "bogus-nxdomain=10.0.0.0/8\n", false},
	} {
		n := 0
		_, err := Parse(strings.NewReader(list.text), Options{Kind: list.kind}, func(i *Indicator) {
			n++
			if i.Policy != list.want {
				t.Errorf("%s: Policy %t, want %t", list.text, i.Policy, list.want)
			}
		}, func(f Fault) { t.Errorf("%s: %+v", list.text, f) })
		if err != nil || n != 1 {
			t.Errorf("%s: %d entries, error %v, want one", list.text, n, err)
		}
	}
	rr, err := dns.NewRR("8.0.0.0.10.rpz-ip.rpz.test. 60 IN CNAME *.")
	if err != nil {
		t.Fatal(err)
	}
	NewZoneReader([]byte("\x03rpz\x04test\x00")).Record(packed(t, rr), func(i *Indicator) {
		if !i.Policy {
			t.Errorf("a rule transferred: Policy false, want true")
		}
	}, func(f Fault) { t.Errorf("%+v", f) })
}
