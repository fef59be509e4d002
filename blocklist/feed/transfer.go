package feed

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// session is one connection to a primary. Its methods are for one goroutine.
type session struct {
	zone   *zone
	bounds Bounds
	peer   string // for messages
	conn   net.Conn
	in     *bufio.Reader
	pace   *pace // set while a transfer runs
	cancel context.CancelCauseFunc

	ctx     context.Context
	release func() bool // of the watch on ctx

	received int64 // octets of messages
	buf      []byte
	wire     []byte // of the record under way
}

// errNoIncrement is a primary that does not send increments, or none now: the
// whole zone is to be asked for.
var errNoIncrement = errors.New("no increment to be had")

// errUnbelieved is an answer without the signature that it should have.
var errUnbelieved = errors.New("the answer is not believed")

// refusedError is a response code that is not NOERROR.
type refusedError struct {
	code    int
	message string
}

func (e *refusedError) Error() string { return e.message }

// dialFunc connects to an address.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// connect opens a session, which ends with ctx at the latest.
func connect(ctx context.Context, dial dialFunc, z *zone, address string, conf *tls.Config, b Bounds) (*session, error) {
	s := &session{zone: z, bounds: b, peer: address}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	dialing, done := context.WithTimeout(s.ctx, b.Connect)
	defer done()
	conn, err := dial(dialing, "tcp", address)
	if err != nil {
		s.cancel(nil)
		return nil, fmt.Errorf("cannot be reached: %w", err)
	}
	s.conn = conn
	if conf != nil {
		secure := tls.Client(conn, conf)
		if err := s.handshake(secure); err != nil {
			conn.Close()
			s.cancel(nil)
			return nil, err
		}
		s.conn = secure
	}
	s.in = bufio.NewReaderSize(readerOf(s.read), 64<<10)
	s.release = context.AfterFunc(s.ctx, func() { conn.Close() })
	return s, nil
}

func (s *session) handshake(conn *tls.Conn) error {
	ctx, done := context.WithTimeout(s.ctx, s.bounds.Connect)
	defer done()
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS (certificate expected for %s): %w", s.zone.tlsName, err)
	}
	if conn.ConnectionState().NegotiatedProtocol != "dot" {
		return errors.New(`TLS: the server does not speak DNS ("dot" in ALPN, RFC 9103 section 7.1): look at the port`)
	}
	return nil
}

type readerOf func([]byte) (int, error)

func (f readerOf) Read(p []byte) (int, error) { return f(p) }

func (s *session) read(p []byte) (int, error) {
	if s.pace != nil {
		return s.pace.Read(p)
	}
	return s.conn.Read(p)
}

// close may be called more than once.
func (s *session) close() {
	s.release()
	s.conn.Close()
	s.cancel(nil)
}

// soa asks for the SOA record of the zone.
func (s *session) soa() (record, error) {
	reply, err := s.ask(typeSOA, nil)
	if err != nil {
		return record{}, err
	}
	m, err := reply.next()
	if err == nil {
		err = reply.whole()
	}
	if err != nil {
		return record{}, err
	}
	if m.flags&flagAA == 0 {
		return record{}, fmt.Errorf("is not authoritative for the zone %s: correct the source, or have a look at why the primary has no such zone", s.zone.text())
	}
	at := m.at
	for range m.answers {
		_, r, next, err := appendRecord(nil, m.raw, at)
		if err != nil {
			return record{}, malformed(err)
		}
		if at = next; r.kind() == typeSOA && r.class() == classIN && string(r.name()) == string(s.zone.apex) {
			return r, nil
		}
	}
	return record{}, fmt.Errorf("has no SOA record at %s: there is no such zone, correct the source", s.zone.text())
}

// transfer asks for the zone, as an increment if a.increment is set, and hands
// the records to the assembly until it has ended.
func (s *session) transfer(a *assembly, have record) error {
	kind, authority := uint16(typeAXFR), []byte(nil)
	if a.increment {
		kind, authority = typeIXFR, have.wire
	}
	reply, err := s.ask(kind, authority)
	if err != nil {
		return err
	}
	defer s.endPace()
	for !a.ended() {
		m, err := reply.next()
		if refused, ok := errors.AsType[*refusedError](err); ok && a.increment {
			return fmt.Errorf("%w: %w", errNoIncrement, refused)
		}
		if err != nil {
			return err
		}
		if m.answers == 0 {
			return errors.New("sent a message without records, expected the next ones of the zone")
		}
		s.beginPace()
		if err := s.hand(m, a); err != nil {
			return err
		}
	}
	return reply.whole()
}

// hand takes the records of one message.
func (s *session) hand(m *message, a *assembly) error {
	at := m.at
	for range m.answers {
		var r record
		var err error
		s.wire, r, at, err = appendRecord(s.wire[:0], m.raw, at)
		if err != nil {
			return malformed(err)
		}
		if err := a.take(r); err != nil {
			return err
		}
	}
	return nil
}

func malformed(err error) error { return fmt.Errorf("sent a message that %w", err) }

