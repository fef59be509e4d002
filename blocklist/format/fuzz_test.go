package format

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// checkedParse parses a list and checks what holds of any.
func checkedParse(t *testing.T, list []byte, o Options) (emitted []Indicator, result Result, err error) {
	t.Helper()
	faults, refusals, line := 0, 0, 0
	result, err = Parse(bytes.NewReader(list), o, func(ind *Indicator) {
		if ind.Line < 1 || ind.Line < line {
			t.Fatalf("an indicator of line %d after line %d", ind.Line, line)
		}
		line = ind.Line
		checkIndicator(t, ind)
		if ind.TakesBack { // no entry
			return
		}
		kept := *ind
		kept.Name, kept.Data = bytes.Clone(ind.Name), bytes.Clone(ind.Data)
		emitted = append(emitted, kept)
	}, func(f Fault) {
		if f.Reason == "" || f.Line < 1 || f.Column < 0 || len([]rune(f.Text)) > maxFaultText {
			t.Fatalf("fault %+v", f)
		}
		if faults++; f.Refused {
			refusals++
		}
		if f.NotApplicable && !f.Refused {
			t.Fatalf("%+v is not applicable and yet not refused", f)
		}
	})
	if result.Entries != len(emitted) || result.Malformed != faults-refusals || result.Refused+result.NotApplicable != refusals {
		t.Fatalf("%+v does not count %d entries and %d faults", result, len(emitted), faults)
	}
	if newlines := bytes.Count(list, []byte{'\n'}); result.Lines > newlines+1 || err == nil && result.Lines < newlines {
		t.Fatalf("%d lines of a list with %d line ends", result.Lines, newlines)
	}
	checkPlace(t, list, err)
	return emitted, result, err
}

// checkIndicator checks what holds of any indicator.
func checkIndicator(t *testing.T, ind *Indicator) {
	t.Helper()
	switch ind.Trigger {
	case QName:
		checkWire(t, ind.Name)
		if ind.Prefix.IsValid() {
			t.Fatalf("%q with the prefix %s", ind.Name, ind.Prefix)
		}
	case ResponseIP, ClientIP:
		if ind.Name != nil || !ind.Prefix.IsValid() || ind.Prefix != ind.Prefix.Masked() || ind.Prefix.Addr().Is4In6() {
			t.Fatalf("the prefix %s with the name %q", ind.Prefix, ind.Name)
		}
	}
	if (ind.Action == LocalData) != (ind.Data != nil) {
		t.Fatalf("the action %s with %d octets of data", ind.Action, len(ind.Data))
	}
	for off := 0; off < len(ind.Data); {
		rr, next, err := dns.UnpackRR(ind.Data, off)
		if err != nil || rr.Header().Name != "." || rr.Header().Class != dns.ClassINET {
			t.Fatalf("data %x: %v, %v", ind.Data, rr, err)
		}
		off = next
	}
	if ind.Confidence < -1 || ind.Confidence > 100 {
		t.Fatalf("confidence %d", ind.Confidence)
	}
}

// checkPlace holds that an error names a line of the list, and that of a NUL
// octet the octet's own.
func checkPlace(t *testing.T, list []byte, err error) {
	t.Helper()
	place, ok := errors.AsType[*Error](err)
	if !ok {
		return
	}
	if place.Line < 1 || place.Line > bytes.Count(list, []byte{'\n'})+1 {
		t.Fatalf("%v: the list has no such line", err)
	}
	if before, _, _ := bytes.Cut(list, []byte{0}); errors.Is(err, errBinary) && place.Line != bytes.Count(before, []byte{'\n'})+1 {
		t.Fatalf("%v: the octet stands elsewhere", err)
	}
}

// seed adds a small list and more.
func seed(f *testing.F, more ...string) {
	f.Add([]byte(strings.Repeat("bad.example\n", 3)))
	for _, text := range more {
		f.Add([]byte(text))
	}
}

