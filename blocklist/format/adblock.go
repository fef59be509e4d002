package format

import (
	"bytes"
	"strings"
)

// The order of the entries of an adblock list, for Indicator.Precedence.
const (
	orderImportant = iota
	orderException
	orderBlock
)

// The reasons for which rules of adblock lists are no rules for DNS.
const (
	reasonCosmetic   = "a rule on parts of a page, which DNS never sees"
	reasonURLRule    = "a rule on URLs, of which DNS sees the host only"
	reasonExpression = "a pattern or regular expression on URLs, expected ||name^ for a rule that DNS can apply"
)

// readAdblock reads what DNS can apply of an adblock list, as AdGuard's DNS
// filtering understands it: ||name^ is the name and all below it, |name^ the
// name alone, @@ begins an exception, $important outranks exceptions, $badfilter
// takes back the rule that is the same but for it. Lines as in
// hosts files and bare names stand for the name alone. All else is counted as
// not applicable.
func readAdblock(in *lines, out *sink, scope Scope) {
	out.order = orderBlock
	scratch := make([]byte, 0, 2*maxName)
	for line := range wholeLines(in, out) {
		if name, ok := commonRule(line); ok {
			if wire, ok := plainName(scratch, name); ok {
				putName(out, in.read, wire, Subtree)
				continue
			}
		}
		readAdblockLine(in.read, line, scratch, out, scope)
	}
}

// commonRule takes the name out of ||name^.
func commonRule(line []byte) ([]byte, bool) {
	if n := len(line); n > 3 && line[0] == '|' && line[1] == '|' && line[n-1] == '^' {
		return line[2 : n-1], true
	}
	return nil, false
}

func readAdblockLine(number int, line, scratch []byte, out *sink, scope Scope) {
	text := trim(line)
	if len(text) == 0 || text[0] == '!' || isAdblockHeader(text) {
		return
	}
	if isCosmetic(text) || hasCosmetic(text) {
		out.leaveOut(number, column(line, text), text, notApplicable(reasonCosmetic))
		return
	}
	if text[0] == '#' {
		return
	}
	if first, rest := field(text); len(trim(rest)) > 0 && isHostsAddress(first) {
		readHostsLine(number, line, scratch, out, scope)
		return
	}
	r := adblockRule{scope: scope, order: orderBlock}
	if p := r.read(scratch, text); p.is() {
		out.leaveOut(number, column(line, text), text, p)
		return
	}
	ind := out.indicator(number)
	r.fill(ind, r.scope)
	ind.Precedence = r.order
	if r.exception {
		ind.Action = PassThru
	}
	if r.bad {
		out.takeBack()
		return
	}
	out.put()
}

// isAdblockHeader knows "[Adblock Plus 2.0]" and its like.
func isAdblockHeader(text []byte) bool {
	if text[0] != '[' || text[len(text)-1] != ']' {
		return false
	}
	for _, product := range [...]string{"adblock", "adguard", "ublock"} {
		if n := len(product); len(text) > n+1 && strings.EqualFold(string(text[1:1+n]), product) {
			return true
		}
	}
	return false
}

// hasCosmetic knows the rules that hide parts of the pages of the names before
// the mark.
func hasCosmetic(text []byte) bool {
	if bytes.HasPrefix(text, []byte("[$")) {
		return true
	}
	for _, mark := range [...]string{"##", "#@#", "#?#", "#@?#", "#$#", "#@$#", "#%#", "#@%#", "$$", "$@$"} {
		if i := bytes.Index(text, []byte(mark)); i > 0 && !isSpace(text[i-1]) {
			return true
		}
	}
	return false
}

// adblockRule is a rule that names a host or an address.
type adblockRule struct {
	entry
	scope     Scope
	order     uint8
	exception bool
	bad       bool // it takes back the rule that it otherwise is
}

