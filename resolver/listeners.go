package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"sinkhole/hits"
)

// Listener serves one address: over UDP and TCP, or over TLS.
type Listener struct {
	addr netip.AddrPort
	udp  []*packetConn // each with a socket of its own, to which the kernel gives its share of the clients
	tcp  *streams
	dns  []*dns.Server // of udp
	log  *zap.Logger
	fail chan error

	serving atomic.Bool
	ending  sync.Once
	done    sync.WaitGroup // the servers
}

// Sockets are those of one address that somebody else has bound, such as systemd: what
// comes while nobody reads them waits there. They become the listener's.
type Sockets struct {
	Stream  net.Listener   // TCP; nil: to be bound
	Packets []*net.UDPConn // each gets a reader; none: to be bound
}

// Close closes the sockets.
func (s *Sockets) Close() (err error) {
	if s.Stream != nil {
		err = s.Stream.Close()
	}
	for _, p := range s.Packets {
		err = errors.Join(err, p.Close())
	}
	return err
}

// Listen binds an address for UDP and TCP; port 0 takes a free one, the same
// for both. dualStack lets a wildcard IPv6 address serve IPv4 too. Nothing is
// read before Serve.
func (r *Resolver) Listen(addr netip.AddrPort, dualStack bool) (*Listener, error) {
	return r.ListenOn(addr, dualStack, Sockets{})
}

// ListenOn is Listen where some sockets are bound already.
func (r *Resolver) ListenOn(addr netip.AddrPort, dualStack bool, given Sockets) (*Listener, error) {
	const tries = 20 // for a port that is free on both
	var err error
	for range tries {
		var l *Listener
		if l, err = r.listen(addr, dualStack, given); err == nil || addr.Port() != 0 {
			return l, err
		}
	}
	return nil, err
}

func (r *Resolver) listen(addr netip.AddrPort, dualStack bool, given Sockets) (_ *Listener, err error) {
	// TCP first: nobody else can then have the port, which the sockets that share
	// it over UDP do not see to.
	tcp := given.Stream
	if tcp == nil {
		if tcp, err = net.ListenTCP(network("tcp", addr, dualStack), net.TCPAddrFromAddrPort(addr)); err != nil {
			return nil, err
		}
	}
	addr = netip.AddrPortFrom(addr.Addr(), endpoint(tcp.Addr()).Port())
	l := &Listener{addr: addr, tcp: newStreams(tcp, r, hits.TCP, nil), log: r.log, fail: make(chan error, 1+max(r.readers, len(given.Packets)))}
	sockets := given.Packets
	if len(sockets) == 0 {
		if sockets, err = listenUDP(network("udp", addr, dualStack), addr, r.readers); err != nil {
			return nil, errors.Join(err, tcp.Close())
		}
	}
	buffer := 0
	for i, socket := range sockets {
		h := r.handler(hits.UDP, len(sockets))
		reader, err := newPacketConn(socket, r, &prompt{handler: h, relief: relief{queue: h.queue}})
		if err != nil {
			for _, unused := range sockets[i+1:] {
				err = errors.Join(err, unused.Close())
			}
			return nil, errors.Join(err, l.Close())
		}
		packets := r.server(h)
		packets.PacketConn = reader
		l.udp, l.dns = append(l.udp, reader), append(l.dns, packets)
		keepWhole(reader.datagrams)
		buffer = raiseBuffer(reader.datagrams)
	}
	r.log.Info("listening", zap.Stringer("dns", addr), zap.Int("sockets", len(sockets)), zap.Int("receive_buffer", buffer))
	return l, nil
}

// ListenTLS binds an address for DNS over TLS (RFC 7858), unless stream is given.
func (r *Resolver) ListenTLS(addr netip.AddrPort, dualStack bool, stream net.Listener, certify Certify) (_ *Listener, err error) {
	c := stream
	if c == nil {
		if c, err = net.ListenTCP(network("tcp", addr, dualStack), net.TCPAddrFromAddrPort(addr)); err != nil {
			return nil, err
		}
	}
	addr = netip.AddrPortFrom(addr.Addr(), endpoint(c.Addr()).Port())
	r.log.Info("listening", zap.Stringer("tls", addr))
	return &Listener{addr: addr, tcp: newStreams(c, r, hits.DoT, serverTLS(certify, "dot")), log: r.log, fail: make(chan error, 1)}, nil
}

