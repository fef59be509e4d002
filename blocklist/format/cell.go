package format

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Cell is a text as it stands in our CSV, which people open in spreadsheets and
// show on terminals: an apostrophe goes before what a spreadsheet would take for
// a formula, and what does not print is written \x1b or \u{202e}, a backslash
// that would begin such a word \x5c. The reader of CSV takes both back.
func Cell(text string) string {
	if plain([]byte(text)) && strings.IndexByte(text, '\\') < 0 {
		if isFormula(text) {
			return "'" + text
		}
		return text
	}
	var b strings.Builder
	text = strings.ToValidUTF8(text, "\uFFFD")
	for i, r := range text {
		switch {
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r >= utf8.RuneSelf && !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u{%x}`, r)
		case r == '\\' && isEscape(text[i:]):
			b.WriteString(`\x5c`)
		default:
			b.WriteRune(r)
		}
	}
	if text = b.String(); isFormula(text) {
		return "'" + text
	}
	return text
}

func isEscape(text string) bool {
	_, size := cellEscape([]byte(text))
	return size > 0
}

// uncell is the text of a cell that Cell wrote; nearly always that is the cell.
func uncell(cell []byte) []byte {
	if len(cell) > 1 && cell[0] == '\'' && isFormula(cell[1:]) {
		cell = cell[1:]
	}
	if bytes.IndexByte(cell, '\\') < 0 {
		return cell
	}
	text := make([]byte, 0, len(cell))
	for i := 0; i < len(cell); {
		if r, size := cellEscape(cell[i:]); size > 0 {
			text = utf8.AppendRune(text, r)
			i += size
			continue
		}
		text = append(text, cell[i])
		i++
	}
	return text
}

// isFormula tells what a spreadsheet would take for a formula: the first octet
// is one of = + - @ or their full-width forms, white space and the apostrophes
// that Cell puts left aside.
func isFormula[T ~string | ~[]byte](text T) bool {
	i := 0
	for i < len(text) && (text[i] == ' ' || text[i] == '\'') {
		i++
	}
	first, _ := utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))]))
	return strings.ContainsRune("=+-@＝＋－＠", first)
}

// cellEscape reads what Cell writes for one character, in just that form; size
// 0 where the text does not begin with it.
func cellEscape(text []byte) (r rune, size int) {
	switch {
	case len(text) >= len(`\x1b`) && text[0] == '\\' && text[1] == 'x':
		r, ok := lowerHex(text[2:4])
		if ok && (r < ' ' || r == 0x7f || r == '\\') {
			return r, len(`\x1b`)
		}
	case bytes.HasPrefix(text, []byte(`\u{`)):
		end := bytes.IndexByte(text[:min(len(text), len(`\u{10ffff}`))], '}')
		if end < 0 {
			return 0, 0
		}
		digits := text[len(`\u{`):end]
		r, ok := lowerHex(digits)
		if ok && digits[0] != '0' && r >= utf8.RuneSelf && utf8.ValidRune(r) && !unicode.IsPrint(r) {
			return r, end + 1
		}
	}
	return 0, 0
}

// lowerHex reads hexadecimal digits in lower case.
func lowerHex(digits []byte) (rune, bool) {
	for _, c := range digits {
		if !isDigit(c) && (c < 'a' || 'f' < c) {
			return 0, false
		}
	}
	v, err := strconv.ParseUint(string(digits), 16, 24)
	return rune(v), err == nil
}
