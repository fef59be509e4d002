package format

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxDepth bounds how deep a JSON document may nest.
	maxDepth = 64
	// maxText bounds what is kept of a string, in octets; the rest is read over.
	maxText = 1 << 20
	// maxNumber bounds a number, or a word without quotes, in octets.
	maxNumber = 128
)

var errCutShort = errors.New("the JSON document ends too early: it was cut short; download it again")

// jsonStream reads JSON documents (RFC 8259), one after the other, out of the
// buffer of lines. It holds one string at a time and never a document.
//
// It is a cursor: the caller asks for the value that stands at its place, and
// what the caller does not ask for is read over, checked all the same. The
// first error ends everything: all calls then return at once, and err says why.
type jsonStream struct {
	in    *lines
	err   error
	depth int
	taken bool   // the value of the current member or element has been read
	open  bool   // the line that is read has octets
	name  []byte // of the current member
	text  []byte // a string with escapes, or one that went over the buffer's end
}

// line is the number of the line that is being read.
func (j *jsonStream) line() int { return j.in.read + 1 }

// more says whether another document follows.
func (j *jsonStream) more() bool {
	switch j.peek() {
	case '{', '[':
		return true
	case 0:
		if j.err == nil {
			j.err = j.in.err
		}
	default:
		j.fail("found %s, expected a JSON document, which begins with { or [", j.found())
	}
	return false
}

// finish returns what ended the reading. It counts the last line where no line
// end does.
func (j *jsonStream) finish() error {
	if j.err == nil && j.open {
		j.in.read++
	}
	return j.err
}

// stop ends the reading for a reason of the caller's.
func (j *jsonStream) stop(err error) {
	if j.err == nil {
		j.err = err
	}
}

// isObject and isArray look at the value that stands here.
func (j *jsonStream) isObject() bool { return j.peek() == '{' }
func (j *jsonStream) isArray() bool  { return j.peek() == '[' }

// members reads an object and yields the name of each member when the member's
// value stands to be read; the name is valid until then. A value that is no
// object has no members.
func (j *jsonStream) members(yield func(name []byte) bool) {
	if !j.isObject() {
		j.skip()
		return
	}
	on := yield != nil
	for first := true; j.enter(first, '}'); first = false {
		if j.peek() != '"' {
			j.fail("found %s in an object, expected the name of a member in quotes", j.found())
			return
		}
		name := j.string()
		if on {
			j.name = append(j.name[:0], name...)
		}
		if j.peek() != ':' {
			j.fail("found %s behind the name of a member, expected a colon", j.found())
			return
		}
		j.in.pos++
		j.taken = false
		if on {
			on = yield(j.name)
		}
		if !j.taken {
			j.skip()
		}
	}
}

// elements reads an array and yields when each of its values stands to be read.
// A value that is no array has no elements.
func (j *jsonStream) elements(yield func() bool) {
	if !j.isArray() {
		j.skip()
		return
	}
	on := yield != nil
	for first := true; j.enter(first, ']'); first = false {
		j.taken = false
		if on {
			on = yield()
		}
		if !j.taken {
			j.skip()
		}
	}
}

// enter goes to the next member or element of an object or array that ends in
// so; false behind the last one.
func (j *jsonStream) enter(first bool, end byte) bool {
	if first {
		if j.depth++; j.depth > maxDepth {
			j.fail("a JSON document nested more than %d deep, expected a list: download it again, and look where it comes from", maxDepth)
			return false
		}
		j.in.pos++
	}
	switch c := j.peek(); {
	case c == end:
		j.in.pos++
		j.depth--
		j.taken = true
		return false
	case first:
	case c == ',':
		j.in.pos++
	default:
		j.fail("found %s, expected a comma or %c", j.found(), end)
	}
	return j.err == nil
}

// scalar reads a string, or a number or word as it is written. It is nil for
// null, and for objects and arrays, which are read over. It is valid until the
// next call of any method; what is longer than maxText comes cut.
func (j *jsonStream) scalar() []byte {
	switch j.peek() {
	case '{', '[':
		j.skip()
		return nil
	case '"':
		text := j.string()
		j.taken = true
		return text
	}
	return j.word()
}

// skip reads over a value.
func (j *jsonStream) skip() {
	switch j.peek() {
	case '{':
		j.members(nil)
	case '[':
		j.elements(nil)
	case '"':
		j.string()
	default:
		j.word()
	}
	j.taken = true
}

// string reads from an opening quote to the closing one.
func (j *jsonStream) string() []byte {
	in := j.in
	in.pos++
	buf := in.buf[in.pos:in.end]
	n := plainRun(buf)
	if n < len(buf) && buf[n] == '"' {
		in.pos += n + 1
		return buf[:n]
	}
	for j.text = j.text[:0]; ; {
		j.keep(buf[:n])
		in.pos += n
		switch {
		case n == len(buf):
			if !in.fill() {
				j.cutShort()
				return nil
			}
		case buf[n] == '"':
			in.pos++
			return j.text
		case buf[n] == '\\':
			if !j.escape() {
				return nil
			}
		default:
			j.fail("the control character %q in a string, expected it escaped; or the string is not closed", rune(buf[n]))
			return nil
		}
		buf = in.buf[in.pos:in.end]
		n = plainRun(buf)
	}
}

