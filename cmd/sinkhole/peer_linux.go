package main

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerUser is the user at the other end of a Unix socket (SO_PEERCRED): the one
// that the process had when it connected.
func peerUser(c net.Conn) string {
	socket, ok := c.(*net.UnixConn)
	if !ok {
		return "unknown"
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return "unknown"
	}
	name := "unknown"
	err = raw.Control(func(fd uintptr) {
		if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			name = userName(int(peer.Uid))
		}
	})
	if err != nil {
		return "unknown"
	}
	return name
}
