package format

import "bytes"

// readHosts reads a hosts file, hosts(5): an address and the names that it
// blocks. Any address will do: it says what the names are answered with where
// the file is used as such, and here the list's action says that.
func readHosts(in *lines, out *sink, scope Scope) {
	scratch := make([]byte, 0, 2*maxName)
	address := make([]byte, 0, len("0.0.0.0 ")) // of the line before, and a blank
	for line := range wholeLines(in, out) {
		if name, ok := bytes.CutPrefix(line, address); ok && len(address) > 0 && len(name) > 0 && lower(name[0]) != 'l' {
			if wire, ok := plainName(scratch, name); ok {
				putName(out, in.read, wire, scope)
				continue
			}
		}
		address = append(address[:0], usualAddress(line)...)
		readHostsLine(in.read, line, scratch, out, scope)
	}
}

// usualAddress is the IPv4 address at the start of a line and the one octet of
// white space behind it, as nearly all lines of a list have them alike. What
// follows is a name to be taken without another look if it is plain, unless it
// begins as localhost does.
func usualAddress(line []byte) []byte {
	for i, c := range line {
		if c == ' ' || c == '\t' {
			if _, ok := parseIPv4(line[:i]); ok || string(line[:i]) == shortZero {
				return line[:i+1]
			}
			break
		}
	}
	return nil
}

func readHostsLine(number int, line, scratch []byte, out *sink, scope Scope) {
	text := line
	if i := bytes.IndexByte(text, '#'); i >= 0 {
		text = text[:i]
	}
	text = content(text)
	address, rest := field(text)
	if len(address) == 0 {
		return
	}
	if !isHostsAddress(address) {
		out.leaveOut(number, column(line, address), text, malformed("no address at the start of the line, expected ADDRESS NAME"))
		return
	}
	name, rest := field(rest)
	if len(name) == 0 {
		out.leaveOut(number, column(line, address), text, malformed("an address without a name, expected ADDRESS NAME"))
		return
	}
	for ; len(name) > 0; name, rest = field(rest) {
		if isSelf(name) || bytes.Equal(name, address) {
			continue
		}
		wire, p := listName(scratch, name)
		if _, ok := parseAddr(name); ok {
			p = refused(reasonAddress)
		} else if p.is() && (name[0] == '*' || isPattern(name)) {
			p = refused(reasonPattern)
		}
		if p.is() {
			out.leaveOut(number, column(line, name)+p.at, name, p)
			continue
		}
		putName(out, number, wire, scope)
	}
}

// shortZero is 0.0.0.0 as lists that are to be short write it (inet_aton(3)).
const shortZero = "0"

// isHostsAddress takes IPv6 zones too, which macOS writes (fe80::1%lo0).
func isHostsAddress(text []byte) bool {
	if string(text) == shortZero {
		return true
	}
	if i := bytes.IndexByte(text, '%'); i >= 0 {
		text = text[:i]
	}
	_, ok := parseAddr(text)
	return ok
}

// isSelf knows the names that hosts files hold for the machine itself.
func isSelf(name []byte) bool {
	var folded [len("localhost6.localdomain6")]byte
	if len(name) > len(folded) {
		return false
	}
	for i, c := range name {
		folded[i] = lower(c)
	}
	switch string(folded[:len(name)]) {
	case "localhost", "localhost.localdomain", "local", "broadcasthost",
		"localhost4", "localhost4.localdomain4", "localhost6", "localhost6.localdomain6",
		"ip6-localhost", "ip6-loopback", "ip6-localnet", "ip6-mcastprefix",
		"ip6-allnodes", "ip6-allrouters", "ip6-allhosts":
		return true
	}
	return false
}

// field cuts the first field off a text, at white space.
func field(text []byte) (first, rest []byte) {
	for len(text) > 0 && isSpace(text[0]) {
		text = text[1:]
	}
	for i, c := range text {
		if isSpace(c) {
			return text[:i], text[i:]
		}
	}
	return text, nil
}
