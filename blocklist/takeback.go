package blocklist

import (
	"slices"

	"sinkhole/blocklist/format"
)

// takenRule is what a rule is known by that its list takes back.
type takenRule struct {
	trigger    string // as an entry begins
	action     format.Action
	scope      format.Scope
	precedence uint8
}

// takeBack notes that the list takes back a rule, wherever it stands in it.
func (b *builder) takeBack(i *format.Indicator) {
	if b.taken == nil {
		b.taken = map[takenRule]bool{}
	}
	taken := takenRule{trigger: string(i.Name), action: actionOf(b.spec, b.action, i.Action), precedence: i.Precedence}
	if i.Trigger == format.QName {
		taken.scope = i.Scope
	} else {
		taken.trigger = string(appendPrefix(nil, i.Trigger, i.Prefix))
	}
	b.taken[taken] = true
}

// dropTaken takes out of the chunks what was taken back.
func (s *segment) dropTaken(taken map[takenRule]bool) {
	whole := s.chunks
	s.chunks, s.names, s.prefixes, s.rules = nil, 0, 0, 0
	for _, chunk := range whole {
		var left []byte
		for at := 0; at < len(chunk); {
			n := s.size(chunk[at:])
			left = s.appendLeft(left, chunk[at:at+n], taken)
			at += n
		}
		if len(left) > 0 {
			s.chunks = append(s.chunks, slices.Clip(left))
		}
	}
}

// appendLeft appends an entry without the rules that were taken back, nothing
// where they are all.
func (s *segment) appendLeft(dst, entry []byte, taken map[takenRule]bool) []byte {
	begin := len(dst)
	trigger := entry[:triggerSize(entry)]
	dst = append(dst, trigger...)
	last := 0 // where the newest rule begins
	for all := s.rulesOf(entry); all.more; {
		packed := all.packed
		r := all.next()
		if taken[takenRule{string(trigger), r.action, r.scope, r.precedence}] {
			continue
		}
		if last > 0 {
			dst[last] |= 1
		}
		last = len(dst)
		dst = append(dst, packed[:len(packed)-len(all.packed)]...)
		dst[last] &^= 1
		s.rules++
	}
	switch {
	case last == 0:
		return dst[:begin]
	case entry[0] < tagResponse4:
		s.names++
	default:
		s.prefixes++
	}
	return dst
}
