package resolver

import (
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"sinkhole/hits"
	"sinkhole/resolver/wire"
)

// handler answers what the DNS library has unpacked; one for each listener and
// transport.
type handler struct {
	resolver  *Resolver
	transport hits.Transport
	queue     *hits.Queue
	count     *counters
	work      sync.Pool // *work

	// handed counts the datagrams that the library has and is not done with: it
	// starts a goroutine for each, without a bound of its own.
	handed atomic.Int64
}

// maxHanded bounds handed.
const maxHanded = maxMisses

// done takes back what a datagram handed to the library cost. TCP connections
// have a goroutine each, and bounds of their own.
func (h *handler) done() {
	if h.transport == hits.UDP {
		h.handed.Add(-1)
	}
}

// work is the memory of one query: its facts and room for its answer.
type work struct {
	request
	answer []byte
}

// handler makes one of so many that share the memory for hits.
func (r *Resolver) handler(transport hits.Transport, of int) *handler {
	return &handler{
		resolver: r, transport: transport, queue: r.journal.NewQueue(of), count: r.newCounters(),
		work: sync.Pool{New: func() any { return &work{answer: make([]byte, 0, 4096)} }},
	}
}

// ServeDNS implements [dns.Handler].
func (h *handler) ServeDNS(w dns.ResponseWriter, m *dns.Msg) {
	r := h.resolver
	defer h.done()
	defer h.survive(w, m)
	h.count.queries[h.transport].Add(1)
	job := h.work.Get().(*work)
	job.request = request{arrival: arrival{transport: h.transport, queue: h.queue, received: time.Now()}}
	q := &job.request
	q.client, q.server = endpoints(w)
	if p, ok := w.RemoteAddr().(*peer); ok {
		q.received, q.balancer, q.proxy, q.limited = p.received, p.balancer, p.proxy, p.limited
	}

	var answer []byte
	if q.fill(m) {
		r.introduceUnpacked(q, m)
		answer = r.respond(q, job.answer[:0])
	} else {
		answer = r.malformed(q, job.answer[:0])
	}
	if answer != nil {
		h.count.answer(answer)
		if _, err := w.Write(answer); err != nil {
			h.count.unsent.Add(1)
		}
		job.answer = answer
	} else {
		h.count.unanswered(q)
	}
	h.work.Put(job)
}

// survive keeps a fault in the code for one query from ending all service.
func (h *handler) survive(w dns.ResponseWriter, m *dns.Msg) {
	if h.faulty(recover(), "query answered SERVFAIL") {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(m, dns.RcodeServerFailure))
	}
}

// faulty counts and logs what was recovered, if that is a fault in the code for one
// query: it is not to end all service. became is what came of the query.
func (h *handler) faulty(fault any, became string) bool {
	return h.resolver.faulty(h.count, fault, became)
}

func (r *Resolver) faulty(count *counters, fault any, became string) bool {
	if fault == nil {
		return false
	}
	count.panics.Add(1)
	r.log.Error(became+" after a fault in the server: please report it", zap.Any("fault", fault), zap.ByteString("stack", debug.Stack()))
	return true
}

// accept looks at a message's header before the library unpacks the rest. What
// it rejects the library answers itself, with a header alone.
func (h *handler) accept(header dns.Header) dns.MsgAcceptAction {
	const response = 1 << 15
	if header.Bits&response != 0 {
		h.done()
		return dns.MsgIgnore // answering answers makes loops
	}
	if header.Bits>>wire.OpcodeShift&0xF != dns.OpcodeQuery {
		h.rejected(wire.RCodeNotImp)
		return dns.MsgRejectNotImplemented
	}
	action := dns.DefaultMsgAcceptFunc(header)
	if action != dns.MsgAccept {
		h.rejected(wire.RCodeFormErr)
	}
	return action
}

// invalid is told of what the library cannot unpack. It answers FORMERR, unless
// there is not even a header.
func (h *handler) invalid(msg []byte, _ error) {
	h.count.malformed.Add(1)
	if len(msg) >= wire.HeaderLen {
		h.rejected(wire.RCodeFormErr)
	}
}

// rejected counts an answer that the library gives, and with that is done.
func (h *handler) rejected(rcode uint16) {
	h.done()
	h.count.queries[h.transport].Add(1)
	h.count.rcodes[rcode].Add(1)
}

// endpoints are the two ends of an exchange, IPv4-mapped addresses as IPv4.
func endpoints(w dns.ResponseWriter) (client, server netip.AddrPort) {
	if p, ok := w.RemoteAddr().(*peer); ok {
		return p.remote, p.local
	}
	return endpoint(w.RemoteAddr()), endpoint(w.LocalAddr())
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
