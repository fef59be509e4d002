package configs

import (
	"fmt"
	"net/netip"
	"strings"
)

// Split parts the clients of a group into prefixes and the paths of files of
// prefixes, each in order.
func (g Group) Split() (prefixes []netip.Prefix, files []string) {
	for _, client := range g.Clients {
		if p, err := parsePrefix(client); err == nil {
			prefixes = append(prefixes, p)
		} else {
			files = append(files, client)
		}
	}
	return prefixes, files
}

// looksLikePrefix tells a mistyped prefix from the path of a file.
func looksLikePrefix(s string) bool {
	return strings.Trim(s, "0123456789abcdefABCDEF:./") == "" && strings.ContainsAny(s[:1], "0123456789:") ||
		strings.Contains(s, "::")
}

func (v *validator) groups() {
	lists, allow := make(map[string]bool), make(map[string]bool)
	for _, l := range v.Lists {
		lists[l.Name] = true
	}
	for _, l := range v.Allow {
		allow[l.Name] = true
	}
	first := make(map[string]string)
	for i, g := range v.Groups {
		key := fmt.Sprintf("groups[%d]", i)
		v.ownName(key+".name", g.Name, "group", "north", first)
		if len(g.Clients) == 0 {
			v.fault(key+".clients", "found no client, expected at least one prefix or file of prefixes")
		}
		for n, client := range g.Clients {
			if _, err := parsePrefix(client); err != nil && looksLikePrefix(client) {
				v.fault(fmt.Sprintf("%s.clients[%d]", key, n), "%s, or the path of a file of them", err)
			}
		}
		for n, name := range g.Lists {
			key := fmt.Sprintf("%s.lists[%d]", key, n)
			switch {
			case lists[name] || v.unread("lists"):
			case allow[name]:
				v.fault(key, "found %q, a list of allow, which holds for every group; leave it out", name)
			default:
				v.fault(key, "found %q, expected the name of a list%s", name, v.nearList(name))
			}
		}
	}
}

// nearList is a hint at the list that may be meant.
func (v *validator) nearList(name string) string {
	var names []string
	for _, l := range v.Lists {
		names = append(names, l.Name)
	}
	return didYouMean(name, names)
}