// plainRun is how many octets of a string stand for themselves.
func plainRun(buf []byte) int {
	for i, c := range buf {
		if c == '"' || c == '\\' || c < ' ' {
			return i
		}
	}
	return len(buf)
}

func (j *jsonStream) keep(octets []byte) {
	j.text = append(j.text, octets[:min(len(octets), maxText-len(j.text))]...)
}

// escape reads an escape from its backslash on.
func (j *jsonStream) escape() bool {
	const longest = len(`\uD83D\uDE00`)
	ahead := j.in.window(longest)
	if len(ahead) < 2 {
		j.in.pos = j.in.end
		return j.cutShort()
	}
	j.in.pos += 2
	switch c := ahead[1]; c {
	case '"', '\\', '/':
		j.keep(ahead[1:2])
	case 'b':
		j.keep([]byte{'\b'})
	case 'f':
		j.keep([]byte{'\f'})
	case 'n':
		j.keep([]byte{'\n'})
	case 'r':
		j.keep([]byte{'\r'})
	case 't':
		j.keep([]byte{'\t'})
	case 'u':
		r, ok := hexRune(ahead)
		if !ok {
			return j.fail(`a broken escape in a string, expected \u and four hexadecimal digits`)
		}
		j.in.pos += 4
		if utf16.IsSurrogate(r) {
			low, _ := hexRune(ahead[6:])
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				j.in.pos += 6
			}
		}
		var encoded [utf8.UTFMax]byte
		j.keep(encoded[:utf8.EncodeRune(encoded[:], r)])
	default:
		return j.fail(`the escape \%c in a string, expected one of \" \\ \/ \b \f \n \r \t \u`, rune(c))
	}
	return true
}

// hexRune reads the escape \uXXXX that text begins with.
func hexRune(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range text[2:6] {
		switch c = lower(c); {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// word reads a number, true, false or null, which comes as nil.
func (j *jsonStream) word() []byte {
	j.text = j.text[:0]
	for c := j.peek(); isWordByte(c) && len(j.text) <= maxNumber; {
		j.text = append(j.text, c)
		j.in.pos++
		if j.in.pos == j.in.end && !j.in.fill() {
			break
		}
		c = j.in.buf[j.in.pos]
	}
	j.taken = true
	switch word := string(j.text); {
	case word == "null":
		return nil
	case word == "true", word == "false", isNumber(j.text):
		return j.text
	case word == "":
		j.fail("found %s, expected a JSON value", j.found())
	default:
		j.fail("found %q, expected a JSON value", printable(j.text))
	}
	return nil
}

func isWordByte(c byte) bool {
	return isDigit(c) || 'a' <= lower(c) && lower(c) <= 'z' || c == '-' || c == '+' || c == '.'
}

// isNumber knows the numbers of RFC 8259 section 6.
func isNumber(text []byte) bool {
	digits := func() (n int) {
		for n < len(text) && isDigit(text[n]) {
			n++
		}
		text = text[n:]
		return n
	}
	if len(text) > maxNumber {
		return false
	}
	if len(text) > 0 && text[0] == '-' {
		text = text[1:]
	}
	zero := len(text) > 0 && text[0] == '0'
	if n := digits(); n == 0 || n > 1 && zero {
		return false
	}
	if len(text) > 0 && text[0] == '.' {
		text = text[1:]
		if digits() == 0 {
			return false
		}
	}
	if len(text) > 0 && lower(text[0]) == 'e' {
		if text = text[1:]; len(text) > 0 && (text[0] == '+' || text[0] == '-') {
			text = text[1:]
		}
		if digits() == 0 {
			return false
		}
	}
	return len(text) == 0
}

// peek reads over white space and looks at the octet behind it: 0 at the
// stream's end, and after an error.
func (j *jsonStream) peek() byte {
	if j.err != nil {
		return 0
	}
	in := j.in
	for at := in.pos; ; at = in.pos {
		for ; at < in.end; at++ {
			switch c := in.buf[at]; c {
			case '\n':
				in.read++
				j.open = false
			case ' ', '\t', '\r':
				j.open = true
			default:
				in.pos = at
				j.open = true
				return c
			}
		}
		in.pos = at
		if !in.fill() {
			return 0
		}
	}
}

// found describes the octet that stands here.
func (j *jsonStream) found() string {
	j.peek()
	text := j.in.window(utf8.UTFMax)
	if len(text) == 0 {
		return "the end"
	}
	r, _ := utf8.DecodeRune(text)
	return strconv.QuoteRune(r)
}

// here is the start of the value that stands here, as far as its line goes.
func (j *jsonStream) here() []byte {
	j.peek()
	text, _, _ := bytes.Cut(j.in.window(4*maxFaultText), []byte{'\n'})
	return text
}

// fail ends the reading; it returns false.
func (j *jsonStream) fail(format string, args ...any) bool {
	if j.err != nil {
		return false
	}
	if j.in.pos == j.in.end && j.in.over {
		return j.cutShort()
	}
	j.err = &Error{Line: j.line(), Err: fmt.Errorf(format, args...)}
	return false
}

// cutShort is fail for a stream that ends within a document.
func (j *jsonStream) cutShort() bool {
	if j.err = j.in.err; j.err == nil {
		j.err = &Error{Line: j.line(), Err: errCutShort}
	}
	return false
}
