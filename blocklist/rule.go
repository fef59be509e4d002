package blocklist

import (
	"math"
	"time"

	"sinkhole/blocklist/format"
)

// rule is one line of one list, compiled. It holds no pointer, so the garbage
// collector never walks the rules.
type rule struct {
	entry  uint32 // names: offset of the entry in the arena; prefixes: index into prefixSet.entries
	line   uint32
	detail uint32 // index into Policy.details
	file   uint16 // index into Policy.files
	action format.Action
	kind   ruleKind
}

// ruleKind is trigger and scope in one octet.
type ruleKind uint8

const (
	kindExact ruleKind = iota
	kindSubtree
	kindBelow
	kindResponseIP
	kindClientIP
	kindNone // a gap left by a duplicate
)

func kindOf(i *format.Indicator) ruleKind {
	switch i.Trigger {
	case format.ResponseIP:
		return kindResponseIP
	case format.ClientIP:
		return kindClientIP
	}
	return ruleKind(i.Scope)
}

func (k ruleKind) trigger() format.Trigger {
	switch k {
	case kindResponseIP:
		return format.ResponseIP
	case kindClientIP:
		return format.ClientIP
	}
	return format.QName
}

// covers tells whether a rule standing on a name covers a query for exactly
// that name (whole) or for one below it.
func (k ruleKind) covers(whole bool) bool {
	return k == kindSubtree || whole == (k == kindExact)
}

// detail is what a list says about an indicator beyond its trigger. Rules that
// say the same share one.
type detail struct {
	reference                    uint32 // index into Policy.strings
	data                         uint32 // index into Policy.data; 0 none
	firstSeen, lastSeen, expires uint32 // Unix seconds; 0 unknown
	family, tlp                  uint32 // indexes into Policy.labels
	confidence                   int8   // -1 unknown
}

// unixSeconds is 0 for an unknown time and for one too far away to matter; what
// is before 1970 is as old as can be.
func unixSeconds(t time.Time) uint32 {
	s := t.Unix()
	switch {
	case t.IsZero() || s > math.MaxUint32:
		return 0
	case s < 1:
		return 1
	}
	return uint32(s)
}

func timeOf(s uint32) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// file is one file of one list.
type file struct {
	list    uint16 // index into Policy.lists
	name    string
	version string // "sha256:..." of the bytes as they are on disk
}
