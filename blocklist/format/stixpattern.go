package format

import (
	"bytes"
	"strings"
)

// stixPattern reads STIX patterns (STIX 2.1 section 9) for what DNS can tell of
// them: the values of which one alone, seen, matches the pattern. That is so
// of the alternatives (OR), and of none that must come together (AND,
// FOLLOWEDBY, qualifiers). What must come together with an address and says no
// more than its kind, port or protocol is taken for part of the address.
type stixPattern struct {
	// values are those of the pattern that was read.
	values []stixValue
	// lacking is true where alternatives were left out.
	lacking bool

	text  []byte
	at    int
	depth int
	store []byte // the values' octets
	p     problem
}

// stixValue is a value and its kind as the CSV's types name it.
type stixValue struct {
	kind       string
	start, end int
}

// stixTerm is what a part of a pattern comes to.
type stixTerm uint8

const (
	stixNone    stixTerm = iota // nothing that DNS can tell
	stixValues                  // one of the values appended
	stixNarrows                 // narrows an address beside it
)

// read reads a pattern; a problem is a syntax error.
func (x *stixPattern) read(pattern []byte) problem {
	x.text, x.at, x.depth, x.p = pattern, 0, 0, problem{}
	x.values, x.store, x.lacking = x.values[:0], x.store[:0], false
	if len(pattern) == maxText {
		return malformed("a pattern of over %d octets", maxText-1)
	}
	if x.observations() != stixValues {
		x.lacking = true
	}
	if x.space(); x.at < len(x.text) {
		x.expected("AND, OR, FOLLOWEDBY or the end")
	}
	return x.p
}

// value is the text of a value; valid until the next pattern is read.
func (x *stixPattern) value(v stixValue) []byte { return x.store[v.start:v.end] }

// observations reads observation expressions; OR binds weaker than AND, and
// FOLLOWEDBY weaker than both.
func (x *stixPattern) observations() stixTerm {
	return x.together("FOLLOWEDBY", func() stixTerm {
		return x.either(func() stixTerm {
			return x.together("AND", x.observation)
		})
	})
}

func (x *stixPattern) observation() (term stixTerm) {
	from := len(x.values)
	switch {
	case x.take('['):
		if term = x.comparisons(); term == stixNarrows {
			term = stixNone
		}
		x.close(']')
	case x.take('('):
		term = x.observations()
		x.close(')')
	default:
		return x.expected("an observation in brackets")
	}
	for x.qualifier() {
		x.values = x.values[:from]
		term = stixNone
	}
	return term
}

// qualifier reads WITHIN, REPEATS or START, with which one sight is not enough.
func (x *stixPattern) qualifier() bool {
	switch {
	case x.keyword("WITHIN"):
		x.constant()
		return x.wanted("SECONDS")
	case x.keyword("REPEATS"):
		x.constant()
		return x.wanted("TIMES")
	case x.keyword("START"):
		x.constant()
		if !x.wanted("STOP") {
			return false
		}
		x.constant()
		return !x.p.is()
	}
	return false
}

// comparisons reads comparison expressions; OR binds weaker than AND.
func (x *stixPattern) comparisons() stixTerm {
	return x.either(func() stixTerm { return x.together("AND", x.comparison) })
}

func (x *stixPattern) comparison() stixTerm {
	if x.take('(') {
		term := x.comparisons()
		x.close(')')
		return term
	}
	if x.keyword("EXISTS") {
		x.path()
		return stixNone
	}
	path := x.path()
	negated := x.keyword("NOT")
	operator := x.operator()
	kind, narrows := stixKind(path)
	switch {
	case x.p.is():
		return stixNone
	case operator == "=", operator == "ISSUBSET" && isAddressPath(path):
	case operator == "IN":
		return x.set(kind, narrows, negated)
	default:
		kind, narrows = "", false
	}
	return x.operand(kind, narrows, negated)
}

// operand reads what a path is compared with.
func (x *stixPattern) operand(kind string, narrows, negated bool) stixTerm {
	value, isText := x.constant()
	switch {
	case x.p.is() || negated:
		return stixNone
	case narrows:
		return stixNarrows
	case kind == "" || !isText:
		x.store = x.store[:value.start]
		return stixNone
	}
	value.kind = kind
	x.values = append(x.values, value)
	return stixValues
}

// set reads the alternatives of IN.
func (x *stixPattern) set(kind string, narrows, negated bool) stixTerm {
	if !x.take('(') {
		return x.expected("( behind IN")
	}
	from := len(x.values)
	term := x.operand(kind, narrows, negated)
	for x.take(',') {
		if x.operand(kind, narrows, negated) != term {
			x.values = x.values[:from]
			term, negated = stixNone, true
		}
	}
	x.close(')')
	return term
}

// either reads alternatives: the values of all that have some.
func (x *stixPattern) either(operand func() stixTerm) stixTerm {
	term := operand()
	for x.keyword("OR") {
		other := operand()
		if term == other {
			continue
		}
		// One that DNS cannot tell, or one that merely narrows, is left out.
		if term == stixValues || other == stixValues {
			term = stixValues
			x.lacking = true
		} else {
			term = stixNone
		}
	}
	return term
}

// together reads what must be seen together, joined by a keyword. Of several
// operands there may be one with values if the others narrow it.
func (x *stixPattern) together(word string, operand func() stixTerm) stixTerm {
	from := len(x.values)
	term := operand()
	for x.keyword(word) {
		switch other := operand(); {
		case term == stixNarrows && other != stixNone:
			term = other
		case term == stixValues && other == stixNarrows:
		default:
			term = stixNone
		}
	}
	if term != stixValues {
		x.values = x.values[:from]
	}
	return term
}

