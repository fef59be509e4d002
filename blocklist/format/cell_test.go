package format

import (
	"encoding/csv"
	"strings"
	"testing"
	"unicode"
)

func TestCell(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"Lumma Stealer":                  "Lumma Stealer",
		`=HYPERLINK("http://a.example")`: `'=HYPERLINK("http://a.example")`,
		"+1":                             "'+1",
		"-1":                             "'-1",
		"@SUM(A1)":                       "'@SUM(A1)",
		"  =1":                           "'  =1",
		"＝1":                             "'＝1",
		"'=1":                            "''=1",
		"it's = 1":                       "it's = 1",
		"'quoted'":                       "'quoted'",
		"\t=1":                           `\x09=1`,
		"\r=1":                           `\x0d=1`,
		"a\x1b[31mb":                     `a\x1b[31mb`,
		"a\u009b31mb":                    `a\u{9b}31mb`,
		"a\u202eb":                       `a\u{202e}b`,
		"Bücher":                         "Bücher",
		`Win32\Trojan`:                   `Win32\Trojan`,
		`\x41 \u{41} \u{09b}`:            `\x41 \u{41} \u{09b}`,
		`a\x1bb`:                         `a\x5cx1bb`,
		`\x5cx1b`:                        `\x5cx5cx1b`,
		"a\xffb":                         "a\uFFFDb",
	} {
		if got := Cell(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// What is written is read back: as it was, but for the control characters that no
// reader keeps.
func FuzzCell(f *testing.F) {
	for _, text := range []string{"Lumma", "=1", "'=1", "\t-\x1b\\x1b", `\u{9b}`, "\u009b", `\\x5c`, "＝", "a,\"b\"\n", "\b\xc2\xfa"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cell := Cell(text)
		if strings.ContainsFunc(cell, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q is written %q, which does not print", text, cell)
		}
		if !strings.HasPrefix(cell, "'") && isFormula(cell) {
			t.Fatalf("%q is written %q, a formula", text, cell)
		}
		if got, want := string(uncell([]byte(cell))), strings.ToValidUTF8(text, "\uFFFD"); got != want {
			t.Fatalf("%q is written %q and read %q", text, cell, got)
		}
		if len(cell) > maxWord {
			return
		}
		var b strings.Builder
		w := csv.NewWriter(&b)
		if err := w.WriteAll([][]string{{"indicator", "family"}, {"bad.example", cell}}); err != nil {
			t.Fatal(err)
		}
		want := strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(text, "\uFFFD"))
		emitted, _, err := checkedParse(t, []byte(b.String()), Options{Kind: CSV})
		if err != nil || len(emitted) != 1 || strings.Trim(emitted[0].Family, " ") != strings.Trim(want, " ") {
			t.Fatalf("%q is written %q and read %+v: %v", text, cell, emitted, err)
		}
	})
}
