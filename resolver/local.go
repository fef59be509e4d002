package resolver

import (
	"bytes"
	"net/netip"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// localTTL is that of answers for names that stay local, in seconds.
const localTTL = 300

// localKind is what is said of a name that is never asked upstream.
type localKind uint8

const (
	notLocal  localKind = iota
	loopback            // it has the loopback addresses
	noSuch              // there is no such name
	noRecords           // it has no records
)

// localName is a name that, with all below it, stays local.
type localName struct {
	name []byte // wire form, lower case
	kind localKind
}

// localNames are the special-use names that mean something on this host alone, or
// nothing in the DNS, and those by which devices would learn to ask somebody else:
// localhost and invalid (RFC 6761), onion (RFC 7686), resolver.arpa (RFC 9462), and the
// operator's.
func localNames(nonexistent []string) (all []localName) {
	add := func(name string, kind localKind) {
		if packed, ok := packName(dns.CanonicalName(name)); ok {
			all = append(all, localName{packed, kind})
		}
	}
	add("localhost.", loopback)
	add("invalid.", noSuch)
	add("onion.", noSuch)
	add("resolver.arpa.", noRecords)
	for _, name := range nonexistent {
		add(name, noSuch)
	}
	return all
}

// localKind tells what is said of a name.
func (s *settings) localKind(name []byte) localKind {
	for i := range s.local {
		if l := &s.local[i]; bytes.HasSuffix(name, l.name) && atLabel(name, len(name)-len(l.name)) {
			return l.kind
		}
	}
	return notLocal
}

// atLabel tells whether a label begins there.
func atLabel(name []byte, at int) bool {
	i := 0
	for i < at && name[i] != 0 {
		i += 1 + int(name[i])
	}
	return i == at
}

// unforwarded answers for names that stay local; nil for all others. It is no hit.
func (r *Resolver) unforwarded(q *request, s *settings, dst []byte) []byte {
	kind := s.localKind(q.QName())
	switch {
	case kind == notLocal:
		return nil
	case kind == noRecords:
		if answer := r.designate(q, dst); answer != nil {
			return answer
		}
	case kind == loopback && q.Type == dns.TypeA:
		dst = wire.AppendA(q.AppendResponse(dst, 0, 0), localTTL, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		return r.finish(q, dst, counts{answers: 1}, 0, wire.EDE{})
	case kind == loopback && q.Type == dns.TypeAAAA:
		dst = wire.AppendAAAA(q.AppendResponse(dst, 0, 0), localTTL, netip.IPv6Loopback())
		return r.finish(q, dst, counts{answers: 1}, 0, wire.EDE{})
	}
	rcode := wire.RCodeNoError
	if kind == noSuch {
		rcode = wire.RCodeNXDomain
	}
	dst = wire.AppendSOA(q.AppendResponse(dst, rcode, 0), localTTL)
	return r.finish(q, dst, counts{authorities: 1}, rcode, wire.EDE{})
}
