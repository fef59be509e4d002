package resolver

import (
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/cache"
	"sinkhole/resolver/wire"
)

// Rebind is what becomes of private addresses in answers for public names.
type Rebind struct {
	// Strip has them removed: a page of such a name could else read what browsers
	// reach in this network (DNS rebinding).
	Strip bool
	// Allowed are zones whose names may have them, beside those that have servers of
	// their own.
	Allowed []string
}

// rebinding is Rebind compiled.
type rebinding struct {
	strip   bool
	allowed *nameTree
	nat64   NAT64
}

func newRebinding(o Rebind, zones []string, nat64 NAT64) rebinding {
	return rebinding{strip: o.Strip, allowed: treeOf(forwarded, slices.Concat(o.Allowed, zones)), nat64: nat64}
}

// guards tells whether answers for a name may have no private addresses. The name
// asked for counts, not that of an alias's target, which anybody may point anywhere.
func (r *rebinding) guards(name []byte) bool {
	return r.strip && r.allowed.find(name).kind == notLocal
}

// private tells of the addresses that mean another machine in each network: loopback,
// link-local, those of RFC 1918, RFC 4193 and RFC 6598, and "this network", by which
// machines reach themselves; also those of IPv4 inside NAT64.
func (r *rebinding) private(addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, prefix := range r.nat64 {
		if inside, ok := wire.EmbeddedIPv4(addr, prefix); ok && isPrivate(inside) {
			return true
		}
	}
	return isPrivate(addr)
}

func isPrivate(addr netip.Addr) bool {
	switch {
	case addr.IsPrivate(), addr.IsLoopback(), addr.IsLinkLocalUnicast(), addr.IsUnspecified():
		return true
	case addr.Is4():
		a := addr.As4()
		return a[0] == 0 || a[0] == 100 && a[1]&0xc0 == 64
	}
	a := addr.As16()
	return a[0] == 0xfe && a[1]&0xc0 == 0xc0 // fec0::/10, RFC 3879
}

// withoutPrivate removes the records with private addresses from an entry's message,
// which f describes, and keeps them among what policy judges. Where no answer is left it
// is NODATA, for clients to keep for so long.
func (r *rebinding) withoutPrivate(e *cache.Entry, f *wire.Reply, negative time.Duration) (removed bool, err error) {
	names, kinds, addrs := slices.Clone(e.Names), slices.Clone(e.NameKinds), slices.Clone(e.Addrs)
	if !f.Shun(e.Packed, r.private) {
		return false, nil
	}
	if e.Packed, err = f.Scrub(e.Packed); err != nil {
		return false, err
	}
	wire.SetFlags(e.Packed, wire.Flags(e.Packed)&^wire.AD) // it is not what was signed
	e.Names, e.NameKinds, e.Addrs, e.TTLs = names, kinds, addrs, f.TTLs
	if f.Answers == 0 {
		e.Packed = wire.AppendSOA(e.Packed[:f.QuestionEnd], uint32(negative/time.Second))
		wire.SetCounts(e.Packed, 0, 1, 0)
		if err := f.Parse(e.Packed); err != nil {
			return false, err
		}
		e.TTLs, e.EDE, e.Text = f.TTLs, dns.ExtendedErrorCodeBlocked, ""
	}
	return true, nil
}
