package format

import (
	"bytes"
	"net/netip"
	"slices"
	"unicode"
)

// entry is one indicator as domain lists and the CSV's indicator column write
// it: a name, an address or a prefix, with decorations that are taken off.
type entry struct {
	name     []byte       // wire form; nil for an address
	prefix   netip.Prefix // valid for an address
	wildcard bool         // written "*.name" or ".name"
	url      bool         // written with a scheme
	path     bool         // written with a path, a query or a fragment
	port     bool         // written with a port
	cidr     bool         // written with a prefix length
}

// The reasons for which well-formed entries are left out.
const (
	reasonSlash   = "an address before a number between slashes, which may be a path or a prefix; write the prefix without the last slash, or the address alone"
	reasonNoHost  = "a path or pattern without a host, which DNS never sees"
	reasonLogin   = "a URL with credentials before its host; list the host alone if it is meant"
	reasonPattern = "a pattern or regular expression, expected a name, *.name, an address or a prefix"
	reasonWildIP  = "an address written as a wildcard; list the address alone if it is meant"
	reasonAddress = "an address where this notation has names; list addresses one a line, without a name"
	reasonRoot    = "the root, which would block all names"
	reasonSingle  = "a single label, which would block a whole top-level domain; list the full names below it that are meant, or write it as RPZ and approve the entry"
	reasonNumber  = "a name whose last label is a number is neither in the public DNS nor an address in plain form"
	reasonOnion   = "an .onion name, which is not in the DNS"
	reasonPolicy  = "a name that ends in a word of RPZ's own (rpz-ip, rpz-drop and the like), which is no name of the DNS; write it in a policy zone if it is meant"
)

// readEntry reads one entry without white space around it. The name of the
// result is appended to scratch.
func readEntry(scratch, text []byte) (entry, problem) {
	var e entry
	if len(text) > 0 && text[0] == '/' {
		return e, refused(reasonNoHost) // white space within it or not
	}
	if blank := bytes.IndexFunc(text, unicode.IsSpace); blank >= 0 {
		p := malformed("white space within an entry, expected one name, address or URL")
		p.at = blank
		return e, p
	}
	host, p := e.stripURL(text)
	if p.is() {
		return e, p
	}
	if host, p = e.stripPort(host); p.is() {
		return e, p
	}
	if e.prefix.IsValid() {
		return e, listable(e.prefix)
	}
	if len(host) > 0 && host[0] == '.' {
		host, e.wildcard = host[1:], true
	} else if bytes.HasPrefix(host, []byte("*.")) {
		host, e.wildcard = host[2:], true
	}
	if e.wildcard && (e.url || e.port || e.path) {
		return e, refused(reasonPattern)
	}
	if _, ok := parseIPv4(host); ok {
		return e, refused(reasonWildIP)
	}
	e.name, p = listName(scratch, host)
	return e, p
}

// stripURL takes off scheme and path, and reads a prefix length, which looks
// like a path.
func (e *entry) stripURL(text []byte) (host []byte, p problem) {
	if host, p = e.stripScheme(text); p.is() {
		return nil, p
	}
	tail := []byte(nil)
	if i := bytes.IndexAny(host, "/?#"); i >= 0 {
		host, tail = host[:i], host[i:]
	}
	if len(host) == 0 {
		return nil, refused(reasonNoHost)
	}
	if p := e.notHost(host); p.is() {
		return nil, p
	}
	if len(tail) == 0 || len(tail) == 1 && tail[0] == '/' {
		return host, problem{}
	}
	if addr, ok := parseAddr(host); ok && !e.url && tail[0] == '/' && digitsOnly(bytes.TrimRight(tail[1:], "/")) {
		if tail[len(tail)-1] == '/' {
			return nil, refused(reasonSlash)
		}
		e.cidr = true
		mapped := addr.Is4() && bytes.IndexByte(host, ':') >= 0
		e.prefix, p = parsePrefix(addr, mapped, tail[1:])
		return host, p
	}
	e.path = true
	return host, problem{}
}

func (e *entry) stripScheme(text []byte) ([]byte, problem) {
	i := bytes.Index(text, []byte("://"))
	if i <= 0 || !isScheme(text[:i]) {
		return text, problem{}
	}
	e.url = true
	if i >= 4 && lower(text[0]) == 'h' && lower(text[1]) == 'x' {
		return nil, malformed("a defanged URL, expected it as it is (http://)")
	}
	return text[i+3:], problem{}
}

