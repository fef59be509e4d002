// Package landing listens at the sinkhole address. What an infected machine does there is
// recorded: that it connected, what it named and what it sent; and joined to the hit that
// led it there.
package landing

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"sinkhole/hits"
)

// Options of a Landing.
type Options struct {
	// Notice is what HTTP requests are answered with (the notice of this package).
	Notice *Notice
	// Certificate is for TLS clients; nil: none gets further than its ClientHello.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// KeepPayload keeps the first 4 KiB that a client sends.
	KeepPayload bool

	Journal string                 // its directory, where hits are looked for
	Record  func(*hits.Connection) // takes it over
	Veil    *hits.Veil             // of the journal
	// Listed are the indicators that match a name, as the client would be judged that asks
	// for it, the deciding one first; none where it is not listed, or allowed.
	Listed func(client netip.Addr, name string) []hits.Indicator
	// Marks tells of clients that look up listed names for a living, of forwarders, and of who
	// may ask the resolver.
	Marks func(client netip.Addr) (expected, forwarder, ours bool)
	// Own tells whether each hit gets a sinkhole address of its own from where an address is, and
	// whether it is secret: who was not given it cannot guess it. Nil: none does.
	Own func(netip.Addr) (own, secret bool)
	// Background runs long work, on a thread of low priority, and returns when it is done.
	Background func(func())
	Logger     *zap.Logger
}

// Landing is what listens at the sinkhole address. Its methods are safe for concurrent use.
type Landing struct {
	o         Options
	gate      gate
	ledger    *ledger
	count     counters
	listeners []*net.TCPListener
	whole     time.Duration // that a connection may take

	mu      sync.Mutex
	open    map[net.Conn]struct{} // nil: closed
	serving sync.WaitGroup
	stop    chan struct{}
	stopped sync.Once
	done    chan struct{} // the ledger's work has ended
	started bool
}

// Stats are counts since New.
type Stats struct {
	Accepted, Open                uint64
	RefusedOfClient, RefusedInAll uint64 // closed at once
	AcceptErrors                  uint64
	Faults                        uint64 // connections that a fault in the program ended
	Own                           uint64 // connections in records, joined by an address that is one hit's own
	Name, Address, Listed, Noise  uint64 // and by what else they were joined
	Unrecorded                    uint64 // beyond the bounds of one client or in all
	Waiting                       uint64 // records
	Indexed, Forgotten            uint64 // hits to join with now, and those forgotten before their time
	IndexErrors                   uint64
}

type counters struct {
	accepted, open, refusedOfClient, refusedInAll, acceptErrors atomic.Uint64
	own, name, address, listed, noise, unrecorded               atomic.Uint64
	faults, waiting, indexed, forgotten, indexErrors            atomic.Uint64
}

// New returns a Landing without a listener.
func New(o Options) *Landing {
	if o.Notice == nil {
		o.Notice = defaultNotice()
	}
	if o.Background == nil {
		o.Background = func(work func()) { work() }
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	l := &Landing{o: o, whole: wholeConnection, open: make(map[net.Conn]struct{}), stop: make(chan struct{}), done: make(chan struct{})}
	l.gate = gate{max: maxOpen(), clients: make(map[netip.Prefix]int)}
	l.ledger = newLedger(&l.o, &l.count)
	return l
}

// Listen binds an address. Nothing is accepted before Serve.
func (l *Landing) Listen(addr netip.AddrPort) (netip.AddrPort, error) {
	network := "tcp"
	if addr.Addr().Is4() {
		network = "tcp4"
	}
	t, err := net.ListenTCP(network, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		return netip.AddrPort{}, err
	}
	l.listeners = append(l.listeners, t)
	return t.Addr().(*net.TCPAddr).AddrPort(), nil
}

// Serve accepts connections until Close, and returns at once.
func (l *Landing) Serve() {
	l.started = true
	for _, t := range l.listeners {
		l.serving.Go(func() { l.accept(t) })
	}
	go func() {
		defer close(l.done)
		l.o.Background(func() { l.ledger.run(l.stop) })
	}()
}

// Close ends all connections and hands over what is known of them, in as much time as ctx
// gives.
func (l *Landing) Close(ctx context.Context) {
	l.mu.Lock()
	open := l.open
	l.open = nil
	l.mu.Unlock()
	for _, t := range l.listeners {
		t.Close()
	}
	for c := range open {
		_ = c.SetDeadline(time.Now()) // whoever serves it records it
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.serving.Wait()
		l.stopped.Do(func() { close(l.stop) })
		if l.started {
			<-l.done
		}
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// Stats returns the counts at this moment.
func (l *Landing) Stats() Stats {
	c := &l.count
	return Stats{
		Accepted: c.accepted.Load(), Open: c.open.Load(), RefusedOfClient: c.refusedOfClient.Load(), RefusedInAll: c.refusedInAll.Load(),
		AcceptErrors: c.acceptErrors.Load(), Faults: c.faults.Load(), Own: c.own.Load(), Name: c.name.Load(), Address: c.address.Load(), Listed: c.listed.Load(), Noise: c.noise.Load(),
		Unrecorded: c.unrecorded.Load(), Waiting: c.waiting.Load(), Indexed: c.indexed.Load(), Forgotten: c.forgotten.Load(), IndexErrors: c.indexErrors.Load(),
	}
}
