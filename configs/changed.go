package configs

import "strings"

// Changed names the keys whose values differ, in the order of the schema; lists,
// allow and groups as whole keys.
func Changed(old, new *Config) []string {
	was := make(map[string]field)
	old.values(func(f field) { was[f.key] = f })
	var keys []string
	new.values(func(f field) {
		if f.leaf && !strings.Contains(f.key, "[") && !equal(was[f.key].value, f.value) {
			keys = append(keys, f.key)
		}
	})
	return keys
}
