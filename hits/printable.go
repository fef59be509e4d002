package hits

import (
	"unicode"
	"unicode/utf8"
)

// AppendJSON appends the record's line to dst, with everything escaped that a
// terminal would act on. It is the same JSON.
func (r *Record) AppendJSON(dst []byte) []byte { return appendPrintable(dst, r.Raw) }

// appendPrintable appends a line of JSON and escapes in it what encoders leave
// as it is and a terminal or a reader of lines would act on: control characters,
// line and paragraph separators, marks of direction, what is not UTF-8.
func appendPrintable(dst, json []byte) []byte {
	from := 0
	for i := 0; i < len(json); {
		c := json[i]
		if ' ' <= c && c < 0x7f || c == '\n' && i == len(json)-1 {
			i++
			continue
		}
		r, size := utf8.DecodeRune(json[i:])
		if unicode.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		dst = append(dst, json[from:i]...)
		if c < ' ' { // white space of JSON: in a string it would be escaped
			dst = append(dst, ' ')
		} else {
			dst = appendRuneEscape(dst, r)
		}
		i += size
		from = i
	}
	return append(dst, json[from:]...)
}

// appendRuneEscape appends a character as escapes of JSON, which are UTF-16.
func appendRuneEscape(dst []byte, r rune) []byte {
	if r > 0xffff {
		dst = appendUnicodeEscape(dst, (r-0x10000)>>10+0xd800)
		r = (r-0x10000)&0x3ff + 0xdc00
	}
	return appendUnicodeEscape(dst, r)
}

func appendUnicodeEscape(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}
