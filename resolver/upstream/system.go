package upstream

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// recheck is how often, at most, the system's configuration is looked at.
const recheck = time.Second

// system follows the name servers of the system's resolver configuration. Use
// drives it: whoever asks for the servers first after recheck looks, while
// others go on with what is known.
type system struct {
	own        func() []netip.AddrPort
	log        *zap.Logger
	configured map[string]*server // those that are configured too; not changed once there are servers to ask for

	known atomic.Pointer[systemServers] // nil before the first look
	next  atomic.Int64                  // Unix nanoseconds before which nobody looks

	mu      sync.Mutex // held by whoever looks; guards what follows
	file    resolvConf
	trouble string // the last warning, so that it is given once
}

// systemServers is the immutable result of a look.
type systemServers struct {
	servers []*server
	why     string // there are none
}

func newSystem(o Options, configured map[string]*server) *system {
	s := &system{own: o.Own, log: o.Logger, configured: configured, file: resolvConf{path: o.ResolvConf}}
	if s.file.path == "" {
		s.file.path = "/etc/resolv.conf"
	}
	if s.own == nil {
		s.own = func() []netip.AddrPort { return nil }
	}
	return s
}

// servers returns the system's name servers without ourselves, or why there
// are none.
func (s *system) servers(now time.Time) ([]*server, string) {
	switch known := s.known.Load(); {
	case known == nil:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.known.Load() == nil {
			s.look(now)
		}
	case s.due(now) && s.mu.TryLock():
		defer s.mu.Unlock()
		s.look(now)
	}
	known := s.known.Load()
	return known.servers, known.why
}

// due tells whether a look is.
func (s *system) due(now time.Time) bool { return now.UnixNano() >= s.next.Load() }

func (s *system) look(now time.Time) {
	s.next.Store(now.Add(recheck).UnixNano())
	var troubles []string
	if err := s.file.refresh(); err != nil {
		troubles = append(troubles, err.Error())
	}
	troubles = append(troubles, s.file.faults...)
	others, ours := splitOwn(s.file.servers, s.own())
	if len(ours) > 0 {
		troubles = append(troubles, fmt.Sprintf("%s names this resolver itself, %s: left out", s.file.path, joined(ours)))
	}
	s.warn(strings.Join(troubles, "; "))
	s.use(others)
}

// use makes addrs the servers; those that stay keep their counters and health.
func (s *system) use(addrs []netip.AddrPort) {
	var known []*server
	if k := s.known.Load(); k != nil {
		known = k.servers
		if slices.EqualFunc(known, addrs, func(s *server, a netip.AddrPort) bool { return s.addr == a }) && len(addrs) > 0 {
			return
		}
	}
	next := &systemServers{}
	for _, addr := range addrs {
		i := slices.IndexFunc(known, func(s *server) bool { return s.addr == addr })
		switch same := s.configured[addr.String()]; {
		case same != nil:
			next.servers = append(next.servers, same)
		case i >= 0:
			next.servers = append(next.servers, known[i])
		default:
			next.servers = append(next.servers, newServer(addr, s.log))
		}
	}
	if len(addrs) == 0 {
		next.why = s.trouble
		if next.why == "" {
			next.why = s.file.path + " names none"
		}
	} else {
		s.log.Info("name servers of the system", zap.String("file", s.file.path), zap.String("servers", joined(addrs)))
	}
	s.known.Store(next)
}

// warn gives a warning that differs from the last one.
func (s *system) warn(trouble string) {
	if trouble != "" && trouble != s.trouble {
		s.log.Warn("name servers of the system", zap.String("trouble", trouble))
	}
	s.trouble = trouble
}

func joined(addrs []netip.AddrPort) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}
