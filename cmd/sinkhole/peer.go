package main

import (
	"fmt"
	"net"
	"os/user"
	"strconv"
)

// peerListener gives connections whose remote address is the user at the other
// end, as the system vouches for it: what is decided over the control socket is
// recorded with who decided. The environment of a command (SUDO_USER) is not
// asked, since anybody can write there.
type peerListener struct{ net.Listener }

// Accept implements [net.Listener].
func (l peerListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return peerConn{c, peerAddr(peerUser(c))}, nil
}

type peerConn struct {
	net.Conn
	user peerAddr
}

// RemoteAddr implements [net.Conn].
func (c peerConn) RemoteAddr() net.Addr { return c.user }

// peerAddr is the user at the other end of a Unix socket.
type peerAddr string

// Network implements [net.Addr].
func (peerAddr) Network() string { return "unix" }

// String implements [net.Addr].
func (a peerAddr) String() string { return string(a) }

// userName names a user by its number.
func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil && u.Username != "" {
		return u.Username
	}
	return fmt.Sprintf("uid %d", uid)
}
