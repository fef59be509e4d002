package inventory

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

var errSyntax = errors.New("not a record: it is no JSON object")

// maxDepth bounds objects and arrays within each other. Ours have 4.
const maxDepth = 64

// scanner goes once over a JSON text and hands out what it is asked for: several times as
// fast as encoding/json, which builds all of it. Texts refer to the line where they have no
// escape, and are what they are there also where they are no UTF-8. After a fault it stands at the end.
type scanner struct {
	text  []byte
	at    int
	depth int
	err   error
}

func (s *scanner) fail() {
	s.err, s.at = errSyntax, len(s.text)
}

// peek is the next character that is no white space; 0 at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

// members calls fn at the value of each member of an object, which fn has to consume. A
// value that is no object is passed over.
func (s *scanner) members(fn func(key []byte)) {
	if s.peek() != '{' {
		s.skip()
		return
	}
	s.enclosed('}', func() {
		key := s.quoted()
		if !s.take(':') {
			s.fail()
			return
		}
		fn(key)
	})
}

// elements calls fn at each element of an array, which fn has to consume. A value that is no
// array is passed over.
func (s *scanner) elements(fn func()) {
	if s.peek() != '[' {
		s.skip()
		return
	}
	s.enclosed(']', fn)
}

func (s *scanner) enclosed(end byte, fn func()) {
	s.at++
	if s.depth++; s.depth > maxDepth {
		s.fail()
	}
	defer func() { s.depth-- }()
	if s.take(end) {
		return
	}
	for s.err == nil {
		fn()
		if s.take(end) {
			return
		}
		if !s.take(',') {
			s.fail()
		}
	}
}

// quoted is a text that has to stand here.
func (s *scanner) quoted() []byte {
	if s.peek() != '"' {
		s.fail()
		return nil
	}
	start := s.at
	s.skipQuoted()
	if s.err != nil {
		return nil
	}
	if inner := s.text[start+1 : s.at-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return inner
	}
	var text string
	if json.Unmarshal(s.text[start:s.at], &text) != nil {
		s.fail()
	}
	return []byte(text)
}

// backslashes counts those at the end.
func backslashes(text []byte) int { return len(text) - len(bytes.TrimRight(text, `\`)) }

// string is a text; nil for another value.
func (s *scanner) string() []byte {
	if s.peek() != '"' {
		s.skip()
		return nil
	}
	return s.quoted()
}

// bool is false for another value.
func (s *scanner) bool() bool {
	yes := s.peek() == 't'
	s.skip()
	return yes
}

// uint is 0 for another value.
func (s *scanner) uint() uint64 {
	s.peek()
	start := s.at
	s.skip()
	n, err := strconv.ParseUint(string(s.text[min(start, s.at):s.at]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// skip passes a value.
func (s *scanner) skip() {
	switch s.peek() {
	case '"':
		s.skipQuoted()
	case '{':
		s.enclosed('}', func() {
			s.skipQuoted()
			if !s.take(':') {
				s.fail()
			}
			s.skip()
		})
	case '[':
		s.enclosed(']', s.skip)
	default:
		start := s.at
		for s.at < len(s.text) && word(s.text[s.at]) {
			s.at++
		}
		if start == s.at || !json.Valid(s.text[start:s.at]) {
			s.fail()
		}
	}
}

func (s *scanner) skipQuoted() {
	if s.peek() != '"' {
		s.fail()
		return
	}
	start := s.at + 1
	for at := start; ; {
		n := bytes.IndexByte(s.text[at:], '"')
		if n < 0 {
			s.fail()
			return
		}
		at += n + 1
		if backslashes(s.text[start:at-1])%2 == 0 {
			s.at = at
			return
		}
	}
}

// word tells what numbers, true, false and null are made of.
func word(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'E'
}
