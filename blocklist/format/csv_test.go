package format

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func TestCSV(t *testing.T) {
	got := parse(strings.Join([]string{
		`Reference,INDICATOR,type,"family",confidence,first_seen,last_seen,expires,tlp,action,source`,
		`https://ref.example/1,bad.example,domain,Lumma,80,2026-01-02,2026-01-03 04:05:06,2027-01-02T03:04:05+02:00,TLP:amber+strict,NXDOMAIN,x`,
		`"https://ref.example/?a=1,2","192.0.2.0/24",cidr,"Vidar ""V2""",0,,,,white,log,`,
		`# a comment`,
		``,
		`,2001:db8::1, IPv6-Addr ,,,2026-01-02t03:04:05.678z,,,,,`,
		`,"http://bad.example:8080/",url,"two`,
		`lines",100,,,,RED,tcp-only,x`,
		`, worse.example , ,,,,,,,,`,
		`,192.0.2.7:443,ip:port,,,,,,,,`,
	}, "\r\n"), Options{})
	expect(t, got,
		`2 subtree bad.example nxdomain family="Lumma" reference="https://ref.example/1" tlp="AMBER+STRICT" confidence=80 first=2026-01-02T00:00:00Z last=2026-01-03T04:05:06Z expires=2027-01-02T01:04:05Z`,
		`3 response-ip 192.0.2.0/24 log family="Vidar \"V2\"" reference="https://ref.example/?a=1,2" tlp="CLEAR" confidence=0`,
		`6 response-ip 2001:db8::1/128 first=2026-01-02T03:04:05.678Z`,
		`7 subtree bad.example tcp-only family="two lines" tlp="RED" confidence=100`,
		`9 subtree worse.example`,
		`10 response-ip 192.0.2.7/32`,
	)
	if want := []string{"columns ignored: source"}; !slices.Equal(got.result.Warnings, want) {
		t.Errorf("warnings %q, want %q", got.result.Warnings, want)
	}
	if len(got.faults) > 0 || got.result.Lines != 10 {
		t.Errorf("%+v, faults %+v", got.result, got.faults)
	}
}

// TestCSVUnclosedQuote holds that a quote left open costs its row and no other.
func TestCSVUnclosedQuote(t *testing.T) {
	rows := strings.Repeat("bad.example,domain\n", 10_000) // more than a record may hold
	got := parse("indicator,type\n\"bad.example,domain\n"+rows, Options{})
	if got.err != nil || got.result.Entries != 10_000 || got.result.Lines != 10_002 {
		t.Fatalf("%+v, error %v", got.result, got.err)
	}
	if len(got.faults) != 1 || got.faults[0].Line != 2 {
		t.Errorf("faults %+v", got.faults)
	}
	if got.entries[0] != "3 subtree bad.example" || got.entries[9_999] != "10002 subtree bad.example" {
		t.Errorf("entries from %q to %q", got.entries[0], got.entries[9_999])
	}
}

func TestCSVLongLine(t *testing.T) {
	long := strings.Repeat("a", 3*maxLine)
	for _, list := range []string{
		"indicator,family\nbad.example," + long + "\nworse.example,x\n",
		"indicator,family\nbad.example,\"" + long + "\"\nworse.example,x\n",
		"indicator,family\nbad.example,\"" + long + "\nworse.example,x\n",
		"indicator,family\n\"" + strings.Repeat("a", maxLine-1) + "\nworse.example,x\n",
	} {
		got := parse(list, Options{})
		expect(t, got, `3 subtree worse.example family="x"`)
		if len(got.faults) != 1 || got.faults[0].Line != 2 {
			t.Errorf("%d octets: faults %+v", len(list), got.faults)
		}
	}
}

// TestCSVScope reads the column in which an export says what names an entry covers.
func TestCSVScope(t *testing.T) {
	text := "indicator,scope\nexact.example,exact\nall.example,Subtree\n*.below.example,below\nplain.example,\nodd.example,global\nodder.example,world\n192.0.2.1,exact\n"
	var got []string
	result, err := Parse(strings.NewReader(text), Options{}, func(i *Indicator) {
		got = append(got, fmt.Sprintf("%s %d", i.Name, i.Scope))
	}, func(f Fault) { t.Errorf("%+v", f) })
	want := []Scope{Exact, Subtree, Below, Subtree, Subtree, Subtree, Exact}
	if err != nil || len(got) != len(want) {
		t.Fatalf("%q, %v", got, err)
	}
	for i, scope := range want {
		if !strings.HasSuffix(got[i], fmt.Sprint(" ", scope)) {
			t.Errorf("row %d: %s, expected scope %d", i+1, got[i], scope)
		}
	}
	if len(result.Warnings) != 1 || !strings.Contains(result.Warnings[0], `line 6: the scope "global" is passed over`) {
		t.Errorf("warnings %q", result.Warnings)
	}
}

