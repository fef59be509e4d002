package configs

import (
	"path/filepath"
	"strings"
)

// resolvePaths makes the relative paths of c relative to dir.
func (c *Config) resolvePaths(dir string) {
	c.Hits.Journal.Path = under(dir, c.Hits.Journal.Path)
	for _, lists := range [][]List{c.Lists, c.Allow} {
		for i := range lists {
			lists[i].Source = sourceUnder(dir, lists[i].Source)
		}
	}
}

func under(dir, path string) string {
	if dir == "" || path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// sourceUnder is under for a list's source, which may be a glob: the directory's
// own name must not become part of the pattern.
func sourceUnder(dir, source string) string {
	if source == EmbeddedSample || strings.Contains(source, "://") {
		return source
	}
	literal := strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`)
	return under(literal.Replace(dir), source)
}
