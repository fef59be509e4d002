package landing

import (
	"net"
	"net/netip"
)

func unmapped(a net.Addr) netip.AddrPort {
	at := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// destination is where the client connected to: before a redirection, where the system
// tells.
func destination(conn *net.TCPConn) netip.AddrPort {
	if at := original(conn); at.IsValid() && at.Port() != 0 {
		return at
	}
	return unmapped(conn.LocalAddr())
}
