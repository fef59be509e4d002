package format

import "bytes"

// readUnbound reads the local zones and local data of an unbound configuration.
// What unbound would answer with is not taken over, the list's action says
// that; but an exception stays one, and a zone that only informs is logged.
func readUnbound(in *lines, out *sink, scope Scope) {
	u := &unbound{out: out, scope: scope, scratch: make([]byte, 0, 2*maxName)}
	for line := range wholeLines(in, out) {
		u.number, u.line = in.read, line
		u.readLine()
	}
}

type unbound struct {
	out     *sink
	scope   Scope
	scratch []byte
	number  int
	line    []byte
	last    []byte // the name last blocked, whose local data says nothing more
}

// readLine reads all statements of a line: an option with its values.
func (u *unbound) readLine() {
	rest := u.line
	for {
		option, value := u.option(rest)
		if len(option) == 0 {
			return
		}
		switch string(option) {
		case "local-zone:":
			name, kind := []byte(nil), []byte(nil)
			name, rest = word(value)
			kind, rest = word(rest)
			if len(kind) == 0 {
				u.leaveOut(option, malformed(`a local-zone without a type, expected local-zone: "NAME" TYPE`))
				return
			}
			u.zone(name, kind)
		case "local-data:":
			record := []byte(nil)
			record, rest = word(value)
			u.data(option, record)
		case "server:":
			rest = value
		default:
			p := notApplicable(reasonOption)
			if option[len(option)-1] != ':' {
				p = malformed(`no statement, expected local-zone: "NAME" TYPE`)
			}
			u.leaveOut(option, p)
			return
		}
	}
}

func (u *unbound) leaveOut(text []byte, p problem) {
	u.out.leaveOut(u.number, column(u.line, text), text, p)
}

// option cuts the name of an option off, its colon included. What has no colon
// is no option.
func (u *unbound) option(text []byte) (option, rest []byte) {
	option, rest = word(text)
	if i := bytes.IndexByte(option, ':'); i >= 0 && i < len(option)-1 {
		at := cap(text) - cap(option) + i + 1
		return option[:i+1], text[at:]
	}
	return option, rest
}

// word cuts the first word off a text: in quotes of either kind, or up to white
// space. A "#" at its start begins a comment.
func word(text []byte) (first, rest []byte) {
	for len(text) > 0 && isSpace(text[0]) {
		text = text[1:]
	}
	if len(text) == 0 || text[0] == '#' {
		return nil, nil
	}
	if quote := text[0]; quote == '"' || quote == '\'' {
		if i := bytes.IndexByte(text[1:], quote); i >= 0 {
			return text[1 : 1+i], text[i+2:]
		}
	}
	for i, c := range text {
		if isSpace(c) {
			return text[:i], text[i:]
		}
	}
	return text, nil
}

func (u *unbound) zone(name, kind []byte) {
	action, p := zoneAction(kind)
	if p.is() {
		u.leaveOut(name, p)
		return
	}
	if e, ok := u.name(name); ok {
		ind := u.out.indicator(u.number)
		e.fill(ind, u.scope)
		ind.Action = action
		if action == Unstated {
			u.last = append(u.last[:0], e.name...)
		}
		u.out.put()
	}
}

// zoneAction tells what a type of zone does with its names; nothing stated is a
// block.
func zoneAction(kind []byte) (Action, problem) {
	switch string(kind) {
	case "deny", "refuse", "static", "redirect", "inform_deny", "inform_redirect",
		"always_refuse", "always_nxdomain", "always_nodata", "always_deny", "always_null":
		return Unstated, problem{}
	case "inform":
		return Log, problem{}
	case "always_transparent":
		return PassThru, problem{}
	case "transparent", "typetransparent":
		return Unstated, notApplicable("a transparent zone blocks nothing of itself; its local data is read, and always_transparent makes an exception")
	case "nodefault", "noview", "block_a", "ipset":
		return Unstated, notApplicable("a zone of the type " + string(kind) + " does not block its name")
	}
	return Unstated, malformed("a zone of the type %q, expected one of unbound's such as static, refuse or always_nxdomain", printable(kind))
}

// name reads the name of a zone or of data, and reports it where it is left out.
func (u *unbound) name(text []byte) (entry, bool) {
	e, p := readName(u.scratch, text)
	if !p.is() && isReverse(e.name) {
		p = notApplicable(reasonReverse)
	}
	if p.is() {
		u.leaveOut(text, p)
	}
	return e, !p.is()
}

// data reads a record: its name is answered from it, whatever it says.
func (u *unbound) data(option, record []byte) {
	owner, rest := field(record)
	kind, some := []byte(nil), false
	for !some {
		if kind, rest = field(rest); len(kind) == 0 {
			u.leaveOut(option, malformed(`local-data without a record, expected local-data: "NAME TYPE DATA"`))
			return
		}
		some = !isDigit(kind[0]) && !bytes.EqualFold(kind, []byte("IN"))
	}
	switch string(bytes.ToUpper(kind)) {
	case "SOA", "NS", "PTR":
		u.leaveOut(owner, notApplicable("a record of a local zone itself or of an address, which lists no name"))
		return
	}
	e, ok := u.name(owner)
	if !ok || bytes.Equal(e.name, u.last) {
		return
	}
	u.last = append(u.last[:0], e.name...)
	e.put(u.out, u.number, Exact)
}

// isReverse says whether a name in wire form is below in-addr.arpa or ip6.arpa.
func isReverse(name []byte) bool {
	return bytes.HasSuffix(name, []byte("\x07in-addr\x04arpa\x00")) || bytes.HasSuffix(name, []byte("\x03ip6\x04arpa\x00"))
}
