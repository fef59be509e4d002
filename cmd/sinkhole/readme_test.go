package main

import (
	"os"
	"strings"
	"testing"

	"sinkhole/configs"
)

// TestReadme holds the README's configuration reference to the schema. With
// SINKHOLE_UPDATE=1 it writes it.
func TestReadme(t *testing.T) {
	const file, begin, end = "../../README.md", "<!-- configuration: begin -->\n", "<!-- configuration: end -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	got, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("the README has no lines %q and %q", begin, end)
	}
	want := configs.Markdown()
	if got == want {
		return
	}
	if os.Getenv("SINKHOLE_UPDATE") == "" {
		t.Fatal("the README's configuration reference differs from the schema: run SINKHOLE_UPDATE=1 go test -run TestReadme ./cmd/sinkhole")
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
