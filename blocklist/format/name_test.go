package format

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestName(t *testing.T) {
	for _, tt := range []struct {
		text, wire, back string
	}{
		{".", "\x00", "."},
		{"example", "\x07example\x00", "example"},
		{"Bad.Example.", "\x03bad\x07example\x00", "bad.example"},
		{"_dmarc.-a.0", "\x06_dmarc\x02-a\x010\x00", "_dmarc.-a.0"},
		{`a\.b.c\\\032\255`, "\x03a.b\x04c\\ \xff\x00", `a\.b.c\\\032\255`},
		{`\065`, "\x01a\x00", "a"},
		{"Bücher.example", "\x0dxn--bcher-kva\x07example\x00", "xn--bcher-kva.example"},
		{"faß.example", "\x0axn--fa-hia\x07example\x00", "xn--fa-hia.example"},
	} {
		dst, err := Name([]byte("x"), tt.text)
		if err != nil || string(dst) != "x"+tt.wire {
			t.Errorf("Name(%q) = %q, %v; want %q", tt.text, dst, err, "x"+tt.wire)
			continue
		}
		if back := Text(dst[1:]); back != tt.back {
			t.Errorf("Text(%q) = %q, want %q", dst[1:], back, tt.back)
		}
	}
}

func TestNameFails(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "an empty name"},
		{"..", "an empty label"},
		{".a", "an empty label"},
		{"a..b", "an empty label"},
		{"a b", `the character ' ' in a name, expected it escaped`},
		{"a\x7f", "expected it escaped"},
		{`a\`, "a broken escape"},
		{`a\25`, "a broken escape"},
		{`a\256`, "a broken escape"},
		{strings.Repeat("a", 64), "a label of 64 octets, expected at most 63"},
		{strings.Repeat("a", 64) + ".b", "a label of 64 octets"},
		{strings.Repeat("a.", 128), "a name of 257 octets, expected at most 255"},
		{strings.Repeat("a", 5000), "octets, expected at most"},
		{"b\xfccher", "not valid UTF-8"},
		{"bücher\\.a", "mixes escapes"},
		{"xn--\u00fc.example", "IDNA"},
		{strings.Repeat("ü", 1000), "a name of 2000 octets"},
	} {
		dst, err := Name([]byte("x"), tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.want) || string(dst) != "x" {
			t.Errorf("Name(%.40q) = %.40q, %v; want an error that says %q", tt.text, dst, err, tt.want)
		}
	}
}

// TestTextOfBrokenWire holds that what is no wire form is safe to show.
func TestTextOfBrokenWire(t *testing.T) {
	for wire, want := range map[string]string{"": ".", "\x03ab": ".", "\x01a\x05b": "a", "\x01a": "a"} {
		if got := Text([]byte(wire)); got != want {
			t.Errorf("Text(%q) = %q, want %q", wire, got, want)
		}
	}
}

// FuzzName compares with the library's packing, for what is ASCII.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"", ".", "bad.example", "Bad.Example.", `a\.b.c\032`, "a..b", strings.Repeat("a", 64), strings.Repeat("a.", 127), "bücher.example", `\`, `a\300`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		wire, err := Name(nil, text)
		if err != nil {
			if len(wire) != 0 {
				t.Fatalf("%q: an error and %q", text, wire)
			}
		} else {
			checkWire(t, wire)
			again, err := Name(nil, Text(wire))
			if err != nil || !bytes.Equal(again, wire) {
				t.Fatalf("%q: %q shown as %q reads as %q, %v", text, wire, Text(wire), again, err)
			}
		}
		if !isASCII(text) || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return
		}
		var want [256]byte
		n, oracle := dns.PackDomainName(dns.Fqdn(text), want[:], 0, nil, false)
		switch {
		case text == "" || strings.HasPrefix(text, ".."):
			return // the library takes them for the root
		case err != nil && strings.Contains(err.Error(), "escape"):
			return // the library is less strict with escapes
		}
		if oracle == nil && n > maxName {
			oracle = errors.New("too long") // the library counts only what the buffer holds
		}
		if (err == nil) != (oracle == nil) {
			t.Fatalf("%q: error %v, the library's %v", text, err, oracle)
		}
		if err == nil && !bytes.Equal(wire, lowerASCII(want[:n])) {
			t.Fatalf("%q: %q, the library's %q", text, wire, want[:n])
		}
	})
}

// lowerASCII does not take octets beyond ASCII for UTF-8, as bytes.ToLower does.
func lowerASCII(text []byte) []byte {
	out := bytes.Clone(text)
	for i, c := range out {
		out[i] = lower(c)
	}
	return out
}

// checkWire fails unless a name is a lower-case wire form that ends where it
// should.
func checkWire(t *testing.T, wire []byte) {
	t.Helper()
	if len(wire) > maxName {
		t.Fatalf("a name of %d octets", len(wire))
	}
	at := 0
	for at < len(wire) && wire[at] != 0 {
		if wire[at] > maxLabel {
			t.Fatalf("%q: a label of %d octets", wire, wire[at])
		}
		at += 1 + int(wire[at])
	}
	if at != len(wire)-1 {
		t.Fatalf("%q: not a wire form", wire)
	}
	for _, c := range wire {
		if c > maxLabel && 'A' <= c && c <= 'Z' {
			t.Fatalf("%q: upper case", wire)
		}
	}
}
