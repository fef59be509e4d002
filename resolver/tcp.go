package resolver

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxConnections bounds the open TCP connections of all listeners, if the
	// process may have four times as many descriptors: a quarter is theirs, so
	// that upstreams, lists and journal always find some.
	maxConnections = 4000
	minConnections = 64
	// maxTCPQueries bounds the queries of one connection.
	maxTCPQueries = 10_000
	tcpReadWait   = 5 * time.Second  // for the first query
	tcpIdleWait   = 10 * time.Second // for each further one
	tcpWriteWait  = 3 * time.Second  // for the client to take an answer
	// acceptPause is how long no connection is accepted while there are no
	// descriptors or buffers.
	acceptPause = 50 * time.Millisecond
)

// tcpListener bounds what connections can cost.
type tcpListener struct {
	net.Listener
	resolver *Resolver
}

// connectionLimit is the bound on open TCP connections.
func connectionLimit() int64 {
	return max(min(descriptors()/4, maxConnections), minConnections)
}

// Accept gives the next connection of a client that may connect. Where clients
// outside the ACL get REFUSED, that is for the reader to tell them.
func (l *tcpListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if exhausted(err) {
			time.Sleep(acceptPause)
			continue
		}
		if err != nil {
			return nil, err
		}
		s := l.resolver.settings.Load()
		if s.DropOthers && !s.allowed(addrPort(c.RemoteAddr()).Addr()) {
			l.resolver.count.ignored.Add(1)
			c.Close()
			continue
		}
		if l.resolver.connections.Add(1) > l.resolver.connectionLimit {
			l.resolver.connections.Add(-1)
			l.resolver.count.crowded.Add(1)
			c.Close()
			continue
		}
		return &tcpConn{Conn: c, listener: l}, nil
	}
}

// exhausted tells whether a connection could not be accepted for want of
// something that comes back. The library would try again at once and for ever,
// or give up for good.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// tcpConn is a connection whose client must take its answers in time.
type tcpConn struct {
	net.Conn
	listener *tcpListener
	closed   atomic.Bool
}

func (c *tcpConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(tcpWriteWait)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	if err != nil {
		_ = c.Close() // the rest of a half-written answer would be read as the next one
	}
	return n, err
}

func (c *tcpConn) Close() error {
	if !c.closed.Swap(true) {
		c.listener.resolver.connections.Add(-1)
	}
	return c.Conn.Close()
}

// tcpReader makes the client check on each query of a connection.
type tcpReader struct {
	dns.Reader
	handler *handler
}

var errProhibited = errors.New("client may not ask")

func (t tcpReader) ReadTCP(c net.Conn, wait time.Duration) ([]byte, error) {
	query, err := t.Reader.ReadTCP(c, wait)
	if err != nil {
		return nil, err
	}
	reply, ok := t.handler.resolver.admits(t.handler.count, addrPort(c.RemoteAddr()), query)
	if ok {
		return query[:min(len(query), maxQuery)], nil
	}
	if reply != nil {
		_, _ = c.Write(append([]byte{byte(len(reply) >> 8), byte(len(reply))}, reply...))
	}
	return nil, errProhibited
}
