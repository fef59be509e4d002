package sink

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unconfirmed is how many octets written to a stream the other end's system has not
// acknowledged (TCP), or its program not read (Unix sockets).
func unconfirmed(socket net.Conn) uint64 {
	var n int
	control(socket, func(fd int) {
		if queued, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ); err == nil {
			n = queued
		}
	})
	return uint64(max(n, 0))
}

// loseDead ends a TCP connection whose other end has confirmed nothing for writeWithin.
func loseDead(socket net.Conn) {
	if _, ok := socket.(*net.TCPConn); !ok {
		return
	}
	control(socket, func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(writeWithin.Milliseconds()))
	})
}

func control(socket net.Conn, f func(fd int)) {
	s, ok := socket.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := s.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}
