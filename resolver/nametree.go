package resolver

import "github.com/miekg/dns"

// nameTree finds the longest of some names that a name ends in, by whole labels. It
// allocates nothing, and for a name that ends in no last label of them it takes no
// more than to find that label.
type nameTree struct {
	root  treeNode
	lasts uint64 // a bit for each last label, by lastBit
}

type treeNode struct {
	below map[string]*treeNode // by label
	kind  localKind            // of the name that ends here; notLocal: none does
}

// suffix is a name of the tree that another one ends in.
type suffix struct {
	kind  localKind // notLocal: it ends in none
	at    int       // offset in the other name where it begins
	above bool      // names below the other name are in the tree
}

func treeOf(kind localKind, names []string) *nameTree {
	t := &nameTree{}
	t.add(kind, names...)
	return t
}

// add puts names into the tree; what is no name is left out, and what was said of one
// is forgotten.
func (t *nameTree) add(kind localKind, names ...string) {
	for _, name := range names {
		if packed, ok := packName(dns.CanonicalName(name)); ok {
			t.set(packed, kind)
		}
	}
}

// set puts a name in wire form, in lower case, into the tree.
func (t *nameTree) set(name []byte, kind localKind) {
	node := &t.root
	labels := offsets(name)
	for i := len(labels) - 1; i >= 0; i-- {
		label := labelAt(name, labels[i])
		if i == len(labels)-1 {
			t.lasts |= lastBit(label)
		}
		next := node.below[string(label)]
		if next == nil {
			next = &treeNode{}
			if node.below == nil {
				node.below = map[string]*treeNode{}
			}
			node.below[string(label)] = next
		}
		node = next
	}
	node.kind = kind
}

func (t *nameTree) find(name []byte) (found suffix) {
	if t.lasts == 0 || name[0] == 0 {
		return found
	}
	last := 0
	for next := 1 + int(name[0]); name[next] != 0; next += 1 + int(name[next]) {
		last = next
	}
	if t.lasts&lastBit(labelAt(name, last)) == 0 {
		return found
	}
	return t.walk(name)
}

func (t *nameTree) walk(name []byte) (found suffix) {
	var starts [maxLabels]uint8
	n := 0
	for at := 0; name[at] != 0; at += 1 + int(name[at]) {
		starts[n] = uint8(at)
		n++
	}
	node := &t.root
	for n--; n >= 0; n-- {
		if node = node.below[string(labelAt(name, int(starts[n])))]; node == nil {
			return found
		}
		if node.kind != notLocal {
			found.kind, found.at = node.kind, int(starts[n])
		}
	}
	found.above = len(node.below) > 0
	return found
}

// maxLabels is how many a name can have.
const maxLabels = 127

func offsets(name []byte) (starts []int) {
	for at := 0; name[at] != 0; at += 1 + int(name[at]) {
		starts = append(starts, at)
	}
	return starts
}

func labelAt(name []byte, at int) []byte { return name[at+1 : at+1+int(name[at])] }

// lastBit is a bit by length, first and last octet of a label.
func lastBit(label []byte) uint64 {
	return 1 << ((len(label) ^ int(label[0])*3 ^ int(label[len(label)-1])*5) & 63)
}
