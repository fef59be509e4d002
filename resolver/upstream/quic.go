package upstream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
)

// Error codes of RFC 9250 section 8.4.
const (
	doqNoError          = 0
	doqProtocolError    = 2
	doqRequestCancelled = 3
)

// streamWait is how long a query waits for a stream, before it goes to another
// connection.
const streamWait = 100 * time.Millisecond

// streams is a line over QUIC: a stream for each query (RFC 9250).
type streams struct{ conn *quic.Conn }

// connectQUIC connects and proves who the server is. No query is sent before that
// (0-RTT): it could be sent again by others.
func connectQUIC(ctx context.Context, to netip.AddrPort, tlsConfig *tls.Config, config *quic.Config, count *lineCounters) (*quic.Conn, error) {
	udp, err := dialUDP(to)
	if err != nil {
		return nil, explain(ctx, "open socket", err)
	}
	socket := &quicSocket{udp: udp}
	transport := &quic.Transport{Conn: socket}
	conn, err := transport.Dial(ctx, udp.RemoteAddr(), tlsConfig, config)
	if err != nil {
		_ = transport.Close()
		udp.Close()
		if socket.refused.Load() {
			err = syscall.ECONNREFUSED
		}
		return nil, explainQUIC(ctx, "connect", err)
	}
	socket.connected.Store(true)
	count.open.Add(1)
	count.established(conn.ConnectionState().TLS.DidResume)
	context.AfterFunc(conn.Context(), func() {
		_ = transport.Close()
		udp.Close()
		count.open.Add(-1)
	})
	return conn, nil
}

// quicConfig keeps a connection for about as long as the pool does.
func quicConfig(timeout time.Duration) *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout:  timeout,
		MaxIdleTimeout:        idleAfter + timeout,
		TokenStore:            quic.NewLRUTokenStore(maxAddresses, maxLines),
		MaxIncomingStreams:    -1, // RFC 9250 section 4.3.3
		MaxIncomingUniStreams: -1,
	}
}

func (s *streams) ask(ctx context.Context, q query) ([]byte, error) {
	q.setID(0) // RFC 9250 section 4.2.1
	stream, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() {
		stream.CancelRead(doqRequestCancelled)
		stream.CancelWrite(doqRequestCancelled)
	})()
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(q.msg)), uint16(len(q.msg)))
	if _, err = stream.Write(append(framed, q.msg...)); err == nil {
		err = stream.Close()
	}
	if err != nil {
		return nil, explainQUIC(ctx, "send", err)
	}
	msg, err := readMessage(ctx, stream)
	stream.CancelRead(doqNoError) // what comes behind it is of no use
	switch f, unread := errors.AsType[*failure](err); {
	case unread && f.err != nil:
		return nil, explainQUIC(ctx, "receive", f.err)
	case err != nil: // the stream ended within the message
		s.abort()
		return nil, err
	case binary.BigEndian.Uint16(msg) != 0:
		s.abort()
		return nil, failuref(causeMismatched, "the server's message has the ID %d, expected 0", binary.BigEndian.Uint16(msg))
	}
	if _, found := keepaliveOf(msg); found {
		s.abort()
		return nil, failuref(causeMalformed, "the server's message has the option edns-tcp-keepalive, which QUIC does not know")
	}
	return msg, nil
}

// open waits a moment for a stream where the server allows no further one yet.
func (s *streams) open(ctx context.Context) (*quic.Stream, error) {
	soon, cancel := context.WithTimeout(ctx, streamWait)
	defer cancel()
	stream, err := s.conn.OpenStreamSync(soon)
	switch {
	case err == nil:
		return stream, nil
	case soon.Err() != nil && ctx.Err() == nil:
		return nil, &lostError{failure: failuref(causeTimeout, "the server allows no further stream"), full: true}
	}
	return nil, explainQUIC(ctx, "open stream", err)
}

// abort ends the connection for a fault of the server's (RFC 9250 section 4.3.3).
func (s *streams) abort() { _ = s.conn.CloseWithError(doqProtocolError, "") }

func (s *streams) places() int         { return maxQueries }
func (s *streams) late() int           { return 0 }
func (s *streams) idle() time.Duration { return idleAfter }
func (s *streams) close()              { _ = s.conn.CloseWithError(doqNoError, "") }

// explainQUIC tells the end of a query's stream from that of the connection.
func explainQUIC(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return explain(ctx, what, ctx.Err())
	}
	if reset, ok := errors.AsType[*quic.StreamError](err); ok {
		return failuref(causeNetwork, "the server reset the query's stream with the error %s", doqError(uint64(reset.ErrorCode)))
	}
	if invalid, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return explainTLS(ctx, invalid)
	}
	if closed, ok := errors.AsType[*quic.ApplicationError](err); ok {
		return &lostError{failure: failuref(causeNetwork, "the server closed the connection with the error %s", doqError(uint64(closed.ErrorCode)))}
	}
	if silent, ok := errors.AsType[*quic.HandshakeTimeoutError](err); ok {
		return &failure{cause: causeTimeout, text: what + ": no answer", err: silent}
	}
	if what == "connect" {
		return explain(ctx, what, err)
	}
	return &lostError{failure: explain(ctx, what, err)}
}

// doqError names an error code of RFC 9250 section 8.4.
func doqError(code uint64) string {
	names := []string{"DOQ_NO_ERROR", "DOQ_INTERNAL_ERROR", "DOQ_PROTOCOL_ERROR", "DOQ_REQUEST_CANCELLED", "DOQ_EXCESSIVE_LOAD", "DOQ_UNSPECIFIED_ERROR"}
	if code < uint64(len(names)) {
		return names[code]
	}
	return fmt.Sprintf("%#x", code)
}

// quicSocket is a socket connected to one server: the kernel drops what comes from
// elsewhere, and tells where nobody listens. Once there is a connection, only the
// server's packets can end it, not what says that it is gone.
type quicSocket struct {
	udp                *net.UDPConn
	connected, refused atomic.Bool
}

func (s *quicSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, err := s.udp.Read(b)
		if !errors.Is(err, syscall.ECONNREFUSED) || s.refuse() {
			return n, s.udp.RemoteAddr(), err
		}
	}
}

func (s *quicSocket) WriteTo(b []byte, _ net.Addr) (int, error) {
	n, err := s.udp.Write(b)
	if errors.Is(err, syscall.ECONNREFUSED) && !s.refuse() {
		return len(b), nil // lost, as a packet may be
	}
	return n, err
}

// refuse notes that nobody listens there; false once somebody did.
func (s *quicSocket) refuse() bool {
	if s.connected.Load() {
		return false
	}
	s.refused.Store(true)
	return true
}

// SetReadBuffer and SetWriteBuffer take what the kernel gives: the library would
// print that it is not enough.
func (s *quicSocket) SetReadBuffer(octets int) error  { return s.udp.SetReadBuffer(octets) }
func (s *quicSocket) SetWriteBuffer(octets int) error { return s.udp.SetWriteBuffer(octets) }

func (s *quicSocket) Close() error                       { return s.udp.Close() }
func (s *quicSocket) LocalAddr() net.Addr                { return s.udp.LocalAddr() }
func (s *quicSocket) SetDeadline(t time.Time) error      { return s.udp.SetDeadline(t) }
func (s *quicSocket) SetReadDeadline(t time.Time) error  { return s.udp.SetReadDeadline(t) }
func (s *quicSocket) SetWriteDeadline(t time.Time) error { return s.udp.SetWriteDeadline(t) }
