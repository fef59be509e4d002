package blocklist

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// prefixSet finds the rules of every prefix that covers an address.
type prefixSet struct {
	table   bart.Table[uint32] // prefix to index into entries
	entries []prefixEntry
}

type prefixEntry struct {
	prefix   netip.Prefix
	first, n uint32 // its rules
}

func (s *prefixSet) add(prefix netip.Prefix) (entry uint32) {
	if i, found := s.table.Get(prefix); found {
		return i
	}
	i := uint32(len(s.entries))
	s.entries = append(s.entries, prefixEntry{prefix: prefix})
	s.table.Insert(prefix, i)
	return i
}

// contains is the quick answer for addresses that no prefix covers.
func (s *prefixSet) contains(addr netip.Addr) bool {
	return len(s.entries) > 0 && s.table.Contains(addr)
}
