package resolver

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// tlsListener bounds what connections of DNS over HTTPS can cost.
type tlsListener struct {
	*net.TCPListener
	resolver *Resolver
}

// Accept gives the next connection of a client that may connect.
func (l *tlsListener) Accept() (net.Conn, error) {
	for {
		c, err := l.TCPListener.Accept()
		if exhausted(err) {
			time.Sleep(acceptPause)
			continue
		}
		if err != nil {
			return nil, err
		}
		client := endpoint(c.RemoteAddr()).Addr()
		if l.resolver.isBalancer(client) {
			c = &balancedConn{Conn: c, resolver: l.resolver}
		} else if !l.resolver.admitted(client) {
			c.Close()
			continue
		}
		g := l.resolver.encrypted.tls.enter(client)
		if g == nil {
			c.Close()
			continue
		}
		return &guestConn{Conn: c, guest: g}, nil
	}
}

// guestConn is a connection that is counted until it is closed.
type guestConn struct {
	net.Conn
	guest  *guest
	closed sync.Once
}

func (c *guestConn) Close() error {
	c.closed.Do(c.guest.leave)
	return c.Conn.Close()
}

// guestOf is the guest of a connection with TLS.
func guestOf(c net.Conn) *guest {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	if counted, ok := c.(*guestConn); ok {
		return counted.guest
	}
	return nil
}
