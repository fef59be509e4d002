package guard

import (
	"fmt"
	"net/netip"
	"strings"

	"sinkhole/blocklist/format"
)

// Overrides are entries that an operator approved: they block whatever the
// guard finds. The nil Overrides approves nothing. It is immutable and safe for
// concurrent use.
type Overrides struct {
	names    map[string]struct{} // wire form
	prefixes map[netip.Prefix]struct{}
}

// NewOverrides reads approved entries as [Entry] writes them: a name, "*.name"
// (the same as name), an address or a prefix.
func NewOverrides(entries []string) (*Overrides, error) {
	o := &Overrides{names: make(map[string]struct{}), prefixes: make(map[netip.Prefix]struct{})}
	for _, text := range entries {
		if p, err := parsePrefix(text); err == nil {
			o.prefixes[p] = struct{}{}
			continue
		}
		wire, err := format.Name(nil, strings.TrimPrefix(text, "*."))
		if err != nil {
			return nil, fmt.Errorf("found %q, %w; expected a name, an address or a prefix as the list shows it", text, err)
		}
		o.names[string(wire)] = struct{}{}
	}
	return o, nil
}

// Has says whether the entry is approved: that very name, whatever its scope,
// or that very prefix.
func (o *Overrides) Has(i *format.Indicator) bool {
	if o == nil {
		return false
	}
	if i.Trigger == format.QName {
		_, found := o.names[string(i.Name)]
		return found
	}
	_, found := o.prefixes[i.Prefix]
	return found
}
