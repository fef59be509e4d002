package format

import "bytes"

// The reasons for which lines of resolvers' configurations list nothing.
const (
	reasonForward  = "a name that is asked of another server, not blocked"
	reasonOption   = "an option of the resolver, which lists no name"
	reasonAllNames = "a rule for all names; a list names what it means"
	reasonReverse  = "a zone of addresses' names (reverse DNS), which no threat list means"
)

// readDnsmasq reads the lines of a dnsmasq configuration that block names:
// address=/name/..., and server=/name/ or local=/name/ without a server.
// server=/name/# is an exception. What dnsmasq would answer with is not taken
// over: the list's action says that.
func readDnsmasq(in *lines, out *sink, scope Scope) {
	d := &dnsmasq{out: out, scope: scope, scratch: make([]byte, 0, 2*maxName)}
	for line := range wholeLines(in, out) {
		d.number, d.line = in.read, line
		if text := withoutComment(line); len(text) > 0 {
			d.read(text)
		}
	}
}

type dnsmasq struct {
	out     *sink
	scope   Scope
	scratch []byte
	number  int
	line    []byte
}

// withoutComment takes off white space and what follows a "#" at the start or
// behind white space.
func withoutComment(line []byte) []byte {
	text := trim(line)
	for at := 0; ; at++ {
		i := bytes.IndexByte(text[at:], '#')
		if i < 0 {
			return text
		}
		if at += i; at == 0 || isSpace(text[at-1]) {
			return trim(text[:at])
		}
	}
}

func (d *dnsmasq) read(text []byte) {
	key, value, valued := bytes.Cut(text, []byte{'='})
	key, value = trim(key), trim(value)
	if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	switch string(key) {
	case "address":
		d.names(value, false)
	case "server", "local":
		d.names(value, true)
	case "bogus-nxdomain":
		d.addresses(value)
	default:
		p := notApplicable(reasonOption)
		if !isOption(key) || valued && len(value) == 0 {
			p = malformed("no option of dnsmasq, expected address=/NAME/")
		}
		d.leaveOut(text, p)
	}
}

func isOption(key []byte) bool {
	for _, c := range key {
		if lower(c) < 'a' || lower(c) > 'z' {
			if c != '-' && !isDigit(c) {
				return false
			}
		}
	}
	return len(key) > 0
}

func (d *dnsmasq) leaveOut(text []byte, p problem) {
	d.out.leaveOut(d.number, column(d.line, text)+p.at, text, p)
}

// names reads /NAME/NAME/.../DESTINATION.
func (d *dnsmasq) names(value []byte, server bool) {
	last := bytes.LastIndexByte(value, '/')
	if last <= 0 || value[0] != '/' {
		p := malformed("no name between slashes, expected /NAME/")
		if server && len(value) > 0 && last < 0 {
			p = notApplicable(reasonOption)
		}
		d.leaveOut(value, p)
		return
	}
	action, p := destination(value[last+1:], server)
	if p.is() {
		d.leaveOut(value, p)
		return
	}
	for at := 1; at <= last; {
		n := bytes.IndexByte(value[at:], '/')
		d.name(value[at:at+n], action)
		at += n + 1
	}
}

// destination says what is to become of the names: nothing stated is a block.
func destination(text []byte, server bool) (Action, problem) {
	switch {
	case len(text) == 0:
		return Unstated, problem{}
	case string(text) == "#" && server:
		return PassThru, problem{}
	case server:
		return Unstated, notApplicable(reasonForward)
	case string(text) == "#":
		return Unstated, problem{}
	}
	if _, ok := parseAddr(text); !ok {
		return Unstated, malformed("an answer of %q, expected an address, # or nothing", printable(text))
	}
	return Unstated, problem{}
}

func (d *dnsmasq) name(text []byte, action Action) {
	var e entry
	var p problem
	switch {
	case len(text) == 0:
		p = refused("an empty name, which means all single labels; a list names what it means")
	case string(text) == "#":
		p = refused(reasonAllNames)
	default:
		e, p = readName(d.scratch, text)
	}
	if p.is() {
		d.leaveOut(text, p)
		return
	}
	ind := d.out.indicator(d.number)
	e.fill(ind, d.scope)
	ind.Action = action
	d.out.put()
}

// addresses reads addresses and prefixes that are to be taken for NXDOMAIN
// where they are an answer.
func (d *dnsmasq) addresses(value []byte) {
	for more := true; more; {
		text := value
		if i := bytes.IndexByte(value, ','); i >= 0 {
			text, value = value[:i], value[i+1:]
		} else {
			more = false
		}
		e, p := readEntry(d.scratch, trim(text))
		switch {
		case p.is():
		case !e.prefix.IsValid() || e.port || e.path:
			p = malformed("no address, expected bogus-nxdomain=ADDRESS")
		}
		if p.is() {
			d.leaveOut(text, p)
			continue
		}
		e.put(d.out, d.number, d.scope)
	}
}
