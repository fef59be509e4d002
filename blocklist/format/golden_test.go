package format

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLists reads each testdata/lists/*.txt and compares all that comes of it
// with the .golden file beside it. With UPDATE_GOLDEN set it writes them.
func TestLists(t *testing.T) {
	lists, err := filepath.Glob("testdata/lists/*.txt")
	if err != nil || len(lists) == 0 {
		t.Fatalf("no lists: %v", err)
	}
	for _, path := range lists {
		t.Run(filepath.Base(path), func(t *testing.T) {
			list, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := report(parse(string(list), Options{}))
			golden := strings.TrimSuffix(path, ".txt") + ".golden"
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func report(got outcome) string {
	var b strings.Builder
	b.WriteString("kind " + string(got.result.Kind) + "\n")
	if got.err != nil {
		b.WriteString("error " + got.err.Error() + "\n")
	}
	for _, entry := range got.entries {
		b.WriteString("entry " + entry + "\n")
	}
	for _, f := range got.faults {
		b.WriteString("fault " + describeFault(f) + "\n")
	}
	for _, warning := range got.result.Warnings {
		b.WriteString("warning " + warning + "\n")
	}
	return b.String()
}
