package upstream

import (
	"context"
	"syscall"
)

const (
	minSockets = 64
	maxSockets = 4096
)

// sockets bounds the descriptors that attempts hold: each attempt has one place
// and one socket at a time.
type sockets chan struct{}

// newSockets leaves at least half of the process's descriptors to others.
func newSockets() sockets {
	n := maxSockets
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil {
		n = int(min(limit.Cur/2, maxSockets))
	}
	return make(sockets, max(n, minSockets))
}

func (s sockets) take(ctx context.Context) bool {
	select {
	case s <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s sockets) tryTake() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s sockets) give() { <-s }
