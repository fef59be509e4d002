package format

import "bytes"

// readSuricata reads the hosts in rules for Suricata: those that name one host
// in TLS (SNI), HTTP or DNS. Rules on other traffic are counted as not applicable.
func readSuricata(in *lines, out *sink, scope Scope) {
	scratch := make([]byte, 0, 2*maxName)
	for line := range wholeLines(in, out) {
		text := trim(line)
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		e, exact, p := readRule(scratch, text)
		if p.is() {
			out.leaveOut(in.read, column(line, text), text, p)
			continue
		}
		if exact {
			e.put(out, in.read, Exact)
			continue
		}
		e.put(out, in.read, scope)
	}
}

// readRule reads ACTION HEADER (OPTIONS).
func readRule(scratch, text []byte) (e entry, exact bool, p problem) {
	open := bytes.IndexByte(text, '(')
	if open < 0 || text[len(text)-1] != ')' {
		return e, false, malformed("no rule, expected ACTION HEADER (OPTIONS)")
	}
	switch action, _ := field(text); string(action) {
	case "alert", "drop", "reject", "rejectsrc", "rejectdst", "rejectboth":
	case "pass":
		return e, false, notApplicable("an exception for Suricata, not for names; allow the name if it is meant")
	default:
		return e, false, malformed("an unknown action %q, expected alert, drop or reject", printable(action))
	}
	rule, p := readOptions(text[open+1 : len(text)-1])
	switch {
	case p.is():
		return e, false, p
	case rule.hosts == 0:
		return e, false, notApplicable("a rule on what DNS never sees, expected one on tls.sni, dns.query or http.host")
	case rule.hosts > 1 || rule.odd:
		return e, false, notApplicable("a rule on parts of host names, expected one content that is a name")
	}
	name := rule.host
	if len(name) > 1 && name[0] == '.' {
		name = name[1:]
	}
	if e, p = readEntry(scratch, name); p.is() {
		return e, false, p
	}
	e.path = rule.path
	return e, rule.sized || rule.starts && rule.ends && !rule.dotted, problem{}
}

// suricataRule is what a rule's options say about hosts.
type suricataRule struct {
	host                        []byte
	hosts                       int  // contents looked for in hosts
	path                        bool // something else of an HTTP request is looked for too
	odd                         bool // a content negated or with octets in hexadecimal
	sized, starts, ends, dotted bool // how the content stands in the host
}

// readOptions reads options, each ended by a semicolon. A sticky buffer such as
// tls.sni holds until the next one.
func readOptions(text []byte) (r suricataRule, p problem) { //nolint:gocyclo // a case for each option
	const elsewhere, inHost, inPath = 0, 1, 2
	buffer := elsewhere
	for len(trim(text)) > 0 {
		end := endOfOption(text)
		if end < 0 {
			return r, malformed("a quote that is not closed in the options of a rule")
		}
		name, value, _ := bytes.Cut(trim(text[:end]), []byte{':'})
		text = text[min(end+1, len(text)):]
		switch name = trim(name); string(name) {
		case "tls.sni", "tls_sni", "dns.query", "dns_query", "http.host", "http.host.raw":
			buffer = inHost
		case "content":
			switch value = trim(value); buffer {
			case inPath:
				r.path = true
			case inHost:
				r.hosts++
				if len(value) < 3 || value[0] != '"' || bytes.ContainsAny(value, `|\`) {
					r.odd = true
					break
				}
				r.host = value[1 : len(value)-1]
			}
		case "bsize":
			r.sized = r.sized || buffer == inHost
		case "startswith":
			r.starts = r.starts || buffer == inHost
		case "endswith":
			r.ends = r.ends || buffer == inHost
		case "dotprefix":
			r.dotted = r.dotted || buffer == inHost
		case "pcre":
			r.odd = r.odd || buffer == inHost
		default:
			switch {
			case bytes.HasPrefix(name, []byte("http.")), bytes.HasPrefix(name, []byte("http_")):
				buffer = inPath // any other part of the request
			case bytes.IndexByte(name, '.') > 0:
				buffer = elsewhere
			}
		}
	}
	return r, problem{}
}

// endOfOption finds the semicolon that ends the first option, or the end of the
// text; -1 where a quote stays open.
func endOfOption(text []byte) int {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ';' && !quoted:
			return i
		}
	}
	if quoted {
		return -1
	}
	return len(text)
}
