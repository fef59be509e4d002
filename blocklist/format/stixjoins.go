package format

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"slices"
	"time"
)

const (
	// maxFamilies bounds how many families one indicator is listed under.
	maxFamilies = 16
	// maxMarkings bounds the markings of an object that are looked up.
	maxMarkings = 16
	// tlpExtension is the extension that TLP 2.0 marking definitions use.
	tlpExtension = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
)

// stixKey stands for an object's identifier.
type stixKey [16]byte

func stixKeyOf(id []byte) (key stixKey) {
	sum := sha256.Sum256(id)
	copy(key[:], sum[:])
	return key
}

func (k stixKey) compare(other stixKey) int { return bytes.Compare(k[:], other[:]) }

// stixVersion is one version of an indicator.
type stixVersion struct {
	key      stixKey
	owner    uint32 // its number among the indicators of the list
	modified int64  // in microseconds of Unix time
}

// stixEdge leads from an indicator to a malware, by its place among the targets.
type stixEdge struct {
	source stixKey
	target uint32
}

// stixMark leads from an indicator to a marking of its.
type stixMark struct {
	owner   uint32
	marking stixKey
}

// stixFamily is a family of an indicator, by its place among the targets.
type stixFamily struct{ owner, target uint32 }

// stixJoins holds the indicators, and all that says more of them, until the
// list has ended: an object may refer to one that comes later.
type stixJoins struct {
	held     held
	versions []stixVersion
	edges    []stixEdge
	targets  map[stixKey]uint32 // what the edges lead to
	marks    []stixMark
	names    map[stixKey]string // of malware
	tlps     map[stixKey]string // of marking definitions
	owners   uint32
}

// The sizes that are counted for what is held beside the indicators, slack
// of growing slices and maps included.
const (
	sizeVersion = 56
	sizeEdge    = 48
	sizeMark    = 36
	sizeNamed   = 96
)

// indicator notes a version of an indicator and returns what it is to be held
// under.
func (s *stixJoins) indicator(o *stixObject, modified time.Time) (owner uint64) {
	s.owners++
	for _, marking := range o.markings {
		s.marks = append(s.marks, stixMark{s.owners, marking})
		s.held.size += sizeMark
	}
	if id := o.fields[stixID]; len(id) > 0 {
		s.versions = append(s.versions, stixVersion{stixKeyOf(id), s.owners, modified.UnixMicro()})
		s.held.size += sizeVersion
	}
	return uint64(s.owners)
}

func (s *stixJoins) malware(o *stixObject) {
	name := trim(o.fields[stixName])
	if len(name) == 0 || len(name) > maxWord {
		return
	}
	if s.names == nil {
		s.names = make(map[stixKey]string)
	}
	s.names[stixKeyOf(o.fields[stixID])] = s.held.words.line(name)
	s.held.size += sizeNamed + len(name)
}

func (s *stixJoins) marking(o *stixObject) {
	if o.defines == "" {
		return
	}
	if s.tlps == nil {
		s.tlps = make(map[stixKey]string)
	}
	s.tlps[stixKeyOf(o.fields[stixID])] = o.defines
	s.held.size += sizeNamed
}

func (s *stixJoins) relationship(o *stixObject) {
	if !bytes.HasPrefix(o.fields[stixSource], []byte("indicator--")) || !bytes.HasPrefix(o.fields[stixTarget], []byte("malware--")) {
		return
	}
	key := stixKeyOf(o.fields[stixTarget])
	target, ok := s.targets[key]
	if !ok {
		if s.targets == nil {
			s.targets = make(map[stixKey]uint32)
		}
		target = uint32(len(s.targets))
		s.targets[key] = target
		s.held.size += sizeNamed
	}
	s.edges = append(s.edges, stixEdge{stixKeyOf(o.fields[stixSource]), target})
	s.held.size += sizeEdge
}

// emit joins what is held and hands it out.
func (s *stixJoins) emit(out *sink) {
	old := s.superseded(out)
	names := s.targetNames()
	families := s.families(names, out)
	marks := s.marks
	for ind, owner := range s.held.all(out) {
		owner := uint32(owner)
		if old[owner] {
			continue
		}
		for len(marks) > 0 && marks[0].owner < owner {
			marks = marks[1:]
		}
		for _, mark := range marks {
			if mark.owner != owner {
				break
			}
			ind.TLP = strictest(ind.TLP, s.tlps[mark.marking])
		}
		for len(families) > 0 && families[0].owner < owner {
			families = families[1:]
		}
		if len(families) == 0 || families[0].owner != owner {
			out.put()
			continue
		}
		for _, family := range families {
			if family.owner != owner {
				break
			}
			ind.Family = names[family.target]
			out.put()
		}
	}
}

