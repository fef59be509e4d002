package blocklist

import "bytes"

// tables hold what rules say in common: each text and each set of details once.
type tables struct {
	labels  []string // families and TLP markings; 0 is ""
	strings []string // references; 0 is ""
	details []detail
	data    [][]byte // local data records; 0 is none
}

// interner fills tables. It keeps the strings that it is given as they are.
type interner struct {
	tables
	labelAt  map[string]uint32
	stringAt map[string]uint32
	detailAt map[detail]uint32
	dataAt   map[string]uint32
}

func newInterner() interner {
	return interner{
		tables:   tables{labels: []string{""}, strings: []string{""}, data: [][]byte{nil}},
		labelAt:  map[string]uint32{"": 0},
		stringAt: map[string]uint32{"": 0},
		detailAt: map[detail]uint32{},
		dataAt:   map[string]uint32{},
	}
}

func (n *interner) label(s string) uint32 {
	return intern(&n.labels, n.labelAt, s)
}

func (n *interner) text(s string) uint32 {
	return intern(&n.strings, n.stringAt, s)
}

func intern(all *[]string, at map[string]uint32, s string) uint32 {
	i, found := at[s]
	if !found {
		i = uint32(len(*all))
		*all = append(*all, s)
		at[s] = i
	}
	return i
}

func (n *interner) detail(d detail) uint32 {
	i, found := n.detailAt[d]
	if !found {
		i = uint32(len(n.details))
		n.details = append(n.details, d)
		n.detailAt[d] = i
	}
	return i
}

// blob keeps a copy of a record.
func (n *interner) blob(b []byte) uint32 {
	i, found := n.dataAt[string(b)]
	if !found {
		i = uint32(len(n.data))
		n.data = append(n.data, bytes.Clone(b))
		n.dataAt[string(b)] = i
	}
	return i
}

// transfer returns a function that brings detail numbers of other tables into n.
func (n *interner) transfer(from *tables) func(uint32) uint32 {
	done := make([]uint32, len(from.details)) // new number plus one
	return func(i uint32) uint32 {
		if done[i] == 0 {
			d := from.details[i]
			d.family, d.tlp = n.label(from.labels[d.family]), n.label(from.labels[d.tlp])
			d.reference = n.text(from.strings[d.reference])
			if d.data != 0 {
				d.data = n.blob(from.data[d.data])
			}
			done[i] = n.detail(d) + 1
		}
		return done[i] - 1
	}
}
