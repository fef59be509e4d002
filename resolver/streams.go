package resolver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sinkhole/hits"
)

const (
	// maxConnections bounds the open TCP connections of all listeners without HTTP, if
	// the process may have four times as many descriptors; those with HTTP have as many
	// more, and upstreams, lists and journal always find some.
	maxConnections = 4000
	minConnections = 64
	// maxOfClient bounds those of one client: an IPv4 address, or an IPv6 prefix of
	// clientBits6. Those of a balancer are of many, and it bounds its own.
	maxOfClient = 256
	clientBits6 = 56
	// idlest is how long a connection must have been silent to be closed for one that
	// comes when all places are taken.
	idlest = time.Second
	// acceptPause is how long no connection is accepted while there are no
	// descriptors or buffers.
	acceptPause = 50 * time.Millisecond
)

// streams accepts the connections of one address, and serves them.
type streams struct {
	net.Listener
	resolver *Resolver
	handler  *handler
	count    *counters
	tls      *tls.Config // nil: plain TCP
	rooms    sync.Pool   // *[streamBuffer]byte, of answers
	ended    atomic.Bool
	serving  sync.WaitGroup
	accepts  sync.WaitGroup // accept

	queries           int           // bound for one connection
	first, next, busy time.Duration // waits for a query: tcpReadWait, tcpIdleWait, tcpBusyWait
}

func newStreams(l net.Listener, r *Resolver, transport hits.Transport, encryption *tls.Config) *streams {
	h := r.handler(transport, 1)
	return &streams{
		Listener: l, resolver: r, handler: h, count: h.count, tls: encryption,
		rooms:   sync.Pool{New: func() any { return new([streamBuffer]byte) }},
		queries: maxTCPQueries, first: tcpReadWait, next: tcpIdleWait, busy: tcpBusyWait,
	}
}

// connectionLimit is the bound on open TCP connections.
func connectionLimit() int { return max(min(int(descriptors()/4), maxConnections), minConnections) }

// accept serves connections until the listener is closed.
func (l *streams) accept() error {
	for {
		c, err := l.Accept()
		switch {
		case err == nil && l.ended.Load():
			c.Close()
		case err == nil:
			l.begin(c)
		case l.ended.Load():
			return nil
		case exhausted(err):
			time.Sleep(acceptPause)
		case errors.Is(err, syscall.ECONNABORTED):
		default:
			return err
		}
	}
}

// begin serves a connection of a client that may connect. Where clients outside the
// ACL get REFUSED, that is for the stream to tell them.
func (l *streams) begin(c net.Conn) {
	s := &stream{
		raw: c, conn: c, streams: l, waiting: make(chan struct{}, maxPipelined),
		from: arrival{client: endpoint(c.RemoteAddr()), server: endpoint(c.LocalAddr()), transport: l.handler.transport, queue: l.handler.queue},
	}
	balanced := l.resolver.isBalancer(s.from.client.Addr())
	if !balanced && !l.resolver.admitted(s.from.client.Addr()) {
		c.Close()
		return
	}
	if !l.resolver.connections.enter(s, balanced) {
		l.count.crowded.Add(1)
		c.Close()
		return
	}
	l.serving.Go(s.serve)
}

// exhausted tells whether a connection could not be accepted for want of something
// that comes back.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// idleWait is how long a connection may be without a query now.
func (l *streams) idleWait() time.Duration {
	if l.resolver.connections.crowded() {
		return l.busy
	}
	return l.next
}

// shutdown accepts nothing more, answers what was read, and closes. When ctx ends it
// closes at once.
func (l *streams) shutdown(ctx context.Context) error {
	l.ended.Store(true)
	err := l.Close()
	l.accepts.Wait()
	l.each((*stream).end)
	done := make(chan struct{})
	go func() {
		l.serving.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		l.each((*stream).abort)
		err = errors.Join(err, ctx.Err())
	}
	return err
}

// each calls do for every connection that is open.
func (l *streams) each(do func(*stream)) {
	for _, s := range l.resolver.connections.of(l) {
		do(s)
	}
}

// connections are those of all listeners.
type connections struct {
	limit    int
	ofClient int // bound for one client

	mu      sync.Mutex
	open    map[*stream]netip.Prefix // and what counts as their client
	clients map[netip.Prefix]int
	n       atomic.Int64 // len(open)
}

func newConnections(limit int) *connections {
	return &connections{limit: limit, ofClient: min(maxOfClient, max(limit/4, 1)), open: map[*stream]netip.Prefix{}, clients: map[netip.Prefix]int{}}
}

// enter takes a place, if need be that of the connection that was silent longest. Those
// of a balancer are of many clients.
func (c *connections) enter(s *stream, balanced bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	client := clientPrefix(s.from.client.Addr())
	if !balanced && c.clients[client] >= c.ofClient {
		return false
	}
	if len(c.open) >= c.limit && !c.evict(now) {
		return false
	}
	s.active.Store(now.UnixNano())
	c.open[s] = client
	c.clients[client]++
	c.n.Store(int64(len(c.open)))
	return true
}

// evict ends the connection that was silent longest, if one was for idlest, and frees
// its place.
func (c *connections) evict(now time.Time) bool {
	var oldest *stream
	for s := range c.open {
		if s.busy.Load() == 0 && (oldest == nil || s.active.Load() < oldest.active.Load()) {
			oldest = s
		}
	}
	if oldest == nil || now.UnixNano()-oldest.active.Load() < int64(idlest) {
		return false
	}
	c.remove(oldest)
	oldest.streams.count.evicted.Add(1)
	oldest.end()
	return true
}

func (c *connections) leave(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(s)
}

func (c *connections) remove(s *stream) {
	client, open := c.open[s]
	if !open {
		return
	}
	delete(c.open, s)
	c.n.Store(int64(len(c.open)))
	if c.clients[client]--; c.clients[client] == 0 {
		delete(c.clients, client)
	}
}

// crowded tells whether more than half of the places are taken.
func (c *connections) crowded() bool { return c.n.Load() > int64(c.limit)/2 }

// of are the connections of one listener.
func (c *connections) of(l *streams) (all []*stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.open {
		if s.streams == l {
			all = append(all, s)
		}
	}
	return all
}

// clientPrefix is what counts as one client.
func clientPrefix(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = clientBits6
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}
