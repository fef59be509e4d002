package resolver

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
)

// ownAddresses makes the sinkhole addresses that one hit alone has. Nothing is kept of
// them: the journal tells which hit has which.
type ownAddresses struct {
	turn atomic.Uint64 // of IPv4 ranges
}

// next is an address of a prefix: IPv4, or IPv6 of up to 64 bits.
func (o *ownAddresses) next(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		return o.inTurn(p)
	}
	// The runtime's generator is ChaCha8 with a seed of the system's for each thread
	// (go.dev/blog/chacha8rand), so who was not given an address cannot tell it; of 2^28 that
	// are in use two are alike with a chance of 2^-9. 0 is the routers' (RFC 4291 section 2.6.1).
	addr := p.Addr().As16()
	binary.BigEndian.PutUint64(addr[8:], max(rand.Uint64(), 1))
	return netip.AddrFrom16(addr)
}

// inTurn gives the addresses of a range one after the other, so that each rests as long as
// there are others; not the first and the last one, which some take for broadcasts. All
// handlers share the turn, since they share the range.
func (o *ownAddresses) inTurn(p netip.Prefix) netip.Addr {
	usable := uint64(1)<<(32-p.Bits()) - 2
	addr := p.Addr().As4()
	first := binary.BigEndian.Uint32(addr[:]) + 1
	binary.BigEndian.PutUint32(addr[:], first+uint32(o.turn.Add(1)%usable))
	return netip.AddrFrom4(addr)
}
