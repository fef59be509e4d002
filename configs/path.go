package configs

import (
	"path/filepath"
	"strings"
)

// resolvePaths makes the relative paths of c relative to dir.
func (c *Config) resolvePaths(dir string) {
	c.Hits.Journal.Path = under(dir, c.Hits.Journal.Path)
	c.ListStore = under(dir, c.ListStore)
	if !strings.Contains(c.Hits.Inventory, "://") {
		c.Hits.Inventory = under(dir, c.Hits.Inventory)
	}
	c.Cache.File = under(dir, c.Cache.File)
	c.Clients.CookieSecretFile = under(dir, c.Clients.CookieSecretFile)
	c.Hits.WebhookSecret = under(dir, c.Hits.WebhookSecret)
	c.Hits.IdentityKeyFile = under(dir, c.Hits.IdentityKeyFile)
	c.Hits.Journal.SigningKeyFile = under(dir, c.Hits.Journal.SigningKeyFile)
	c.Listen.Certificate, c.Listen.Key = under(dir, c.Listen.Certificate), under(dir, c.Listen.Key)
	c.Landing.Notice = under(dir, c.Landing.Notice)
	c.Landing.Certificate, c.Landing.Key = under(dir, c.Landing.Certificate), under(dir, c.Landing.Key)
	c.AllowFile, c.Console.TokensFile, c.Console.ClientCA = under(dir, c.AllowFile), under(dir, c.Console.TokensFile), under(dir, c.Console.ClientCA)
	c.Console.Certificate, c.Console.Key = under(dir, c.Console.Certificate), under(dir, c.Console.Key)
	for _, lists := range [][]List{c.Lists, c.Allow} {
		for i := range lists {
			l := &lists[i]
			l.Source = sourceUnder(dir, l.Source)
			l.Auth.SecretFile = under(dir, l.Auth.SecretFile)
			l.TSIG.SecretFile = under(dir, l.TSIG.SecretFile)
		}
	}
	for _, paths := range [][]string{c.Guard.Files, c.Guard.Hold, c.Hits.Geo} {
		for i := range paths {
			paths[i] = under(dir, paths[i])
		}
	}
	for i, n := range c.Hits.Names {
		if !isNamesWord(n) {
			c.Hits.Names[i] = under(dir, n)
		}
	}
	for _, g := range c.Groups {
		for i, client := range g.Clients {
			if _, err := parsePrefix(client); err != nil {
				g.Clients[i] = under(dir, client)
			}
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
