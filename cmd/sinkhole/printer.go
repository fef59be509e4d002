package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"sinkhole/hits/export"
)

// printer writes until something fails.
type printer struct {
	out io.Writer
	err error
}

func (p *printer) say(text string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, text, printable(args)...)
	}
}

// say writes what may hold words of a list or of its source: nothing in the
// values ends the line or acts on a terminal.
func say(out io.Writer, text string, args ...any) { fmt.Fprintf(out, text, printable(args)...) }

func printable(args []any) []any {
	safe := slices.Clone(args)
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			safe[i] = export.Printable(arg)
		case error:
			safe[i] = export.Printable(arg.Error())
		case fmt.Stringer:
			safe[i] = export.Printable(arg.String())
		}
	}
	return safe
}

// oneLine is an error of several lines in one.
func oneLine(fault string) string { return strings.ReplaceAll(fault, "\n", "; ") }

// printJSON writes a value as JSON for a person or a program. What a terminal
// would act on is escaped, which JSON leaves open (RFC 8259 section 7).
func printJSON(out io.Writer, v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := out.Write(printableJSON(text.Bytes()))
	return err
}

// printableJSON writes other characters than those that can be printed as
// escapes. Outside of strings JSON has none but line ends.
func printableJSON(text []byte) []byte {
	odd := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
	if bytes.IndexFunc(text, odd) < 0 {
		return text
	}
	var out []byte
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case !odd(r):
			out = append(out, text[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		text = text[size:]
	}
	return out
}
