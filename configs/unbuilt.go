package configs

import (
	"reflect"
	"slices"
	"strings"
)

// unbuilt is a key whose part is not built yet: it is accepted at its off value
// only, never accepted and ignored.
type unbuilt struct {
	key   string
	part  string               // what is missing, as the beginning of a sentence
	built func(value any) bool // which values are built; nil: the default alone
	leave string               // those values, for the message; empty: the default
}

// unbuiltKeys has one row for each key that waits for its part. Building the
// part removes the row (and gives the key its real default). The keys of lists
// are meant for allow too.
func unbuiltKeys() []unbuilt {
	return []unbuilt{

		{key: "sinkhole.ipv6", part: "an address for each hit is", built: noPrefix, leave: "an address, none or auto"},
		{key: "lists[].ipv6", part: "an address for each hit is", built: noPrefix, leave: "an address, none or auto"},
	}
}

func noPrefix(v any) bool { return v.(Sink).Kind != SinkPrefix }

// unbuiltRow is the row of a key, nil where its part is built.
func unbuiltRow(rows []unbuilt, key string) *unbuilt {
	if rest, ok := strings.CutPrefix(key, "allow[]"); ok {
		key = "lists[]" + rest
	}
	i := slices.IndexFunc(rows, func(r unbuilt) bool { return r.key == key })
	if i < 0 {
		return nil
	}
	return &rows[i]
}

// refuseUnbuilt is a fault for each key that asks for what is not built.
func (d *decoder) refuseUnbuilt(c *Config) {
	rows := unbuiltKeys()
	defaults := make(map[string]reflect.Value)
	for _, f := range schema() {
		defaults[f.schema] = f.value
	}
	c.values(func(f field) {
		row := unbuiltRow(rows, f.schema)
		if row == nil {
			return
		}
		leave := row.leave
		if row.built != nil {
			if row.built(f.value.Interface()) {
				return
			}
		} else {
			off := defaults[row.key]
			if equal(f.value, off) {
				return
			}
			leave = render(off)
		}
		d.fault(d.source.near(f.key), f.key, "%s not built yet in this version; leave it at %s", row.part, leave)
	})
}
