package feed

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestExpand(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"lists/sub/deep", "lists/dir.txt", "other/sub", ".hidden", "lists/..2026_1", "deep/loops"} {
		must(t, os.MkdirAll(dir, 0o755))
	}
	for _, name := range []string{
		"lists/b.txt", "lists/a.txt", "lists/c.csv", "lists/[x].txt", "lists/10.txt", "lists/9.txt",
		"lists/.a.txt", "lists/.#a.txt", "lists/a.txt~", "lists/.a.txt.swp", "lists/a.swp", "lists/a.swo", "lists/a.tmp", "lists/#a.txt#", "lists/4913",
		"lists/sub/s.txt", "lists/sub/deep/d.txt", "other/sub/s.txt", ".hidden/h.txt", "lists/..2026_1/k.txt",
	} {
		put(t, name, "x")
	}
	must(t, os.Symlink("..2026_1/k.txt", "lists/k.txt"))
	must(t, os.Symlink("sub", "lists/link.txt"))
	must(t, os.Symlink("nowhere", "lists/gone.txt"))
	must(t, os.Symlink("loop", "deep/loops/loop"))

	for pattern, want := range map[string][]string{
		"lists/a.txt":       {"lists/a.txt"},
		"lists/none.txt":    {"lists/none.txt"},
		"./lists//a.txt":    {"./lists//a.txt"},
		"lists":             {"lists"},
		"lists/4913":        {"lists/4913"},
		"lists/.a.txt":      {"lists/.a.txt"},
		"lists/*.txt":       {"lists/10.txt", "lists/9.txt", "lists/[x].txt", "lists/a.txt", "lists/b.txt", "lists/gone.txt", "lists/k.txt"},
		"./lists/[ab].txt":  {"lists/a.txt", "lists/b.txt"},
		"lists/?.*":         {"lists/9.txt", "lists/a.txt", "lists/b.txt", "lists/c.csv", "lists/k.txt"},
		`lists/\[x\].txt`:   {"lists/[x].txt"},
		"lists/.*":          nil,
		"lists/49*":         nil,
		"lists/*.none":      nil,
		"none/*.txt":        nil,
		"lists/a.txt/*":     nil,
		"*/sub/s.txt":       {"lists/sub/s.txt", "other/sub/s.txt"},
		"*/*/*.txt":         {"lists/link.txt/s.txt", "lists/sub/s.txt", "other/sub/s.txt"},
		"*/sub/none.txt":    nil,
		"*/sub":             nil,
		"deep/loops/*/x":    {"deep/loops/loop/x"}, // opening it says what is wrong
		".hidden/*":         {".hidden/h.txt"},
		"lists/../[l]*/c.*": {"lists/c.csv"},
	} {
		got, err := Expand(pattern)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s gives %q (%v), expected %q", pattern, got, err, want)
		}
	}

	abs, err := filepath.Abs("lists")
	must(t, err)
	if got, err := Expand(filepath.Join(abs, "c.*")); err != nil || !slices.Equal(got, []string{filepath.Join(abs, "c.csv")}) {
		t.Errorf("absolute: %q, %v", got, err)
	}
}

func TestExpandRefuses(t *testing.T) {
	if _, err := Expand(""); err == nil {
		t.Error("an empty pattern was taken")
	}
	for pattern, want := range map[string]string{
		"lists/[a":       `"[a" is not a glob`,
		"[/x":            `"[" is not a glob`,
		`lists/x\`:       "is not a glob",
		"lists/**/x.txt": "write one * for each level",
	} {
		_, err := Expand(pattern)
		checkMessage(t, err, pattern, want)
	}
}

// TestQuote finds the one file, whatever characters its path has.
func TestQuote(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[a]*", `b\c`)
	must(t, os.MkdirAll(dir, 0o700))
	for _, name := range []string{"plain", "a*b", "a?b", "[ab]", `a\b`, "{a}"} {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "axb"), nil, 0o600))
		if got, err := Expand(Quote(path)); err != nil || len(got) != 1 || got[0] != path {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}
