//go:build !linux

package landing

import (
	"net"
	"net/netip"
)

func original(*net.TCPConn) netip.AddrPort { return netip.AddrPort{} }
