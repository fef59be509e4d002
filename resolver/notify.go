package resolver

import (
	"net/netip"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// isNotify tells a NOTIFY request (RFC 1996) from all other messages.
func isNotify(msg []byte) bool {
	return len(msg) >= wire.HeaderLen && wire.Flags(msg)&wire.QR == 0 && wire.Flags(msg)>>wire.OpcodeShift&0xF == dns.OpcodeNotify
}

// notify has the owner of the transferred zones answer a NOTIFY. Where strangers
// get no answer, one that is believed by nobody gets none either.
func (r *Resolver) notify(s *settings, from netip.AddrPort, msg []byte) []byte {
	reply := r.notified(msg, from)
	if len(reply) < wire.HeaderLen || s.DropOthers && !s.allowed(from.Addr()) && wire.Flags(reply)&wire.RCodeMask == wire.RCodeRefused {
		return nil
	}
	return reply
}
