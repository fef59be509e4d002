package guard

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/publicsuffix"
)

const suffixHeader = `// Rules of the Public Suffix List (https://publicsuffix.org/list/) as the module
// golang.org/x/net has them compiled in. This file is subject to the terms of the
// Mozilla Public License, v. 2.0 (https://mozilla.org/MPL/2.0/). Do not edit it:
//
//	SINKHOLE_UPDATE=1 go test -run TestSuffixesAreThoseOfTheModule ./blocklist/guard
//
// Version: `

// The module's own test file is the one place that lists its rules.
func TestSuffixesAreThoseOfTheModule(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/net").Output()
	if err != nil {
		t.Skipf("go list: %v: the module's files cannot be found here", err)
	}
	table, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "publicsuffix", "table_test.go"))
	if err != nil {
		t.Skipf("%v: the module is not here with its tests", err)
	}
	_, rules, found := strings.Cut(string(table), "var rules = [...]string{\n")
	rules, _, ended := strings.Cut(rules, "\n}")
	if !found || !ended {
		t.Fatal("table_test.go: no rules, expected a variable rules: the module has changed")
	}
	var want strings.Builder
	want.WriteString(suffixHeader + publicsuffix.List.String() + "\n")
	for _, rule := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(rules, -1) {
		want.WriteString(rule[1] + "\n")
	}
	if os.Getenv("SINKHOLE_UPDATE") != "" {
		if err := os.WriteFile("suffixes.txt", []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if suffixRules != want.String() {
		t.Error("suffixes.txt differs from the module's rules; run: SINKHOLE_UPDATE=1 go test -run TestSuffixesAreThoseOfTheModule ./blocklist/guard")
	}
}
