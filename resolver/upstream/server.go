package upstream

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// plainFor is how long a server that does not know EDNS is asked without it.
const plainFor = 15 * time.Minute

// server is one upstream server: where it is and all that is remembered of it.
type server struct {
	name      fmt.Stringer   // addr, or what stands in the configuration: no two servers share it
	addr      netip.AddrPort // of a plain server
	encrypted *encrypted     // nil: a plain server
	log       *zap.Logger
	health    health
	counters  counters
	plain     atomic.Int64  // Unix nanoseconds until which it is asked without EDNS
	rtt       atomic.Int64  // nanoseconds, smoothed; 0: not measured
	failure   atomic.Uint32 // cause of the last one that counted
	proofs    proofs
	probing   *probing
}

func newServer(addr netip.AddrPort, log *zap.Logger) *server {
	return &server{name: addr, addr: addr, log: log.With(zap.Stringer("server", addr)), probing: newProbing()}
}

// same tells whether two servers are one.
func (s *server) same(other *server) bool { return s.name == other.name }

// answered notes any checked reply.
func (s *server) answered(now time.Time) {
	if s.health.answered(now) {
		s.log.Info("upstream server answers again")
	}
}

// failed notes the end of an attempt that began at started.
func (s *server) failed(started, now time.Time, err *failure) {
	s.counters.failed(err.cause)
	if err.cause == causeCancelled || err.cause == causeLocal {
		return
	}
	_, first := s.health.failed(started, now)
	s.noted(first, err)
}

// unanswered notes that a probe begun at started brought nothing, and returns the
// pause until the next.
func (s *server) unanswered(started, now time.Time, err *failure) time.Duration {
	backoff, first := s.health.unanswered(started, now)
	s.noted(first, err)
	return backoff
}

func (s *server) noted(first bool, err *failure) {
	s.failure.Store(uint32(err.cause))
	if first {
		s.log.Warn("upstream server does not answer; it is asked last, and probed until it does", zap.String("reason", err.text))
	}
}

// withoutEDNS is true for a server that was found not to know EDNS.
func (s *server) withoutEDNS(now time.Time) bool { return now.UnixNano() < s.plain.Load() }

func (s *server) rememberWithoutEDNS(now time.Time) {
	s.plain.Store(now.Add(plainFor).UnixNano())
}

func (s *server) stats() ServerStats {
	c := &s.counters
	stats := ServerStats{
		Server:      s.name,
		Healthy:     s.health.up(),
		SmoothedRTT: s.smoothed(),
		Probes:      c.probes.Load(),
		Loops:       c.loops.Load(),
		Cookies:     s.proofs.known(time.Now()) != nil,
		KeepsCase:   s.proofs.keepsCase(),
		Exchanges:   c.exchanges.Load(),
		Replies:     c.replies.Load(),
		Declined:    c.declined.Load(),
		Timeouts:    c.timeouts.Load(),
		Refused:     c.refused.Load(),
		Network:     c.network.Load(),
		Local:       c.local.Load(),
		Abandoned:   c.abandoned.Load(),
		Mismatched:  c.mismatched.Load(),
		Malformed:   c.malformed.Load(),
		Truncated:   c.truncated.Load(),
		Suspected:   c.suspected.Load(),
		OverTCP:     c.overTCP.Load(),
		RTT:         c.histogram(),
	}
	if s.encrypted != nil {
		connections := s.encrypted.stats()
		stats.Connections = &connections
	}
	return stats
}
