//go:build !linux

package resolver

import "net"

// Elsewhere than on Linux the system's own limits hold, and it does not tell
// what it drops.

func raiseBuffer(c *net.UDPConn) int {
	const wanted = 1 << 20
	if c.SetReadBuffer(wanted) != nil {
		return 0
	}
	return wanted
}

func (p *packetConn) waiting() int { return 0 }

func kernelDrops(*net.UDPConn) uint64 { return 0 }

// descriptors is a cautious guess.
func descriptors() int64 { return 1024 }
