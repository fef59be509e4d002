package resolver

import (
	"bufio"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// balancedConn is a connection of a balancer to a server that is not ours to greet it:
// the PROXY header is read when somebody first wants to know, or read, something, and
// its ends are then those that the header names.
type balancedConn struct {
	net.Conn
	resolver *Resolver
	once     sync.Once
	in       *bufio.Reader
	said     proxied
	fault    error
}

func (c *balancedConn) introduce() {
	c.once.Do(func() {
		c.in = bufio.NewReaderSize(c.Conn, streamBuffer)
		if c.fault = c.SetReadDeadline(time.Now().Add(queryWait)); c.fault == nil {
			c.said, c.fault = readProxy(c.in)
		}
		if c.fault != nil {
			c.resolver.count.unproxied.Add(1)
			return
		}
		_ = c.SetReadDeadline(time.Time{})
		if c.said.source.IsValid() && !c.resolver.admitted(c.said.source.Addr()) {
			c.fault = errProxy
		}
	})
}

func (c *balancedConn) Read(b []byte) (int, error) {
	if c.introduce(); c.fault != nil {
		return 0, c.fault
	}
	return c.in.Read(b)
}

// RemoteAddr is the client.
func (c *balancedConn) RemoteAddr() net.Addr {
	if c.introduce(); c.said.source.IsValid() {
		return net.TCPAddrFromAddrPort(c.said.source)
	}
	return c.Conn.RemoteAddr()
}

// LocalAddr is the address that the client asked.
func (c *balancedConn) LocalAddr() net.Addr {
	if c.introduce(); c.said.source.IsValid() {
		return net.TCPAddrFromAddrPort(c.said.destination)
	}
	return c.Conn.LocalAddr()
}

// relay adds to an arrival the balancer that a connection came from.
func (a *arrival) relay(c net.Conn) {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	if counted, ok := c.(*guestConn); ok {
		c = counted.Conn
	}
	if b, ok := c.(*balancedConn); ok && b.said.source.IsValid() {
		a.balancer, a.proxy, a.forgeable = endpoint(b.Conn.RemoteAddr()), b.said.version, b.said.datagram
	}
}
