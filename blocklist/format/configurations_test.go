package format

import (
	"strings"
	"testing"
)

// TestConfigurations decides what the configurations of other resolvers list.
// A want is an indicator without its line, or the class of a fault; several are
// separated by commas.
func TestConfigurations(t *testing.T) {
	for _, tt := range []struct {
		kind       Kind
		line, want string
	}{
		{Dnsmasq, "address=/bad.example/0.0.0.0", "subtree bad.example"},
		{Dnsmasq, "address=/bad.example/::", "subtree bad.example"},
		{Dnsmasq, "address=/bad.example/#", "subtree bad.example"},
		{Dnsmasq, "address=/bad.example/", "subtree bad.example"},
		{Dnsmasq, " address = /Bad.Example./192.0.2.53\t# note", "subtree bad.example"},
		{Dnsmasq, `address="/bad.example/"`, "subtree bad.example"},
		{Dnsmasq, "address=/bad.example/worse.example/0.0.0.0", "subtree bad.example, subtree worse.example"},
		{Dnsmasq, "address=/bücher.example/", "subtree xn--bcher-kva.example"},
		{Dnsmasq, "address=/.bad.example/", "subtree bad.example"},
		{Dnsmasq, "address=/*.bad.example/", "subtree bad.example"},
		{Dnsmasq, "address=/*bad.example/", "refused"},
		{Dnsmasq, "address=/#/0.0.0.0", "refused"},
		{Dnsmasq, "address=//0.0.0.0", "refused"},
		{Dnsmasq, "address=/example/0.0.0.0", "refused"},
		{Dnsmasq, "address=/192.0.2.1/0.0.0.0", "refused"},
		{Dnsmasq, "address=/bad..example/worse.example/", "malformed, subtree worse.example"},
		{Dnsmasq, "address=/bad.example/nowhere", "malformed"},
		{Dnsmasq, "address=/bad.example", "malformed"},
		{Dnsmasq, "address=bad.example", "malformed"},
		{Dnsmasq, "server=/bad.example/", "subtree bad.example"},
		{Dnsmasq, "local=/bad.example/", "subtree bad.example"},
		{Dnsmasq, "server=/good.example/#", "subtree good.example passthru"},
		{Dnsmasq, "server=/corp.example/10.0.0.53", "not applicable"},
		{Dnsmasq, "server=192.0.2.53", "not applicable"},
		{Dnsmasq, "bogus-nxdomain=192.0.2.1", "response-ip 192.0.2.1/32"},
		{Dnsmasq, "bogus-nxdomain=192.0.2.0/24,2001:db8::1", "response-ip 192.0.2.0/24, response-ip 2001:db8::1/128"},
		{Dnsmasq, "bogus-nxdomain=bad.example", "malformed"},
		{Dnsmasq, "domain-needed", "not applicable"},
		{Dnsmasq, "cache-size=1000", "not applicable"},
		{Dnsmasq, "what is this", "malformed"},
		{Dnsmasq, "# address=/bad.example/", ""},

		{Unbound, `local-zone: "bad.example" static`, "subtree bad.example"},
		{Unbound, `local-zone: "Bad.Example." always_nxdomain # note`, "subtree bad.example"},
		{Unbound, `	local-zone: 'bad.example' redirect`, "subtree bad.example"},
		{Unbound, `local-zone: bad.example refuse`, "subtree bad.example"},
		{Unbound, `local-zone:"bad.example" deny`, "subtree bad.example"},
		{Unbound, `local-zone: "bad.example" inform_deny`, "subtree bad.example"},
		{Unbound, `local-zone: "bad.example" always_null`, "subtree bad.example"},
		{Unbound, `local-zone: "bücher.example" always_nodata`, "subtree xn--bcher-kva.example"},
		{Unbound, `local-zone: "bad.example" inform`, "subtree bad.example log"},
		{Unbound, `local-zone: "good.example" always_transparent`, "subtree good.example passthru"},
		{Unbound, `local-zone: "good.example" transparent`, "not applicable"},
		{Unbound, `local-zone: "good.example" typetransparent`, "not applicable"},
		{Unbound, `local-zone: "10.in-addr.arpa." nodefault`, "not applicable"},
		{Unbound, `local-zone: "10.in-addr.arpa." static`, "not applicable"},
		{Unbound, `local-zone: "bad.example" odd`, "malformed"},
		{Unbound, `local-zone: "bad.example"`, "malformed"},
		{Unbound, `local-zone: "." static`, "refused"},
		{Unbound, `local-zone: "example" static`, "refused"},
		{Unbound, `local-zone: "192.0.2.1" static`, "refused"},
		{Unbound, `local-zone: "bad..example" static`, "malformed"},
		{Unbound, `local-data: "bad.example A 0.0.0.0"`, "exact bad.example"},
		{Unbound, `local-data: 'bad.example. 3600 IN AAAA ::'`, "exact bad.example"},
		{Unbound, `local-data: "bad.example TXT 'x'"`, "exact bad.example"},
		{Unbound, `local-data: "1.0.0.127.in-addr.arpa PTR localhost."`, "not applicable"},
		{Unbound, `local-data: "bad.example"`, "malformed"},
		{Unbound, `local-data:`, "malformed"},
		{Unbound, `local-zone: "bad.example" redirect local-data: "bad.example A 0.0.0.0"`, "subtree bad.example"},
		{Unbound, `local-data: "bad.example A 0.0.0.0" local-data: "bad.example AAAA ::"`, "exact bad.example"},
		{Unbound, `server: local-zone: "bad.example" static`, "subtree bad.example"},
		{Unbound, "server:", ""},
		{Unbound, "verbosity: 1", "not applicable"},
		{Unbound, "forward-zone:", "not applicable"},
		{Unbound, "what is this", "malformed"},

		{BIND, `zone "bad.example" { type master; notify no; file "null.zone.file"; };`, "subtree bad.example"},
		{BIND, `zone "Bad.Example." IN { type primary; file "x"; }; // note`, "subtree bad.example"},
		{BIND, `zone bad.example {type master;file "x";};`, "subtree bad.example"},
		{BIND, `zone "bücher.example" { type master; };`, "subtree xn--bcher-kva.example"},
		{BIND, `zone "a.example" { type master; }; zone "b.example" { type master; };`, "subtree a.example, subtree b.example"},
		{BIND, "zone \"bad.example\" {\n\ttype master; // primary\n\t/* of\n\tnothing */ file \"x\";\n};", "subtree bad.example"},
		{BIND, "zone \"bad.example\"\n{\n  file \"x\"; allow-query { any; };\n  type primary;\n};", "subtree bad.example"},
		{BIND, `zone "good.example" { type forward; forwarders { }; };`, "not applicable"},
		{BIND, `zone "." { type hint; file "root"; };`, "not applicable"},
		{BIND, `zone "." { type master; };`, "refused"},
		{BIND, `zone "localhost" { type master; };`, "refused"},
		{BIND, `zone "127.in-addr.arpa" { type master; };`, "not applicable"},
		{BIND, `zone "bind" CH { type master; };`, "not applicable"},
		{BIND, `zone "bad.example" { file "x"; };`, "not applicable"},
		{BIND, `zone "bad..example" { type master; };`, "malformed"},
		{BIND, `zone { type master; };`, "malformed"},
		{BIND, `zone "bad.example";`, "malformed"},
		{BIND, `zone "bad.example { type master; };`, "malformed"},
		{BIND, `zone "bad.example" { type master; }`, "malformed"},
		{BIND, `};`, "malformed"},
		{BIND, "options { directory \"/x\";\n listen-on { any; };\n};", "not applicable"},
		{BIND, `include "other.conf";`, "not applicable"},
		{BIND, `;`, ""},

		{Suricata, `alert tls $HOME_NET any -> $EXTERNAL_NET any (msg:"a; b"; tls.sni; bsize:11; content:"bad.example"; fast_pattern; sid:1; rev:1;)`, "exact bad.example"},
		{Suricata, `drop dns any any -> any any (msg:"(x)"; dns.query; content:"Bad.Example"; nocase; sid:1;)`, "subtree bad.example"},
		{Suricata, `alert dns any any -> any any (dns.query; dotprefix; content:".bad.example"; nocase; endswith; sid:1;)`, "subtree bad.example"},
		{Suricata, `alert tls any any -> any any (tls.sni; content:"bad.example"; startswith; endswith; sid:1;)`, "exact bad.example"},
		{Suricata, `alert tls any any -> any any (tls.sni; content:"192.0.2.1"; sid:1;)`, "response-ip 192.0.2.1/32"},
		{Suricata, `alert http any any -> any any (http.host; content:"bad.example"; http.uri; content:"/gate.php"; sid:1;)`, "subtree bad.example from-url"},
		{Suricata, `alert http any any -> any any (http.uri; content:"/gate.php"; sid:1;)`, "not applicable"},
		{Suricata, `alert tcp any any -> any any (msg:"x"; content:"bad.example"; sid:1;)`, "not applicable"},
		{Suricata, `alert dns any any -> any any (dns.query; content:!"good.example"; sid:1;)`, "not applicable"},
		{Suricata, `alert dns any any -> any any (dns.query; content:"|00|bad"; sid:1;)`, "not applicable"},
		{Suricata, `alert dns any any -> any any (dns.query; content:"bad"; content:"example"; sid:1;)`, "not applicable"},
		{Suricata, `alert dns any any -> any any (dns.query; content:"bad.example"; pcre:"/x/"; sid:1;)`, "not applicable"},
		{Suricata, `pass dns any any -> any any (dns.query; content:"good.example"; sid:1;)`, "not applicable"},
		{Suricata, `alert tls any any -> any any (tls.sni; content:"example"; sid:1;)`, "refused"},
		{Suricata, `alert tls any any -> any any (tls.sni; content:"bad..example"; sid:1;)`, "malformed"},
		{Suricata, `alert tls any any -> any any (tls.sni; content:"bad.example; sid:1;)`, "malformed"},
		{Suricata, `alert tls any any -> any any`, "malformed"},
		{Suricata, `warn tls any any -> any any (sid:1;)`, "malformed"},

		{Dnscrypt, "bad.example", "subtree bad.example"},
		{Dnscrypt, "*.Bad.Example.", "subtree bad.example"},
		{Dnscrypt, "=bad.example # note", "exact bad.example"},
		{Dnscrypt, "bücher.example", "subtree xn--bcher-kva.example"},
		{Dnscrypt, "ads.*", "not applicable"},
		{Dnscrypt, "*sex*", "not applicable"},
		{Dnscrypt, "ads[0-9]*", "not applicable"},
		{Dnscrypt, "ads?.bad.example", "not applicable"},
		{Dnscrypt, "ads*.bad.example", "not applicable"},
		{Dnscrypt, "bad.example @work", "not applicable"},
		{Dnscrypt, "bad.example worse.example", "malformed"},
		{Dnscrypt, "=*.bad.example", "malformed"},
		{Dnscrypt, "192.0.2.1", "response-ip 192.0.2.1/32"},
		{Dnscrypt, "192.0.2.*", "response-ip 192.0.2.0/24"},
		{Dnscrypt, "192.0.*", "response-ip 192.0.0.0/16"},
		{Dnscrypt, "127.*", "refused"},
		{Dnscrypt, "192.0.2.0/24", "response-ip 192.0.2.0/24"},
		{Dnscrypt, "2001:db8::1", "response-ip 2001:db8::1/128"},
		{Dnscrypt, "[2001:db8::1]", "response-ip 2001:db8::1/128"},
		{Dnscrypt, "2001:db8:*", "response-ip 2001:db8::/32"},
		{Dnscrypt, "[2001:db8:53::*]", "response-ip 2001:db8:53::/48"},
		{Dnscrypt, "2001:db8:1:2:3:4:5:*", "response-ip 2001:db8:1:2:3:4:5:0/112"},
		{Dnscrypt, "=", "malformed"},
	} {
		t.Run(string(tt.kind)+" "+tt.line, func(t *testing.T) {
			first := map[Kind]string{
				Dnsmasq: "address=/first.example/", Unbound: `local-zone: "first.example" static`,
				BIND: `zone "first.example" { type master; };`, Dnscrypt: "first.example",
				Suricata: `alert tls any any -> any any (tls.sni; content:"first.example"; sid:1;)`,
			}[tt.kind]
			got := parse(first+"\r\n"+strings.ReplaceAll(tt.line, "\n", "\r\n")+"\r\n"+first+"\r\n", Options{Kind: tt.kind})
			if got.err != nil || len(got.entries) < 2 {
				t.Fatalf("%+v, entries %q, error %v", got.result, got.entries, got.err)
			}
			var found []string
			for _, f := range got.faults {
				if f.Line != 2 {
					t.Errorf("fault %+v, want it on line 2", f)
				}
				found = append(found, className(f))
			}
			for _, entry := range got.entries[1 : len(got.entries)-1] {
				line, value, _ := strings.Cut(entry, " ")
				if line != "2" {
					t.Errorf("entry %q, want it on line 2", entry)
				}
				found = append(found, value)
			}
			if joined := strings.Join(found, ", "); joined != tt.want {
				t.Errorf("found %q, want %q; faults %+v", joined, tt.want, got.faults)
			}
		})
	}
}

