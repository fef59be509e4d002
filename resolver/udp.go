package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"sinkhole/hits"
)

// maxQuery is the largest query that is read, in octets. What is longer is cut
// there, and then not well formed unless the rest was padding behind the
// message. It bounds what the library's form of a query can cost.
const maxQuery = 4096

// maxReadFailures is how many reads in a row may fail until the socket is given
// up.
const maxReadFailures = 1000

// packetConn is the seam between the socket and the DNS library: the library
// reads from it and writes to it and keeps the rest. It makes the client check
// and answers what takes no waiting; on a wildcard bind it knows the address
// that was asked and sends the answer from there.
type packetConn struct {
	resolver  *Resolver
	prompt    *prompt
	datagrams *datagrams
	from      peer          // of the datagram that is looked at
	proxied   []proxied     // of the datagrams of the batch, only with balancers
	unproxied uint64        // bit i: datagram i lacks its header
	reading   chan struct{} // closed when the reader runs
	finished  chan struct{} // closed when it has ended, and nothing waits any more
	released  chan struct{} // closed when the library is to be told so
	thread    int           // the reader's own, where the system has such; good when it runs

	finish, release sync.Once
}

// controller is a socket, as [syscall.RawConn] gives access to it.
type controller interface {
	Control(fn func(fd uintptr)) error
}

// peer is where a datagram came from, and the address it was sent to.
type peer struct {
	remote   netip.AddrPort // IPv4-mapped addresses as IPv4
	local    netip.AddrPort
	balancer netip.AddrPort // the socket's other end, where that named remote and local
	proxy    hits.Proxy     // how
	limited  bool           // the client has asked more than it may
	oob      []byte         // control message that sends the answer from local; nil: the socket's own address

	received time.Time
}

// other is the socket's other end.
func (p *peer) other() netip.AddrPort {
	if p.balancer.IsValid() {
		return p.balancer
	}
	return p.remote
}

func (p *peer) Network() string { return "udp" }
func (p *peer) String() string  { return p.remote.String() }

func (p *peer) setLocal(addr netip.Addr) { p.local = netip.AddrPortFrom(addr, p.local.Port()) }

func newPacketConn(c *net.UDPConn, r *Resolver, answers *prompt) (*packetConn, error) {
	p := &packetConn{
		resolver: r, prompt: answers,
		reading: make(chan struct{}), finished: make(chan struct{}), released: make(chan struct{}),
	}
	started := func(thread int) {
		p.thread = thread
		close(p.reading)
	}
	var err error
	p.datagrams, err = newDatagrams(c, started, func(n int) { answers.count.unsent.Add(uint64(n)) })
	if r.balancers != nil {
		p.proxied = make([]proxied, maxBatch)
	}
	if err == nil {
		answers.waiters = newWaiters(answers, p.datagrams)
	}
	return p, err
}

// ReadFrom reads until a query of a client that may ask is for the library.
func (p *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	failures := 0
	for {
		if msg, from := p.prompt.waiters.next(); from != nil {
			p.prompt.handed.Add(1)
			return copy(b, msg), from, nil
		}
		msg, received, err := p.take()
		if errors.Is(err, errHandedBack) {
			continue
		}
		if err != nil {
			if failures++; passing(err) && failures < maxReadFailures {
				continue
			}
			p.prompt.waiters.close()
			p.finish.Do(func() { close(p.finished) })
			if errors.Is(err, os.ErrDeadlineExceeded) {
				<-p.released
			}
			return 0, nil, err
		}
		failures = 0
		if p.proxied != nil && !p.relabel(&msg) {
			p.prompt.count.unproxied.Add(1)
			continue
		}
		reply, ok := p.resolver.admits(p.prompt.count, p.from.remote, msg)
		handled := !ok
		if ok {
			reply, handled = p.prompt.answerSeen(p.seen(), msg, &p.from, received, p.datagrams.room())
		}
		if !handled {
			p.prompt.handed.Add(1)
			handed := p.from
			handed.received = received
			p.datagrams.keepControl(&handed)
			return copy(b, msg), &handed, nil
		}
		if reply != nil {
			p.datagrams.answer(reply)
		}
	}
}

