package guard

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"sinkhole/blocklist/format"
)

// listing reads an operator's file of names, addresses and prefixes. Lines of
// the Public Suffix List, told by its markers, are left to a suffixReader.
type listing struct {
	*builder
	id       sourceID
	outcome  Outcome
	path     string
	suffixes *suffixReader // nil outside the Public Suffix List
	scratch  []byte
}

func newListing(b *builder, s source) *listing {
	return &listing{builder: b, id: b.add(s), outcome: s.outcome, path: s.file}
}

func (l *listing) all(path string, r io.Reader) error {
	text := bufio.NewReader(r)
	if mark, _ := text.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		_, _ = text.Discard(len(byteOrderMark))
	}
	if beginsObject(text) {
		return l.warninglist(path, text)
	}
	return eachLine(path, text, l.line)
}

func (l *listing) line(line uint32, text []byte) error {
	switch {
	case isSuffixMarker(text):
		if l.suffixes == nil {
			l.suffixes = newSuffixReader(l.builder, l.outcome, l.path)
		}
		return nil
	case l.suffixes != nil:
		return l.suffixes.line(line, text)
	}
	text = content(text)
	if len(text) == 0 {
		return nil
	}
	return l.protect(mark{line, l.id}, unranked(text))
}

const byteOrderMark = "\xef\xbb\xbf"

// content is a line without its comment.
func content(text []byte) []byte {
	if bytes.HasPrefix(text, []byte("#")) || bytes.HasPrefix(text, []byte(";")) ||
		bytes.HasPrefix(text, []byte("!")) || bytes.HasPrefix(text, []byte("//")) {
		return nil
	}
	for i, c := range text {
		if c == '#' && i > 0 && (text[i-1] == ' ' || text[i-1] == '\t') {
			return bytes.TrimSpace(text[:i])
		}
	}
	return text
}

// unranked is the name of a line that has its rank before it: "17,name".
func unranked(text []byte) []byte {
	rank, name, found := bytes.Cut(text, []byte{','})
	if !found || len(rank) == 0 || len(bytes.Trim(rank, "0123456789")) > 0 {
		return text
	}
	return bytes.TrimSpace(name)
}

func (l *listing) protect(m mark, text []byte) error {
	if len(text) == 0 {
		return errors.New("found a rank without a name, " + expectedLine)
	}
	if bytes.ContainsAny(text, "/:") {
		p, err := parsePrefix(string(text))
		if err == nil {
			l.prefix(p, m, l.outcome)
		}
		return err
	}
	if last := text[len(text)-1]; '0' <= last && last <= '9' {
		if addr, err := netip.ParseAddr(string(text)); err == nil {
			l.prefix(netip.PrefixFrom(addr, addr.BitLen()), m, l.outcome)
			return nil
		}
	}
	name, tree := bytes.CutPrefix(text, []byte("*."))
	if len(name) > 1 {
		name = bytes.TrimPrefix(name, []byte{'.'})
	}
	wire, err := l.wire(name)
	if err != nil {
		return err
	}
	if tree {
		if err := l.trees.protect(wire, m); err != nil {
			return err
		}
	}
	return l.names.protect(wire, m)
}

// wire is the wire form of a name, valid until the next call.
func (l *listing) wire(text []byte) (wire []byte, err error) {
	if bytes.ContainsAny(text, "*,\"'=|^<>()[]{}@ \t") {
		return nil, fmt.Errorf("found %.100q, %s", text, expectedLine)
	}
	l.scratch, err = format.Name(l.scratch[:0], string(text))
	switch {
	case err != nil:
		return nil, fmt.Errorf("found %.100q, %w; %s", text, err, expectedLine)
	case len(l.scratch) == 1:
		return nil, errors.New("found the root, which everything is below; " + expectedLine)
	}
	return l.scratch, nil
}

const expectedLine = "expected a name, *.name, an address or a prefix on each line"

func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("found %.100q, %s", text, expectedLine)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("found %s with bits set beyond its length, expected %s for the network or %s for the one address", text, p.Masked(), p.Addr())
	}
	return p, nil
}