func (s *session) beginPace() {
	if s.pace == nil {
		_ = s.conn.SetReadDeadline(time.Time{})
		s.pace = newPace(s.conn, s.bounds, s.cancel, func(int64) {})
	}
}

func (s *session) endPace() {
	if s.pace != nil {
		s.pace.stop()
		s.pace = nil
	}
}

// answer is what comes upon one query.
type answer struct {
	session  *session
	id       uint16
	question []byte
	tsig     *tsigStream // nil: not signed
	first    bool
}

// ask sends a query. The authority, if there is one, is a record.
func (s *session) ask(kind uint16, authority []byte) (*answer, error) {
	q := make([]byte, 2+headerSize, 512)
	_, _ = rand.Read(q[2:4]) // never fails
	binary.BigEndian.PutUint16(q[2+4:], 1)
	q = append(q, s.zone.apex...)
	q = binary.BigEndian.AppendUint16(q, kind)
	q = binary.BigEndian.AppendUint16(q, classIN)
	a := &answer{session: s, id: binary.BigEndian.Uint16(q[2:]), question: q[2+headerSize:], first: true}
	if authority != nil {
		binary.BigEndian.PutUint16(q[2+8:], 1)
		q = append(q, authority...)
	}
	if key := s.zone.key; key != nil {
		signed, mac := key.sign(q[2:], nil, time.Now())
		a.tsig = key.stream(mac)
		q = append(q[:2], signed...)
	}
	binary.BigEndian.PutUint16(q, uint16(len(q)-2))
	deadline := time.Now().Add(s.bounds.Header)
	_ = s.conn.SetDeadline(deadline) // a failure shows in what follows
	if _, err := s.conn.Write(q); err != nil {
		return nil, s.broken(err)
	}
	return a, nil
}

// next reads the next message and checks all of it but the records. It is valid
// until the following call.
func (a *answer) next() (*message, error) {
	raw, err := a.session.message()
	if err != nil {
		return nil, err
	}
	m, err := readMessage(raw)
	if err != nil {
		return nil, malformed(err)
	}
	switch {
	case m.id != a.id:
		return nil, errors.New("sent a message with another ID than that of the question")
	case m.flags&flagQR == 0 || m.opcode() != 0:
		return nil, errors.New("sent a message that is no answer")
	case m.flags&flagTC != 0:
		return nil, errors.New("sent a message that is cut short (TC), which cannot be over TCP")
	// Errors may come without a question, and so may all messages but the first.
	case (m.question != nil || a.first && m.rcode() == 0) && string(m.question) != string(a.question):
		return nil, errors.New("sent a message that answers another question")
	}
	if err := a.prove(m); err != nil {
		return nil, err
	}
	if m.rcode() != 0 {
		return nil, a.session.refused(m.rcode())
	}
	a.first = false
	return m, nil
}

// prove checks the signature. A refusal that is not signed is told as what it
// is.
func (a *answer) prove(m *message) error {
	if a.tsig == nil {
		return nil
	}
	err := a.tsig.message(m, time.Now())
	if err == nil {
		return nil
	}
	if m.rcode() != 0 && m.tsig == nil {
		return a.session.refused(m.rcode())
	}
	return fmt.Errorf("%w: %w", errUnbelieved, err)
}

// whole tells whether all that came is proven.
func (a *answer) whole() error {
	if a.tsig == nil {
		return nil
	}
	if err := a.tsig.whole(); err != nil {
		return fmt.Errorf("%w: %w", errUnbelieved, err)
	}
	return nil
}

func (s *session) refused(code int) error {
	message := fmt.Sprintf("answered %s, expected NOERROR", rcodeText(code))
	switch {
	case (code == 5 || code == 9) && s.zone.key == nil:
		message += fmt.Sprintf(": let the primary's allow-transfer name this machine's address, or set tsig; if it has no zone %s, correct the source", s.zone.text())
	case code == 5 || code == 9:
		message += fmt.Sprintf(": let the primary's allow-transfer name the key %s; if it has no zone %s, correct the source", s.zone.key.shown, s.zone.text())
	case code == 3:
		message += ": there is no such zone, correct the source"
	}
	return &refusedError{code, message}
}

// message reads one message with its length before it, RFC 1035 section 4.2.2.
func (s *session) message() ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(s.in, length[:]); err != nil {
		return nil, s.broken(err)
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if s.received += int64(n); s.received > s.zone.Limits.Text {
		return nil, fmt.Errorf("sent more than %s, expected at most that much", size(s.zone.Limits.Text))
	}
	if cap(s.buf) < n {
		s.buf = make([]byte, maxMessage)
	}
	s.buf = s.buf[:n]
	if _, err := io.ReadFull(s.in, s.buf); err != nil {
		return nil, s.broken(err)
	}
	return s.buf, nil
}

// brokenError is a connection that did not hold.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// broken words the end of a connection.
func (s *session) broken(err error) error {
	switch {
	case s.ctx.Err() != nil:
		err = fmt.Errorf("the transfer was ended: %w", context.Cause(s.ctx))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the connection was closed before the answer was whole")
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("no answer within %s", s.bounds.Header)
	default:
		err = fmt.Errorf("the connection broke: %w", err)
	}
	return &brokenError{err}
}
