package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

const (
	// portDraws bounds the search for a free source port: with nine ports in
	// ten taken, all 64 draws fail once in a thousand times.
	portDraws = 64
	// suspicious is the number of well-formed replies to something else after
	// which an exchange leaves UDP: somebody guesses (RFC 5452 section 9.2).
	suspicious = 3
	// datagramSize is the receive buffer kept for reuse; queries that allow
	// more get one of their own.
	datagramSize = 4096
)

// errUnproven ends a wait on UDP for a reply without what the server else gives back,
// and errMiscased one for a reply that changed the case of letters.
var (
	errUnproven  = errors.New("a reply without the cookie")
	errBadCookie = errors.New("the server wants another cookie")
	errMiscased  = errors.New("a reply in another case")
)

// errSuspicious ends a wait on UDP that an attacker seems to race.
var errSuspicious = errors.New("repeated replies to something else")

// udp sends each query from a fresh socket, bound to a random port and
// connected to the server, so that the kernel drops what comes from elsewhere.
type udp struct {
	timeout time.Duration
	buffers sync.Pool // *[datagramSize]byte
}

func newUDP(timeout time.Duration) *udp {
	return &udp{
		timeout: timeout,
		buffers: sync.Pool{New: func() any { return new([datagramSize]byte) }},
	}
}

// exchange sends q under a fresh ID and waits for the reply to it. Anything
// else that arrives is counted, discarded, and does not end the wait, except
// for errSuspicious.
func (u *udp) exchange(ctx context.Context, s *server, q query) ([]byte, error) {
	conn, err := dialUDP(s.addr)
	if err != nil {
		return nil, explain(ctx, "open socket", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(u.timeout)); err != nil {
		return nil, explain(ctx, "open socket", err)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	q.setID(randomID())
	if _, err := conn.Write(q.msg); err != nil {
		return nil, explain(ctx, "send", err)
	}
	buf, release := u.buffer(q.udpSize())
	defer release()
	for guesses := 0; guesses < suspicious; {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return nil, explain(ctx, "receive", err)
		}
		// Between bind and connect the kernel takes datagrams from anywhere.
		if !sameEndpoint(from, s.addr) {
			s.counters.mismatched.Add(1)
			continue
		}
		switch q.judgeAt(s, buf[:n], time.Now()) {
		case accepted:
			return q.complete(buf[:n]), nil
		case unproven:
			return nil, errUnproven
		case badCookie:
			return nil, errBadCookie
		case miscased:
			return nil, errMiscased
		case mismatched:
			s.counters.mismatched.Add(1)
			guesses++
		case malformed:
			s.counters.malformed.Add(1)
		}
	}
	return nil, errSuspicious
}

// buffer returns room for one datagram, and what to call when it is not used
// any more.
func (u *udp) buffer(size int) ([]byte, func()) {
	if size > datagramSize {
		return make([]byte, size), func() {}
	}
	b := u.buffers.Get().(*[datagramSize]byte)
	return b[:], func() { u.buffers.Put(b) }
}

// dialUDP opens a socket on a random port that nobody uses.
func dialUDP(to netip.AddrPort) (*net.UDPConn, error) {
	network := "udp4"
	if to.Addr().Is6() {
		network = "udp6"
	}
	remote := net.UDPAddrFromAddrPort(to)
	var err error
	for range portDraws {
		var conn *net.UDPConn
		conn, err = net.DialUDP(network, &net.UDPAddr{Port: int(randomPort())}, remote)
		switch {
		case err == nil:
			return conn, nil
		case !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EACCES):
			return nil, err
		}
	}
	return nil, err
}

// sameEndpoint compares without zones: the system may write one as a name or
// as a number, and a connected socket has only one.
func sameEndpoint(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && a.Addr().Unmap().WithZone("") == b.Addr().WithZone("")
}
