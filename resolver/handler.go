package resolver

import (
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"sinkhole/hits"
	"sinkhole/resolver/wire"
)

// handler answers what the DNS library has unpacked; one for each listener.
type handler struct {
	resolver  *Resolver
	transport hits.Transport
	queue     *hits.Queue
	buffers   sync.Pool // *[]byte of a full message
}

func (r *Resolver) handler(transport hits.Transport) *handler {
	return &handler{
		resolver: r, transport: transport, queue: r.journal.NewQueue(),
		buffers: sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }},
	}
}

// ServeDNS implements [dns.Handler].
func (h *handler) ServeDNS(w dns.ResponseWriter, m *dns.Msg) {
	r := h.resolver
	defer h.survive(w, m)
	r.count.queries[h.transport].Add(1)
	q := request{transport: h.transport, queue: h.queue, received: time.Now()}
	q.client, q.server = endpoints(w)

	buffer := h.buffers.Get().(*[]byte)
	var answer []byte
	if q.fill(m) {
		answer = r.respond(&q, (*buffer)[:0])
	} else {
		answer = r.fail(&q, (*buffer)[:0], wire.RCodeFormErr, nil)
	}
	if answer != nil {
		r.count.answer(answer)
		if _, err := w.Write(answer); err != nil {
			r.count.unsent.Add(1)
		}
		*buffer = answer[:0]
	} else {
		r.count.dropped.Add(1)
	}
	h.buffers.Put(buffer)
}

// survive keeps a fault in the code for one query from ending all service.
func (h *handler) survive(w dns.ResponseWriter, m *dns.Msg) {
	fault := recover()
	if fault == nil {
		return
	}
	h.resolver.count.panics.Add(1)
	h.resolver.log.Error("query answered SERVFAIL after a fault in the server: please report it",
		zap.Any("fault", fault), zap.ByteString("stack", debug.Stack()))
	answer := new(dns.Msg).SetRcode(m, dns.RcodeServerFailure)
	_ = w.WriteMsg(answer)
}

// accept looks at a message's header before the library unpacks the rest.
func accept(h dns.Header) dns.MsgAcceptAction {
	const response = 1 << 15
	switch {
	case h.Bits&response != 0:
		return dns.MsgIgnore // answering answers makes loops
	case h.Bits>>wire.OpcodeShift&0xF != dns.OpcodeQuery:
		return dns.MsgRejectNotImplemented
	}
	return dns.DefaultMsgAcceptFunc(h)
}

// endpoints are the two ends of an exchange, IPv4-mapped addresses as IPv4.
func endpoints(w dns.ResponseWriter) (client, server netip.AddrPort) {
	if p, ok := w.RemoteAddr().(*peer); ok {
		return p.remote, p.local
	}
	return addrPort(w.RemoteAddr()), addrPort(w.LocalAddr())
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return unmap(tcp.AddrPort())
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
