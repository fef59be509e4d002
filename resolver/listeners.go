package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"sinkhole/hits"
)

// Listener serves one address over UDP and TCP.
type Listener struct {
	addr netip.AddrPort
	udp  *packetConn
	tcp  *tcpListener
	dns  []*dns.Server
	log  *zap.Logger
	fail chan error

	serving atomic.Bool
	ending  sync.Once
	done    sync.WaitGroup // the servers
}

// Listen binds an address for UDP and TCP; port 0 takes a free one, the same
// for both. dualStack lets a wildcard IPv6 address serve IPv4 too. Nothing is
// read before Serve.
func (r *Resolver) Listen(addr netip.AddrPort, dualStack bool) (*Listener, error) {
	const tries = 20 // for a port that is free on both
	var err error
	for range tries {
		var l *Listener
		if l, err = r.listen(addr, dualStack); err == nil || addr.Port() != 0 {
			return l, err
		}
	}
	return nil, err
}

func (r *Resolver) listen(addr netip.AddrPort, dualStack bool) (*Listener, error) {
	suffix := "6"
	switch {
	case addr.Addr().Is4():
		suffix = "4"
	case addr.Addr().IsUnspecified() && dualStack:
		suffix = ""
	}
	socket, err := net.ListenUDP("udp"+suffix, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	h := r.handler(hits.UDP)
	udp, err := newPacketConn(socket, r, &prompt{handler: h})
	if err != nil {
		return nil, err
	}
	addr = netip.AddrPortFrom(addr.Addr(), udp.datagrams.local.Port())
	tcp, err := net.ListenTCP("tcp"+suffix, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		return nil, errors.Join(err, udp.Close())
	}
	l := &Listener{addr: addr, udp: udp, tcp: &tcpListener{Listener: tcp, resolver: r}, log: r.log, fail: make(chan error, 2)}
	l.dns = []*dns.Server{r.server(h), r.server(r.handler(hits.TCP))}
	l.dns[0].PacketConn, l.dns[1].Listener = udp, l.tcp
	r.log.Info("listening", zap.Stringer("dns", addr), zap.Int("receive_buffer", raiseBuffer(udp.datagrams)))
	return l, nil
}

func (r *Resolver) server(h *handler) *dns.Server {
	s := &dns.Server{
		Handler: h, MsgAcceptFunc: h.accept, MsgInvalidFunc: h.invalid, UDPSize: maxQuery,
		MaxTCPQueries: maxTCPQueries, ReadTimeout: tcpReadWait, IdleTimeout: func() time.Duration { return tcpIdleWait },
	}
	if h.transport == hits.TCP {
		s.DecorateReader = func(inner dns.Reader) dns.Reader { return tcpReader{Reader: inner, resolver: r} }
	}
	return s
}

// Addr is the address that is served.
func (l *Listener) Addr() netip.AddrPort { return l.addr }

// Drops is how many datagrams the kernel dropped since the socket's buffer was
// full.
func (l *Listener) Drops() uint64 { return kernelDrops(l.udp.datagrams) }

// Serve starts to answer, and returns when both servers run. An error after
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
	started.Wait()
	select {
	case <-l.udp.reading:
	case <-ended:
	}
}

// Reader is the operating system's number of the thread that reads the datagrams
// and does nothing else; 0 where there is none. It is good after Serve.
func (l *Listener) Reader() int {
	select {
	case <-l.udp.reading:
		return l.udp.thread
	default:
		return 0
	}
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
	l.udp.drain(ctx)
	faults := make(chan error, len(l.dns))
	for _, s := range l.dns {
		go func() { faults <- s.ShutdownContext(ctx) }()
	}
	var errs []error
	for range l.dns {
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
	return errors.Join(l.udp.Close(), l.tcp.Close())
}