// notHost knows what stands in a host's place and is not even a broken one.
func (e *entry) notHost(text []byte) problem {
	switch {
	case bytes.Contains(text, []byte("[.]")), bytes.Contains(text, []byte("(.)")), bytes.Contains(text, []byte("[:]")):
		return malformed("a defanged indicator, expected plain dots and colons")
	case isPattern(text):
		return refused(reasonPattern)
	case bytes.IndexByte(text, '@') < 0:
		return problem{}
	case e.url:
		return refused(reasonLogin)
	}
	return refused("an e-mail address, which DNS never sees")
}

// isPattern tells a regular expression or glob from a host.
func isPattern(host []byte) bool {
	if star := bytes.LastIndexByte(host, '*'); star > 0 || star == 0 && !bytes.HasPrefix(host, []byte("*.")) {
		return true
	}
	return len(host) > 0 && host[0] != '[' && bytes.ContainsAny(host, `\^$(){}|+[]`)
}

// stripPort takes off brackets and port, and reads an address.
func (e *entry) stripPort(host []byte) ([]byte, problem) {
	if e.prefix.IsValid() {
		return host, problem{}
	}
	port := []byte(nil)
	if host[0] == '[' {
		i := bytes.IndexByte(host, ']')
		if i < 0 || bytes.IndexByte(host[:i], ':') < 0 {
			return nil, refused(reasonPattern)
		}
		addr, ok := parseAddr(host[1:i])
		if !ok {
			return nil, malformed("no IPv6 address within the brackets, expected [address] or [address]:port")
		}
		e.prefix = netip.PrefixFrom(addr, addr.BitLen())
		if host, port = host[1:i], host[i+1:]; len(port) == 0 {
			return host, problem{}
		}
		if port[0] != ':' {
			return nil, malformed("unexpected text after the bracket, expected [address] or [address]:port")
		}
	} else {
		switch bytes.Count(host, []byte{':'}) {
		case 0:
		case 1:
			i := bytes.IndexByte(host, ':')
			host, port = host[:i], host[i:]
		default:
			addr, ok := parseAddr(host)
			if !ok {
				return nil, malformed("no IPv6 address, expected one as in RFC 4291 and without a zone")
			}
			e.prefix = netip.PrefixFrom(addr, addr.BitLen())
			return host, problem{}
		}
		if addr, ok := parseIPv4(host); ok {
			e.prefix = netip.PrefixFrom(addr, 32)
		}
	}
	if len(port) > 0 {
		e.port = true
		if n, ok := parseUint(port[1:], 65535); !ok || n == 0 {
			return nil, malformed("a port of %q, expected 1 to 65535", port[1:])
		}
	}
	return host, problem{}
}

// readName reads a name where a notation has names only, "*." or a dot before
// it for the name and all below it.
func readName(scratch, text []byte) (entry, problem) {
	var e entry
	var ok bool
	if e.name, ok = plainName(scratch, text); ok {
		return e, problem{}
	}
	if len(text) == 1 && text[0] == '.' {
		return e, refused(reasonRoot)
	}
	if _, ok := parseAddr(text); ok {
		return e, refused(reasonAddress)
	}
	if len(text) > 0 && text[0] == '.' {
		text, e.wildcard = text[1:], true
	} else if bytes.HasPrefix(text, []byte("*.")) {
		text, e.wildcard = text[2:], true
	}
	if _, ok := parseIPv4(text); ok {
		return e, refused(reasonWildIP)
	}
	p := e.notHost(text)
	if !p.is() {
		e.name, p = listName(scratch, text)
	}
	return e, p
}

