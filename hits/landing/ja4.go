package landing

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// ja4 is the fingerprint of a TLS client over TCP, as FoxIO specifies it (JA4, the part that
// is under the BSD license): t, version, whether a name is asked for, how many ciphers and
// extensions, the first ALPN; a hash of the ciphers; a hash of extensions and signatures.
func (h *clientHello) ja4() string {
	named := byte('i')
	if h.named {
		named = 'd'
	}
	ciphers := withoutGrease(h.ciphers)
	extensions := withoutGrease(h.extensions)
	head := fmt.Sprintf("t%s%c%02d%02d%s", versionCode(h.version), named, min(len(ciphers), 99), min(len(extensions), 99), h.alpnCode())

	slices.Sort(ciphers)
	extensions = slices.DeleteFunc(extensions, func(n uint16) bool { return n == extensionServerName || n == extensionALPN })
	slices.Sort(extensions)
	rest := hexadecimal(extensions)
	if signatures := withoutGrease(h.signatures); len(signatures) > 0 {
		rest += "_" + hexadecimal(signatures)
	}
	if len(extensions) == 0 {
		rest = ""
	}
	return head + "_" + shortHash(hexadecimal(ciphers)) + "_" + shortHash(rest)
}

// alpnCode is the first and the last character of the first protocol, or of its octets in
// hexadecimal where one of the two is no ASCII letter or digit.
func (h *clientHello) alpnCode() string {
	if len(h.alpn) == 0 {
		return "00"
	}
	name := h.alpn[0]
	if first, last := name[0], name[len(name)-1]; alphanumeric(first) && alphanumeric(last) {
		return string([]byte{first, last})
	}
	text := hex.EncodeToString([]byte(name))
	return text[:1] + text[len(text)-1:]
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// withoutGrease is a copy.
func withoutGrease(all []uint16) []uint16 {
	return slices.DeleteFunc(slices.Clone(all), grease)
}

func hexadecimal(all []uint16) string {
	words := make([]string, len(all))
	for i, n := range all {
		words[i] = fmt.Sprintf("%04x", n)
	}
	return strings.Join(words, ",")
}

// shortHash is the first 12 digits of SHA-256, zeros for nothing.
func shortHash(text string) string {
	if text == "" {
		return "000000000000"
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}
