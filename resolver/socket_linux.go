package resolver

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wantedBuffer is the receive buffer asked for, in octets: it bridges the
// moments in which the process is not scheduled.
const wantedBuffer = 8 << 20

// raiseBuffer raises the receive buffer as far as the kernel permits, past
// net.core.rmem_max where the process has CAP_NET_ADMIN. It returns the size in
// force; the kernel counts its own overhead in, twice what was asked.
func raiseBuffer(c *net.UDPConn) (size int) {
	control(c, func(fd int) {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, wantedBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, wantedBuffer)
		}
		size, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	})
	return size
}

// waiting is how many octets of queries the kernel holds.
func (p *packetConn) waiting() (octets int) {
	control(p.UDPConn, func(fd int) { octets, _ = unix.IoctlGetInt(fd, unix.SIOCINQ) })
	return octets
}

// kernelDrops is how many datagrams the kernel dropped for want of buffer.
func kernelDrops(c *net.UDPConn) (drops uint64) {
	const drop = 8 // SK_MEMINFO_DROPS of linux/sock_diag.h
	control(c, func(fd int) {
		var info [drop + 1]uint32
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno == 0 {
			drops = uint64(info[drop])
		}
	})
	return drops
}

func control(c syscall.Conn, fn func(fd int)) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { fn(int(fd)) })
}
