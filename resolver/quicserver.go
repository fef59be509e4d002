package resolver

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

const (
	// maxUnproven is how many handshakes may be under way until clients must first
	// prove their address (Retry, RFC 9000 section 8.1.2): a flood from forged ones
	// then costs a packet each, and no memory.
	maxUnproven = 64
	// quicHandshakeWait is how long a handshake may stand still; twice that in all.
	quicHandshakeWait = 3 * time.Second
	// quicWindow is what a connection may send before it is read, in octets: room for
	// the longest message.
	quicWindow       = 72 << 10
	quicStreamWindow = 8 << 10 // at first
	// maxUniStreams are those that HTTP/3 has for itself: three, and some that clients
	// open to see whether unknown ones are ignored (RFC 9114 section 6.2.3).
	maxUniStreams = 8
	// lastFlight is how long a connection stays open after its last answer before it is
	// closed: closing it takes back what was not yet sent.
	lastFlight = 50 * time.Millisecond
)

var errTurnedAway = errors.New("client may not connect")

// quicServer accepts QUIC connections on one socket and counts what they cost.
type quicServer struct {
	resolver  *Resolver
	socket    *net.UDPConn
	transport *quic.Transport
	tls       *tls.Config
	uni       int64          // streams of one direction that a client may open, negative: none
	listener  *quic.Listener // made by run: it reads
	// serve answers the streams of a connection until it ends, or until ctx does, and
	// then what was read. It gives the code to close the connection with.
	serve func(ctx context.Context, c *quic.Conn, g *guest) quic.ApplicationErrorCode

	open context.Context // until the shutdown
	end  context.CancelFunc
	done sync.WaitGroup // connections, and who accepts them
}

// arriving is a connection from its first packet on.
type arriving struct {
	guest *guest
	shake sync.Once // its handshake is over
}

type arrivingKey struct{}

func (r *Resolver) listenQUIC(network string, addr netip.AddrPort, given []*net.UDPConn, tlsConfig *tls.Config, uniStreams int64) (*quicServer, error) {
	socket, err := oneSocket(network, addr, given)
	if err != nil {
		return nil, err
	}
	s := &quicServer{resolver: r, socket: socket, tls: tlsConfig, uni: uniStreams}
	var reset quic.StatelessResetKey
	_, _ = rand.Read(reset[:]) // never fails
	s.transport = &quic.Transport{
		Conn: socket, ConnContext: s.admit, VerifySourceAddress: s.proves, StatelessResetKey: &reset,
	}
	s.open, s.end = context.WithCancel(context.Background())
	return s, nil
}

// oneSocket is the one that is given, or a new one. The packets of a connection have to come
// to whoever knows its keys: where the kernel divides them among several sockets they do not.
func oneSocket(network string, addr netip.AddrPort, given []*net.UDPConn) (*net.UDPConn, error) {
	switch len(given) {
	case 0:
		return net.ListenUDP(network, net.UDPAddrFromAddrPort(addr))
	case 1:
		return given[0], nil
	}
	err := fmt.Errorf("found %d UDP sockets that were passed for this address, expected one: QUIC connections cannot be divided among several", len(given))
	for _, c := range given {
		err = errors.Join(err, c.Close())
	}
	return nil, err
}

// start begins to read.
func (s *quicServer) start() (err error) {
	s.listener, err = s.transport.Listen(s.tls, &quic.Config{
		HandshakeIdleTimeout: quicHandshakeWait, MaxIdleTimeout: encryptedIdleWait,
		InitialStreamReceiveWindow: quicStreamWindow, MaxStreamReceiveWindow: quicWindow,
		InitialConnectionReceiveWindow: quicWindow, MaxConnectionReceiveWindow: quicWindow,
		MaxIncomingStreams: maxStreams, MaxIncomingUniStreams: s.uni,
	})
	return err
}

// proves tells whether a client must prove its address before anything is done for it.
func (s *quicServer) proves(net.Addr) bool {
	if s.resolver.encrypted.handshaking.Load() < maxUnproven {
		return false
	}
	s.resolver.encrypted.validated.Add(1)
	return true
}

// admit makes the client check and counts the connection until ctx ends.
func (s *quicServer) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	r := s.resolver
	client := endpoint(info.RemoteAddr).Addr()
	if r.isBalancer(client) { // the PROXY protocol knows no QUIC
		r.count.unproxied.Add(1)
		return nil, errTurnedAway
	}
	if !r.admitted(client) {
		return nil, errTurnedAway
	}
	g := r.encrypted.quic.enter(client)
	if g == nil {
		return nil, errTurnedAway
	}
	a := &arriving{guest: g}
	r.encrypted.handshaking.Add(1)
	context.AfterFunc(ctx, func() {
		s.shaken(a)
		g.leave()
	})
	return context.WithValue(ctx, arrivingKey{}, a), nil
}

func (s *quicServer) shaken(a *arriving) {
	a.shake.Do(func() { s.resolver.encrypted.handshaking.Add(-1) })
}

// serving starts and accepts in the background until the shutdown; failed is told of
// a socket that fails before.
func (s *quicServer) serving(failed func(error)) {
	if err := s.start(); err != nil {
		failed(err)
		return
	}
	s.done.Go(func() {
		if err := s.accept(); s.open.Err() == nil {
			failed(err)
		}
	})
}

// accept accepts until it fails, which the shutdown has it do.
func (s *quicServer) accept() error {
	for {
		c, err := s.listener.Accept(s.open)
		if err != nil {
			return err
		}
		a, ok := c.Context().Value(arrivingKey{}).(*arriving)
		if !ok { // cannot be: admit has made it
			_ = c.CloseWithError(0, "")
			continue
		}
		s.shaken(a)
		s.done.Go(func() {
			code := s.serve(s.open, c, a.guest)
			if s.open.Err() != nil {
				flight := time.NewTimer(lastFlight)
				defer flight.Stop()
				select {
				case <-flight.C:
				case <-c.Context().Done():
				}
			}
			_ = c.CloseWithError(code, "")
		})
	}
}

// streams has answer run for each stream of a connection, and returns when no more
// come, or are to be read, and all have ended. refuse is for those that there are too
// many of.
func (s *quicServer) streams(ctx context.Context, c *quic.Conn, g *guest, answer, refuse func(*quic.Stream)) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		stream, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		if !g.begin() {
			refuse(stream)
			continue
		}
		_ = stream.SetReadDeadline(time.Now().Add(queryWait))
		running.Go(func() {
			defer g.end()
			answer(stream)
		})
	}
}

// shutdown answers what was read and closes all; when ctx ends first it closes at once.
func (s *quicServer) shutdown(ctx context.Context) error {
	s.end()
	if s.listener != nil {
		_ = s.listener.Close() // no more handshakes
	}
	answered := make(chan struct{})
	go func() {
		s.done.Wait()
		close(answered)
	}()
	var err error
	select {
	case <-answered:
	case <-ctx.Done():
		err = fmt.Errorf("queries were still under way: %w", ctx.Err())
	}
	err = errors.Join(err, s.close())
	<-answered
	return err
}

func (s *quicServer) close() error {
	s.end()
	err := s.transport.Close()
	if closed := s.socket.Close(); closed != nil && !errors.Is(closed, net.ErrClosed) {
		err = errors.Join(err, closed)
	}
	return err
}
