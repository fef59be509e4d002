package configs

import (
	"fmt"
	"strings"
)

// Markdown is the table of every key with its default and meaning, in Markdown.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| key | default | meaning |\n|---|---|---|\n")
	rows := unbuiltKeys()
	for _, f := range schema() {
		meaning := f.doc + notBuilt(rows, f.schema)
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", f.schema, render(f.value), strings.ReplaceAll(meaning, "|", `\|`))
	}
	return b.String()
}

// notBuilt says what of a key is not built, if anything.
func notBuilt(rows []unbuilt, key string) string {
	row := unbuiltRow(rows, key)
	if row == nil {
		row = unbuiltRow(rows, key+"[]")
	}
	switch {
	case row == nil:
		return ""
	case row.built == nil:
		return " (not built yet)"
	}
	return " (in this version: " + row.leave + ")"
}
