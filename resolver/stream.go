package resolver

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxTCPQueries bounds the queries of one connection.
	maxTCPQueries = 10_000
	// maxPipelined bounds those of them that wait for upstreams at one time: nothing
	// more is read until one is answered.
	maxPipelined = 128
	tcpReadWait  = 5 * time.Second  // for the handshake of TLS, and for the first query
	tcpIdleWait  = 10 * time.Second // for each further query, whole
	// tcpBusyWait is tcpIdleWait while more than half of the places for connections
	// are taken.
	tcpBusyWait  = 2 * time.Second
	tcpWriteWait = 3 * time.Second // for the client to take answers
	// streamBuffer is the memory for what was read and not yet looked at, and for
	// answers that are not sent yet, in octets.
	streamBuffer = 4096
	// maxBacklog bounds the answers, in octets, that wait for a client who does not take
	// them.
	maxBacklog = 512 << 10
)

// stream is a connection that carries messages with a length before each (RFC 1035
// section 4.2.2). One goroutine reads them. It answers what takes no waiting itself; for
// the rest it starts goroutines, and answers go out as they are ready (RFC 7766 section
// 6.2.1.1).
type stream struct {
	raw     net.Conn // the TCP connection
	conn    net.Conn // that, or TLS over it; of the goroutines that serve
	streams *streams
	from    arrival // what all its queries have in common
	in      *bufio.Reader
	queries int // read
	waiting chan struct{}
	pending sync.WaitGroup
	active  atomic.Int64 // when a query came last, in Unix nanoseconds
	busy    atomic.Int32 // queries that wait
	backlog atomic.Int64 // octets of answers that are not written
	over    atomic.Bool  // nothing more is to be read
	closed  atomic.Bool

	sending sync.Mutex // guards out and writing
	out     []byte     // answers that are not written yet
}

// serve reads queries until the client, an error or the server ends it, and returns when
// all are answered.
func (s *stream) serve() {
	defer s.close()
	if !s.greet() {
		return
	}
	msg := make([]byte, maxQuery)
	for wait := s.streams.first; s.queries < s.streams.queries; wait = s.streams.idleWait() {
		n, err := s.read(msg, wait)
		if err != nil || !s.take(msg[:n]) {
			break
		}
	}
	s.pending.Wait()
	_ = s.flush() // the client is told by the end of the connection
}

// greet reads the PROXY header of a balancer, and makes the handshake of TLS where that
// is spoken. Both have the time of one query.
func (s *stream) greet() bool {
	s.in = bufio.NewReaderSize(s.raw, streamBuffer)
	if s.raw.SetDeadline(time.Now().Add(s.streams.first)) != nil || s.over.Load() {
		return false
	}
	if s.streams.resolver.isBalancer(s.from.client.Addr()) && !s.introduced() {
		return false
	}
	if s.streams.tls != nil && !s.shake() {
		return false
	}
	return s.raw.SetDeadline(time.Time{}) == nil
}

// introduced takes who asks from the PROXY header, and reports whether that may connect.
func (s *stream) introduced() bool {
	said, err := readProxy(s.in)
	if err != nil {
		s.streams.count.unproxied.Add(1)
		return false
	}
	if said.source.IsValid() {
		s.from.balancer, s.from.proxy, s.from.forgeable = s.from.client, said.version, said.datagram
		s.from.client, s.from.server = said.source, said.destination
	}
	return s.streams.resolver.admitted(s.from.client.Addr())
}

// shake makes the handshake of TLS.
func (s *stream) shake() bool {
	t := tls.Server(&buffered{Conn: s.raw, in: s.in}, s.streams.tls)
	s.conn = t
	if t.Handshake() != nil {
		s.streams.count.handshakes.Add(1)
		return false
	}
	s.in = bufio.NewReaderSize(t, streamBuffer)
	return true
}

// buffered is a connection of which something may have been read already.
type buffered struct {
	net.Conn
	in *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.in.Read(p) }

