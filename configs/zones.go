package configs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// zones checks upstream.zones: each zone is a name, stands once, and has servers.
func (v *validator) zones() {
	first := map[string]string{}
	for _, zone := range slices.Sorted(maps.Keys(v.Upstream.Zones)) {
		key := fmt.Sprintf("upstream.zones[%s]", printable(zone))
		name := strings.ToLower(strings.TrimSuffix(zone, "."))
		switch other := first[name]; {
		case zone == ".":
			v.fault(key, `found the zone ".", which is all there is, expected a zone such as corp.example; the servers of all else are upstream.servers`)
		case other != "":
			v.fault(key, "found %q, which is %q once more, expected each zone once", zone, other)
		}
		if err := checkZone(name); err != nil && zone != "." {
			v.fault(key, "found %q, %s", zone, err)
		}
		first[name] = zone
		if len(v.Upstream.Zones[zone]) == 0 {
			v.fault(key, `found no server, expected at least one, as in ["10.0.0.53"]`)
		}
		v.servers(key, v.Upstream.Zones[zone])
	}
}

// rebindAllow checks that upstream.rebind_allow has names.
func (v *validator) rebindAllow() {
	for i, zone := range v.Upstream.RebindAllow {
		if err := checkZone(strings.TrimSuffix(zone, ".")); err != nil {
			v.fault(fmt.Sprintf("upstream.rebind_allow[%d]", i), "found %q, %s", zone, err)
		}
	}
}

// checkZone takes what can be the name of a zone, in ASCII.
func checkZone(name string) error {
	if len(name) > 253 {
		return fmt.Errorf("a name of %d characters, expected at most 253", len(name))
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "" || len(label) > 63:
			return fmt.Errorf("with the label %q, expected labels of 1 to 63 characters with dots between them", label)
		case strings.ContainsFunc(label, func(r rune) bool { return r > '~' }):
			return fmt.Errorf("with the label %q, expected the ASCII form, as in xn--bcher-kva.example", label)
		case strings.ContainsFunc(label, func(r rune) bool { return r <= ' ' || strings.ContainsRune("\\*@\"();", r) }):
			return fmt.Errorf("with the label %q, expected a domain name such as corp.example or 10.in-addr.arpa", label)
		}
	}
	return nil
}