// superseded sorts the versions of indicators, the latest of each before the
// others, and finds these.
func (s *stixJoins) superseded(out *sink) map[uint32]bool {
	slices.SortFunc(s.versions, func(a, b stixVersion) int {
		return cmp.Or(a.key.compare(b.key), cmp.Compare(b.modified, a.modified), cmp.Compare(a.owner, b.owner))
	})
	old := make(map[uint32]bool)
	for i := 1; i < len(s.versions); i++ {
		if s.versions[i].key == s.versions[i-1].key {
			old[s.versions[i].owner] = true
		}
	}
	if len(old) > 0 {
		out.warn("indicators that came again: %d; of each the latest version counts", len(old))
	}
	return old
}

// targetNames are the names of what the edges lead to, empty for what is not in
// the list.
func (s *stixJoins) targetNames() []string {
	names := make([]string, len(s.targets))
	for key, target := range s.targets {
		names[target] = s.names[key]
	}
	return names
}

// families finds the families of the indicators, in the order of these. It
// needs the versions sorted.
func (s *stixJoins) families(names []string, out *sink) []stixFamily {
	slices.SortFunc(s.edges, func(a, b stixEdge) int {
		return cmp.Or(a.source.compare(b.source), cmp.Compare(a.target, b.target))
	})
	all := make([]stixFamily, 0, len(s.edges))
	versions, unknown := s.versions, 0
	for _, edge := range s.edges {
		for len(versions) > 0 && versions[0].key.compare(edge.source) < 0 {
			versions = versions[1:]
		}
		switch {
		case len(versions) == 0 || versions[0].key != edge.source:
		case names[edge.target] == "":
			unknown++
		default:
			all = append(all, stixFamily{versions[0].owner, edge.target})
		}
	}
	if unknown > 0 {
		out.warn("relations of indicators to malware that is not in the list: %d; their family is not known", unknown)
	}
	slices.SortFunc(all, func(a, b stixFamily) int {
		return cmp.Or(cmp.Compare(a.owner, b.owner), cmp.Compare(a.target, b.target))
	})
	return distinct(all, names, out)
}

// distinct takes out, in place, the families that an indicator has by another
// object of the same name, and those beyond maxFamilies.
func distinct(all []stixFamily, names []string, out *sink) []stixFamily {
	kept, first, dropped := all[:0], 0, 0
	for _, family := range all {
		if first < len(kept) && kept[first].owner != family.owner {
			first = len(kept)
		}
		sameName := func(other stixFamily) bool { return names[other.target] == names[family.target] }
		switch {
		case slices.ContainsFunc(kept[first:], sameName):
		case len(kept)-first == maxFamilies:
			dropped++
		default:
			kept = append(kept, family)
		}
	}
	if dropped > 0 {
		out.warn("families left out: %d, of indicators that have more than %d", dropped, maxFamilies)
	}
	return kept
}

// wellKnownTLP is the label of the marking definitions that STIX 2.1 section
// 7.2.1.4 fixes for TLP 1.0 and the OASIS common objects for TLP 2.0.
func wellKnownTLP(id []byte) string {
	const prefix = "marking-definition--"
	if len(id) < len(prefix) {
		return ""
	}
	switch string(id[len(prefix):]) {
	case "613f2e26-407d-48c7-9eca-b8e91df99dc9", "94868c89-83c2-464b-929b-a1a8aa3c8487":
		return "CLEAR"
	case "34098fce-860f-48ae-8e50-ebd3cc5e41da", "bab4a63c-aed9-4cf5-a766-dfca5abac2bb":
		return "GREEN"
	case "f88d31f6-486f-44da-b317-01333bde0b82", "55d920b0-5e8b-4f79-9ee9-91f868d9b421":
		return "AMBER"
	case "939a9414-2ddd-4d32-a0cd-375ea402b003":
		return "AMBER+STRICT"
	case "5e57c739-391a-4eb3-b6be-7d15ca92d5ed", "e828b379-4e03-4974-9ac4-e53a884c97c1":
		return "RED"
	}
	return ""
}
