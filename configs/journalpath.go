package configs

import (
	"bytes"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
)

// JournalPath is hits.journal.path alone, which leads to the running server, and
// is told of a file with faults too: what somebody looks for at that server must
// not wait until they are mended. The error is that of [Load], also beside a path;
// without a path it cannot be told.
func JournalPath(path string) (string, error) {
	c, err := Load(path)
	if err == nil {
		return c.Hits.Journal.Path, nil
	}
	if _, ok := errors.AsType[Faults](err); !ok {
		return "", err
	}
	data, failure := read(path)
	absolute, unknown := filepath.Abs(path)
	if failure != nil || unknown != nil {
		return "", err
	}
	return under(filepath.Dir(absolute), journalPathIn(data)), err
}

// journalPathIn is empty where a fault stands in the way.
func journalPathIn(data []byte) string {
	root, faults := parseText("", data)
	if len(faults) > 0 {
		if root, faults = parseText("", topSection(data, "hits")); len(faults) > 0 {
			return ""
		}
	}
	c := Default()
	d := &decoder{source: source{at: make(map[string]position)}}
	if root != nil {
		d.value(root, reflect.ValueOf(c).Elem(), "")
	}
	for _, f := range d.faults {
		if slices.Contains([]string{"", "hits", "hits.journal", "hits.journal.path"}, f.Key) {
			return ""
		}
	}
	return c.Hits.Journal.Path
}

// topSection is one section of a file as it is usually written: its name at the
// beginning of a line, what is in it further to the right.
func topSection(data []byte, name string) (section []byte) {
	inside := false
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\uFEFF"))) {
		if len(bytes.TrimSpace(line)) > 0 && !bytes.ContainsAny(line[:1], " \t#") {
			inside = bytes.HasPrefix(line, []byte(name+":"))
		}
		if inside {
			section = append(section, line...)
		}
	}
	return section
}
