package format

import (
	"bytes"
	"net/netip"
)

// readDnscrypt reads the patterns of dnscrypt-proxy, of names and of addresses:
// "name" and "*.name" are the name and all below it, "=name" the name alone,
// "192.0.2.*" a prefix. Other patterns are counted as not applicable.
func readDnscrypt(in *lines, out *sink, scope Scope) {
	scratch := make([]byte, 0, 2*maxName)
	for line := range wholeLines(in, out) {
		text := withoutComment(line)
		if len(text) == 0 {
			continue
		}
		if wire, ok := plainName(scratch, text); ok {
			putName(out, in.read, wire, scope)
			continue
		}
		e, exact, p := readPattern(scratch, text)
		if p.is() {
			out.leaveOut(in.read, column(line, text)+p.at, text, p)
			continue
		}
		if exact {
			putName(out, in.read, e.name, Exact)
			continue
		}
		e.put(out, in.read, scope)
	}
}

func readPattern(scratch, text []byte) (e entry, exact bool, p problem) {
	if pattern, schedule := field(text); len(trim(schedule)) > 0 {
		if trim(schedule)[0] == '@' {
			return e, false, notApplicable("a pattern for some times of the day; give it without @" + printable(trim(schedule)[1:]) + " if it is to hold always")
		}
		return e, false, problem{reason: "white space within an entry, expected one pattern a line", at: len(pattern)}
	}
	if rest, ok := bytes.CutPrefix(text, []byte("=")); ok {
		e, p = readName(scratch, rest)
		if e.wildcard && !p.is() {
			p = malformed("a wildcard behind =, expected =name for the name alone or *.name for all below it too")
		}
		return e, true, p
	}
	if prefix, ok := starPrefix(text); ok {
		e.prefix = prefix
		return e, false, listable(prefix)
	}
	host := bytes.TrimPrefix(text, []byte("*."))
	if bytes.ContainsAny(host, "*?[") && !isBracketed(host) {
		return e, false, notApplicable("a pattern within names, expected name, *.name or =name")
	}
	e, p = readEntry(scratch, text)
	return e, false, p
}

// isBracketed knows [2001:db8::1] and [2001:db8::1]:53.
func isBracketed(text []byte) bool {
	return text[0] == '[' && bytes.IndexByte(text, ':') > 0 && bytes.IndexByte(text, '*') < 0
}

// starPrefix reads a prefix whose rest is a star: 192.0.2.* and 2001:db8:*, the
// latter with or without brackets.
func starPrefix(text []byte) (netip.Prefix, bool) {
	if n := len(text); n > 1 && text[0] == '[' && text[n-1] == ']' {
		text = text[1 : n-1]
	}
	head, ok := bytes.CutSuffix(text, []byte("*"))
	if !ok || len(head) < 2 {
		return netip.Prefix{}, false
	}
	switch end := head[len(head)-1]; end {
	case '.':
		given := bytes.Count(head, []byte{'.'})
		if given > 3 {
			return netip.Prefix{}, false
		}
		full := append(bytes.Clone(head), "0.0.0.0"[:7-2*given]...)
		addr, ok := parseIPv4(full)
		return netip.PrefixFrom(addr, 8*given), ok
	case ':':
		given := bytes.Count(head, []byte{':'})
		if bytes.Contains(head, []byte("::")) {
			return starPrefixShort(head)
		}
		addr, ok := parseAddr(append(bytes.Clone(head), ':'))
		if given == 7 {
			addr, ok = parseAddr(append(bytes.Clone(head), '0'))
		}
		return netip.PrefixFrom(addr, 16*given), ok && addr.Is6() && given < 8
	}
	return netip.Prefix{}, false
}

// starPrefixShort reads the head of 2001:db8::*: what stands before "::" is the
// prefix, since the star may be anything below.
func starPrefixShort(head []byte) (netip.Prefix, bool) {
	if !bytes.HasSuffix(head, []byte("::")) || bytes.Count(head, []byte("::")) > 1 {
		return netip.Prefix{}, false
	}
	addr, ok := parseAddr(head)
	given := bytes.Count(head, []byte{':'}) - 1
	return netip.PrefixFrom(addr, 16*given), ok && addr.Is6() && given < 8 && given > 0
}