func FuzzAuto(f *testing.F) {
	seed(f, "", "# x", "\xef\xbb\xbf", "<html>", "{}", "||bad.example^", "0.0.0.0 bad.example", "indicator,type\nbad.example,domain",
		"@ SOA . . 1 2 3 4 5\nbad.example CNAME .", "address=/bad.example/", "\x00")
	f.Fuzz(func(t *testing.T, list []byte) {
		if _, result, err := checkedParse(t, list, Options{}); err == nil && len(list) == 0 {
			t.Fatalf("0 octets are the list %+v", result)
		}
	})
}

// FuzzDomains holds that each entry, written plainly, reads back as itself.
func FuzzDomains(f *testing.F) {
	seed(f, "*.bad.example", "http://bad.example:80/", "[2001:db8::1]:443", "192.0.2.0/24 # x", "Bücher.example", "::ffff:192.0.2.1", "a.onion", "1.2.3.4.5")
	f.Fuzz(func(t *testing.T, list []byte) {
		emitted, _, _ := checkedParse(t, list, Options{Kind: Domains})
		for i := range emitted {
			text := emitted[i].Prefix.String()
			if emitted[i].Trigger == QName {
				text = Text(emitted[i].Name)
				if strings.Count(text, ".") == 0 || strings.HasSuffix(text, ".onion") {
					t.Fatalf("%q was listed", text)
				}
			}
			again, _, err := checkedParse(t, []byte(text), Options{Kind: Domains})
			if err != nil || len(again) != 1 || !bytes.Equal(again[0].Name, emitted[i].Name) || again[0].Prefix != emitted[i].Prefix {
				t.Fatalf("%q reads back as %+v, %v", text, again, err)
			}
		}
	})
}

// FuzzHosts holds that names stand in hosts files as they do in lists of names.
func FuzzHosts(f *testing.F) {
	seed(f, "0.0.0.0 bad.example", "::1 localhost\n:: bad.example#x", "0.0.0.0\tone.example two.example")
	f.Fuzz(func(t *testing.T, list []byte) {
		emitted, _, _ := checkedParse(t, list, Options{Kind: Hosts})
		for i := range emitted {
			again, _, err := checkedParse(t, []byte(Text(emitted[i].Name)), Options{Kind: Domains})
			if err != nil || len(again) != 1 || !bytes.Equal(again[0].Name, emitted[i].Name) {
				t.Fatalf("%q as a list: %+v, %v", Text(emitted[i].Name), again, err)
			}
		}
	})
}

// FuzzAdblock holds that a rule of ||name^ says what the name says in a list of
// names, and that nothing else is emitted than rules rendered so give again.
func FuzzAdblock(f *testing.F) {
	seed(f, "||bad.example^", "@@||good.example^$important", "||192.0.2.1^$all", "bad.example##.x", "|bad.example|", "||*.bad.example^", "0.0.0.0 bad.example", "[Adblock]", "||b\u00fccher.example^")
	f.Fuzz(func(t *testing.T, list []byte) {
		emitted, _, _ := checkedParse(t, list, Options{Kind: Adblock})
		for i := range emitted {
			ind := &emitted[i]
			rule := ind.Prefix.Addr().String()
			if ind.Trigger == QName {
				rule = Text(ind.Name)
			}
			switch {
			case ind.Trigger != QName, ind.Scope == Subtree:
				rule = "||" + rule + "^"
			case ind.Scope == Below:
				rule = "||*." + rule + "^"
			default:
				rule = "|" + rule + "^"
			}
			if ind.Action == PassThru {
				rule = "@@" + rule
			}
			if ind.Precedence == orderImportant {
				rule += "$important"
			}
			again, _, err := checkedParse(t, []byte(rule), Options{Kind: Adblock})
			if err != nil || len(again) != 1 || !sameRule(&again[0], ind) {
				t.Fatalf("%q, of %+v, reads back as %+v, %v", rule, ind, again, err)
			}
		}
	})
}

