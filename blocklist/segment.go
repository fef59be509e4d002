package blocklist

import (
	"errors"
	"math"
	"net/netip"

	"sinkhole/blocklist/format"
)

// segment is one list as parsed, before it is merged with the others. The
// entry of its rules is an offset into arena or an index into prefixes.
type segment struct {
	interner
	files    []file // their list is not known yet
	rules    []rule
	arena    []byte
	prefixes []netip.Prefix
	low      int // entries left out for their confidence
}

var errTooLarge = errors.New("more than 4 GiB of names in one list: split it into several lists")

// add keeps an indicator of the newest file with what spec says where the list
// is silent.
func (s *segment) add(spec *Spec, defaultAction format.Action, i *format.Indicator) error {
	confidence := i.Confidence
	if confidence < 0 && spec.Confidence > 0 {
		confidence = spec.Confidence
	}
	if confidence >= 0 && confidence < spec.MinConfidence {
		s.low++
		return nil
	}
	d := detail{
		family: s.label(orElse(i.Family, spec.Family)), tlp: s.label(i.TLP), reference: s.text(i.Reference), confidence: confidence,
		firstSeen: unixSeconds(i.FirstSeen), lastSeen: unixSeconds(i.LastSeen), expires: unixSeconds(i.Expires),
	}
	r := rule{line: uint32(i.Line), file: uint16(len(s.files) - 1), action: actionOf(spec, defaultAction, i.Action), kind: kindOf(i)}
	if r.action == format.LocalData {
		d.data = s.blob(i.Data)
	}
	r.detail = s.detail(d)
	if i.Trigger == format.QName {
		if len(s.arena)+len(i.Name) > math.MaxUint32 {
			return errTooLarge
		}
		r.entry = uint32(len(s.arena))
		s.arena = append(s.arena, i.Name...)
	} else {
		r.entry = uint32(len(s.prefixes))
		s.prefixes = append(s.prefixes, i.Prefix)
	}
	s.rules = append(s.rules, r)
	return nil
}

// actionOf is the list's override, else what the entry states, else the
// server's. An allow list has one action whatever it states, and no override
// turns an exception (PASSTHRU) into a block.
func actionOf(spec *Spec, defaultAction, stated format.Action) format.Action {
	switch {
	case spec.Allow || stated == format.PassThru:
		return format.PassThru
	case spec.Action != format.Unstated:
		return spec.Action
	case stated != format.Unstated:
		return stated
	}
	return defaultAction
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (s *segment) each(fn func(r rule, name []byte, prefix netip.Prefix)) {
	for _, r := range s.rules {
		if r.kind.trigger() == format.QName {
			fn(r, s.arena[r.entry:nameEnd(s.arena, int(r.entry))], netip.Prefix{})
		} else {
			fn(r, nil, s.prefixes[r.entry])
		}
	}
}

// eachOf walks the rules of one list of a policy in the order of entries.
func (p *Policy) eachOf(list uint16, fn func(r rule, name []byte, prefix netip.Prefix)) {
	for _, r := range p.rules {
		if p.files[r.file].list != list || r.kind == kindNone {
			continue
		}
		switch r.kind {
		case kindResponseIP:
			fn(r, nil, p.answers.entries[r.entry].prefix)
		case kindClientIP:
			fn(r, nil, p.clients.entries[r.entry].prefix)
		default:
			fn(r, p.names.name(r.entry), netip.Prefix{})
		}
	}
}
