//go:build !linux

package resolver

// Elsewhere than on Linux the system's own limits hold, and it does not tell
// what it drops.

// raiseBuffer does nothing: the system does not tell the size in force.
func raiseBuffer(controller) int { return 0 }

// keepWhole does nothing.
func keepWhole(controller) {}

func (p *packetConn) waiting() int { return 0 }

func kernelDrops(controller) uint64 { return 0 }

// descriptors is a cautious guess.
func descriptors() int64 { return 1024 }

// sharePort does nothing: there is one socket for an address.
func sharePort(controller) error { return nil }
