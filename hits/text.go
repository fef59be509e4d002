package hits

import (
	"net/netip"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// text is one line of JSON as it grows. Keys are constants of this package that
// need no escapes; commas come by themselves. What is written is printable: see
// [appendPrintable] for what readers would act on.
type text []byte

// separate puts a comma between two members. A member can end in a bracket that
// opens only inside a string, and that ends in a quotation mark.
func (t *text) separate() {
	if last := (*t)[len(*t)-1]; last != '{' && last != '[' {
		*t = append(*t, ',')
	}
}

func (t *text) key(key string) {
	t.separate()
	*t = append(*t, '"')
	*t = append(*t, key...)
	*t = append(*t, '"', ':')
}

// object and array open a member; element opens an object in an array; end closes
// with the bracket that it is given.
func (t *text) object(key string) {
	t.key(key)
	*t = append(*t, '{')
}

func (t *text) array(key string) {
	t.key(key)
	*t = append(*t, '[')
}

func (t *text) element() {
	t.separate()
	*t = append(*t, '{')
}

func (t *text) end(bracket byte) { *t = append(*t, bracket) }

func (t *text) string(key, value string) {
	t.key(key)
	*t = appendQuoted(*t, value)
}

// raw adds what is JSON already: members of an object, or an array's.
func (t *text) raw(members string) {
	t.separate()
	*t = append(*t, members...)
}

// token is string for a word that needs no escapes.
func (t *text) token(key, word string) {
	t.key(key)
	*t = append(*t, '"')
	*t = append(*t, word...)
	*t = append(*t, '"')
}

// some is string, but nothing for an empty value.
func (t *text) some(key, value string) {
	if value != "" {
		t.string(key, value)
	}
}

// word adds a string to an array.
func (t *text) word(value string) {
	t.separate()
	*t = appendQuoted(*t, value)
}

// wireName and nameWord are string and word for an uncompressed name in wire form;
// nameWord gives what follows it.
func (t *text) wireName(key string, wire []byte) {
	t.key(key)
	t.quotedName(wire)
}

func (t *text) nameWord(wire []byte) (rest []byte) {
	t.separate()
	return t.quotedName(wire)
}

func (t *text) quotedName(wire []byte) (rest []byte) {
	var room [4 * 255]byte
	name, rest := appendName(room[:0], wire)
	*t = appendQuoted(*t, name)
	return rest
}

func (t *text) uint(key string, n uint64) {
	t.key(key)
	*t = strconv.AppendUint(*t, n, 10)
}

// numeral adds a number to an array.
func (t *text) numeral(n uint64) {
	t.separate()
	*t = strconv.AppendUint(*t, n, 10)
}

func (t *text) int(key string, n int64) {
	t.key(key)
	*t = strconv.AppendInt(*t, n, 10)
}

// digits is a number as a string, for those that are too large for the numbers of
// some readers.
func (t *text) digits(key string, n int64) {
	t.key(key)
	*t = append(strconv.AppendInt(append(*t, '"'), n, 10), '"')
}

func (t *text) bool(key string, b bool) {
	t.key(key)
	*t = strconv.AppendBool(*t, b)
}

// time is a time in UTC, in timeForm.
func (t *text) time(key string, at time.Time, c *clock) {
	t.key(key)
	*t = append(c.append(append(*t, '"'), at), '"')
}

// someTime is time, but nothing for the zero time.
func (t *text) someTime(key string, at time.Time) {
	if !at.IsZero() {
		t.key(key)
		*t = append(at.UTC().AppendFormat(append(*t, '"'), time.RFC3339Nano), '"')
	}
}

// clock gives times in timeForm, and remembers the second: most lines are of one.
type clock struct {
	second int64
	text   []byte // of second, up to the point; nil: none yet
}

func (c *clock) append(dst []byte, at time.Time) []byte {
	if s := at.Unix(); s != c.second || c.text == nil {
		c.second, c.text = s, at.UTC().AppendFormat(c.text[:0], timeForm[:len("2006-01-02T15:04:05.")])
	}
	dst = append(dst, c.text...)
	const digits = 9
	dst = append(dst, "000000000Z"...)
	for i, n := 0, at.Nanosecond(); i < digits; i++ {
		dst[len(dst)-2-i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}

// addr is an address without its zone, which is of this machine and no part of an
// ECS address.
func (t *text) addr(key string, a netip.Addr) {
	t.key(key)
	t.quotedAddr(a)
}

func (t *text) quotedAddr(a netip.Addr) {
	*t = append(a.Unmap().WithZone("").AppendTo(append(*t, '"')), '"')
}

// appendQuoted appends a JSON string. Octets that are not UTF-8 become U+FFFD.
func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	plain := 0
	for plain < len(s) && ' ' <= s[plain] && s[plain] < 0x7f && s[plain] != '"' && s[plain] != '\\' {
		plain++
	}
	dst = append(dst, s[:plain]...)
	if plain < len(s) {
		dst = appendEscaped(dst, string(s[plain:]))
	}
	return append(dst, '"')
}

func appendEscaped(dst []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == utf8.RuneError || !unicode.IsPrint(r):
			dst = appendRuneEscape(dst, r)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}
