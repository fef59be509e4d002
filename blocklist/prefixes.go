package blocklist

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// prefixSet finds the entries of every prefix that covers an address.
type prefixSet struct {
	table *bart.Table[uint32] // prefix to index into nodes; nil without any
	nodes []prefixNode
	count int // distinct prefixes
}

// prefixNode is an entry of a prefix, and where the next entry of the same
// prefix is.
type prefixNode struct {
	place uint32
	next  uint32 // index into nodes, plus one; 0: none
}

// add puts an entry behind those that its prefix has.
func (s *prefixSet) add(prefix netip.Prefix, place uint32) {
	node := uint32(len(s.nodes))
	s.nodes = append(s.nodes, prefixNode{place: place})
	if s.table == nil {
		s.table = &bart.Table[uint32]{}
	}
	at, found := s.table.Get(prefix)
	if !found {
		s.table.Insert(prefix, node)
		s.count++
		return
	}
	for s.nodes[at].next != 0 {
		at = s.nodes[at].next - 1
	}
	s.nodes[at].next = node + 1
}

// replace moves an entry of a prefix to another place.
func (s *prefixSet) replace(prefix netip.Prefix, from, to uint32) {
	for at, _ := s.table.Get(prefix); ; at = s.nodes[at].next - 1 {
		if s.nodes[at].place == from {
			s.nodes[at].place = to
			return
		}
	}
}

// places calls fn with each entry of exactly this prefix.
func (s *prefixSet) places(prefix netip.Prefix) func(yield func(uint32) bool) {
	return func(yield func(uint32) bool) {
		if s.count == 0 {
			return
		}
		at, found := s.table.Get(prefix)
		for found && yield(s.nodes[at].place) && s.nodes[at].next != 0 {
			at = s.nodes[at].next - 1
		}
	}
}

// contains is the quick answer for addresses that no prefix covers.
func (s *prefixSet) contains(addr netip.Addr) bool {
	return s.count > 0 && s.table.Contains(addr)
}
