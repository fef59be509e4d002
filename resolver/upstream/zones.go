package upstream

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const typeDS = 43

// zones are those that have servers of their own.
type zones struct {
	rosters map[string]*roster // by name in lower-case wire form
	ordered []*roster          // by the zone's name
}

func (b *rosterBuilder) zones(configured map[string][]string) (z zones, err error) {
	z.rosters = make(map[string]*roster, len(configured))
	for zone, servers := range configured {
		name, err := packZone(zone)
		if err != nil {
			return z, fmt.Errorf("upstream zone %q: %w", zone, err)
		}
		if z.rosters[string(name)] != nil {
			return z, fmt.Errorf("upstream zone %q: it stands twice", zone)
		}
		r, err := b.roster(servers)
		if err != nil {
			return z, fmt.Errorf("upstream zone %q: %w", zone, err)
		}
		r.zone = name
		z.rosters[string(name)] = r
		z.ordered = append(z.ordered, r)
	}
	slices.SortFunc(z.ordered, func(a, b *roster) int { return cmp.Compare(string(a.zone), string(b.zone)) })
	return z, nil
}

// of gives the servers of the longest zone, by whole labels, that a question lies
// in; nil: it lies in none. The DS records of a zone belong to the zone above it
// (RFC 4035 section 3.1.4.1).
func (z *zones) of(q query) *roster {
	if len(z.rosters) == 0 {
		return nil
	}
	var buffer [maxName]byte
	name := appendLower(buffer[:0], q.name())
	if q.qtype() == typeDS && name[0] > 0 {
		name = name[1+int(name[0]):]
	}
	for ; name[0] > 0; name = name[1+int(name[0]):] {
		if r := z.rosters[string(name)]; r != nil {
			return r
		}
	}
	return nil
}

func appendLower(dst, name []byte) []byte {
	for _, b := range name {
		if 'A' <= b && b <= 'Z' { // no length of a label is
			b += 'a' - 'A'
		}
		dst = append(dst, b)
	}
	return dst
}

// packZone is the wire form of a name that is not the root, in lower case.
func packZone(text string) ([]byte, error) {
	var name []byte
	for label := range strings.SplitSeq(strings.TrimSuffix(text, "."), ".") {
		if label == "" || len(label) > 63 || strings.Contains(label, `\`) {
			return nil, fmt.Errorf("it has the label %q, expected a domain name such as corp.example", label)
		}
		name = append(append(name, byte(len(label))), label...)
	}
	if name = append(name, 0); len(name) > maxName {
		return nil, fmt.Errorf("it has %d octets in wire form, expected at most %d", len(name), maxName)
	}
	return appendLower(nil, name), nil
}
