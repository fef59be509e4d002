package configs

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	// maxNesting bounds brackets inside brackets; the schema needs four.
	maxNesting = 16
	// maxKeys and maxEntries bound the keys of a file and the entries of its
	// lists: the parser's time grows with the square of either, to a
	// fraction of a second here.
	maxKeys    = 5_000
	maxEntries = 10_000
)

// parseText turns the bytes of a file into the tree of its one document, or nil
// for a file without any. The YAML read here is the part that people write by
// hand: what would let a small file stand for a large one, or say one thing and
// mean another (anchors, aliases, merge keys, tags, directives, several
// documents), is refused by name.
func parseText(file string, data []byte) (ast.Node, Faults) {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	if fault := unreadable(data); fault != nil {
		fault.File = file
		return nil, Faults{*fault}
	}
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))

	tokens := lexer.Tokenize(string(data))
	if faults := refusedTokens(file, tokens); len(faults) > 0 {
		return nil, faults
	}
	tree, err := parseTokens(tokens)
	if err != nil {
		return nil, Faults{syntaxFault(file, err)}
	}
	for _, doc := range tree.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType {
			return doc.Body, nil
		}
	}
	return nil, nil
}

// unreadable is the fault of bytes that are no YAML text at all.
func unreadable(data []byte) *Fault {
	if len(data) > maxFile {
		return &Fault{Message: fmt.Sprintf("found more than %d bytes, expected a configuration of at most 1 MiB; is this another file?", maxFile)}
	}
	p := position{1, 1}
	for rest := data; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			return &Fault{Line: p.line, Column: p.column, Message: fmt.Sprintf("found the byte 0x%02x, expected text in UTF-8; save the file as UTF-8", rest[0])}
		case r < ' ' && r != '\n' && r != '\r' && r != '\t', r == 0x7f:
			return &Fault{Line: p.line, Column: p.column, Message: fmt.Sprintf("found the control character 0x%02x, expected text; is this another file?", r)}
		}
		rest = rest[n:]
		p.column++
		if r == '\n' || r == '\r' && !bytes.HasPrefix(rest, []byte("\n")) {
			p = position{p.line + 1, 1}
		}
	}
	return nil
}

// refusedTokens finds what this reader does not take, before the parser builds
// anything from it.
func refusedTokens(file string, tokens token.Tokens) Faults {
	s := &screen{file: file}
	for _, t := range tokens {
		s.syntax(t)
		s.shape(t)
		if s.full {
			break
		}
	}
	return s.faults
}

// screen goes through the tokens of a file.
type screen struct {
	file   string
	faults Faults
	full   bool // a bound is reached: what follows is not looked at

	depth, documents, keys, entries int
	content                         bool         // of a document, before this token
	dash                            *token.Token // the token before, if it is a "-"
}

func (s *screen) refuse(t *token.Token, format string, args ...any) {
	s.faults = append(s.faults, Fault{
		File: s.file, Line: t.Position.Line, Column: t.Position.Column, Message: fmt.Sprintf(format, args...),
	})
}

// syntax refuses the parts of YAML that are not read here.
func (s *screen) syntax(t *token.Token) {
	switch t.Type {
	case token.AnchorType:
		s.refuse(t, `found an anchor (&), which is not read here; write the value out, or quote a value that begins with &`)
	case token.AliasType:
		s.refuse(t, `found an alias (*), which is not read here; write the value out, or quote a value that begins with *, as in "*.txt"`)
	case token.TagType:
		s.refuse(t, `found a tag (!), which is not read here; leave it out, or quote a value that begins with !`)
	case token.DirectiveType:
		s.refuse(t, `found a directive (%%), which is not read here; leave it out, or quote a value that begins with %%`)
		s.full = true // the rest of its line reads as content
	case token.MergeKeyType:
		s.refuse(t, `found a merge key (<<), which is not read here; write the keys out`)
	case token.MappingKeyType:
		s.refuse(t, `found a "?" key, which is not read here; write "key: value", or quote a value that begins with ?`)
	case token.StringType:
		if strings.Contains(strings.TrimSpace(t.Origin), "\n") && !isBlockScalar(t.Prev) {
			s.refuse(beginning(t), `found a value that runs on into the next line; check the indentation of that line, or put quotes around the value`)
		}
	}
}

