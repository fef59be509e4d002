package upstream

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"
)

// tcp sends each query over a connection of its own.
type tcp struct {
	timeout time.Duration
}

// exchange sends q under a fresh ID and reads one message, which must be the
// reply to it: on a connection of our own nothing else can arrive by accident.
func (t *tcp) exchange(ctx context.Context, s *server, q query) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", s.addr.String())
	if err != nil {
		return nil, explain(ctx, "connect", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	q.setID(randomID())
	// One write, so that length and message share a segment (RFC 7766 section 8).
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(q.msg)), uint16(len(q.msg)))
	if _, err := conn.Write(append(framed, q.msg...)); err != nil {
		return nil, explain(ctx, "send", err)
	}
	msg, err := readMessage(ctx, conn)
	if err != nil {
		return nil, err
	}
	switch q.judgeAt(s, msg, time.Now()) {
	case unproven: // what comes here is nobody else's: the server knows no cookies any more
		s.proofs.refuseCookies(time.Now())
	case badCookie:
		s.proofs.refuseCookies(time.Now())
		return nil, failuref(causeNetwork, "the server refused its own cookie")
	case miscased:
		return nil, errMiscased
	case mismatched:
		s.counters.mismatched.Add(1)
		return nil, failuref(causeMismatched, "the server replied to another query")
	case malformed:
		s.counters.malformed.Add(1)
		return nil, failuref(causeMalformed, "the server sent %d octets that are no DNS message", len(msg))
	}
	return q.complete(msg), nil
}

// readMessage reads one message with its length before it. Its error is a *failure.
func readMessage(ctx context.Context, conn io.Reader) ([]byte, error) {
	var length [2]byte
	n, err := io.ReadFull(conn, length[:])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, failuref(causeNetwork, "the server closed the connection after %d octets, expected a reply", n)
	}
	if err != nil {
		return nil, explain(ctx, "receive", err)
	}
	announced := int(binary.BigEndian.Uint16(length[:]))
	if announced < headerLen {
		return nil, failuref(causeMalformed, "the server announced a message of %d octets, expected at least %d", announced, headerLen)
	}
	msg := make([]byte, announced)
	n, err = io.ReadFull(conn, msg)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, failuref(causeNetwork, "the server announced a message of %d octets and closed the connection after %d", announced, n)
	}
	if err != nil {
		f := explain(ctx, "receive", err)
		if f.cause == causeTimeout {
			f = failuref(causeTimeout, "the server announced a message of %d octets and sent only %d", announced, n)
		}
		return nil, f
	}
	return msg, nil
}
