package configs

import (
	"fmt"
	"strings"
)

// Markdown is the table of every key with its default and meaning, in Markdown.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| key | default | meaning |\n|---|---|---|\n")
	for _, f := range schema() {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", f.schema, render(f.value), strings.ReplaceAll(f.doc, "|", `\|`))
	}
	return b.String()
}
