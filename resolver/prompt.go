package resolver

import (
	"net/netip"
	"time"

	"sinkhole/resolver/wire"
)

// prompt answers datagrams in the goroutine that reads them: queries of the
// common shape that take no waiting, which is nearly all. What is left goes to
// the library, which starts a goroutine for each. A flood of listed names thus
// costs no memory, however fast it comes: what is not read yet waits in the
// kernel, which bounds it.
type prompt struct {
	*handler
	alone   request // of a datagram that is read by itself
	ahead   ahead   // of a batch of them
	pressed bool    // datagrams come faster than they are read
	relief  relief
	waiters *waiters // nil: the library has all that waits
}

// fate is what becomes of a query that has to wait.
type fate uint8

const (
	forLibrary fate = iota
	taken           // it is answered later
	tooMany         // it is answered SERVFAIL, or, where there is no time even for that, not at all
)

// notAnswered is what becomes of a datagram after a fault.
const notAnswered = "query not answered"

// look looks at a batch of datagrams. After a fault there each is answered by itself.
func (p *prompt) look(n int, datagram func(i int) (from netip.Addr, msg []byte)) {
	defer func() {
		if p.faulty(recover(), notAnswered) {
			p.ahead.forget()
		}
	}()
	p.ahead.look(p.resolver, n, datagram)
}

// answer gives the answer to a datagram, in room if it fits. handled is false where
// the datagram is for the library; with handled and a nil answer the client gets
// none.
func (p *prompt) answer(msg []byte, from *peer, received time.Time, room []byte) (answer []byte, handled bool) {
	return p.answerSeen(glance{}, msg, from, received, room)
}

// answerSeen is answer for a datagram that may have been looked at.
func (p *prompt) answerSeen(seen glance, msg []byte, from *peer, received time.Time, room []byte) (answer []byte, handled bool) {
	r := p.resolver
	if len(msg) < wire.HeaderLen {
		p.count.malformed.Add(1)
		return nil, true
	}
	q := seen.request()
	if q == nil {
		q = &p.alone
		q.NameLen = 0
	}
	defer func() {
		if p.faulty(recover(), notAnswered) {
			answer, handled = p.afterFault(q), true
		}
	}()
	q.arrival = arrival{transport: p.transport, queue: p.queue, received: received, client: from.remote, server: from.local, balancer: from.balancer, proxy: from.proxy, seen: seen, atOnce: true}
	if q == &p.alone && q.Parse(msg) != nil {
		return p.uncommon(q, msg, from, room)
	}
	if q.OptionsLen != 0 {
		r.introduce(q, msg[q.OptionsAt:][:q.OptionsLen])
	}
	q.limited = r.overLimit(q.client.Addr(), q.cookie.proven, received)
	answer = r.respond(q, room)
	if q.waits {
		switch p.waiters.take(q, msg) {
		case taken:
			return nil, true
		case forLibrary:
			if !p.full() {
				return nil, false
			}
		}
		if answer = p.refuse(q, room); answer == nil {
			return nil, true
		}
	}
	if q.hit {
		p.count.hits.Add(1)
	}
	if q.below {
		p.count.cuts.Add(1)
	}
	p.count.queries[p.transport].Add(1)
	if answer == nil {
		p.count.unanswered(q)
		return nil, true
	}
	p.count.answer(answer)
	return answer, true
}

// uncommon answers a message that is not of the common shape, where nobody has to look
// into it for that.
func (p *prompt) uncommon(q *request, msg []byte, from *peer, room []byte) (answer []byte, handled bool) {
	r := p.resolver
	if r.overLimit(q.client.Addr(), false, q.received) {
		from.limited = true
		return nil, p.full() // it may be listed all the same
	}
	if answer = r.cookieAlone(q, msg, room); answer == nil {
		return nil, p.full()
	}
	p.count.queries[p.transport].Add(1)
	p.count.answer(answer)
	return answer, true
}

// refuse answers a query that there is no room for, so that it does not wait: SERVFAIL
// nearly always. There is no time even for that where datagrams come faster than they
// are read, and policy found nothing that is to be recorded; then it is dropped.
func (p *prompt) refuse(q *request, room []byte) (answer []byte) {
	q.waits, q.refused = false, true
	if q.noted || !p.pressed {
		if answer = p.resolver.respond(q, room); answer != nil {
			return answer
		}
	}
	p.count.queries[p.transport].Add(1)
	p.count.dropped.Add(1)
	return nil
}

// full tells, and counts, that the library has as many datagrams as it may.
func (p *prompt) full() bool {
	if p.handed.Load() < maxHanded {
		return false
	}
	p.count.shed.Add(1)
	return true
}

// afterFault is SERVFAIL for a query as far as it was read, in memory of its own.
func (p *prompt) afterFault(q *request) []byte {
	if q.NameLen == 0 {
		return nil
	}
	return p.resolver.fail(q, nil, wire.RCodeServFail, wire.EDE{})
}
