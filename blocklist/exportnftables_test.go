package blocklist

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sinkhole/blocklist/format"
	"sinkhole/blocklist/guard"
)

// Protection against DNS rebinding is right in answers. In a firewall it would cut
// off the local network.
func TestExportRangesWithoutSpecialUse(t *testing.T) {
	p := reread(t, `@ SOA localhost. root.localhost. 1 3600 600 86400 60
8.0.0.0.10.rpz-ip CNAME *.
16.0.0.168.192.rpz-ip CNAME *.
4.0.0.0.224.rpz-ip CNAME *.
8.0.0.0.127.rpz-ip CNAME *.
7.zz.fc00.rpz-ip CNAME *.
10.zz.fe80.rpz-ip CNAME *.
32.3.2.1.10.rpz-ip CNAME *.
14.0.0.168.192.rpz-ip CNAME *.
32.66.2.0.192.rpz-ip CNAME *.
128.66.zz.db8.2001.rpz-ip CNAME *.
`, format.RPZ)
	text, done := export(t, p, ExportOptions{Format: ExportNFTables})
	const want = `add element inet sinkhole sinkhole4 { 192.0.2.66, 192.169.0.0-192.171.255.255 }
add element inet sinkhole sinkhole6 { 2001:db8::66 }
# left out: special-use addresses (private, loopback, multicast and the like) in 8 of the prefixes that are blocked in answers
`
	if got := strings.TrimPrefix(text, nftHead); got != want {
		t.Errorf("found\n%s\nexpected\n%s", got, want)
	}
	if done.Entries != 3 || done.LeftOut[specialAddresses] != 8 {
		t.Errorf("found %+v, expected 3 entries and 8 left out", done)
	}
	tool(t, "nft", "-c", "-f", exported(t, text))
}

// Random prefixes around the special-use blocks, looked up one address at a time.
func TestExportRangesAroundSpecialUse(t *testing.T) {
	random := rand.New(rand.NewPCG(15, 16))
	special := guard.SpecialUse()
	var addrs []netip.Addr
	for _, block := range special {
		addrs = append(addrs, block.Addr(), block.Addr().Prev(), lastAddr(block), lastAddr(block).Next())
	}
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return !a.IsValid() })
	inside, outside := 0, 0
	for range 100 {
		var entries []modelEntry
		for range 1 + random.IntN(8) {
			a := addrs[random.IntN(len(addrs))]
			prefix := netip.PrefixFrom(a, random.IntN(a.BitLen()+1)).Masked()
			action := []format.Action{format.NoData, format.NXDomain, format.PassThru}[random.IntN(3)]
			entries = append(entries, modelEntry{Indicator: format.Indicator{Trigger: format.ResponseIP, Prefix: prefix, Action: action, Confidence: -1}})
		}
		p := compileEntries(t, entries)
		text, _ := export(t, p, ExportOptions{Format: ExportNFTables})
		ranges := parseRanges(t, text)
		for _, a := range addrs {
			var v Verdict
			p.JudgeAnswer(nil, nil, []netip.Addr{a}, exportNow, &v)
			want := rulingOf(&v).blocks() && !slices.ContainsFunc(special, func(block netip.Prefix) bool { return block.Contains(a) })
			in := slices.ContainsFunc(ranges, func(r [2]netip.Addr) bool {
				return r[0].BitLen() == a.BitLen() && r[0].Compare(a) <= 0 && a.Compare(r[1]) <= 0
			})
			if in != want {
				t.Fatalf("%s is in a range: %t, expected %t\n%s", a, in, want, text)
			}
			if in {
				inside++
			} else {
				outside++
			}
		}
	}
	if inside < 200 || outside < 200 {
		t.Errorf("%d addresses in ranges and %d outside: too few to tell", inside, outside)
	}
}

// A feed that states an action is no policy: its prefixes are judged as any.
func TestActionColumnIsNoPolicy(t *testing.T) {
	p := openText(t, map[string]string{"feed.csv": "indicator,action\n10.0.0.0/8,nxdomain\n192.168.0.0/16,drop\n192.0.2.66,nxdomain\n"})
	for addr, want := range map[string]string{"10.1.2.3": "none", "192.168.1.1": "none", "192.0.2.66": "nxdomain"} {
		if got := answerOutcome(p, netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %s, expected %s", addr, got, want)
		}
	}
	p = openText(t, map[string]string{"zone.rpz": "@ SOA localhost. root.localhost. 1 2 3 4 5\n8.0.0.0.10.rpz-ip CNAME .\n"})
	if got := answerOutcome(p, netip.MustParseAddr("10.1.2.3")); got != "nxdomain" {
		t.Errorf("10.1.2.3: %s, expected protection against rebinding by a policy zone", got)
	}
}

// A zone cannot take the resolver from many clients at once, nor the policy off
// them, until an operator approves it.
func TestClientsOfAZone(t *testing.T) {
	for _, target := range []string{"rpz-drop.", "rpz-passthru."} {
		p := openText(t, map[string]string{"zone.rpz": fmt.Sprintf(`@ SOA localhost. root.localhost. 1 2 3 4 5
1.0.0.0.0.rpz-client-ip CNAME %s
16.0.0.51.198.rpz-client-ip CNAME %[1]s
`, target)})
		for client, want := range map[string]string{"1.2.3.4": "none", "198.51.100.1": strings.TrimSuffix(strings.TrimPrefix(target, "rpz-"), ".")} {
			if got := questionOutcome(p, netip.MustParseAddr(client), "x.example"); got != want {
				t.Errorf("%s, client %s: %s, expected %s", target, client, got, want)
			}
		}
	}
}