// TestBINDBrokenStatement holds that a statement left open costs itself only.
func TestBINDBrokenStatement(t *testing.T) {
	zones := strings.Repeat("zone \"bad.example\" { type master; };\n", 3000)
	for name, broken := range map[string]string{
		"no end":         "zone \"open.example\" { type master;\n",
		"no semicolon":   "zone \"open.example\" { type master; }\n",
		"a word":         "garbage\n",
		"an open quote":  "zone \"open.example { type master; };\n",
		"an open remark": "/* open\n",
	} {
		t.Run(name, func(t *testing.T) {
			got := parse(zones+broken+zones, Options{Kind: BIND})
			if got.err != nil || got.result.Entries != 6000 || len(got.faults) != 1 || got.faults[0].Line != 3001 || got.result.Lines != 6001 {
				t.Errorf("%+v, error %v, faults %+v", got.result, got.err, got.faults)
			}
		})
	}
}

// TestFaultColumns holds that a fault points at what is wrong.
func TestFaultColumns(t *testing.T) {
	for _, tt := range []struct {
		kind   Kind
		line   string
		column int
	}{
		{Dnsmasq, "address=/good.example/bad..example/", 23},
		{Unbound, `local-zone: "bad..example" static`, 14},
		{BIND, `zone "bad..example" { type master; };`, 7},
		{BIND, `zone "a.example" { type master; }; zone "bad..example" { type master; };`, 42},
		{Dnscrypt, "  a.example b.example", 12},
		{Adblock, "  ||bad..example^", 3},
	} {
		got := parse(tt.line, Options{Kind: tt.kind})
		if len(got.faults) != 1 || got.faults[0].Column != tt.column {
			t.Errorf("%s %s: faults %+v, want one at column %d", tt.kind, tt.line, got.faults, tt.column)
		}
	}
}
