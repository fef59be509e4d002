package resolver

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"sinkhole/resolver/wire"
)

// maxUpstreamText is how many octets of an upstream's extended DNS error are passed on:
// room for a sentence, little beside an answer.
const maxUpstreamText = 120

// upstreamEDE is the extended DNS error of a reply in a form that can be passed on: its
// text is UTF-8 of printable characters, cut where it is long, or left out.
func upstreamEDE(f *wire.Reply) wire.EDE {
	if !f.HasEDE || f.EDECode == 0 {
		return wire.EDE{}
	}
	text := string(f.EDEText)
	text = strings.TrimRight(text, "\x00") // RFC 8914 section 2: it may end in null
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		text = ""
	}
	for len(text) > maxUpstreamText {
		_, last := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-last]
	}
	return wire.EDE{Code: f.EDECode, Text: text}
}
