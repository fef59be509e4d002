package configs

import (
	"fmt"
	"slices"
	"strings"
)

// Words in hits.names that are no file.
const (
	namesReverse    = "ptr"     // reverse DNS of private addresses
	namesReverseAll = "ptr:all" // of all
)

// NameFiles are the files of hits.names.
func (h *Hits) NameFiles() (files []string) {
	for _, n := range h.Names {
		if !isNamesWord(n) {
			files = append(files, n)
		}
	}
	return files
}

// ReverseNames tells whether reverse DNS is asked for names, and whether of public addresses too.
func (h *Hits) ReverseNames() (on, all bool) {
	all = slices.Contains(h.Names, namesReverseAll)
	return all || slices.Contains(h.Names, namesReverse), all
}

func isNamesWord(s string) bool { return s == namesReverse || s == namesReverseAll }

func (v *validator) hitNames() {
	for i, n := range v.Hits.Names {
		key := fmt.Sprintf("hits.names[%d]", i)
		switch {
		case strings.Contains(n, "://"):
			v.fault(key, `found %q, expected a file, ptr or ptr:all`, n)
		case slices.Contains(v.Hits.Names[:i], n):
			v.fault(key, "found %q twice, expected each once", n)
		case isNamesWord(n) && v.Hits.Inventory == "":
			v.fault(key, "found %s without hits.inventory, expected that too: the addresses of its machines are asked for", n)
		}
	}
}

// NamesWarning says why nobody is named although names are configured; "" where they are.
func (h *Hits) NamesWarning() string {
	if len(h.Names) == 0 || h.Identity == IdentityFull {
		return ""
	}
	return fmt.Sprintf("hits.names has no effect while hits.identity is %s: names would tell who the clients are", h.Identity)
}
