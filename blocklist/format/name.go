package format

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	maxLabel = 63
	maxName  = 255 // octets in wire form, root label included
	// maxNameText bounds the presentation of a name: 255 octets, each escaped.
	maxNameText = 4 * maxName
)

// Name appends the lower-case wire form of a name in presentation form to dst.
// It takes any case, an optional final dot, master-file escapes (RFC 1035
// section 5.1) and IDN, which become A-labels. It is no stricter than the DNS
// itself: underscores, leading hyphens and single labels are names. On an
// error dst comes back as it was.
func Name(dst []byte, text string) ([]byte, error) {
	ascii, err := toASCII(text)
	if err != nil {
		return dst, err
	}
	out, err := appendName(dst, ascii)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// Text is the presentation form of a wire-form name, with master-file escapes
// and without the final dot; "." for the root. A wire form cut short ends
// where it is cut.
func Text(wire []byte) string {
	var b strings.Builder
	b.Grow(len(wire))
	for len(wire) > 0 {
		n := int(wire[0])
		if n == 0 || n >= len(wire) {
			break
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		for _, c := range wire[1 : 1+n] {
			writeEscaped(&b, c)
		}
		wire = wire[1+n:]
	}
	if b.Len() == 0 {
		return "."
	}
	return b.String()
}

func writeEscaped(b *strings.Builder, c byte) {
	switch {
	case c <= ' ' || c >= 0x7f:
		b.WriteByte('\\')
		b.WriteByte('0' + c/100)
		b.WriteByte('0' + c/10%10)
		b.WriteByte('0' + c%10)
	case strings.IndexByte(`."\;()@$`, c) >= 0:
		b.WriteByte('\\')
		b.WriteByte(c)
	default:
		b.WriteByte(c)
	}
}

func isASCII[T ~string | ~[]byte](text T) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// appendName is Name for text that is ASCII throughout.
func appendName[T ~string | ~[]byte](dst []byte, text T) ([]byte, error) {
	if len(text) == 0 {
		return dst, errors.New("an empty name, expected labels separated by dots")
	}
	if len(text) == 1 && text[0] == '.' {
		return append(dst, 0), nil
	}
	start := len(dst)
	label := start
	dst = append(dst, 0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '.' {
			n := len(dst) - label - 1
			if n == 0 {
				return dst, errors.New("an empty label, expected one dot between labels")
			}
			if n > maxLabel {
				return dst, longLabel(n)
			}
			dst[label] = byte(n)
			label = len(dst)
			dst = append(dst, 0)
			continue
		}
		if c == '\\' {
			octet, size := unescape(text[i:])
			if size == 0 {
				return dst, errors.New(`a broken escape, expected \ and a character or three decimal digits up to 255`)
			}
			c = octet
			i += size - 1
		} else if c <= ' ' || c == 0x7f {
			return dst, fmt.Errorf("the character %q in a name, expected it escaped", rune(c))
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
		if len(dst)-start > maxNameText {
			return dst, tooLong(len(text) + 2)
		}
	}
	n := len(dst) - label - 1
	if n > maxLabel {
		return dst, longLabel(n)
	}
	dst[label] = byte(n)
	if n > 0 {
		dst = append(dst, 0)
	}
	if len(dst)-start > maxName {
		return dst, tooLong(len(dst) - start)
	}
	return dst, nil
}

// unescape reads the escape at the start of text; size 0 where it is broken.
func unescape[T ~string | ~[]byte](text T) (octet byte, size int) {
	if len(text) < 2 {
		return 0, 0
	}
	if !isDigit(text[1]) {
		return text[1], 2
	}
	if len(text) < 4 || !isDigit(text[2]) || !isDigit(text[3]) {
		return 0, 0
	}
	v := int(text[1]-'0')*100 + int(text[2]-'0')*10 + int(text[3]-'0')
	if v > 255 {
		return 0, 0
	}
	return byte(v), 4
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func longLabel(n int) error {
	return fmt.Errorf("a label of %d octets, expected at most %d", n, maxLabel)
}

func tooLong(n int) error {
	return fmt.Errorf("a name of %d octets, expected at most %d", n, maxName)
}
