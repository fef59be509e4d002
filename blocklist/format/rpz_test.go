package format

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestRPZ(t *testing.T) {
	const soa = "@ SOA localhost. root.localhost. 1 3600 600 86400 60\n"
	for _, tt := range []struct {
		name, zone, origin string
		want               []string
	}{
		{"triggers", "$ORIGIN rpz.test.\n" + soa + `@ NS localhost.
bad.example CNAME .
*.bad.example CNAME .
* CNAME .
example CNAME .
32.1.2.0.192.rpz-ip CNAME .
24.0.2.0.192.rpz-ip CNAME .
128.1.zz.db8.2001.rpz-ip CNAME .
48.zz.1.db8.2001.rpz-ip CNAME .
128.8.7.6.5.0.0.db8.2001.rpz-ip CNAME .
128.zz.1.rpz-ip CNAME .
120.0.c000.ffff.zz.rpz-ip CNAME .
32.1.0.0.127.rpz-client-ip CNAME rpz-passthru.
8.0.0.0.127.rpz-ip CNAME .
`, "rpz.test", []string{
			"4 exact bad.example nxdomain",
			"5 below bad.example nxdomain",
			"6 below . nxdomain",
			"7 exact example nxdomain",
			"8 response-ip 192.0.2.1/32 nxdomain",
			"9 response-ip 192.0.2.0/24 nxdomain",
			"10 response-ip 2001:db8::1/128 nxdomain",
			"11 response-ip 2001:db8:1::/48 nxdomain",
			"12 response-ip 2001:db8::5:6:7:8/128 nxdomain",
			"13 response-ip 1::/128 nxdomain",
			"14 response-ip 192.0.0.0/24 nxdomain",
			"15 client-ip 127.0.0.1/32 passthru",
			"16 response-ip 127.0.0.0/8 nxdomain",
		}},
		{"actions", "$TTL 5m\n$ORIGIN rpz.test.\n" + soa + `a.example CNAME .
b.example CNAME *.
c.example CNAME RPZ-passthru.
d.example CNAME rpz-drop.
e.example CNAME rpz-tcp-only.
f.example CNAME f.example.
g.example CNAME landing.example.
*.h.example CNAME *.landing.example.
i.example A 192.0.2.1
 AAAA 2001:db8::1
i.example 1h IN TXT "a; b" c="d e" "f\"g"
j.example IN 7 MX 10 mail
k.example TYPE65400 \# 3 010203
l.example HTTPS 1 . alpn="h2,h3" ipv4hint=192.0.2.1
`, "rpz.test", []string{
			"4 exact a.example nxdomain",
			"5 exact b.example nodata",
			"6 exact c.example passthru",
			"7 exact d.example drop",
			"8 exact e.example tcp-only",
			"9 exact f.example passthru",
			"10 exact g.example local-data [. 300 IN CNAME landing.example.]",
			"11 below h.example local-data [. 300 IN CNAME *.landing.example.]",
			"12 exact i.example local-data [. 300 IN A 192.0.2.1]",
			"13 exact i.example local-data [. 300 IN AAAA 2001:db8::1]",
			`14 exact i.example local-data [. 3600 IN TXT "a; b" "c=" "d e" "f\"g"]`,
			"15 exact j.example local-data [. 7 IN MX 10 mail.rpz.test.]",
			`16 exact k.example local-data [. 300 CLASS1 TYPE65400 \# 3 010203]`,
			`17 exact l.example local-data [. 300 IN HTTPS 1 . alpn="h2,h3" ipv4hint="192.0.2.1"]`,
		}},
		{"no origin", "$TTL 30\n@ IN SOA localhost. root.localhost. 1 2 3 4 5\n NS localhost.\n\nbad.example CNAME .\n", "",
			[]string{"5 exact bad.example nxdomain"}},
		{"no SOA and no origin", "bad.example CNAME .\nworse.example CNAME .\n", "",
			[]string{"1 exact bad.example nxdomain", "2 exact worse.example nxdomain"}},
		{"the SOA names the zone", "rpz.test. IN SOA . . 1 2 3 4 5\nbad.example CNAME .\nworse.example.rpz.test. CNAME .\n", "rpz.test",
			[]string{"2 exact bad.example nxdomain", "3 exact worse.example nxdomain"}},
		{"an origin after the SOA names the zone", "@ IN SOA . . 1 2 3 4 5\nbad.example CNAME .\n$ORIGIN rpz.test.\nworse.example CNAME .\nw.example.rpz.test. CNAME .\n", "rpz.test",
			[]string{"2 exact bad.example nxdomain", "4 exact worse.example nxdomain", "5 exact w.example nxdomain"}},
		{"as secondaries write it", `$ORIGIN .
$TTL 300
rpz.test IN SOA localhost. root.localhost. (
		1     ; serial
		3600 600
		86400 300 )
			NS	localhost.
$ORIGIN example.rpz.test.
bad			CNAME .
$ORIGIN bad.example.rpz.test.
*			CNAME .
www	CNAME rpz-passthru.
`, "rpz.test", []string{
			"9 exact bad.example nxdomain",
			"11 below bad.example nxdomain",
			"12 exact www.bad.example passthru",
		}},
		{"types, classes and TTL as they come", "$origin RPZ.test.\n$ttl 1d\n" + soa +
			"A.example in 60 cname .\nb.example 1w2d IN CnAmE .\nc.example\t\tCNAME\t. ; note\nd.example CNAME .;note\n", "rpz.test", []string{
			"4 exact a.example nxdomain", "5 exact b.example nxdomain", "6 exact c.example nxdomain", "7 exact d.example nxdomain"}},
		{"escapes and letters", "$ORIGIN rpz.test.\n" + soa + `a\.b.example CNAME .
a\066c.example CNAME .
\042.example CNAME .
bücher.example CNAME .
`, "rpz.test", []string{`3 exact a\.b.example nxdomain`, "4 exact abc.example nxdomain", "5 below example nxdomain", "6 exact xn--bcher-kva.example nxdomain"}},
		{"records over several lines", "$ORIGIN rpz.test.\n" + soa + "a.example (\n IN ; note (\n  CNAME\n. )\nb.example TXT ( \"x\"\n\"y\" )\nc.example CNAME .\n", "rpz.test", []string{
			"3 exact a.example nxdomain", `7 exact b.example local-data [. 3600 IN TXT "x" "y"]`, "9 exact c.example nxdomain"}},
		{"signed", "$ORIGIN rpz.test.\n" + soa + ` RRSIG SOA 13 2 300 20260101000000 20250101000000 1 rpz.test. AAAA
@ DNSKEY 257 3 13 AAAA
a.example CNAME .
a.example RRSIG CNAME 13 4 300 20260101000000 20250101000000 1 rpz.test. AAAA
 NSEC b.example CNAME RRSIG NSEC
b.example CNAME .
`, "rpz.test", []string{"5 exact a.example nxdomain", "8 exact b.example nxdomain"}},
		{"duplicates", "$ORIGIN rpz.test.\n" + soa + "a.example CNAME .\na.example CNAME .\n", "rpz.test",
			[]string{"3 exact a.example nxdomain", "4 exact a.example nxdomain"}},
		{"what the apex says of the zone", "$ORIGIN rpz.test.\n" + soa + " TXT \"a note\"\n@ A 192.0.2.1\na.example CNAME .\n", "rpz.test",
			[]string{"5 exact a.example nxdomain"}},
		{"the root zone", "$ORIGIN .\n" + soa + "a.example CNAME .\nb.example. CNAME .\n", ".",
			[]string{"3 exact a.example nxdomain", "4 exact b.example nxdomain"}},
		{"CRLF", strings.ReplaceAll("$ORIGIN rpz.test.\n"+soa+"a.example CNAME .\nb.example (\n CNAME . )\n", "\n", "\r\n"), "rpz.test",
			[]string{"3 exact a.example nxdomain", "4 exact b.example nxdomain"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := parse(tt.zone, Options{Kind: RPZ})
			expect(t, got, tt.want...)
			for _, f := range got.faults {
				t.Errorf("fault %s", describeFault(f))
			}
			if got.result.Origin != tt.origin {
				t.Errorf("origin %q, want %q", got.result.Origin, tt.origin)
			}
		})
	}
}