// listenUDP opens n sockets for one address. Others must not have it: sockets
// that share a port share it with everyone of the same user who asks for it.
func listenUDP(network string, addr netip.AddrPort, n int) (all []*net.UDPConn, err error) {
	alone, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(addr))
	if err != nil || n == 1 {
		return []*net.UDPConn{alone}, err
	}
	if err := alone.Close(); err != nil {
		return nil, err
	}
	shared := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return sharePort(c) }}
	for range n {
		c, err := shared.ListenPacket(context.Background(), network, addr.String())
		if err != nil {
			for _, open := range all {
				err = errors.Join(err, open.Close())
			}
			return nil, err
		}
		all = append(all, c.(*net.UDPConn))
	}
	return all, nil
}

func (r *Resolver) server(h *handler) *dns.Server {
	return &dns.Server{
		Handler: h, MsgAcceptFunc: h.accept, MsgInvalidFunc: h.invalid, UDPSize: maxQuery,
		DecorateWriter: func(inner dns.Writer) dns.Writer { return rejecter{inner} },
	}
}

// Addr is the address that is served.
func (l *Listener) Addr() netip.AddrPort { return l.addr }

// Drops is how many datagrams the kernel dropped since a socket's buffer was
// full.
func (l *Listener) Drops() (all uint64) {
	for _, p := range l.udp {
		all += kernelDrops(p.datagrams)
	}
	return all
}

// Serve starts to answer, and returns when all servers run. An error after
// that comes over Failed. It is called once.
func (l *Listener) Serve() {
	l.serving.Store(true)
	var started sync.WaitGroup
	var end sync.Once
	ended := make(chan struct{})
	for _, s := range l.dns {
		started.Add(1)
		var once sync.Once
		s.NotifyStartedFunc = func() { once.Do(started.Done) }
		l.done.Go(func() {
			if err := s.ActivateAndServe(); err != nil {
				l.fail <- fmt.Errorf("serving %s: %w", l.addr, err)
			}
			once.Do(started.Done)
			end.Do(func() { close(ended) })
		})
	}
	l.tcp.accepts.Add(1)
	l.done.Go(func() {
		defer l.tcp.accepts.Done()
		if err := l.tcp.accept(); err != nil {
			l.fail <- fmt.Errorf("serving %s: %w", l.addr, err)
		}
	})
	started.Wait()
	for _, p := range l.udp {
		select {
		case <-p.reading:
		case <-ended:
		}
	}
}

// Readers are the operating system's numbers of the threads that read datagrams
// and do nothing else. They are good after Serve.
func (l *Listener) Readers() (all []int) {
	for _, p := range l.udp {
		select {
		case <-p.reading:
			all = append(all, p.thread)
		default:
		}
	}
	return all
}

// Failed gives the error of a server that stopped by itself.
func (l *Listener) Failed() <-chan error { return l.fail }

// Shutdown answers the datagrams that had arrived and all that was read, and
// closes the sockets. When ctx ends first it closes them at once, and what
// still waits for an upstream gets no answer. A listener that never served is
// closed. Only the first call does anything.
func (l *Listener) Shutdown(ctx context.Context) (err error) {
	l.ending.Do(func() { err = l.shutdown(ctx) })
	return err
}

func (l *Listener) shutdown(ctx context.Context) error {
	if !l.serving.Load() {
		return l.Close()
	}
	var draining sync.WaitGroup
	for _, p := range l.udp {
		draining.Go(func() { p.drain(ctx) })
	}
	draining.Wait()
	faults := make(chan error, len(l.dns)+1)
	go func() { faults <- l.tcp.shutdown(ctx) }()
	for _, s := range l.dns {
		go func() {
			p := s.PacketConn.(*packetConn)
			p.end()
			select {
			case <-p.finished:
			case <-ctx.Done():
			}
			faults <- s.ShutdownContext(ctx)
		}()
	}
	var errs []error
	for range cap(faults) {
		errs = append(errs, <-faults)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing %s: %w", l.addr, err)
	}
	l.done.Wait()
	return nil
}

// Close gives back the sockets of a listener that never served.
func (l *Listener) Close() error {
	err := l.tcp.Close()
	for _, p := range l.udp {
		err = errors.Join(err, p.Close())
	}
	return err
}
