package format

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestRealOddLines holds the outcome of every row of formats/odd-lines.tsv. The
// golden file has a line for each: its number, the first digits of the SHA-256 of
// the raw text, its category and what comes of it, in place of the names
// themselves. With UPDATE_GOLDEN set the file is written.
func TestRealOddLines(t *testing.T) {
	file, err := os.Open(filepath.Join(realData(t), "formats/odd-lines.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const golden = "testdata/odd-lines.golden"
	var got strings.Builder
	rows := bufio.NewScanner(file)
	rows.Scan() // the header
	for number := 1; rows.Scan(); number++ {
		cells := strings.Split(rows.Text(), "\t")
		var raw string
		if err := json.Unmarshal([]byte(cells[1]), &raw); err != nil {
			t.Fatalf("row %d: %v", number, err)
		}
		fmt.Fprintf(&got, "%d\t%.4x\t%s\t%s\n", number, sha256.Sum256([]byte(raw)), cells[0], oddOutcome(cells[0], raw))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	wanted := strings.Split(string(want), "\n")
	lines := strings.Split(got.String(), "\n")
	if len(lines) != len(wanted) {
		t.Fatalf("%d rows, want %d", len(lines)-1, len(wanted)-1)
	}
	for i := range lines {
		if lines[i] != wanted[i] {
			t.Errorf("row %d: %q, want %q", i+1, lines[i], wanted[i])
		}
	}
}

// oddOutcome reads a line in the notation that its category tells and says what
// it is taken for.
func oddOutcome(category, raw string) string {
	list, kind := "good.example\n"+raw+"\n", Domains
	if category == "number written as a name in RPZ" {
		list, kind = "@ SOA . . 1 2 3 4 5\n"+raw+"\n", RPZ
	}
	got := parse(list, Options{Kind: kind})
	if got.err != nil {
		return "error"
	}
	switch {
	case len(got.faults) > 0:
		f := got.faults[0]
		return className(f) + ": " + strings.SplitN(f.Reason, ",", 2)[0]
	case len(got.entries) == 1 && kind == Domains:
		return "comment"
	}
	entry := got.entries[len(got.entries)-1]
	fields := strings.Fields(entry)
	what := fields[1]
	if what == "response-ip" {
		_, bits, _ := strings.Cut(fields[2], "/")
		what += "/" + bits
	} else {
		what += " of " + strconv.Itoa(strings.Count(fields[2], ".")+1) + " labels"
	}
	if len(fields) > 3 {
		what += " " + strings.Join(fields[3:], " ")
	}
	if len(got.result.Warnings) > 0 {
		what += " with a warning"
	}
	return what
}
