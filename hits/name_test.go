package hits

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"
)

func TestAppendName(t *testing.T) {
	for _, tt := range []struct{ wire, want, rest string }{
		{"\x00", ".", ""},
		{"\x01a\x03bad\x07example\x00", "a.bad.example", ""},
		{"\x01A\x00rest", "a", "rest"},
		{"\x04a.b\\\x01x\x00", `a\.b\\.x`, ""},
		{"\x02 \"\x00", `\ \"`, ""},
		{"\x05\x00\n\x7f\x1b\xff\x00", `\000\010\127\027\255`, ""},
		{"\x06$(@;)'\x00", `$\(\@\;\)\'`, ""},
		// No names: shown whole, never dropped.
		{"", "", ""},
		{"\x3f", `\063`, ""},
		{"\x01a\xc0\x0c", `a.\192\012`, ""},
		{"\x01a\x05b", `a.\005\098`, ""},
		{"\x01a", "a", ""},
	} {
		got, rest := appendName(nil, []byte(tt.wire))
		if string(got) != tt.want || string(rest) != tt.rest {
			t.Errorf("%q: %q and %q, want %q and %q", tt.wire, got, rest, tt.want, tt.rest)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add([]byte("\x01a\x03bad\x07example\x00"))
	f.Add([]byte("\x05\x00\n.\\\xff\x00"))
	f.Add([]byte{0})
	f.Add([]byte("\xc0\x00"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		got, rest := appendName(nil, wire)
		for _, b := range got {
			if b < ' ' || b > '~' {
				t.Fatalf("%q is not printable", got)
			}
		}
		registeredDomain(string(got))
		want, n, err := dns.UnpackDomainName(wire, 0)
		if err != nil || n > 255 || len(rest) != len(wire)-n || compressed(wire) {
			return // not a name; the library follows pointers
		}
		if want != "." {
			want = strings.TrimSuffix(want, ".")
		}
		if want = lower(want); string(got) != want {
			t.Fatalf("%q: %q, want %q", wire, got, want)
		}
	})
}

func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func compressed(wire []byte) bool {
	for len(wire) > 0 && wire[0] != 0 {
		if wire[0] > 63 || int(wire[0]) >= len(wire) {
			return true
		}
		wire = wire[1+wire[0]:]
	}
	return false
}

func TestRegisteredDomain(t *testing.T) {
	for name, want := range map[string]string{
		"a.bad.example":          "bad.example",
		"bad.example":            "bad.example",
		"example":                "",
		"www.books.amazon.co.uk": "amazon.co.uk",
		"co.uk":                  "",
		".":                      "",
		"":                       "",
		`a\.b.amazon.co.uk`:      "amazon.co.uk",
		`x.am\.az\065on.co.uk`:   `am\.az\065on.co.uk`,
		`a\.com`:                 "",
		`\\.a.com`:               "a.com",
		"a.b.blogspot.com":       "b.blogspot.com",
	} {
		if got := registeredDomain(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if d, _ := publicsuffix.EffectiveTLDPlusOne("a.b.blogspot.com"); d != registeredDomain("a.b.blogspot.com") {
		t.Error("the table is older than the public suffix list")
	}
}

func TestMnemonics(t *testing.T) {
	for n := range 1 << 16 {
		c := uint16(n)
		if want := dns.Type(c).String(); c != 0 && typeName(c) != want {
			t.Errorf("type %d: %s, want %s", c, typeName(c), want)
		}
		if want, ok := dns.ClassToString[c]; ok && className(c) != want {
			t.Errorf("class %d: %s, want %s", c, className(c), want)
		}
		if want, ok := dns.RcodeToString[n]; ok && n != dns.RcodeBadVers && rcodeName(c) != want {
			t.Errorf("rcode %d: %s, want %s", c, rcodeName(c), want)
		}
	}
	if rcodeName(16) != "BADVERS" || rcodeName(3841) != "RCODE3841" || typeName(0) != "TYPE0" || className(7) != "CLASS7" {
		t.Error(rcodeName(16), rcodeName(3841), typeName(0))
	}
}