func (r *adblockRule) read(scratch, text []byte) problem {
	pattern := text
	if rest, ok := bytes.CutPrefix(pattern, []byte("@@")); ok {
		pattern, r.exception, r.order = rest, true, orderException
	}
	if len(pattern) > 0 && pattern[0] == '/' {
		return notApplicable(reasonExpression)
	}
	if i := bytes.IndexByte(pattern, '$'); i >= 0 {
		if p := r.modifiers(pattern[i+1:]); p.is() {
			return p
		}
		pattern = pattern[:i]
	}
	if blank := bytes.IndexAny(pattern, " \t"); blank >= 0 {
		return malformed("white space within a rule, expected one such as ||name^")
	}
	host, p := r.anchors(pattern)
	if p.is() {
		return p
	}
	return r.host(scratch, host)
}

// anchors takes off what says where the pattern begins and ends.
func (r *adblockRule) anchors(pattern []byte) ([]byte, problem) {
	bare := pattern
	pattern = bytes.TrimSuffix(pattern, []byte("|"))
	closed := false
	for _, end := range [...]string{"^*", "^", "/"} {
		if rest, ok := bytes.CutSuffix(pattern, []byte(end)); ok {
			pattern, closed = rest, true
			break
		}
	}
	switch {
	case bytes.HasPrefix(pattern, []byte("||")):
		pattern, r.scope = pattern[2:], Subtree
	case bytes.HasPrefix(pattern, []byte("|")):
		pattern, r.scope = pattern[1:], Exact
	case closed:
		r.scope = Subtree
	default:
		return bare, problem{}
	}
	if !closed && bytes.HasSuffix(pattern, []byte(".")) {
		return nil, notApplicable(reasonExpression) // any name that begins so
	}
	return pattern, problem{}
}

// host reads a name, which "*." or a dot before it makes all names below it, or
// an address, which is looked for in answers.
func (r *adblockRule) host(scratch, host []byte) problem {
	if addr, ok := parseAddr(bytes.Trim(host, "[]")); ok {
		r.prefix = hostPrefix(addr)
		return listable(r.prefix)
	}
	if bytes.ContainsAny(host, "/?=&%:,") {
		return notApplicable(reasonURLRule)
	}
	below := false
	if rest, ok := bytes.CutPrefix(host, []byte("*.")); ok {
		host, below = rest, true
	} else if rest, ok := bytes.CutPrefix(host, []byte(".")); ok {
		host, below = rest, true
	}
	if below {
		r.scope = Below
	}
	if _, ok := parseIPv4(host); ok && below {
		return refused(reasonWildIP)
	}
	if bytes.ContainsAny(host, `*^|~\(){}+[]`) {
		return notApplicable(reasonExpression)
	}
	var p problem
	r.name, p = listName(scratch, host)
	return p
}

// modifiers reads what follows the "$". A rule is for DNS if its modifiers
// leave it covering the host as a whole: all of it ($all), the pages themselves
// ($document) or every protocol ($network). Those that limit it to some requests
// ($third-party, $script, $domain=...) do not: the host may be innocent.
func (r *adblockRule) modifiers(text []byte) problem {
	whole, part := false, ""
	important := false
	for word := range bytes.SplitSeq(text, []byte{','}) {
		switch name := string(trim(word)); name {
		case "important":
			important = true
		case "badfilter":
			r.bad = true
		case "all", "document", "doc", "network":
			whole = true
		case "popup":
			if part == "" {
				part = name
			}
		default:
			if strings.Trim(name, "_") != "" || name == "" {
				return limited(name)
			}
		}
	}
	switch {
	case part != "" && !whole:
		return limited(part)
	case whole && r.exception:
		return notApplicable("an exception for the pages of a site, not for its name; expected @@||name^ for one that DNS can apply")
	case important:
		r.order = orderImportant
	}
	return problem{}
}

func limited(modifier string) problem {
	const longest = 40
	if modifier == "" {
		return malformed("an empty modifier, expected one such as $important")
	}
	if len(modifier) > longest {
		modifier = modifier[:longest]
	}
	return notApplicable("$" + printable([]byte(modifier)) + " limits the rule to some requests, which DNS cannot tell apart")
}
