package resolver

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wantedBuffer is the receive buffer asked for, in octets: it bridges the
// moments in which the process is not scheduled.
const wantedBuffer = 8 << 20

// raiseBuffer raises the receive buffer as far as the kernel permits, past
// net.core.rmem_max where the process has CAP_NET_ADMIN. It returns the size in
// force; the kernel counts its own overhead in, twice what was asked.
func raiseBuffer(c controller) (size int) {
	control(c, func(fd int) {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, wantedBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, wantedBuffer)
		}
		size, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	})
	return size
}

// keepWhole has the kernel send every answer in one piece, whatever an ICMP message says
// of the way (RFC 9715 section 3.1): a forged one could otherwise have answers cut into
// fragments, of which others can replace the second. The longest answer passes where
// IPv6 passes.
func keepWhole(c controller) {
	control(c, func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
	})
}

// sharePort lets several sockets have one address. The kernel gives each client,
// by addresses and ports, to one of them.
func sharePort(c controller) (err error) {
	controlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return errors.Join(controlErr, err)
}

// waiting is how many octets the queries take that the kernel holds.
func (p *packetConn) waiting() int {
	return int(readMemory(p.datagrams)[memReceive])
}

// kernelDrops is how many datagrams the kernel dropped for want of buffer.
func kernelDrops(c controller) uint64 {
	return uint64(readMemory(c)[memDrops])
}

// memory is what SO_MEMINFO tells of a socket, by the indexes of
// linux/sock_diag.h.
type memory [memDrops + 1]uint32

const (
	memReceive = 0 // SK_MEMINFO_RMEM_ALLOC
	memDrops   = 8 // SK_MEMINFO_DROPS
)

// readMemory gives zeros where the kernel does not tell.
func readMemory(c controller) (m memory) {
	control(c, func(fd int) {
		size := uint32(unsafe.Sizeof(m))
		_, _, _ = unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&m)), uintptr(unsafe.Pointer(&size)), 0)
	})
	return m
}

func control(c controller, fn func(fd int)) {
	_ = c.Control(func(fd uintptr) { fn(int(fd)) })
}

// descriptors is how many files and sockets the process may have open.
func descriptors() int64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int64(min(limit.Cur, 1<<31))
}
