package configs

import "reflect"

// Parse reads a configuration from data; name stands for it in messages, and
// its relative paths are relative to baseDir (left as they are if that is
// empty). Mistakes give [Faults], all of them.
func Parse(name string, data []byte, baseDir string) (*Config, error) {
	root, faults := parseText(name, data)
	if len(faults) > 0 {
		return nil, faults.arranged()
	}
	c := Default()
	d := &decoder{source: source{file: name, at: make(map[string]position)}}
	if root != nil {
		d.value(root, reflect.ValueOf(c).Elem(), "")
	}
	c.source = d.source
	d.validate(c)
	if len(d.faults) > 0 {
		return nil, d.faults.arranged()
	}
	c.resolvePaths(baseDir)
	return c, nil
}
