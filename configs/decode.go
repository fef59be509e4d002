package configs

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxValue bounds one value, in characters.
const maxValue = 1024

// decoder fills a Config from a tree. It goes on after a fault, leaving the
// value at its default, so that one run reports every fault.
type decoder struct {
	source source
	faults Faults
}

func (d *decoder) fault(p position, key, format string, args ...any) {
	d.faults = append(d.faults, Fault{
		File: d.source.file, Line: p.line, Column: p.column,
		Key: key, Message: fmt.Sprintf(format, args...),
	})
}

func (d *decoder) value(node ast.Node, v reflect.Value, key string) {
	if key != "" {
		d.source.at[key] = positionOf(node)
	}
	if parse := scalarParser(v); parse != nil {
		d.scalar(node, v, key, parse)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.section(node, v, key)
	case reflect.Slice:
		d.list(node, v, key)
	case reflect.Map:
		d.table(node, v, key)
	default:
		panic("configs: no way to read " + v.Type().String())
	}
}

// section reads a mapping into a struct. Keys that it leaves out, or nothing at
// all below the section's name, keep their defaults.
func (d *decoder) section(node ast.Node, v reflect.Value, key string) {
	if node.Type() == ast.NullType && key != "" && !strings.HasSuffix(key, "]") {
		return
	}
	names := fieldNames(v.Type())
	entries, ok := mapping(node)
	if !ok {
		if key == "" {
			d.fault(positionOf(node), key, `found %s, expected keys such as "listen:" at the beginning of a line`, describe(node))
			return
		}
		d.fault(positionOf(node), key, "found %s, expected keys in it: %s", describe(node), strings.Join(names, ", "))
		return
	}
	for name, entry := range d.entries(entries, key) {
		child := join(key, printable(name))
		i := fieldIndex(v.Type(), name)
		if i < 0 {
			d.fault(positionOf(entry.Key), child, "unknown key%s", unknownHint(key, name, names))
			continue
		}
		d.value(entry.Value, v.Field(i), child)
	}
}

// entries goes through a mapping's entries, each key once.
func (d *decoder) entries(all []*ast.MappingValueNode, key string) func(yield func(string, *ast.MappingValueNode) bool) {
	return func(yield func(string, *ast.MappingValueNode) bool) {
		seen := make(map[string]position, len(all))
		for _, entry := range all {
			name, p := entry.Key.GetToken().Value, positionOf(entry.Key)
			if first, twice := seen[name]; twice {
				d.fault(p, join(key, printable(name)), "stands twice, first on line %d; keep one", first.line)
				continue
			}
			seen[name] = p
			if !yield(name, entry) {
				return
			}
		}
	}
}

func (d *decoder) list(node ast.Node, v reflect.Value, key string) {
	sequence, ok := node.(*ast.SequenceNode)
	element := v.Type().Elem()
	structs := element.Kind() == reflect.Struct && scalarParser(reflect.New(element).Elem()) == nil
	switch {
	case ok:
	case node.Type() == ast.NullType:
		d.fault(positionOf(node), key, "found nothing, expected a list; write [] for an empty one, or leave the key out")
		return
	case structs:
		d.fault(positionOf(node), key, `found %s, expected a list; begin each entry with "- "`, describe(node))
		return
	case isMapping(node):
		d.fault(positionOf(node), key, `found a mapping, expected a list; write each entry as "- value"`)
		return
	default:
		d.fault(positionOf(node), key, "found %s, expected a list; write [%s]", describe(node), strconv.Quote(shorten(text(node))))
		return
	}
	values := reflect.Zero(v.Type()) // an empty list is nil
	clean := len(d.faults)
	for i, n := range sequence.Values {
		item := reflect.New(element).Elem()
		switch entry := item.Addr().Interface().(type) {
		case *List:
			*entry = defaultList()
		case *Group:
			*entry = defaultGroup()
		}
		d.value(n, item, fmt.Sprintf("%s[%d]", key, i))
		values = reflect.Append(values, item)
	}
	// Entries with a fault stay out of plain lists: their zero values would
	// only give more faults.
	if structs || len(d.faults) == clean {
		v.Set(values)
	}
}

// table reads a mapping of names of the operator's own.
func (d *decoder) table(node ast.Node, v reflect.Value, key string) {
	entries, ok := mapping(node)
	if !ok {
		d.fault(positionOf(node), key, "found %s, expected a mapping; write {} for an empty one", describe(node))
		return
	}
	values := reflect.Zero(v.Type())
	for name, entry := range d.entries(entries, key) {
		if values.IsNil() {
			values = reflect.MakeMap(v.Type())
		}
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(entry.Value, item, fmt.Sprintf("%s[%s]", key, printable(name)))
		values.SetMapIndex(reflect.ValueOf(name), item)
	}
	v.Set(values)
}