// take reads the next datagram; after the first of several, it looks at them all.
func (p *packetConn) take() (msg []byte, received time.Time, err error) {
	if n, last := p.datagrams.batch(); last == n-1 {
		p.prompt.ahead.forget()
		p.relieve()
	}
	msg, received, err = p.datagrams.take(&p.from)
	n, last := p.datagrams.batch()
	p.prompt.pressed = n == maxBatch && maxBatch > 1
	if err == nil && last == 0 && p.proxied != nil {
		p.unwrap(n)
	}
	if err == nil && last == 0 && n >= aheadFrom {
		p.prompt.look(n, p.datagram)
	}
	return msg, received, err
}

// relieve lets the journal's writer catch up where it is behind. Answers do not wait for that.
func (p *packetConn) relieve() {
	if !p.prompt.relief.due() {
		return
	}
	p.datagrams.settle()
	p.prompt.count.paused.Add(1)
	p.prompt.relief.give()
}

// unwrap reads the PROXY headers of a batch.
func (p *packetConn) unwrap(n int) {
	p.unproxied = 0
	for i := range n {
		var ok bool
		if p.proxied[i], ok = p.resolver.unwrap(p.datagrams.datagram(i)); !ok {
			p.unproxied |= 1 << i
		}
	}
}

// datagram is one of the batch without its PROXY header, and who sent it.
func (p *packetConn) datagram(i int) (from netip.Addr, msg []byte) {
	from, msg = p.datagrams.datagram(i)
	if p.proxied == nil {
		return from, msg
	}
	if p.unproxied>>i&1 != 0 {
		return from, nil
	}
	if said := &p.proxied[i]; said.source.IsValid() {
		from = said.source.Addr()
	}
	return from, msg[p.proxied[i].length:]
}

// relabel takes the PROXY header off the datagram that take gave last, and has it come
// from where that says. It reports whether the datagram has a header if it needs one.
func (p *packetConn) relabel(msg *[]byte) bool {
	_, i := p.datagrams.batch()
	if p.unproxied>>i&1 != 0 {
		return false
	}
	said := &p.proxied[i]
	*msg = (*msg)[said.length:]
	if said.source.IsValid() {
		p.from.balancer, p.from.proxy = p.from.remote, said.version
		p.from.remote, p.from.local = said.source, said.destination
	}
	return true
}

// seen is what was seen of the datagram that take gave last.
func (p *packetConn) seen() glance {
	_, last := p.datagrams.batch()
	return p.prompt.ahead.at(last)
}

// WriteTo sends an answer to a *peer of ReadFrom.
func (p *packetConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if err := p.datagrams.send(b, addr.(*peer)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// LocalAddr is the address that is bound.
func (p *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.datagrams.local) }

// SetReadDeadline ends the reading when the time is past, as the library does to
// end its server. The library's bound on the wait for one datagram means nothing
// to a server.
func (p *packetConn) SetReadDeadline(t time.Time) error {
	if !t.After(time.Now()) {
		p.end()
		p.release.Do(func() { close(p.released) })
	}
	return nil
}

// end has the reader read nothing more, and answer all that waits. It is to be
// done, as finished tells, before the library is told to end: that does not call
// the reader again.
func (p *packetConn) end() { p.datagrams.interrupt() }

// SetWriteDeadline does nothing: no write waits.
func (p *packetConn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is SetReadDeadline.
func (p *packetConn) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// Close also ends the reading.
func (p *packetConn) Close() error {
	p.release.Do(func() { close(p.released) })
	return p.datagrams.close()
}

// errHandedBack is the error of reading while there are queries that the library
// is to answer after all.
var errHandedBack = errors.New("queries are handed back")

// passing tells whether a read error concerns one datagram and not the socket,
// such as the ICMP error that an earlier answer met.
func passing(err error) bool {
	return !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed)
}

// drain waits until all that has come is read, and answered where that takes no
// waiting, for half of the time that ctx has left at most: what comes faster than
// it is answered must not keep the rest of a shutdown from its time.
func (p *packetConn) drain(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, time.Now().Add(time.Until(deadline)/2))
		defer cancel()
	}
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for p.waiting() > 0 || !p.datagrams.idle.Load() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}
