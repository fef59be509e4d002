package landing

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// soOriginalDst is SO_ORIGINAL_DST, and IP6T_SO_ORIGINAL_DST (linux/netfilter_ipv4.h,
// linux/netfilter_ipv6/ip6_tables.h).
const soOriginalDst = 80

// original is where a connection went to before netfilter redirected it; the zero AddrPort
// where the kernel follows no connections.
func original(conn *net.TCPConn) (at netip.AddrPort) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return at
	}
	four := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().Is4()
	_ = raw.Control(func(fd uintptr) {
		// The library has no call for these options: these return as many octets.
		if four {
			if got, err := unix.GetsockoptIPv6Mreq(int(fd), unix.SOL_IP, soOriginalDst); err == nil {
				at = inet4(got.Multiaddr)
			}
		} else if got, err := unix.GetsockoptIPv6MTUInfo(int(fd), unix.SOL_IPV6, soOriginalDst); err == nil {
			var port [2]byte
			binary.NativeEndian.PutUint16(port[:], got.Addr.Port)
			at = netip.AddrPortFrom(netip.AddrFrom16(got.Addr.Addr), binary.BigEndian.Uint16(port[:]))
		}
	})
	return at
}

// inet4 reads a struct sockaddr_in.
func inet4(b [16]byte) netip.AddrPort {
	if binary.NativeEndian.Uint16(b[:2]) != unix.AF_INET {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:4]))
}