// listName reads a name as lists that block may contain it: the letters,
// digits, hyphens and underscores of host names, two labels at the least, and
// a place in the public DNS.
func listName(scratch, text []byte) ([]byte, problem) {
	if wire, ok := plainName(scratch, text); ok {
		return wire, problem{}
	}
	if len(text) == 0 || len(text) == 1 && text[0] == '.' {
		return nil, malformed("an empty name, expected labels separated by dots")
	}
	mapped := !isASCII(text)
	if mapped {
		ascii, err := toASCII(string(text))
		if err != nil {
			return nil, malformed("%s", err)
		}
		text = []byte(ascii)
	}
	for i, c := range text {
		if c != '.' && nameByte[c] == 0 {
			p := malformed("the character %q in a name, expected letters, digits, '-', '_' and dots", rune(c))
			if !mapped {
				p.at = i
			}
			return nil, p
		}
	}
	last, labels := lastLabel(text)
	if bytes.EqualFold(last, []byte("onion")) {
		return nil, refused(reasonOnion)
	}
	if len(last) >= len(policyWord) && bytes.EqualFold(last[:len(policyWord)], []byte(policyWord)) {
		return nil, refused(reasonPolicy)
	}
	wire, err := appendName(scratch, text)
	switch {
	case err != nil:
		return nil, malformed("%s", err)
	case numeric(last):
		return nil, refused(reasonNumber)
	case labels < 2:
		return nil, refused(reasonSingle)
	}
	return wire, problem{}
}

// nameByte maps the octets of host names, and the underscore, to lower case; 0
// for all others.
const nameByte = "" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00-\x00\x000123456789\x00\x00\x00\x00\x00\x00" +
	"\x00abcdefghijklmnopqrstuvwxyz\x00\x00\x00\x00_" +
	"\x00abcdefghijklmnopqrstuvwxyz\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// plainName appends the wire form of a name that needs no second look, which
// nearly all do not. It allocates nothing if scratch has room.
func plainName(scratch, text []byte) ([]byte, bool) {
	if n := len(text); n > 0 && text[n-1] == '.' {
		text = text[:n-1]
	}
	wire, last, ok := appendLabels(scratch, text)
	if !ok || last == len(scratch) {
		return nil, false
	}
	// What begins with a digit may be a number, what is five octets "onion", and a
	// word of RPZ's own is no name.
	if first := wire[last+1]; isDigit(first) || first == 'o' && wire[last] == byte(len("onion")) ||
		first == 'r' && bytes.HasPrefix(wire[last+1:], []byte(policyWord)) {
		return nil, false
	}
	return append(wire, 0), true
}

// appendLabels appends the labels of a host name, in lower case and each behind
// its length, without the root. It returns where the last one begins. What it
// does not take (ok is false) may still be a name.
func appendLabels(to, text []byte) (wire []byte, last int, ok bool) {
	if len(text) == 0 || len(text) > maxName-2 {
		return to, 0, false
	}
	// Each octet of the text is one of the wire form, moved by one; the dots are
	// the lengths.
	start := len(to)
	if cap(to)-start < len(text)+2 {
		to = slices.Grow(to, len(text)+2)
	}
	wire = to[:start+1+len(text)]
	label := wire[start:]
	n := 0
	for i, c := range text {
		if c = nameByte[c]; c != 0 {
			n++
			label[1+i] = c
			continue
		}
		if text[i] != '.' || n == 0 || n > maxLabel {
			return to, 0, false
		}
		label[i-n] = byte(n)
		n = 0
	}
	if n == 0 || n > maxLabel {
		return to, 0, false
	}
	last = start + len(text) - n
	wire[last] = byte(n)
	return wire, last, true
}

// lastLabel is the last label of a name, and how many there are.
func lastLabel(text []byte) (last []byte, labels int) {
	text = bytes.TrimSuffix(text, []byte{'.'})
	return text[bytes.LastIndexByte(text, '.')+1:], bytes.Count(text, []byte{'.'}) + 1
}

// numeric says whether resolvers would take a name that ends in this label for
// an IPv4 address in an odd notation.
func numeric(label []byte) bool {
	if digitsOnly(label) {
		return true
	}
	if len(label) < 2 || label[0] != '0' || lower(label[1]) != 'x' {
		return false
	}
	for _, c := range label[2:] {
		if !isDigit(c) && (lower(c) < 'a' || lower(c) > 'f') {
			return false
		}
	}
	return true
}

func digitsOnly(text []byte) bool {
	for _, c := range text {
		if !isDigit(c) {
			return false
		}
	}
	return len(text) > 0
}

func isScheme(text []byte) bool {
	for i, c := range text {
		letter := 'a' <= lower(c) && lower(c) <= 'z'
		if !letter && (i == 0 || !isDigit(c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return len(text) > 0
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
