package resolver

import (
	"time"

	"sinkhole/hits"
	"sinkhole/resolver/cache"
	"sinkhole/resolver/wire"
)

// Each function here appends a whole answer to a buffer of length 0. An EDE of
// code 0, "other", which tells nobody anything, is never sent: it means none.

// cached appends an upstream's answer as the cache holds it.
func (r *Resolver) cached(q *request, e *cache.Entry, dst []byte) []byte {
	rcode := e.RCode
	if rcode > wire.RCodeMask && !q.EDNS { // its upper bits have no place without an OPT
		return r.fail(q, dst, wire.RCodeServFail, wire.EDE{})
	}
	if q.reflects(e) {
		return r.minimal(q, dst)
	}
	if q.below {
		return r.cut(q, e, dst)
	}
	dst = q.AppendReply(dst, e.Packed)
	ede := wire.EDE{Code: e.EDE, Text: e.Text}
	if q.stale {
		r.count.stale.Add(1)
		wire.Clamp(dst, e.TTLs, staleTTL, staleTTL)
		ede = wire.EDE{Code: staleCode(rcode)}
	} else {
		wire.Age(dst, e.TTLs, uint32(max(0, q.received.UnixNano()-e.Stored)/int64(time.Second)), 0)
	}
	var n counts
	n.answers, n.authorities, n.additionals = wire.Counts(e.Packed)
	return r.finish(q, dst, n, rcode, ede)
}

// fail appends an answer without records. Its extended DNS error goes only to
// clients that sent an OPT.
func (r *Resolver) fail(q *request, dst []byte, rcode uint16, ede wire.EDE) []byte {
	dst = q.AppendResponse(dst, rcode&wire.RCodeMask, 0)
	return r.finish(q, dst, counts{}, rcode, ede)
}

// malformed appends FORMERR, with the question where the query has one.
func (r *Resolver) malformed(q *request, dst []byte) []byte {
	if q.NameLen > 0 {
		return r.fail(q, dst, wire.RCodeFormErr, wire.EDE{})
	}
	flags := wire.RA | wire.RCodeFormErr
	if q.RD {
		flags |= wire.RD
	}
	return appendBare(dst, q.ID, flags)
}

// appendBare appends a reply that is a header alone.
func appendBare(dst []byte, id, flags uint16) []byte {
	dst = append(dst, make([]byte, wire.HeaderLen)...)
	wire.SetID(dst, id)
	wire.SetFlags(dst, wire.QR|flags)
	return dst
}

// counts are the records of an answer, section by section, the OPT not included.
type counts struct{ answers, authorities, additionals uint16 }

// finish adds the OPT that a client with EDNS gets, sets the counts, and cuts
// down to TC what is too large for the client. The text of an extended DNS
// error is the first to go, so that it never costs a client its data.
func (r *Resolver) finish(q *request, msg []byte, n counts, rcode uint16, ede wire.EDE) []byte {
	limit := q.sizeLimit()
	if q.EDNS {
		body := len(msg)
		if msg = r.appendOPT(msg, q, rcode, ede); len(msg) > limit && ede.Text != "" {
			ede.Text = ""
			msg = r.appendOPT(msg[:body], q, rcode, ede)
		}
		n.additionals++
	}
	wire.SetCounts(msg, n.answers, n.authorities, n.additionals)
	if len(msg) > limit {
		r.count.truncated.Add(1)
		msg = r.truncated(q, msg, rcode)
	}
	return r.restrain(q, msg, rcode)
}

// truncated rewrites msg as an answer without records and with TC set.
func (r *Resolver) truncated(q *request, msg []byte, rcode uint16) []byte {
	ad := wire.Flags(msg) & wire.AD
	msg = q.AppendResponse(msg[:0], rcode&wire.RCodeMask, ad|wire.TC)
	if q.EDNS {
		msg = r.appendOPT(msg, q, rcode, wire.EDE{})
		wire.SetCounts(msg, 0, 0, 1)
	}
	return msg
}

// appendOPT appends our OPT record in answer to the client's, padded last where the
// client pads and nobody can look inside (RFC 8467 section 4.1).
func (r *Resolver) appendOPT(dst []byte, q *request, rcode uint16, ede wire.EDE) []byte {
	opt := len(dst)
	var told *wire.EDE
	if ede.Code != 0 {
		told = &ede
	}
	dst = wire.AppendOPT(dst, maxUDPSize, q.DO, rcode, told)
	if q.cookie.sent {
		dst = r.settings.Load().appendCookie(dst, opt, q)
	}
	if q.OptionCodes.Keepalive && q.keepsOpen() {
		dst = wire.AppendOption(dst, opt, wire.OptionKeepalive, []byte{byte(q.idle >> 8), byte(q.idle)})
	}
	if q.OptionCodes.Padding && q.transport.Encrypted() {
		dst = wire.AppendPadding(dst, opt, paddingBlock)
	}
	return dst
}

// paddingBlock is what answers are padded to a multiple of, in octets (RFC 8467 section 4.1).
const paddingBlock = 468

// keepsOpen tells whether the answer may say for how long a connection is kept: not over
// UDP and HTTPS, and over QUIC that would be an error (RFC 7828 section 3.2.1, RFC 9250
// section 5.5.2).
func (q *request) keepsOpen() bool { return q.transport == hits.TCP || q.transport == hits.DoT }
