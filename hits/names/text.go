package names

import (
	"encoding/hex"
	"net"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText bounds a name, an owner, a site, a subscriber, in octets.
const maxText = 128

// mac is a MAC address; the zero mac is none.
type mac [6]byte

// parseMAC reads any usual form, also with the type of the hardware before it, as dnsmasq writes
// it; none where it is none of six octets.
func parseMAC(s string) (m mac) {
	if i := strings.IndexByte(s, '-'); i == 2 && strings.Count(s, ":") == 5 {
		s = s[3:]
	}
	b, err := net.ParseMAC(s)
	if err != nil || len(b) != len(m) {
		return mac{}
	}
	return mac(b)
}

// macOfDUID is the Ethernet address in a DUID (RFC 8415 section 11: types 1 and 3).
func macOfDUID(d []byte) (m mac) {
	switch {
	case len(d) == 14 && d[0] == 0 && d[1] == 1 && d[2] == 0 && d[3] == 1:
		return mac(d[8:])
	case len(d) == 10 && d[0] == 0 && d[1] == 3 && d[2] == 0 && d[3] == 1:
		return mac(d[4:])
	}
	return mac{}
}

func macOfHexDUID(s string) mac {
	d, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil {
		return mac{}
	}
	return macOfDUID(d)
}

// text is what an operator wrote, without what does not print.
func text(s string) string {
	return clean(s, unicode.IsPrint)
}

// hostName is what a client calls itself, who may be an attacker: letters and digits of any
// script, and what no markup, shell or spreadsheet acts on. "*" is dnsmasq's word for none.
func hostName(s string) string {
	if s == "*" {
		return ""
	}
	s = clean(strings.TrimSuffix(s, "."), func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune("-_. ", r)
	})
	return strings.TrimLeft(s, "- ")
}

// clean puts a question mark in the place of each character that is not let through.
func clean(s string, lets func(rune) bool) string {
	s = strings.TrimSpace(s)
	for i := 0; ; {
		if i == len(s) && i <= maxText {
			return s
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if i > maxText || r == utf8.RuneError || !lets(r) {
			break
		}
		i += size
	}
	var b strings.Builder
	for _, r := range s {
		if r == utf8.RuneError || !lets(r) {
			r = '?'
		}
		if b.Len()+utf8.RuneLen(r) > maxText {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// String is as records have it.
func (m mac) String() string {
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, 17)
	for i, x := range m {
		if i > 0 {
			b = append(b, '-')
		}
		b = append(b, digits[x>>4], digits[x&15])
	}
	return string(b)
}
