package configs

import "strings"

// inventory does not show an address, which may have a password in it.
func (v *validator) inventory() {
	const key = "hits.inventory"
	switch file := v.Hits.Inventory; {
	case strings.Contains(file, "://"):
		v.fault(key, `found an address of a server, a database server is not built yet in this version, expected a file such as data/inventory.db, or "" for none`)
	case file != "" && (file == v.Hits.Journal.Path || file == v.ListStore):
		v.fault(v.statedOf(key, "hits.journal.path"), "found %q, which is %s too, expected a file such as data/inventory.db", file, v.sameAs(file))
	}
}

func (v *validator) sameAs(path string) string {
	if path == v.Hits.Journal.Path {
		return "hits.journal.path"
	}
	return "list_store"
}
