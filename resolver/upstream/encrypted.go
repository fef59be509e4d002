package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"
	"go.uber.org/zap"
)

// Names of the encrypted transports: in Reply and Attempt, and as schemes.
const (
	overTLS   = "tls"
	overHTTPS = "https"
	overQUIC  = "quic"
)

// encrypted is the way to one server over TLS, HTTPS or QUIC.
type encrypted struct {
	over    string
	timeout time.Duration
	pool    *pool
	count   lineCounters
}

// configured is the text that an encrypted server is named by.
type configured string

func (c configured) String() string { return string(c) }

// ask sends q to a server over its transport. It may change q's message. It
// returns the transport used last, with an error too.
func (f *Forwarder) ask(ctx context.Context, s *server, q query) (msg []byte, transport string, err error) {
	if s.encrypted != nil {
		msg, err = s.encrypted.exchange(ctx, s, q)
		return msg, s.encrypted.over, err
	}
	return f.plain.exchange(ctx, s, q)
}

// newEncryptedServer makes a server of what stands in the configuration.
func newEncryptedServer(text string, e *encryption) (*server, error) {
	to, err := parseEndpoint(text)
	if err != nil {
		return nil, err
	}
	book, err := e.addresses(to)
	if err != nil {
		return nil, err
	}
	s := &server{name: configured(text), log: e.log.With(zap.String("server", text)), probing: newProbing()}
	s.encrypted = &encrypted{over: to.over, timeout: e.options.Timeout}
	s.encrypted.pool = &pool{
		start: e.works.start, count: &s.encrypted.count, closing: e.closing, timeout: e.options.Timeout * 9 / 10, // so that a query ends with the words of its connection
		quiet:  min(e.options.Timeout/2, hedgeAfter) * 3 / 4, // less than an exchange has patience
		places: maxQueries,
	}
	switch to.over {
	case overTLS:
		s.encrypted.overTLS(to, book, e, &s.counters)
	case overHTTPS:
		s.encrypted.overHTTPS(to, book, e)
	default:
		s.encrypted.overQUIC(to, book, e)
	}
	e.pools = append(e.pools, s.encrypted.pool)
	return s, nil
}

func (e *encrypted) overTLS(to endpoint, book addressBook, shared *encryption, count *counters) {
	d := e.dialTLS(book, shared.config(to.name, "dot"))
	e.pool.open = func(ctx context.Context, lost func()) (line, error) {
		conn, err := d.dial(ctx)
		if err != nil {
			return nil, err
		}
		return newPipe(conn, e.timeout, count, shared.works.start, lost), nil
	}
}

func (e *encrypted) overHTTPS(to endpoint, book addressBook, shared *encryption) {
	d := e.dialTLS(book, shared.config(to.name, "h2", "http/1.1"))
	e.pool.open = func(ctx context.Context, lost func()) (line, error) {
		conn, err := d.dial(ctx)
		if err != nil {
			return nil, err
		}
		return newRequests(to.url, conn, lost), nil
	}
}

func (e *encrypted) overQUIC(to endpoint, book addressBook, shared *encryption) {
	secure, config := shared.config(to.name, "doq"), quicConfig(e.timeout)
	secure.MinVersion = tls.VersionTLS13
	d := &dialer[*quic.Conn]{
		book: book,
		connect: func(ctx context.Context, at netip.AddrPort) (*quic.Conn, error) {
			return connectQUIC(ctx, at, secure, config, &e.count)
		},
		discard: func(c *quic.Conn) { _ = c.CloseWithError(doqNoError, "") },
	}
	e.pool.open = func(ctx context.Context, lost func()) (line, error) {
		conn, err := d.dial(ctx)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(conn.Context(), lost)
		return &streams{conn}, nil
	}
}

func (e *encrypted) dialTLS(book addressBook, config *tls.Config) *dialer[*tls.Conn] {
	return &dialer[*tls.Conn]{
		book: book,
		connect: func(ctx context.Context, at netip.AddrPort) (*tls.Conn, error) {
			return connectTLS(ctx, at, config, &e.count)
		},
		discard: func(c *tls.Conn) { _ = c.Close() },
	}
}

// exchange asks over the server's connections; without EDNS where the server does
// not know it.
func (e *encrypted) exchange(ctx context.Context, s *server, q query) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	if q.opt > 0 && s.withoutEDNS(time.Now()) {
		q = q.withoutOPT()
	}
	msg, err := e.ask(ctx, s, q.padded(e.over == overTLS))
	if err != nil || q.opt == 0 || rcodeOf(msg) != rcodeFormErr || hasOPT(msg) {
		return msg, err
	}
	msg, err = e.ask(ctx, s, q.withoutOPT())
	if err == nil && rcodeOf(msg) != rcodeFormErr {
		s.rememberWithoutEDNS(time.Now())
	}
	return msg, err
}

// ask sends the query once more, on a new connection, if its connection ends
// before the answer.
func (e *encrypted) ask(ctx context.Context, s *server, q query) ([]byte, error) {
	msg, err := e.try(ctx, q, time.Time{})
	if _, lost := errors.AsType[*lostError](err); lost && ctx.Err() == nil {
		e.count.requeried.Add(1)
		msg, err = e.try(ctx, q, time.Now())
	}
	if err != nil {
		return nil, err
	}
	switch q.judge(msg) {
	case mismatched:
		s.counters.mismatched.Add(1)
		return nil, failuref(causeMismatched, "the server replied to another query")
	case malformed:
		s.counters.malformed.Add(1)
		return nil, failuref(causeMalformed, "the server sent %d octets that are no DNS message", len(msg))
	}
	return q.complete(msg), nil
}

// try asks once, on a line opened after since.
func (e *encrypted) try(ctx context.Context, q query, since time.Time) ([]byte, error) {
	l, err := e.pool.take(ctx, since)
	if err != nil {
		return nil, err
	}
	msg, err := l.line.ask(ctx, q)
	e.pool.give(l, err)
	return msg, err
}

func (e *encrypted) stats() ConnectionStats {
	resumed := e.count.resumed.Load() // before Opened, which it is a part of
	return ConnectionStats{
		Open:      e.count.open.Load(),
		Opened:    e.count.opened.Load(),
		Resumed:   resumed,
		Requeried: e.count.requeried.Load(),
		Crowded:   e.count.crowded.Load(),
	}
}

// over is the transport that a server is asked over first.
func (s *server) over() string {
	if s.encrypted != nil {
		return s.encrypted.over
	}
	return overUDP
}