// FuzzConfigurations holds that each name in the configurations of other
// resolvers is one that a list of names may hold, and that written plainly in the
// notation it reads back as itself.
func FuzzConfigurations(f *testing.F) {
	kinds := []Kind{Dnsmasq, Unbound, BIND, Dnscrypt, Suricata}
	for i, text := range []string{
		"address=/bad.example/worse.example/#", "server=/good.example/#", "bogus-nxdomain=192.0.2.0/24",
		"local-zone: \"bad.example\" static", "local-data: 'bad.example A 0.0.0.0'", "zone \"bad.example\" { type master; };",
		"zone \"a.example\" IN {\n type primary; /* x\n */ };\nzone \"b.example\" {", "=bad.example", "192.0.2.*", "[2001:db8::*]", "bad.example @x",
		"alert tls any any -> any any (msg:\"x\"; tls.sni; bsize:11; content:\"bad.example\"; sid:1;)",
	} {
		f.Add(uint8(i), []byte(text))
		f.Add(uint8(i/3), []byte(text))
	}
	f.Fuzz(func(t *testing.T, which uint8, list []byte) {
		kind := kinds[int(which)%len(kinds)]
		emitted, _, _ := checkedParse(t, list, Options{Kind: kind})
		for i := range emitted {
			ind := &emitted[i]
			value := ind.Prefix.String()
			if ind.Trigger == QName {
				value = Text(ind.Name)
			}
			names, _, err := checkedParse(t, []byte(value), Options{Kind: Domains})
			if err != nil || len(names) != 1 || !bytes.Equal(names[0].Name, ind.Name) || names[0].Prefix != ind.Prefix {
				t.Fatalf("%s %q is in a list of names %+v, %v", kind, value, names, err)
			}
			plain, ok := plainly(kind, ind, value)
			if !ok {
				continue
			}
			again, _, err := checkedParse(t, []byte(plain), Options{Kind: kind})
			if err != nil || len(again) != 1 || !sameRule(&again[0], ind) {
				t.Fatalf("%q, of %+v, reads back as %+v, %v", plain, ind, again, err)
			}
		}
	})
}

// plainly writes an indicator as a line of a configuration.
func plainly(kind Kind, ind *Indicator, value string) (string, bool) {
	actions := map[Kind]map[Action]string{
		Dnsmasq: {Unstated: "address=/%/", PassThru: "server=/%/#"},
		Unbound: {Unstated: "local-zone: \"%\" static", PassThru: "local-zone: % always_transparent", Log: "local-zone: % inform"},
		BIND:    {Unstated: "zone \"%\" { type primary; };"}, Dnscrypt: {Unstated: "%"},
		Suricata: {Unstated: `alert dns any any -> any any (dns.query; content:"%"; sid:1;)`},
	}
	form, ok := actions[kind][ind.Action]
	switch {
	case ind.FromURL:
		return "", false
	case kind == Suricata && ind.Trigger == QName && ind.Scope == Exact:
		form = `alert dns any any -> any any (dns.query; content:"%"; startswith; endswith; sid:1;)`
	case ind.Trigger == ResponseIP && kind == Dnsmasq:
		form = "bogus-nxdomain=%"
	case kind == Unbound && ind.Scope == Exact:
		form = "local-data: \"% A 0.0.0.0\""
	case kind == Dnscrypt && ind.Trigger == QName && ind.Scope == Exact:
		form = "=%"
	}
	return strings.ReplaceAll(form, "%", value), ok
}

// sameRule compares all but the lines.
func sameRule(a, b *Indicator) bool {
	return bytes.Equal(a.Name, b.Name) && a.Prefix == b.Prefix && a.Scope == b.Scope && a.Trigger == b.Trigger &&
		a.Action == b.Action && a.Precedence == b.Precedence
}

func FuzzCSV(f *testing.F) {
	for _, row := range []string{"bad.example,domain", "\"bad.example\",\"a\"\"b\"", "\"open", "\"two\nlines\",x", "bad.example,domain,,", "a\"b", "\"a\"b"} {
		f.Add([]byte("indicator,family\n" + row))
	}
	f.Add([]byte("indicator,confidence,first_seen,tlp,action,expires\nbad.example,5,2026-01-02,RED,drop,2026-01-02 03:04:05"))
	f.Fuzz(func(t *testing.T, list []byte) {
		checkedParse(t, list, Options{Kind: CSV})
	})
}

