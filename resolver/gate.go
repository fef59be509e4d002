package resolver

import (
	"net/netip"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// admits is the client check, made before anything else on every transport. A
// client that may not ask gets reply, or nothing where it is nil.
//
// A NOTIFY is not for it: whose they are is for the owner of the zones to say.
func (r *Resolver) admits(count *counters, client netip.AddrPort, query []byte) (reply []byte, ok bool) {
	s := r.settings.Load()
	if r.notified != nil && isNotify(query) {
		return r.notify(s, client, query), false
	}
	if s.allowed(client.Addr()) {
		return nil, true
	}
	if s.DropOthers {
		count.ignored.Add(1)
		return nil, false
	}
	if reply = prohibited(query); reply == nil {
		count.ignored.Add(1)
		return nil, false
	}
	count.refused.Add(1)
	count.answer(reply)
	return reply, false
}

// prohibited is REFUSED with the extended DNS error 18 for a query of the
// common shape, REFUSED without a question for any other, and nil for what is
// no query: answering answers makes loops.
func prohibited(query []byte) []byte {
	if len(query) < wire.HeaderLen || wire.Flags(query)&wire.QR != 0 {
		return nil
	}
	var q wire.Query
	if q.Parse(query) != nil {
		return appendBare(nil, wire.ID(query), wire.Flags(query)&(wire.OpcodeMask|wire.RD)|wire.RCodeRefused)
	}
	reply := q.AppendResponse(nil, wire.RCodeRefused, 0)
	if q.EDNS {
		reply = wire.AppendOPT(reply, maxUDPSize, q.DO, wire.RCodeRefused, &wire.EDE{Code: dns.ExtendedErrorCodeProhibited})
		wire.SetCounts(reply, 0, 0, 1)
	}
	return reply
}
