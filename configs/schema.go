package configs

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// field is one key of a configuration with its value.
type field struct {
	key    string // lists[0].name
	schema string // lists[].name
	doc    string
	value  reflect.Value
	leaf   bool // has no keys of its own below it
}

// fields goes through every key of the struct v in the order of the schema,
// then through the entries of lists, key[0].
func fields(v reflect.Value, key string, visit func(field)) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		each(v.Field(i), join(key, f.Tag.Get("yaml")), f.Tag.Get("doc"), visit)
	}
}

func each(v reflect.Value, key, doc string, visit func(field)) {
	single := scalarParser(v) != nil
	section := !single && v.Kind() == reflect.Struct
	visit(field{key, schemaKey(key), doc, v, !section})
	switch {
	case section:
		fields(v, key, visit)
	case !single && v.Kind() == reflect.Slice:
		for i := range v.Len() {
			each(v.Index(i), fmt.Sprintf("%s[%d]", key, i), "", visit)
		}
	}
}

// values goes through every key of c.
func (c *Config) values(visit func(field)) { fields(reflect.ValueOf(c).Elem(), "", visit) }

// schema is every key that a file can state, with its default; the keys of list
// entries once each, those of allow left out since they are those of lists.
func schema() []field {
	c := Default()
	c.Lists = []List{defaultList()}
	c.Groups = []Group{defaultGroup()}
	var all []field
	c.values(func(f field) {
		if f.leaf && !strings.HasSuffix(f.key, "]") {
			if f.key == "lists" || f.key == "groups" {
				f.value = reflect.Zero(f.value.Type()) // the entry is there for the keys in it
			}
			all = append(all, f)
		}
	})
	return all
}

// schemaKey is the key without the numbers of list entries.
func schemaKey(key string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(key, "[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("[]")
		_, key, _ = strings.Cut(rest, "]")
	}
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() {
			names = append(names, f.Tag.Get("yaml"))
		}
	}
	return names
}

func fieldIndex(t reflect.Type, name string) int {
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && f.Tag.Get("yaml") == name {
			return i
		}
	}
	return -1
}

// equal compares two values of one key; an empty list equals none at all.
func equal(a, b reflect.Value) bool {
	if k := a.Kind(); (k == reflect.Slice || k == reflect.Map) && a.Len() == 0 && b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// render writes a value as a file has it.
func render(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case time.Duration:
		return formatDuration(value)
	case int64:
		return formatSize(value)
	case netip.AddrPort:
		if !value.IsValid() {
			return `""`
		}
		return value.String()
	case fmt.Stringer:
		if s := value.String(); s != "" {
			return s
		}
		return `""`
	}
	switch {
	case v.Kind() == reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = render(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case v.Kind() == reflect.Map:
		return "{}"
	case v.Kind() == reflect.String && v.Len() == 0:
		return `""`
	}
	return fmt.Sprint(v.Interface())
}
