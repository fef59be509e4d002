package configs

import (
	"iter"
	"strings"
)

// position is a place in the configuration file, both 1-based.
type position struct{ line, column int }

// source is where a configuration was read from: the file's name, and where
// each key that it states stands, list entries as lists[0].name.
type source struct {
	file string
	at   map[string]position
}

// near is where key stands, or the nearest key around it that the file states,
// or the file's beginning.
func (s source) near(key string) position {
	for k := range outward(key) {
		if p, ok := s.at[k]; ok {
			return p
		}
	}
	return position{1, 1}
}

// outward is the key itself and every key around it, the nearest first.
func outward(key string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for key != "" && yield(key) {
			key = key[:max(0, strings.LastIndexAny(key, ".["))]
		}
	}
}

// File is the name of the file that c was read from, as it was given; empty for
// [Default].
func (c *Config) File() string { return c.source.file }

// Stated reports whether the file states the key, such as "listen.dns" or
// "lists[0].format", rather than leaving it at its default.
func (c *Config) Stated(key string) bool {
	_, ok := c.source.at[key]
	return ok
}

// Position is where the value of the key stands in the file. For a key that the
// file leaves out it is that of the nearest key around it, or line 1, column 1.
func (c *Config) Position(key string) (line, column int) {
	p := c.source.near(key)
	return p.line, p.column
}