// TestCSVFamilyColumn takes the family from the column that others have for it.
func TestCSVFamilyColumn(t *testing.T) {
	for _, tt := range []struct{ header, row, want, warning string }{
		{"indicator,app", "bad.example,TheTruthSpy", ` family="TheTruthSpy"`, ""},
		{"indicator, Malware ,app", "bad.example,Vidar,x.exe", ` family="Vidar"`, "columns ignored: app"},
		{"malware,malware_family,indicator", "win.vidar,Vidar,bad.example", ` family="Vidar"`, "columns ignored: malware"},
		{"malware,family,indicator", "win.vidar,,bad.example", "", "columns ignored: malware"},
	} {
		got := parse(tt.header+"\n"+tt.row+"\n", Options{})
		expect(t, got, "2 subtree bad.example"+tt.want)
		if strings.Join(got.result.Warnings, "; ") != tt.warning {
			t.Errorf("%s: warnings %q, want %q", tt.header, got.result.Warnings, tt.warning)
		}
	}
}

// TestCSVConfidence takes numbers, percentages and the words of STIX.
func TestCSVConfidence(t *testing.T) {
	for cell, want := range map[string]string{
		"80": " confidence=80", "80%": " confidence=80", "80 %": " confidence=80", "0%": " confidence=0", "low": " confidence=15", "Medium": " confidence=50",
		"med": " confidence=50", "HIGH": " confidence=85", "": "",
	} {
		expect(t, parse("indicator,confidence\nbad.example,"+cell+"\n", Options{}), "2 subtree bad.example"+want)
	}
	for _, cell := range []string{"101%", "%", "80%%", "-1", "0.8", "sure", "None"} {
		got := parse("indicator,confidence\nbad.example,"+cell+"\ngood.example,\n", Options{})
		if len(got.faults) != 1 || got.faults[0].Refused || !strings.Contains(got.faults[0].Reason, "low, medium and high") {
			t.Errorf("%s: %q, faults %+v", cell, got.entries, got.faults)
		}
	}
}

// TestCSVTypesOfMISP takes the types of MISP's own CSV, and of what has two parts
// the one that is meant.
func TestCSVTypesOfMISP(t *testing.T) {
	got := parse(strings.Join([]string{
		"indicator,type", "192.0.2.1|443,ip-dst|port", "192.0.2.2|80,IP-SRC|port", "2001:db8::1|443,ip-dst|port", "192.0.2.3,ip-dst",
		"both.example|192.0.2.4,domain|ip", "port.example|80,hostname|port", "192.0.2.5|443,ip", "name.example,ip-dst",
	}, "\n"), Options{})
	expectEntries(t, got, "2 response-ip 192.0.2.1/32", "3 response-ip 192.0.2.2/32", "4 response-ip 2001:db8::1/128", "5 response-ip 192.0.2.3/32",
		"6 subtree both.example", "7 subtree port.example")
	if len(got.faults) != 2 || got.faults[0].Line != 8 || got.faults[1].Line != 9 {
		t.Errorf("faults %+v", got.faults)
	}
}

// TestCSVWords holds that what a feed says beside its indicators is one line of
// text, and the name of a family no longer than one may be.
func TestCSVWords(t *testing.T) {
	long := strings.Repeat("f", maxWord-1)
	for cell, want := range map[string]string{
		"\x1b]0;pwn\x07Lumma":                "]0;pwn Lumma",
		"\"Lumma\r\nok: not listed\"":        "Lumma ok: not listed",
		"Lum\x9bma":                          "Lum\uFFFDma",
		"Lum\u009bma":                        "Lum ma",
		"Lum\x7fma":                          "Lum ma",
		`\x1b[31mred`:                        " [31mred", // as an export writes it
		"Bücher":                             "Bücher",
		long + "f":                           long + "f",
		long + "fg":                          long + "f",
		long + "ü":                           long,
		strings.Repeat("f", 30_000):          long + "f",
		strings.Repeat("ü", 15_000):          strings.Repeat("ü", maxWord/2),
		strings.Repeat("\x9b", 1000) + "end": "\uFFFDend",
	} {
		var got []string
		_, err := Parse(strings.NewReader("indicator,family,reference\nbad.example,"+cell+","+cell+"\n"), Options{Kind: CSV}, func(i *Indicator) {
			got = append(got, i.Family, i.Reference)
		}, func(f Fault) { t.Errorf("%.40q: %+v", cell, f) })
		if err != nil || len(got) != 2 {
			t.Fatalf("%.40q: %q, %v", cell, got, err)
		}
		if strings.TrimSpace(got[0]) != strings.TrimSpace(want) {
			t.Errorf("%.40q: family %q, expected %q", cell, got[0], want)
		}
		if strings.ContainsFunc(got[1], unicode.IsControl) || len(got[1]) < len(want) {
			t.Errorf("%.40q: reference %q", cell, got[1])
		}
	}
}