// stixKind is the kind of the values at a path, and whether the path narrows an
// address beside it.
func stixKind(path []byte) (kind string, narrows bool) {
	switch string(path) {
	case "domain-name:value":
		return "domain-name", false
	case "ipv4-addr:value":
		return "ipv4-addr", false
	case "ipv6-addr:value":
		return "ipv6-addr", false
	case "url:value":
		return "url", false
	case "network-traffic:dst_ref.value":
		return "url", false // of any type
	case "network-traffic:dst_ref.type", "network-traffic:dst_port", "network-traffic:protocols[*]":
		return "", true
	}
	return "", false
}

func isAddressPath(path []byte) bool {
	switch string(path) {
	case "ipv4-addr:value", "ipv6-addr:value", "network-traffic:dst_ref.value":
		return true
	}
	return false
}

// path reads an object path, type:property.property[*].
func (x *stixPattern) path() []byte {
	x.space()
	start, colon := x.at, false
	for ; x.at < len(x.text); x.at++ {
		switch c := x.text[x.at]; {
		case isStixWord(c) || c == '.' || c == '*' && x.at > start:
		case c == ':':
			colon = true
		case c == '\'' && x.at > start && (x.text[x.at-1] == '.' || x.text[x.at-1] == ':'):
			if n := stringEnd(x.text[x.at:]); n > 0 {
				x.at += n - 1
				continue
			}
			x.expected("the end of a string")
			return nil
		case (c == '[' || c == ']') && colon:
			if c == ']' && bytes.LastIndexByte(x.text[start:x.at], '[') <= bytes.LastIndexByte(x.text[start:x.at], ']') {
				return x.pathUntil(start, colon) // the observation's bracket
			}
		default:
			return x.pathUntil(start, colon)
		}
	}
	return x.pathUntil(start, colon)
}

func (x *stixPattern) pathUntil(start int, colon bool) []byte {
	if !colon {
		x.at = start
		x.expected("an object path as domain-name:value")
		return nil
	}
	return x.text[start:x.at]
}

func (x *stixPattern) operator() string {
	x.space()
	for _, operator := range [...]string{"==", "=", "!=", "<>", "<=", ">=", "<", ">"} {
		if bytes.HasPrefix(x.text[x.at:], []byte(operator)) {
			x.at += len(operator)
			if operator == "==" {
				return "="
			}
			return operator
		}
	}
	for _, operator := range [...]string{"IN", "LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET"} {
		if x.keyword(operator) {
			return operator
		}
	}
	x.expected("a comparison operator")
	return ""
}

// constant reads a value; isText is true for a string. Strings alone are kept.
func (x *stixPattern) constant() (value stixValue, isText bool) {
	x.space()
	value.start, value.end = len(x.store), len(x.store)
	start := x.at
	for x.at < len(x.text) && (isStixWord(x.text[x.at]) || x.text[x.at] == '.' || x.text[x.at] == '+') {
		x.at++
	}
	if x.at < len(x.text) && x.text[x.at] == '\'' {
		prefix := x.text[start:x.at]
		n := stringEnd(x.text[x.at:])
		if n == 0 {
			x.expected("the end of a string")
			return value, false
		}
		literal := x.text[x.at+1 : x.at+n-1]
		x.at += n
		if len(prefix) > 0 { // t'', b'' and h''
			return value, false
		}
		x.unescape(literal)
		value.end = len(x.store)
		return value, true
	}
	if x.at == start {
		x.expected("a value")
	}
	return value, false
}

// stringEnd is the length of the literal that text begins with, quotes
// included; 0 where it is not closed.
func stringEnd(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '\'':
			return i + 1
		}
	}
	return 0
}

// unescape appends a literal to the store. A backslash escapes a quote and
// itself; before anything else it stands for itself.
func (x *stixPattern) unescape(literal []byte) {
	for i := 0; i < len(literal); i++ {
		if literal[i] == '\\' && i+1 < len(literal) && (literal[i+1] == '\'' || literal[i+1] == '\\') {
			i++
		}
		x.store = append(x.store, literal[i])
	}
}

// keyword takes a word if it stands here, in any case.
func (x *stixPattern) keyword(word string) bool {
	x.space()
	end := x.at + len(word)
	if x.p.is() || end > len(x.text) || !strings.EqualFold(string(x.text[x.at:end]), word) || end < len(x.text) && isStixWord(x.text[end]) {
		return false
	}
	x.at = end
	return true
}

func (x *stixPattern) wanted(word string) bool {
	if !x.keyword(word) {
		x.expected(word)
		return false
	}
	return true
}

// take takes an octet if it stands here. An opening one counts to the depth.
func (x *stixPattern) take(c byte) bool {
	if x.space(); x.p.is() || x.at == len(x.text) || x.text[x.at] != c {
		return false
	}
	if c == '(' || c == '[' {
		if x.depth++; x.depth > maxDepth {
			x.p = malformed("a pattern nested more than %d deep", maxDepth)
			return false
		}
	}
	x.at++
	return true
}

func (x *stixPattern) close(c byte) {
	if !x.take(c) {
		x.expected(string(rune(c)))
	}
	x.depth--
}

func (x *stixPattern) space() {
	for x.at < len(x.text) && isSpace(x.text[x.at]) {
		x.at++
	}
}

// expected is the problem of a syntax error here, if it is the first.
func (x *stixPattern) expected(what string) stixTerm {
	if !x.p.is() {
		x.p = malformed("a broken STIX pattern at character %d, expected %s there", x.at+1, what)
		x.p.at = x.at
	}
	return stixNone
}

func isStixWord(c byte) bool {
	return isDigit(c) || 'a' <= lower(c) && lower(c) <= 'z' || c == '_' || c == '-'
}
