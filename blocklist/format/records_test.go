package format

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"testing"
)

// compareRecords reads a CSV as we do and as encoding/csv does.
func compareRecords(t *testing.T, text []byte) {
	if bytes.ContainsAny(text, "\r\x00\t\v\f ") || len(text) > maxLine {
		return // white space and CR are taken off differently
	}
	for line := range bytes.Lines(text) {
		if line[0] == '#' {
			return // a comment, here
		}
	}
	var want [][]string
	var lines []int
	reader := csv.NewReader(bytes.NewReader(text))
	reader.FieldsPerRecord = -1
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return
		}
		line, _ := reader.FieldPos(0)
		want, lines = append(want, record), append(lines, line)
	}
	r := records{in: newLines(bytes.NewReader(text))}
	for i := 0; ; i++ {
		p, ok := r.next()
		if !ok {
			if i != len(want) {
				t.Fatalf("%d records, want %d", i, len(want))
			}
			return
		}
		if p.is() || i >= len(want) {
			t.Fatalf("record %d: problem %q, want %q", i, p.reason, want)
		}
		var got []string
		for _, field := range r.fields {
			got = append(got, string(field))
		}
		if !slices.Equal(got, want[i]) || r.line != lines[i] {
			t.Fatalf("record %d on line %d: %q, want %q on line %d", i, r.line, got, want[i], lines[i])
		}
	}
}