// read reads the next message into msg, of which no more is kept than fits. Before it
// waits, it sends what is to be sent.
func (s *stream) read(msg []byte, wait time.Duration) (n int, err error) {
	if !s.complete() {
		if err := s.flush(); err != nil {
			return 0, err
		}
		if err := s.await(wait); err != nil {
			return 0, err
		}
	}
	var length [2]byte
	if _, err := io.ReadFull(s.in, length[:]); err != nil {
		return 0, err
	}
	whole := int(binary.BigEndian.Uint16(length[:]))
	n = min(whole, len(msg))
	if _, err := io.ReadFull(s.in, msg[:n]); err != nil {
		return 0, err
	}
	_, err = s.in.Discard(whole - n)
	return n, err
}

// complete tells whether a whole message was read already.
func (s *stream) complete() bool {
	if s.in.Buffered() < 2 {
		return false
	}
	length, _ := s.in.Peek(2)
	return s.in.Buffered() >= 2+int(binary.BigEndian.Uint16(length))
}

// await sets the time by which the next message must have come whole.
func (s *stream) await(wait time.Duration) error {
	if err := s.raw.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if s.over.Load() { // end came before
		s.end()
	}
	return nil
}

// take answers a message, or has that done. It reports whether the client may go on.
func (s *stream) take(msg []byte) bool {
	now := time.Now()
	s.active.Store(now.UnixNano())
	s.queries++
	h := s.streams.handler
	reply, ok := h.resolver.admits(h.count, s.from.client, msg)
	if !ok {
		if reply != nil {
			_ = s.send(reply)
		}
		return reply != nil && isNotify(msg)
	}
	a := s.from
	a.received, a.atOnce, a.limited = now, true, h.resolver.overLimit(a.client.Addr(), !a.forgeable, now)
	a.idle = uint16(s.streams.idleWait() / (100 * time.Millisecond))
	if s.answer(msg, a) {
		return true
	}
	a.atOnce = false
	select {
	case s.waiting <- struct{}{}:
	default: // what is ready does not wait with it
		if s.flush() != nil {
			return false
		}
		s.waiting <- struct{}{}
	}
	s.busy.Add(1)
	kept := slices.Clone(msg)
	s.pending.Go(func() {
		defer func() {
			s.busy.Add(-1)
			<-s.waiting
		}()
		s.answer(kept, a)
		_ = s.flush()
	})
	return true
}

// answer queues the answer to a message, and reports whether that was possible at once,
// where it is to be.
func (s *stream) answer(msg []byte, a arrival) (done bool) {
	room := s.streams.rooms.Get().(*[streamBuffer]byte)
	defer s.streams.rooms.Put(room)
	answer, waits := s.streams.handler.settle(msg, a, room[:0])
	if waits {
		return false
	}
	if answer != nil {
		_ = s.send(answer)
	}
	return true
}

// send queues an answer, and writes when there is much.
func (s *stream) send(answer []byte) error {
	size := int64(len(answer))
	defer s.backlog.Add(-size)
	if s.backlog.Add(size) > maxBacklog {
		s.streams.count.unsent.Add(1)
		s.abort()
		return errBacklog
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	s.out = binary.BigEndian.AppendUint16(s.out, uint16(len(answer)))
	s.out = append(s.out, answer...)
	if len(s.out) < streamBuffer {
		return nil
	}
	return s.write()
}

var errBacklog = errors.New("the client does not take its answers")

// flush writes the answers that are queued.
func (s *stream) flush() error {
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.write()
}

// write writes what is queued. After a failure nothing can follow: the rest of a
// half-written answer would be read as the next one.
func (s *stream) write() error {
	if len(s.out) == 0 {
		return nil
	}
	err := s.raw.SetWriteDeadline(time.Now().Add(tcpWriteWait))
	if err == nil {
		_, err = s.conn.Write(s.out)
	}
	if s.out = s.out[:0]; cap(s.out) > 4*streamBuffer {
		s.out = nil
	}
	if err != nil {
		s.streams.count.unsent.Add(1)
		s.close()
	}
	return err
}

// end has the stream read nothing more.
func (s *stream) end() {
	s.over.Store(true)
	_ = s.raw.SetReadDeadline(time.Unix(1, 0))
}

// abort closes the connection without a word, for any goroutine.
func (s *stream) abort() { _ = s.raw.Close() }

// close closes the connection, for the goroutines that serve it.
func (s *stream) close() {
	if !s.closed.Swap(true) {
		s.streams.resolver.connections.leave(s)
		_ = s.conn.Close()
	}
}
