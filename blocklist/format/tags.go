package format

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// tlpTag reads a tag as "tlp:amber"; false for any other.
func tlpTag(tag []byte) (label string, ok bool) {
	if len(tag) <= len("tlp:") || !bytes.EqualFold(tag[:4], []byte("tlp:")) {
		return "", false
	}
	label, p := readTLP(tag)
	return label, !p.is()
}

// galaxyFamily reads a tag that names malware by a cluster of a MISP galaxy, as
// misp-galaxy:malpedia="Lumma Stealer". Of several the one with the smaller rank
// names the family best. The family is nil for any other tag.
func galaxyFamily(tag []byte) (family []byte, rank int) {
	rest, ok := bytes.CutPrefix(tag, []byte("misp-galaxy:"))
	if !ok {
		return nil, 0
	}
	galaxy, value, ok := bytes.Cut(rest, []byte("="))
	if rank = galaxyRank(galaxy); !ok || rank == 0 {
		return nil, 0
	}
	value = trim(bytes.Trim(value, `"`))
	if len(value) == 0 || len(value) > maxWord {
		return nil, 0
	}
	return withoutAttackID(value), rank
}

// galaxyRank orders the galaxies whose clusters are malware families, 0 for all
// others. Malpedia comes first: the other feeds write its names too.
func galaxyRank(galaxy []byte) int {
	switch string(galaxy) {
	case "malpedia":
		return 1
	case "stealer", "banker", "rat", "botnet", "ransomware", "backdoor", "cryptominers", "android":
		return 2
	case "mitre-malware", "mitre-enterprise-attack-malware", "mitre-mobile-attack-malware":
		return 3
	case "tool":
		return 4
	}
	return 0
}

// withoutAttackID takes off the number of ATT&CK, as in "Agent Tesla - S0331".
func withoutAttackID(value []byte) []byte {
	i := bytes.LastIndex(value, []byte(" - S"))
	if i > 0 && digitsOnly(value[i+len(" - S"):]) {
		return value[:i]
	}
	return value
}

// line is string for text out of a feed, as oneLine makes it.
func (w *words) line(text []byte) string { return w.string(oneLine(text)) }

// short is line for a word, as the name of a family, cut where it is longer than
// any of them is.
func (w *words) short(text []byte) string {
	if len(text) <= maxWord && plain(text) {
		return w.string(text)
	}
	return w.string(cut(bytes.ToValidUTF8(oneLine(text), []byte("\uFFFD")), maxWord))
}

// cut is what of a text in UTF-8 has room, in whole characters.
func cut(text []byte, room int) []byte {
	if len(text) <= room {
		return text
	}
	for room > 0 && !utf8.RuneStart(text[room]) {
		room--
	}
	return text[:room]
}

// oneLine makes a blank of each line end and other control character, which
// JSON and quoted cells may have within a text.
func oneLine(text []byte) []byte {
	if plain(text) || bytes.IndexFunc(text, unicode.IsControl) < 0 {
		return text
	}
	return bytes.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}