func (d *decoder) scalar(node ast.Node, v reflect.Value, key string, parse func(ast.Node, string) error) {
	p := positionOf(node)
	s := text(node)
	control := strings.IndexFunc(s, unicode.IsControl)
	switch {
	case node.Type() == ast.NullType:
		d.fault(p, key, "found nothing, expected a value; leave the key out for its default")
	case s == "" && strings.HasSuffix(key, "]"):
		d.fault(p, key, `found "", expected a value; leave the entry out`)
	case isMapping(node) || node.Type() == ast.SequenceType:
		hint := ""
		switch v.Interface().(type) {
		case netip.AddrPort, netip.Prefix, Sink, Server:
			hint = `; an IPv6 address needs quotes, as in "[::1]:53"`
		}
		d.fault(p, key, "found %s, expected one value%s", describe(node), hint)
	case utf8.RuneCountInString(s) > maxValue:
		d.fault(p, key, "found a value of %d characters, expected at most %d", utf8.RuneCountInString(s), maxValue)
	case control >= 0:
		d.fault(p, key, "found %q with a control character, expected one line of text", s)
	default:
		if err := parse(node, s); err != nil {
			d.fault(p, key, "%s", err)
		}
	}
}

// scalarParser is how a value of v's type is read, nil where v is no single
// value. The parser leaves v alone when it fails.
func scalarParser(v reflect.Value) func(ast.Node, string) error {
	switch target := v.Addr().Interface().(type) {
	case *string:
		return func(n ast.Node, s string) error { return parseString(n, s, target) }
	case *bool:
		return func(n ast.Node, s string) error { return parseBool(n, s, target) }
	case *int:
		return func(n ast.Node, s string) error { return parseInt(n, s, target) }
	case *int64:
		return into(target, parseSize)
	case *time.Duration:
		return into(target, ParseDuration)
	case *Percent:
		return into(target, parsePercent)
	case *netip.Prefix:
		return into(target, parsePrefix)
	case *netip.AddrPort:
		// For the keys of one listener, "" is none.
		return into(target, func(s string) (netip.AddrPort, error) {
			if s == "" {
				return netip.AddrPort{}, nil
			}
			return parseListener(s)
		})
	case *Sink:
		return into(target, parseSink)
	case *Server:
		return into(target, parseServer)
	}
	if w, ok := v.Interface().(word); ok {
		return func(_ ast.Node, s string) error { return parseWord(s, w.words(), v) }
	}
	return nil
}

func into[T any](target *T, parse func(string) (T, error)) func(ast.Node, string) error {
	return func(_ ast.Node, s string) error {
		value, err := parse(s)
		if err == nil {
			*target = value
		}
		return err
	}
}

func parseString(node ast.Node, s string, target *string) error {
	if t := node.Type(); t != ast.StringType && t != ast.LiteralType {
		return fmt.Errorf("found %s, expected text; put it in quotes: %q", describe(node), s)
	}
	*target = s
	return nil
}

func parseBool(node ast.Node, s string, target *bool) error {
	if node.Type() != ast.BoolType {
		return fmt.Errorf("found %s, expected true or false, without quotes", describe(node))
	}
	*target = strings.EqualFold(s, "true")
	return nil
}

func parseInt(node ast.Node, s string, target *int) error {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || node.Type() != ast.IntegerType {
		return fmt.Errorf("found %s, expected a whole number", describe(node))
	}
	*target = int(n)
	return nil
}

// parseWord takes a word of the set, and the empty one where it is the default.
func parseWord(s string, words []string, v reflect.Value) error {
	if s == "" && v.IsZero() && v.CanSet() {
		return nil
	}
	for _, word := range words {
		if s == word {
			v.SetString(s)
			return nil
		}
	}
	return fmt.Errorf("found %q, expected %s%s", s, oneOf(words), didYouMean(s, words))
}

// describe says what a node is, for messages.
func describe(node ast.Node) string {
	switch {
	case isMapping(node):
		return "a mapping"
	case node.Type() == ast.SequenceType:
		return "a list"
	case node.Type() == ast.NullType:
		return "nothing"
	case node.Type() == ast.StringType, node.Type() == ast.LiteralType:
		return strconv.Quote(shorten(text(node)))
	case node.Type() == ast.IntegerType, node.Type() == ast.FloatType:
		return "the number " + shorten(text(node))
	}
	return shorten(text(node))
}

// text is a single value as the file has it, without quotes.
func text(node ast.Node) string {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	}
	if t := node.GetToken(); t != nil {
		return t.Value
	}
	return ""
}

func isMapping(node ast.Node) bool {
	_, ok := mapping(node)
	return ok
}

func mapping(node ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// positionOf is where a node begins: a mapping at its first key, since its own
// token is that key's colon.
func positionOf(node ast.Node) position {
	var t *token.Token
	switch n := node.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return positionOf(n.Values[0].Key)
		}
		t = n.Start
	case *ast.MappingValueNode:
		return positionOf(n.Key)
	case *ast.LiteralNode:
		t = n.Start
	default:
		t = node.GetToken()
	}
	if t == nil || t.Position == nil {
		return position{1, 1}
	}
	return position{max(1, t.Position.Line), max(1, t.Position.Column)}
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}
