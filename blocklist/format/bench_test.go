package format

import (
	"bytes"
	"fmt"
	"testing"
)

// sample is a list of n entries in a notation.
func sample(kind Kind, n int) []byte {
	var b bytes.Buffer
	switch kind {
	case CSV:
		b.WriteString("indicator,type,family,confidence,first_seen,reference\n")
	case RPZ:
		b.WriteString("$TTL 300\n$ORIGIN rpz.test.\n@ SOA localhost. root.localhost. 1 2 3 4 5\n")
	}
	for i := range n {
		switch kind {
		case Domains:
			fmt.Fprintf(&b, "host-%d.bad%d.example\n", i, i%1000)
		case Hosts:
			fmt.Fprintf(&b, "0.0.0.0 host-%d.bad%d.example\n", i, i%1000)
		case CSV:
			fmt.Fprintf(&b, "host-%d.bad%d.example,domain,Family %d,80,2026-01-02,https://ref.example/%d\n", i, i%1000, i%100, i%1000)
		case RPZ:
			owner := ""
			if i%2 > 0 {
				owner = "*."
			}
			fmt.Fprintf(&b, "%shost-%d.bad%d.example CNAME .\n", owner, i/2, i%1000)
		case Adblock:
			fmt.Fprintf(&b, "||host-%d.bad%d.example^\n", i, i%1000)
		case Dnsmasq:
			fmt.Fprintf(&b, "address=/host-%d.bad%d.example/0.0.0.0\n", i, i%1000)
		case Unbound:
			fmt.Fprintf(&b, "local-zone: \"host-%d.bad%d.example\" always_nxdomain\n", i, i%1000)
		case BIND:
			fmt.Fprintf(&b, "zone \"host-%d.bad%d.example\" { type master; notify no; file \"null.zone.file\"; };\n", i, i%1000)
		case Dnscrypt:
			fmt.Fprintf(&b, "=host-%d.bad%d.example\n", i, i%1000)
		case Suricata:
			fmt.Fprintf(&b, "alert tls any any -> any any (msg:\"x\"; tls.sni; content:\"host-%d.bad%d.example\"; sid:1;)\n", i, i%1000)
		}
	}
	return b.Bytes()
}

func BenchmarkParse(b *testing.B) {
	const entries = 100_000
	for _, kind := range []Kind{Domains, Hosts, Adblock, Dnsmasq, Unbound, BIND, Dnscrypt, Suricata, CSV, RPZ} {
		b.Run(string(kind), func(b *testing.B) {
			list := sample(kind, entries)
			b.SetBytes(int64(len(list)))
			b.ReportAllocs()
			for b.Loop() {
				result, err := Parse(bytes.NewReader(list), Options{}, func(*Indicator) {}, func(Fault) {})
				if err != nil || result.Entries != entries {
					b.Fatalf("%+v, %v", result, err)
				}
			}
			b.ReportMetric(float64(entries*b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// TestParseAllocatesNothingPerEntry holds that the cost of a list in
// allocations does not grow with it, in a notation that gives no strings.
func TestParseAllocatesNothingPerEntry(t *testing.T) {
	for _, kind := range []Kind{Domains, Hosts, Adblock, Dnsmasq, Unbound, BIND, Dnscrypt, Suricata, RPZ} {
		cost := func(entries int) float64 {
			list := sample(kind, entries)
			return testing.AllocsPerRun(2, func() {
				if _, err := Parse(bytes.NewReader(list), Options{}, func(*Indicator) {}, func(Fault) {}); err != nil {
					t.Fatal(err)
				}
			})
		}
		// A list of twice a buffer shows all that is allocated once.
		if small, large := cost(6_000), cost(18_000); large > small+10 {
			t.Errorf("%s: %.0f allocations for 6,000 entries, %.0f for 18,000", kind, small, large)
		}
	}
}