// FuzzCSVRecords compares with encoding/csv, for what it finds no fault in.
func FuzzCSVRecords(f *testing.F) {
	for _, text := range []string{"a,b\nc,d", "\"a\",\"b\"\"c\"\n\"d\ne\",f\n", "a,\n,b\n", "\"\"\n", ",,\n\n,", "a, \"b\""} {
		f.Add([]byte(text))
	}
	f.Fuzz(compareRecords)
}

// FuzzRPZ compares with the library's zone parser the owners that a zone has,
// where the library finds it valid and it has nothing that we take otherwise.
func FuzzRPZ(f *testing.F) {
	const soa = "@ SOA . . 1 2 3 4 5\n"
	for _, zone := range []string{
		"a CNAME .", "a 60 IN CNAME .\n b CNAME *.", "a A 192.0.2.1\n AAAA 2001:db8::1", "$ORIGIN b\na TXT ( \"x;\" ; y\n z )",
		"$TTL 1h\na\\.b CNAME rpz-drop.", "32.1.2.0.192.rpz-ip CNAME .", "a.rpz. CNAME .", "$ORIGIN rpz.\n@ CNAME .", "a (\nCNAME . )", "*.a CNAME *.b.example.",
		"a HTTPS 1 . alpn=\"h2\"", "a MX 10 @", "a TYPE65400 \\# 1 00",
	} {
		f.Add([]byte(zone))
	}
	f.Fuzz(func(t *testing.T, records []byte) {
		zone := append([]byte("$ORIGIN rpz.\n"+soa), records...)
		emitted, result, err := checkedParse(t, zone, Options{Kind: RPZ})
		if err != nil || result.Malformed+result.Refused > 0 || !plainZone(records) {
			return
		}
		var want []string
		parser := dns.NewZoneParser(bytes.NewReader(append(zone, '\n')), "rpz.", "")
		for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
			if owner := rr.Header().Name; !dns.IsSubDomain("rpz.", owner) {
				t.Fatalf("an owner %s outside the zone was taken", owner)
			}
			if name := policyName(t, rr); name != "" {
				want = append(want, name)
			}
		}
		if parser.Err() != nil {
			return
		}
		var got []string
		for i := range emitted {
			switch {
			case emitted[i].Trigger != QName:
				got = append(got, "address")
			case emitted[i].Scope == Below:
				got = append(got, "*."+Text(emitted[i].Name))
			default:
				got = append(got, Text(emitted[i].Name))
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("owners %q, the library's %q", got, want)
		}
	})
}

// plainZone says whether the library is to agree on a zone: it keeps what is
// not ASCII, has no comments with "#", reads TTLs differently and generates.
func plainZone(records []byte) bool {
	for line := range bytes.Lines(records) {
		if line[0] == '#' {
			return false
		}
	}
	return isASCII(records) && !bytes.ContainsAny(records, "\\$\r\v\f\"")
}

// policyName is the trigger of a record of the zone "rpz." as the test writes
// it; empty for what is none.
func policyName(t *testing.T, rr dns.RR) string {
	switch rr.Header().Rrtype {
	case dns.TypeSOA, dns.TypeNS, dns.TypeRRSIG, dns.TypeSIG, dns.TypeNSEC, dns.TypeNXT, dns.TypeNSEC3, dns.TypeNSEC3PARAM, dns.TypeDNSKEY,
		dns.TypeKEY, dns.TypeDS, dns.TypeDLV, dns.TypeCDS, dns.TypeCDNSKEY, dns.TypeZONEMD, 65534:
		return ""
	}
	wire := make([]byte, 256)
	n, err := dns.PackDomainName(strings.ToLower(rr.Header().Name), wire, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	below := append(wire[:n-len("\x03rpz\x00")], 0)
	name := Text(below)
	switch labels := dns.SplitDomainName(name); {
	case len(below) == 1:
		return ""
	case labels[len(labels)-1] == "rpz-ip" || labels[len(labels)-1] == "rpz-client-ip":
		return "address"
	case name == "*":
		return "*.."
	}
	return name
}
