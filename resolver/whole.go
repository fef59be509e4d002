package resolver

import (
	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// whole answers a message that came over a transport that keeps messages apart, in the
// goroutine that calls and with as much waiting as an upstream takes. The answer is
// appended to room, which must be empty; nil: the client gets none. ok is false where
// the client may not ask: what answer it gets is its last.
//
// It makes every check that a datagram meets, in the same order: the client, the header,
// the shape, then [Resolver.respond]. A message longer than maxQuery is read up to there.
func (h *handler) whole(msg []byte, a arrival, room []byte) (answer []byte, ok bool) {
	if reply, admitted := h.resolver.admits(h.count, a.client, msg); !admitted {
		return reply, false
	}
	a.limited = h.resolver.overLimit(a.client.Addr(), !a.forgeable, a.received)
	answer, _ = h.settle(msg, a, room)
	return answer, true
}

// settle is whole for a client that may ask. Of an arrival that is to be answered at once,
// waits tells that this is not possible: nothing was done then, and nothing counted.
func (h *handler) settle(msg []byte, a arrival, room []byte) (answer []byte, waits bool) {
	msg = msg[:min(len(msg), maxQuery)]
	if len(msg) < wire.HeaderLen {
		h.count.malformed.Add(1)
		return nil, false
	}
	if wire.Flags(msg)&wire.QR != 0 {
		return nil, false // answering answers makes loops
	}
	job := h.work.Get().(*work)
	defer h.work.Put(job)
	job.request = request{arrival: a}
	q := &job.request
	defer func() {
		if h.faulty(recover(), "query answered SERVFAIL") {
			answer, waits = appendBare(nil, wire.ID(msg), wire.Flags(msg)&(wire.OpcodeMask|wire.RD)|wire.RCodeServFail), false
		}
	}()
	answer = h.answer(q, msg, room)
	if q.waits {
		return nil, true
	}
	if q.hit {
		h.count.hits.Add(1)
	}
	if q.below && q.atOnce {
		h.count.cuts.Add(1)
	}
	h.count.queries[a.transport].Add(1)
	if answer == nil {
		h.count.unanswered(q)
		return nil, false
	}
	h.count.answer(answer)
	return answer, false
}

// answer reads a message that is a request into q, and answers it.
func (h *handler) answer(q *request, msg, room []byte) []byte {
	if q.Parse(msg) == nil {
		h.resolver.introduce(q, msg[q.OptionsAt:][:q.OptionsLen])
		return h.resolver.respond(q, room)
	}
	if !q.limited {
		if answer := h.resolver.cookieAlone(q, msg, room); answer != nil {
			return answer
		}
	}
	q.Query = wire.Query{}
	bare := wire.Flags(msg) & (wire.OpcodeMask | wire.RD)
	if wire.Flags(msg)>>wire.OpcodeShift&0xF != dns.OpcodeQuery {
		return appendBare(room, wire.ID(msg), bare|wire.RCodeNotImp)
	}
	var m dns.Msg
	if dns.DefaultMsgAcceptFunc(headerOf(msg)) != dns.MsgAccept {
		return appendBare(room, wire.ID(msg), bare|wire.RCodeFormErr)
	}
	if m.Unpack(msg) != nil {
		h.count.malformed.Add(1)
		return appendBare(room, wire.ID(msg), bare|wire.RCodeFormErr)
	}
	if !q.fill(&m) {
		return h.resolver.malformed(q, room)
	}
	h.resolver.introduceUnpacked(q, &m)
	return h.resolver.respond(q, room)
}

// headerOf is the one of msg, as the library has it.
func headerOf(msg []byte) dns.Header {
	at := func(i int) uint16 { return uint16(msg[i])<<8 | uint16(msg[i+1]) }
	return dns.Header{Id: at(0), Bits: at(2), Qdcount: at(4), Ancount: at(6), Nscount: at(8), Arcount: at(10)}
}