// TestRPZUnclosedParenthesis holds that one left open costs its record only.
func TestRPZUnclosedParenthesis(t *testing.T) {
	records := strings.Repeat("b.example CNAME .\n", 5_000)
	for name, after := range map[string]string{
		"no other":  records,
		"another":   records[:180] + "c.example TXT ( \"x\" )\n",
		"closed":    records[:180] + ") CNAME .\n",
		"cut short": "",
	} {
		t.Run(name, func(t *testing.T) {
			zone := "@ SOA . . 1 2 3 4 5\nbad.example MX ( 10\n" + after + "d.example CNAME .\n"
			want := strings.Count(zone, "example CNAME .")
			got := parse(zone, Options{Kind: RPZ})
			if got.err != nil || strings.Count(strings.Join(got.entries, "\n"), "nxdomain") != want {
				t.Errorf("%+v, error %v; want %d names", got.result, got.err, want)
			}
			if len(got.faults) == 0 || got.faults[0].Line != 2 || len(got.faults) > 2 {
				t.Errorf("faults %+v", got.faults)
			}
		})
	}
}

func TestRPZLongNames(t *testing.T) {
	label := strings.Repeat("a", 63)
	for _, tt := range []struct {
		origin string
		owner  string
		good   bool
	}{
		{"rpz.test.", strings.Repeat(label+".", 3) + strings.Repeat("b", 51), true},
		{"rpz.test.", strings.Repeat(label+".", 3) + strings.Repeat("b", 54), false},
		{".", strings.Repeat(label+".", 3) + strings.Repeat("b", 61), true},
		{".", strings.Repeat(label+".", 3) + strings.Repeat("b", 62), false},
		{".", "*." + strings.Repeat(label+".", 3) + strings.Repeat("b", 59), true},
		{".", "*." + strings.Repeat(label+".", 3) + strings.Repeat("b", 60), false},
		{".", "*." + strings.Repeat(label+".", 3) + strings.Repeat("b", 60) + ".", false},
		{".", "*." + strings.Repeat(label+".", 3) + strings.Repeat("b", 61) + ".", false},
		{".", "a" + label, false},
	} {
		got := parse("$ORIGIN "+tt.origin+"\n@ SOA . . 1 2 3 4 5\na.example CNAME .\n"+tt.owner+" CNAME .\n", Options{Kind: RPZ})
		if got.err != nil || (len(got.entries) == 2) != tt.good || (len(got.faults) == 0) != tt.good {
			t.Errorf("origin %s, owner of %d: %+v, faults %+v", tt.origin, len(tt.owner), got.entries, got.faults)
		}
	}
}

// TestRPZData holds the contract of Indicator.Data.
func TestRPZData(t *testing.T) {
	_, err := Parse(strings.NewReader("@ SOA . . 1 2 3 4 5\na.example 60 A 192.0.2.1\n"), Options{Kind: RPZ}, func(ind *Indicator) {
		want := "\x00\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01"
		if string(ind.Data) != want {
			t.Errorf("data %x, want %x", ind.Data, want)
		}
		if _, n, err := dns.UnpackRR(ind.Data, 0); err != nil || n != len(ind.Data) {
			t.Errorf("unpacked %d of %d octets: %v", n, len(ind.Data), err)
		}
	}, func(f Fault) { t.Error(f) })
	if err != nil {
		t.Fatal(err)
	}
}
