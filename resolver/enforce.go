package resolver

import (
	"net/netip"

	"github.com/miekg/dns"

	"sinkhole/blocklist"
	"sinkhole/blocklist/format"
	"sinkhole/resolver/wire"
)

// given is what a synthesized answer carries, for the hit: the sinkhole address
// and the TTL of its records or SOA. The zero value is an answer without any.
type given struct {
	addr   netip.Addr
	ttl    uint32
	hasTTL bool
}

// enforce appends the answer that the policy decided on and records the hit.
func (r *Resolver) enforce(q *request, s *settings, p *blocklist.Policy, v *blocklist.Verdict, dst []byte) []byte {
	if q.waits = q.atOnce && !q.refused && v.Action == format.LocalData; q.waits { // its CNAME may lead upstream
		q.noted = true
		return nil
	}
	var sink given
	var answer []byte
	switch v.Action {
	case format.Sinkhole:
		answer, sink = r.sinkhole(q, s, p, v, dst)
	case format.NXDomain:
		answer, sink = r.negative(q, s, p, v, dst, wire.RCodeNXDomain)
	case format.NoData:
		answer, sink = r.negative(q, s, p, v, dst, wire.RCodeNoError)
	case format.Refused:
		answer = r.fail(q, dst, wire.RCodeRefused, s.explain(p, v, false))
	case format.TCPOnly:
		answer = r.truncated(q, q.AppendResponse(dst, 0, 0), 0)
	case format.LocalData:
		answer, sink = r.localData(q, s, p, v, dst)
	}
	r.record(q, p, v, v.Action.String(), answer, sink)
	return answer
}

// sinkhole answers A and AAAA with the sinkhole address of that family, ANY as
// RFC 8482 section 4.2 has it, and all else with NODATA.
func (r *Resolver) sinkhole(q *request, s *settings, p *blocklist.Policy, v *blocklist.Verdict, dst []byte) ([]byte, given) {
	sink := given{ttl: s.ttl, hasTTL: true}
	switch q.Type {
	case dns.TypeA:
		sink.addr = r.sinkAddress(q, s.IPv4, p.ListOf(v.Rule()).IPv4, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	case dns.TypeAAAA:
		sink.addr = r.sinkAddress(q, s.IPv6, p.ListOf(v.Rule()).IPv6, netip.IPv6Loopback())
	case dns.TypeANY:
		dst = wire.AppendHINFO8482(q.AppendResponse(dst, 0, 0), s.ttl)
		return r.finish(q, dst, counts{answers: 1}, 0, s.explain(p, v, false)), sink
	}
	if !sink.addr.IsValid() {
		return r.negative(q, s, p, v, dst, wire.RCodeNoError)
	}
	dst = q.AppendResponse(dst, 0, 0)
	if q.Type == dns.TypeA {
		dst = wire.AppendA(dst, s.ttl, sink.addr)
	} else {
		dst = wire.AppendAAAA(dst, s.ttl, sink.addr)
	}
	return r.finish(q, dst, counts{answers: 1}, 0, s.explain(p, v, true)), sink
}

// sinkAddress is the list's own sinkhole address or the server's; the zero Addr
// where there is none. auto is the address that the client asked if it is of
// the wanted family, else the loopback address: it holds on loopback only. Of a prefix each
// call gives another address.
func (r *Resolver) sinkAddress(q *request, server, list blocklist.Sink, loopback netip.Addr) netip.Addr {
	sink := server
	if list.Mode != blocklist.SinkInherit {
		sink = list
	}
	switch sink.Mode {
	case blocklist.SinkAddress:
		return sink.Addr
	case blocklist.SinkPrefix:
		return r.own.next(sink.Prefix)
	case blocklist.SinkAuto:
		if asked := q.server.Addr().WithZone(""); asked.BitLen() == loopback.BitLen() {
			return asked
		}
		return loopback
	}
	return netip.Addr{}
}

// negative answers NXDOMAIN or NODATA with an SOA, without which nobody could
// cache it (RFC 2308).
func (r *Resolver) negative(q *request, s *settings, p *blocklist.Policy, v *blocklist.Verdict, dst []byte, rcode uint16) ([]byte, given) {
	dst = wire.AppendSOA(q.AppendResponse(dst, rcode, 0), s.ttl)
	return r.finish(q, dst, counts{authorities: 1}, rcode, s.explain(p, v, false)), given{ttl: s.ttl, hasTTL: true}
}

// explain is the extended DNS error of a policy answer. forged tells that the
// answer carries made-up data.
func (s *settings) explain(p *blocklist.Policy, v *blocklist.Verdict, forged bool) wire.EDE {
	if s.Explain == ExplainNone {
		return wire.EDE{}
	}
	ede := wire.EDE{Code: p.ListOf(v.Rule()).EDE}
	if ede.Code == 0 {
		ede.Code = dns.ExtendedErrorCodeBlocked
		if forged {
			ede.Code = dns.ExtendedErrorCodeForgedAnswer
		}
	}
	switch s.Explain {
	case ExplainFamily:
		ede.Text = p.Family(v.Rule())
	case ExplainFull:
		i := p.Indicator(v.Rule())
		ede.Text = i.Value() + "; list " + i.List
		if i.Family != "" {
			ede.Text += "; " + i.Family
		}
	}
	return ede
}
