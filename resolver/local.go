package resolver

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// localTTL is that of answers for names that stay local, in seconds.
const localTTL = 300

// localKind is what is said of a name that is never asked upstream.
type localKind uint8

const (
	notLocal  localKind = iota
	forwarded           // it is asked of the servers of its zone, whatever name above it stays local
	loopback            // it has the loopback addresses
	noSuch              // there is no such name
	noRecords           // it has no records
	empty               // it is a zone with nothing in it
)

// emptyZones are the locally served zones (RFC 6303, RFC 7793, RFC 8375, RFC 9665): what is
// asked of them concerns this network alone, and no public server can know it.
func emptyZones() []string {
	zones := []string{
		"0.in-addr.arpa.", "127.in-addr.arpa.", "10.in-addr.arpa.", "168.192.in-addr.arpa.", "254.169.in-addr.arpa.",
		"2.0.192.in-addr.arpa.", "100.51.198.in-addr.arpa.", "113.0.203.in-addr.arpa.", "255.255.255.255.in-addr.arpa.",
		reverse("::"), reverse("::1"), "d.f.ip6.arpa.", "8.e.f.ip6.arpa.", "9.e.f.ip6.arpa.", "a.e.f.ip6.arpa.", "b.e.f.ip6.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa.",
		"home.arpa.", "service.arpa.",
	}
	for i := 16; i <= 31; i++ {
		zones = append(zones, fmt.Sprintf("%d.172.in-addr.arpa.", i))
	}
	for i := 64; i <= 127; i++ {
		zones = append(zones, fmt.Sprintf("%d.100.in-addr.arpa.", i))
	}
	return zones
}

func reverse(addr string) string {
	name, _ := dns.ReverseAddr(addr) // fails for no address
	return name
}

// localNames are the special-use names that mean something on this host or in this
// network alone, or nothing in the DNS, and those by which devices would learn to ask
// somebody else: localhost, invalid and test (RFC 6761), onion (RFC 7686), alt (RFC
// 9476), resolver.arpa (RFC 9462), emptyZones, and the operator's. The zones that have
// servers of their own are taken out, and so is what names one of them.
func localNames(nonexistent, zones []string) *nameTree {
	t := treeOf(empty, emptyZones())
	t.add(loopback, "localhost.")
	t.add(noSuch, "invalid.", "test.", "onion.", "alt.")
	t.add(noRecords, "resolver.arpa.")
	t.add(noSuch, nonexistent...)
	t.add(forwarded, zones...)
	return t
}

// localKind tells what is said of a name, and which name it ends in.
func (s *settings) localKind(name []byte) suffix { return s.local.find(name) }

// unforwarded answers for names that stay local; nil for all others. It is no hit.
func (r *Resolver) unforwarded(q *request, s *settings, dst []byte) []byte {
	found := s.localKind(q.QName())
	if found.kind <= forwarded {
		return r.unqualified(q, s, found, dst)
	}
	return r.local(q, found, dst)
}

// local answers for a name that ends in one that stays local; nil where what is asked
// belongs to the zone above.
func (r *Resolver) local(q *request, found suffix, dst []byte) []byte {
	apex := found.at == 0
	if found.kind == noRecords {
		if answer := r.designate(q, dst); answer != nil {
			return answer
		}
	}
	switch {
	case found.kind == loopback && q.Type == dns.TypeA:
		dst = wire.AppendA(q.AppendResponse(dst, 0, 0), localTTL, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		return r.finish(q, dst, counts{answers: 1}, 0, wire.EDE{})
	case found.kind == loopback && q.Type == dns.TypeAAAA:
		dst = wire.AppendAAAA(q.AppendResponse(dst, 0, 0), localTTL, netip.IPv6Loopback())
		return r.finish(q, dst, counts{answers: 1}, 0, wire.EDE{})
	case found.kind == empty && apex && q.Type == dns.TypeDS:
		// That there is none is proven by the zone above, for whoever validates (RFC
		// 6303 section 6, RFC 8375 section 4).
		return nil
	case found.kind == empty && apex && (q.Type == dns.TypeSOA || q.Type == dns.TypeNS):
		return r.emptyApex(q, dst)
	}
	rcode := wire.RCodeNXDomain
	// Where a name below it is forwarded it exists (RFC 8020).
	if found.kind == noRecords || found.kind == loopback || found.kind == empty && apex || found.above {
		rcode = wire.RCodeNoError
	}
	dst = wire.AppendSOAAbove(q.AppendResponse(dst, rcode, 0), found.at, localTTL)
	return r.finish(q, dst, counts{authorities: 1}, rcode, wire.EDE{})
}

// emptyApex answers with the SOA or the NS record of a zone with nothing in it.
func (r *Resolver) emptyApex(q *request, dst []byte) []byte {
	dst = q.AppendResponse(dst, 0, 0)
	if q.Type == dns.TypeSOA {
		dst = wire.AppendSOA(dst, localTTL)
	} else {
		dst = wire.AppendRR(dst, dns.TypeNS, dns.ClassINET, localTTL, q.QName())
	}
	return r.finish(q, dst, counts{answers: 1}, 0, wire.EDE{})
}

// unqualified answers an address look-up for a name of one label where those are not
// forwarded: NODATA, since NXDOMAIN would deny all below a name that may be a top-level
// domain. nil for all others.
func (r *Resolver) unqualified(q *request, s *settings, found suffix, dst []byte) []byte {
	if !s.KeepSingleLabel || found.kind == forwarded || wire.Labels(q.QName()) != 1 {
		return nil
	}
	if !slices.Contains([]uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS}, q.Type) {
		return nil
	}
	dst = wire.AppendSOA(q.AppendResponse(dst, 0, 0), localTTL)
	return r.finish(q, dst, counts{authorities: 1}, 0, wire.EDE{})
}
