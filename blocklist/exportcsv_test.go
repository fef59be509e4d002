package blocklist

import (
	"encoding/csv"
	"maps"
	"strings"
	"testing"
	"unicode"

	"sinkhole/blocklist/format"
)

// What a feed says must be no formula in a spreadsheet and no command to a
// terminal, and our own reader takes it as it was, control characters aside: of
// these it makes blanks.
func TestExportCSVWithoutFormulas(t *testing.T) {
	texts := []string{`=HYPERLINK("http://evil.example","x")`, "+1", "-1+cmd", "@SUM(A1)", "\t=1", "\r=1", "＝1", "'=1", "a\x1b[2Jb", "a\u009b2Jb", `Win32\Vidar`, `\x1b`, "Lumma"}
	var list strings.Builder
	w := csv.NewWriter(&list)
	rows := [][]string{{"indicator", "family", "reference"}, {"-evil.example", "Lumma", "https://case.example/"}}
	for _, text := range texts {
		// In a cell, our reader takes white space at its ends for none.
		rows = append(rows, []string{"evil.example", format.Cell(text), format.Cell(text)})
	}
	if err := w.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	text, _ := export(t, openText(t, map[string]string{"feed.csv": list.String()}), ExportOptions{Format: ExportCSV})
	exported, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range exported {
		for _, cell := range row {
			if strings.IndexAny(cell, "=+-@\t\r") == 0 || strings.HasPrefix(cell, "＝") || strings.ContainsFunc(cell, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("the cell %q", cell)
			}
		}
	}
	read := map[string]bool{}
	_, err = format.Parse(strings.NewReader(text), format.Options{Kind: format.CSV}, func(i *format.Indicator) {
		read[format.Text(i.Name)+" "+i.Family+" "+i.Reference] = true
	}, func(f format.Fault) { t.Errorf("%+v", f) })
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"-evil.example Lumma https://case.example/": true}
	for _, text := range texts {
		text = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, text)
		want["evil.example "+text+" "+text] = true
	}
	if !maps.Equal(read, want) {
		t.Errorf("read %v, expected %v", read, want)
	}
}
