package landing

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"sinkhole/hits"
)

const (
	// maxConnections bounds the open ones, together with an eighth of the descriptors that
	// the process may have.
	maxConnections = 4096
	// maxOfClient bounds those of one client: an IPv4 address, a /64 of IPv6.
	maxOfClient = 16
	// acceptAgain is the pause after a failed accept, such as for want of descriptors.
	acceptAgain = 50 * time.Millisecond
)

func maxOpen() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return maxConnections
	}
	return int(max(1, min(maxConnections, limit.Cur/8)))
}

// gate counts who is in.
type gate struct {
	max int

	mu      sync.Mutex
	open    int
	clients map[netip.Prefix]int
}

// clientOf is what counts as one client.
func clientOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // fits the family
	return p
}

// enter tells whether there is room, and if not, whose bound is reached.
func (g *gate) enter(client netip.Prefix) (ok, ofClient bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.clients[client] >= maxOfClient {
		return false, true
	}
	if g.open >= g.max {
		return false, false
	}
	g.open++
	g.clients[client]++
	return true, false
}

func (g *gate) leave(client netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if g.clients[client]--; g.clients[client] == 0 {
		delete(g.clients, client)
	}
}

func (l *Landing) accept(t *net.TCPListener) {
	for {
		conn, err := t.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if l.count.acceptErrors.Add(1) == 1 {
				l.o.Logger.Warn("a connection to the landing could not be accepted", zap.Stringer("address", t.Addr()), zap.Error(err))
			}
			select {
			case <-l.stop:
				return
			case <-time.After(acceptAgain):
			}
			continue
		}
		l.admit(conn)
	}
}

// admit serves a connection, or closes it at once.
func (l *Landing) admit(conn *net.TCPConn) {
	l.count.accepted.Add(1)
	client := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
	counted := clientOf(client)
	ok, ofClient := l.gate.enter(counted)
	if !ok {
		if ofClient {
			l.count.refusedOfClient.Add(1)
		} else {
			l.count.refusedInAll.Add(1)
		}
		_ = conn.SetLinger(0) // nothing of it stays
		conn.Close()
		return
	}
	if !l.hold(conn) {
		l.gate.leave(counted)
		conn.Close()
		return
	}
	l.count.open.Add(1)
	l.serving.Go(func() {
		defer func() {
			conn.Close()
			l.letGo(conn)
			l.gate.leave(counted)
			l.count.open.Add(^uint64(0))
		}()
		if c := l.guarded(conn); c != nil {
			l.ledger.add(c)
		}
	})
}

// guarded is visit; nil after a fault in the program, which must not end the answers to
// queries.
func (l *Landing) guarded(conn *net.TCPConn) (c *hits.Connection) {
	defer func() {
		if fault := recover(); fault != nil {
			c = nil
			l.count.faults.Add(1)
			l.o.Logger.Error("a fault in the program ended a connection to the landing: report it", zap.Any("fault", fault), zap.Stack("stack"))
		}
	}()
	return l.visit(conn)
}

// hold notes a connection for Close, unless it has been called.
func (l *Landing) hold(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		return false
	}
	l.open[conn] = struct{}{}
	return true
}

func (l *Landing) letGo(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, conn)
}
