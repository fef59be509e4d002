package format

import (
	"fmt"
	"slices"
	"strings"
	"testing"
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
		`7 subtree bad.example tcp-only family="two\nlines" tlp="RED" confidence=100`,
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
