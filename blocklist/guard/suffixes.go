package guard

import (
	"bytes"
	"fmt"
	"io"

	"sinkhole/blocklist/format"
)

// suffixReader reads rules of the Public Suffix List
// (https://publicsuffix.org/list/). A rule is a suffix itself; "*.name" makes
// each name directly below it a suffix, so that what matches the "*" alone is
// one customer, and only the name above all of them is protected; an exception,
// "!name", names a customer too.
type suffixReader struct {
	*builder
	suffix, wildcard sourceID
	scratch          []byte
}

func newSuffixReader(b *builder, o Outcome, file string) *suffixReader {
	return &suffixReader{
		builder:  b,
		suffix:   b.add(source{o, PublicSuffix, "a public suffix", file}),
		wildcard: b.add(source{o, PublicSuffix, "above public suffixes (a wildcard rule)", file}),
	}
}

// isSuffixMarker knows the lines that begin a section of the list.
func isSuffixMarker(text []byte) bool {
	return bytes.HasPrefix(text, []byte("// ===BEGIN ICANN DOMAINS===")) ||
		bytes.HasPrefix(text, []byte("// ===BEGIN PRIVATE DOMAINS==="))
}

func (s *suffixReader) all(path string, r io.Reader) error { return eachLine(path, r, s.line) }

func (s *suffixReader) line(line uint32, text []byte) error {
	if len(text) == 0 || bytes.HasPrefix(text, []byte("//")) {
		return nil
	}
	rule := bytes.Fields(text)[0] // "each line is only read up to the first whitespace"
	if rule[0] == '!' {
		return nil
	}
	id := s.suffix
	name, wild := bytes.CutPrefix(rule, []byte("*."))
	if wild {
		id = s.wildcard
	}
	var err error
	if s.scratch, err = format.Name(s.scratch[:0], string(name)); err != nil || bytes.IndexByte(name, '*') >= 0 {
		return fmt.Errorf("found %.100q, expected a rule of the Public Suffix List", rule)
	}
	return s.names.protect(s.scratch, mark{line, id})
}
