package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"go.uber.org/zap"

	"sinkhole/hits"
	"sinkhole/resolver/wire"
)

// The error codes of RFC 9250 section 4.3 that a server gives.
const (
	doqNoError       = 0x0
	doqInternalError = 0x1
	doqProtocolError = 0x2
	doqExcessiveLoad = 0x4
)

// QUICListener serves DNS over QUIC (RFC 9250) on one address.
type QUICListener struct {
	addr   netip.AddrPort
	quic   *quicServer
	answer *handler
	fail   chan error
	ending sync.Once
}

// ListenQUIC binds an address; port 0 takes a free one. dualStack is as for Listen.
// Of sockets that are given it takes one. Nothing is read before Serve.
func (r *Resolver) ListenQUIC(addr netip.AddrPort, dualStack bool, given []*net.UDPConn, certify Certify) (*QUICListener, error) {
	const noUniStreams = -1 // a client that opens one is fatally wrong (section 4.3.3)
	s, err := r.listenQUIC(network("udp", addr, dualStack), addr, given, serverTLS(certify, "doq"), noUniStreams)
	if err != nil {
		return nil, err
	}
	l := &QUICListener{addr: boundTo(addr, s), quic: s, answer: r.handler(hits.DoQ, queueShare), fail: make(chan error, 1)}
	s.serve = l.converse
	r.log.Info("listening", zap.Stringer("quic", l.addr))
	return l, nil
}

// boundTo is the address that was asked for, with the port that was given.
func boundTo(addr netip.AddrPort, s *quicServer) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr(), endpoint(s.socket.LocalAddr()).Port())
}

// Addr is the address that is served.
func (l *QUICListener) Addr() netip.AddrPort { return l.addr }

// Serve starts to answer. An error after that comes over Failed. It is called once.
func (l *QUICListener) Serve() {
	l.quic.serving(func(err error) { l.fail <- fmt.Errorf("serving DNS over QUIC on %s: %w", l.addr, err) })
}

// Failed gives the error of a server that stopped by itself.
func (l *QUICListener) Failed() <-chan error { return l.fail }

// Shutdown answers what was read, and closes connections and socket. When ctx ends
// first it closes them at once. Only the first call does anything.
func (l *QUICListener) Shutdown(ctx context.Context) (err error) {
	l.ending.Do(func() {
		if err = l.quic.shutdown(ctx); err != nil {
			err = fmt.Errorf("closing %s: %w", l.addr, err)
		}
	})
	return err
}

// converse answers the queries of a connection, each on a stream of its own.
func (l *QUICListener) converse(ctx context.Context, c *quic.Conn, g *guest) quic.ApplicationErrorCode {
	l.quic.streams(ctx, c, g,
		func(s *quic.Stream) { l.stream(c, s) },
		func(s *quic.Stream) { abandon(s, doqExcessiveLoad) })
	return doqNoError
}

func abandon(s *quic.Stream, code quic.StreamErrorCode) {
	s.CancelRead(code)
	s.CancelWrite(code)
}

// stream answers the query of one stream. What RFC 9250 section 4.3.3 calls a protocol
// error ends the connection.
func (l *QUICListener) stream(c *quic.Conn, s *quic.Stream) {
	e := l.quic.resolver.encrypted
	defer func() {
		if l.answer.faulty(recover(), "DNS over QUIC connection closed") {
			_ = c.CloseWithError(doqInternalError, "")
		}
	}()
	msg, err := readDoQ(s)
	var violation doqViolation
	switch {
	case errors.As(err, &violation):
		e.violated.Add(1)
		_ = c.CloseWithError(doqProtocolError, string(violation))
		return
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.stalled.Add(1)
		abandon(s, doqExcessiveLoad)
		return
	case err != nil: // the client has given up the query, or the connection
		abandon(s, doqNoError)
		return
	}
	answer, ok := l.answer.whole(msg, l.answer.arrived(endpoint(c.RemoteAddr()), endpoint(c.LocalAddr())), make([]byte, 0, 1024))
	switch {
	case answer == nil && !ok:
		_ = c.CloseWithError(doqNoError, "")
		return
	case answer == nil:
		s.CancelWrite(doqNoError)
		return
	}
	// A client that may not ask keeps its connection: closing it would take back what
	// was not yet sent, and its next query is refused as this one was.
	_ = s.SetWriteDeadline(time.Now().Add(takeWait))
	if _, err := s.Write(append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(answer)), uint16(len(answer))), answer...)); err != nil {
		l.answer.count.unsent.Add(1)
		s.CancelWrite(doqNoError)
		return
	}
	_ = s.Close()
}

// doqViolation is what a client did that RFC 9250 does not allow.
type doqViolation string

func (v doqViolation) Error() string { return string(v) }

// readDoQ reads the one query of a stream (section 4.2), of which maxQuery octets are
// kept, and the end of the stream.
func readDoQ(s io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(s, length[:]); err != nil {
		return nil, cutShort(err)
	}
	left := int64(binary.BigEndian.Uint16(length[:]))
	msg := make([]byte, min(left, maxQuery))
	if _, err := io.ReadFull(s, msg); err != nil {
		return nil, cutShort(err)
	}
	if _, err := io.CopyN(io.Discard, s, left-int64(len(msg))); err != nil {
		return nil, cutShort(err)
	}
	switch n, err := io.ReadFull(s, length[:1]); {
	case n > 0:
		return nil, doqViolation("more than one query on a stream")
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	return msg, lawful(msg)
}

// cutShort makes a violation of a stream that ends within its query.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return doqViolation("a stream ended before its query")
	}
	return err
}

// lawful holds a message to what DNS over QUIC asks beyond DNS (sections 4.2.1 and 5.5.2).
func lawful(msg []byte) error {
	switch {
	case len(msg) < wire.HeaderLen:
		return doqViolation("a message shorter than its header")
	case wire.Flags(msg)&wire.QR != 0:
		return doqViolation("a response where a query belongs")
	case wire.ID(msg) != 0:
		return doqViolation("a message ID other than 0")
	case wire.HasOption(msg, wire.OptionKeepalive):
		return doqViolation("an edns-tcp-keepalive option")
	}
	return nil
}
