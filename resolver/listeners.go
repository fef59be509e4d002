package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
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
	done sync.WaitGroup
	fail chan error
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
	udp, err := newPacketConn(socket, r)
	if err != nil {
		socket.Close()
		return nil, err
	}
	addr = netip.AddrPortFrom(addr.Addr(), udp.local.Port())
	tcp, err := net.ListenTCP("tcp"+suffix, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		socket.Close()
		return nil, err
	}
	l := &Listener{addr: addr, udp: udp, tcp: &tcpListener{Listener: tcp, resolver: r}, log: r.log, fail: make(chan error, 2)}
	l.dns = []*dns.Server{r.server(hits.UDP), r.server(hits.TCP)}
	l.dns[0].PacketConn, l.dns[1].Listener = udp, l.tcp
	r.log.Info("listening", zap.Stringer("dns", addr), zap.Int("receive_buffer", raiseBuffer(socket)))
	return l, nil
}

func (r *Resolver) server(transport hits.Transport) *dns.Server {
	s := &dns.Server{
		Handler: r.handler(transport), MsgAcceptFunc: accept, UDPSize: maxQuery,
		MsgInvalidFunc: func([]byte, error) { r.count.malformed.Add(1) },
		MaxTCPQueries:  maxTCPQueries, ReadTimeout: tcpReadWait, IdleTimeout: func() time.Duration { return tcpIdleWait },
	}
	if transport == hits.TCP {
		s.DecorateReader = func(inner dns.Reader) dns.Reader { return tcpReader{Reader: inner, resolver: r} }
	}
	return s
}

// Addr is the address that is served.
func (l *Listener) Addr() netip.AddrPort { return l.addr }

// Drops is how many datagrams the kernel dropped since the socket's buffer was
// full.
func (l *Listener) Drops() uint64 { return kernelDrops(l.udp.UDPConn) }

// Serve starts to answer, and returns when both servers run. An error after
// that comes over Failed.
func (l *Listener) Serve() {
	var started sync.WaitGroup
	for _, s := range l.dns {
		started.Add(1)
		var once sync.Once
		s.NotifyStartedFunc = func() { once.Do(started.Done) }
		l.done.Go(func() {
			if err := s.ActivateAndServe(); err != nil {
				l.fail <- fmt.Errorf("serving %s: %w", l.addr, err)
			}
			once.Do(started.Done)
		})
	}
	started.Wait()
}

// Failed gives the error of a server that stopped by itself.
func (l *Listener) Failed() <-chan error { return l.fail }

// Shutdown reads the sockets empty, answers what was read, and closes them.
func (l *Listener) Shutdown(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		l.udp.drained(time.Now().Add(time.Until(deadline) / 2))
	}
	var errs []error
	for _, s := range l.dns {
		errs = append(errs, s.ShutdownContext(ctx))
	}
	return errors.Join(errs...)
}

// Close gives back the sockets of a listener that never served.
func (l *Listener) Close() error {
	return errors.Join(l.udp.Close(), l.tcp.Close())
}