// shape refuses what no configuration looks like.
func (s *screen) shape(t *token.Token) {
	dash := s.dash
	s.dash = nil
	switch t.Type {
	case token.CommentType:
		return
	case token.DocumentHeaderType:
		if s.documents++; s.documents > 1 || s.content {
			s.refuse(t, `found a second document (---), expected one; keep one in the file`)
		}
		return
	case token.SequenceEntryType:
		if dash != nil && dash.Position.Line == t.Position.Line {
			s.refuse(t, `found a list directly in a list, which no key takes; keep one "-"`)
		}
		s.dash = t
		s.bound(t, &s.entries, maxEntries, "list entries")
	case token.CollectEntryType:
		s.bound(t, &s.entries, maxEntries, "list entries")
	case token.MappingValueType:
		s.bound(t, &s.keys, maxKeys, "keys")
	case token.MappingStartType, token.SequenceStartType:
		s.bound(t, &s.depth, maxNesting, "nested brackets")
	case token.MappingEndType, token.SequenceEndType:
		s.depth--
	}
	s.content = true
}

func (s *screen) bound(t *token.Token, n *int, most int, what string) {
	if *n++; *n > most {
		s.refuse(t, "found more than %d %s; is this another file?", most, what)
		s.full = true
	}
}

// isBlockScalar tells the mark of a text of several lines, | or >, with or
// without a comment behind it.
func isBlockScalar(t *token.Token) bool {
	if t != nil && t.Type == token.CommentType {
		t = t.Prev
	}
	return t != nil && (t.Type == token.LiteralType || t.Type == token.FoldedType)
}

// beginning is where the text of a plain value begins: for one of several lines
// the lexer may give the position of its last.
func beginning(t *token.Token) *token.Token {
	if t.Prev == nil {
		return t
	}
	lead := t.Origin[:len(t.Origin)-len(strings.TrimLeft(t.Origin, " \n"))]
	p := *t.Prev.Position
	p.Line += strings.Count(lead, "\n")
	return &token.Token{Position: &p}
}

// parseTokens keeps a panic of the parser, which would be a mistake of its own,
// from ending a server that reloads.
func parseTokens(tokens token.Tokens) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, errors.New("the parser cannot make sense of it")
		}
	}()
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

func syntaxFault(file string, err error) Fault {
	fault := Fault{File: file, Line: 1, Column: 1}
	// The parser's own Error would render the source around the token, which
	// takes minutes for some texts.
	syntax, ok := errors.AsType[interface {
		error
		GetToken() *token.Token
		GetMessage() string
	}](err)
	if !ok {
		fault.Message = "not valid YAML: " + err.Error()
		return fault
	}
	fault.Message = "not valid YAML: " + strings.Trim(strconv.Quote(syntax.GetMessage()), `"`)
	if t := syntax.GetToken(); t != nil && t.Position != nil {
		fault.Line, fault.Column = max(1, t.Position.Line), max(1, t.Position.Column)
		fault.Message += syntaxHint(t)
	}
	return fault
}

func syntaxHint(t *token.Token) string {
	origin := strings.TrimLeft(t.Origin, " \n")
	switch {
	case strings.HasPrefix(origin, "\t"):
		return "; indent with spaces"
	case strings.HasPrefix(origin, "@"), strings.HasPrefix(origin, "`"):
		return "; put quotes around the value"
	case t.Prev != nil && t.Prev.Type == token.SequenceEndType && strings.HasPrefix(t.Value, ":"):
		return `; an IPv6 address with a port needs quotes, as in "[::1]:53"`
	}
	return ""
}
