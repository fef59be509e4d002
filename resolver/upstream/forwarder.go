// Package upstream exchanges one packed query for one checked reply with one of
// several upstream servers: transports, selection with failover, health, and
// the checks that make a forged reply improbable (RFC 5452). DESIGN.md beside
// this file says how the parts fit together.
package upstream

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"
)

// hedgeAfter is how long a silent server holds up an exchange before the next
// server is asked as well: less than the first retransmission of the usual
// stub resolvers.
const hedgeAfter = 800 * time.Millisecond

// Options configures a Forwarder.
type Options struct {
	// Servers are asked in this order: "IP", "IP:port", "system" for the name
	// servers of ResolvConf, or an encrypted one: "tls://IP[:port]#name",
	// "tls://name[:port]", "https://host/path", "quic://" as "tls://". None at all is allowed: every exchange then
	// fails with an Error of kind NoServer.
	Servers []string
	// Zones have servers of their own, in the same notation: all that is asked of
	// such a zone goes to them, and to no others. The longest name that ends in
	// whole labels of what is asked decides.
	Zones map[string][]string
	// FindLoops has servers sent names that nobody can guess, now and then, to see
	// whether they come back to us: see Returned.
	FindLoops bool
	// Strategy says which of the servers that are up is asked first.
	Strategy Strategy
	// Timeout is how long one server may take for its answer over one
	// transport. An exchange as a whole takes at most twice that.
	Timeout time.Duration
	// Own tells the addresses that we listen on ourselves, so that "system"
	// does not make us ask ourselves. A wildcard address stands for every
	// address of the machine. May be nil; called from any goroutine.
	Own func() []netip.AddrPort
	// ResolvConf is the file behind "system"; "" is /etc/resolv.conf.
	ResolvConf string
	// Bootstrap are the plain servers that find the addresses of encrypted ones
	// given by name; none: those of ResolvConf.
	Bootstrap []string
	// RootCAs are whom the certificates of encrypted servers must come from; nil:
	// the system's.
	RootCAs *x509.CertPool
	// Logger may be nil. Only changes of state are logged, never names.
	Logger *zap.Logger
}

// Forwarder sends queries to upstream servers. It is safe for concurrent use.
type Forwarder struct {
	timeout    time.Duration
	roster     *roster // of all that is in no zone
	zones      zones
	plain      *plain
	encryption *encryption
	sockets    sockets
	findsLoops bool
	loops      loops
	log        *zap.Logger

	closing context.Context // done from the call of Close on
	close   context.CancelFunc

	works works // exchanges and their attempts, probes
}

// Reply is a checked reply to one query.
type Reply struct {
	// Msg is the reply with the ID of the query. Its question equals the
	// query's, octet by octet, and all its sections lie within it. It may lack
	// an OPT record although the query had one, and its RCODE may be any. It
	// belongs to the caller.
	Msg       []byte
	Server    fmt.Stringer  // a netip.AddrPort; of an encrypted server what stands in Options
	Transport string        // udp, tcp, tls, https or quic
	RTT       time.Duration // from the first packet to this server until its reply
}

// New returns a Forwarder. It reads no file and sends nothing.
func New(o Options) (*Forwarder, error) {
	if o.Timeout <= 0 {
		return nil, fmt.Errorf("upstream timeout is %v, expected a positive duration", o.Timeout)
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	encryption, err := newEncryption(o)
	if err != nil {
		return nil, err
	}
	builder := newRosterBuilder(o, encryption)
	roster, err := builder.roster(o.Servers)
	if err != nil {
		return nil, err
	}
	zones, err := builder.zones(o.Zones)
	if err != nil {
		return nil, err
	}
	f := &Forwarder{
		timeout:    o.Timeout,
		roster:     roster,
		zones:      zones,
		plain:      newPlain(o.Timeout),
		encryption: encryption,
		sockets:    newSockets(),
		findsLoops: o.FindLoops,
		log:        o.Logger,
	}
	f.closing, f.close = context.WithCancel(context.Background())
	return f, nil
}

// Exchange sends the packed query to the servers until one of them gives a
// usable answer. The query's ID is replaced in every packet sent and put back
// into the reply; the query itself is neither changed nor kept. If all servers
// decline (SERVFAIL, REFUSED, NOTIMP, FORMERR), the reply is what one of them
// said. The error is an *Error if no server replied, that of ctx if ctx ended
// first, and wraps net.ErrClosed after Close.
func (f *Forwarder) Exchange(ctx context.Context, query []byte) (Reply, error) {
	q, err := parseQuery(query)
	if err != nil {
		return Reply{}, err
	}
	if !f.works.join() {
		return Reply{}, errClosed()
	}
	defer f.works.running.Done()

	roster := cmp.Or(f.zones.of(q), f.roster)
	now := time.Now()
	f.findLoops(roster, now)
	servers, explore, why := roster.inOrder(now)
	if len(servers) == 0 {
		return Reply{}, &Error{Kind: NoServer, Reason: why}
	}
	for _, s := range servers {
		if s.health.standing() >= down {
			s.probing.offer(q)
		}
	}
	if servers[0].health.standing() == dead { // and so are the others
		return Reply{}, f.giveUp(servers)
	}
	reply, err := f.race(ctx, q, servers, explore)
	if err != nil {
		return Reply{}, err
	}
	copy(reply.Msg[:2], query[:2])
	return reply, nil
}

// Stats returns the counters of every server in use, each once, in configured
// order; those of zones come last.
func (f *Forwarder) Stats() []ServerStats {
	var stats []ServerStats
	for _, s := range f.servers(time.Now()) {
		of := s.stats()
		of.Looping = f.roster.loopsNow(s) || slices.ContainsFunc(f.zones.ordered, func(r *roster) bool { return r.loopsNow(s) })
		stats = append(stats, of)
	}
	return stats
}

func (f *Forwarder) servers(now time.Time) []*server {
	all, _ := f.roster.current(now)
	for _, r := range f.zones.ordered {
		more, _ := r.current(now)
		for _, s := range more {
			if !slices.ContainsFunc(all, s.same) {
				all = append(all, s)
			}
		}
	}
	return all
}

// Close ends running exchanges with an error and waits for them.
func (f *Forwarder) Close() error {
	f.works.close()
	f.close()
	f.works.running.Wait()
	f.encryption.close()
	return nil
}

func errClosed() error {
	return fmt.Errorf("upstream forwarder: %w", net.ErrClosed)
}
