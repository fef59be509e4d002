package upstream

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	systemKeyword = "system"
	dnsPort       = 53
)

// roster keeps the servers of a zone, or of all that is in none, in configured
// order.
type roster struct {
	zone       []byte    // lower-case wire form; nil: all that is in no zone
	configured []*server // nil stands for the servers of the system
	system     *system   // nil where "system" is not configured
	strategy   Strategy

	favourite atomic.Pointer[server] // whom Fastest asks first; nil: nobody yet
	queries   atomic.Uint32          // of Fastest
	exploring atomic.Bool            // a query was left to Exchange, to ask two servers
	turn      atomic.Uint32          // of the servers that are explored

	looked  atomic.Int64              // Unix nanoseconds of the last look for loops
	looping atomic.Pointer[[]*server] // those that lead back to us
	mu      sync.Mutex
	loops   map[*server]*loopState // guarded by mu
}

// rosterBuilder makes rosters that share the servers they have in common.
type rosterBuilder struct {
	options    Options
	encryption *encryption
	servers    map[string]*server // by name
	system     *system            // nil: not needed yet
}

func newRosterBuilder(o Options, e *encryption) *rosterBuilder {
	return &rosterBuilder{options: o, encryption: e, servers: map[string]*server{}}
}

func (b *rosterBuilder) roster(servers []string) (*roster, error) {
	r := &roster{strategy: b.options.Strategy}
	for _, text := range servers {
		if text == systemKeyword {
			if r.system == nil {
				if b.system == nil {
					b.system = newSystem(b.options, b.servers)
				}
				r.system = b.system
				r.configured = append(r.configured, nil)
			}
			continue
		}
		s, err := b.server(text)
		if err != nil {
			return nil, err
		}
		r.configured = append(r.configured, s)
	}
	return r, nil
}

func (b *rosterBuilder) server(text string) (s *server, err error) {
	if isEncrypted(text) {
		if s = b.servers[text]; s != nil {
			return s, nil
		}
		if s, err = newEncryptedServer(text, b.encryption); err != nil {
			return nil, err
		}
	} else {
		addr, err := parseServer(text)
		if err != nil {
			return nil, err
		}
		if s = b.servers[addr.String()]; s != nil {
			return s, nil
		}
		s = newServer(addr, b.options.Logger)
	}
	b.servers[s.name.String()] = s
	return s, nil
}

// parseServer reads "IP" or "IP:port".
func parseServer(text string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(text)
	to := netip.AddrPortFrom(addr, dnsPort)
	if err != nil {
		to, err = netip.ParseAddrPort(text)
	}
	if err == nil {
		err = checkServer(to)
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("upstream server %q: %w; expected %q, an address such as 192.0.2.1, or address and port such as [2001:db8::1]:53",
			text, err, systemKeyword)
	}
	return netip.AddrPortFrom(to.Addr().Unmap(), to.Port()), nil
}

func checkServer(to netip.AddrPort) error {
	switch addr := to.Addr().Unmap(); {
	case to.Port() == 0:
		return fmt.Errorf("port 0 cannot be asked")
	case addr.IsUnspecified():
		return fmt.Errorf("%s names no machine", addr)
	case addr.IsMulticast(), addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%s names more than one machine", addr)
	}
	return nil
}

// current returns all servers in configured order, each name once, or why
// there are none.
func (r *roster) current(now time.Time) ([]*server, string) {
	servers := make([]*server, 0, len(r.configured))
	add := func(s *server) {
		if !slices.ContainsFunc(servers, s.same) {
			servers = append(servers, s)
		}
	}
	why := "none is configured"
	for _, s := range r.configured {
		if s != nil {
			add(s)
			continue
		}
		var fromSystem []*server
		fromSystem, why = r.system.servers(now)
		for _, s := range fromSystem {
			add(s)
		}
	}
	return servers, why
}

// latest is current as it was when somebody looked last, for those who must not
// wait: a look that is due goes on beside them.
func (r *roster) latest(now time.Time) []*server {
	if r.system != nil && r.system.due(now) {
		go r.system.servers(now)
		if r.system.known.Load() == nil {
			return nil
		}
		now = time.Time{} // not due
	}
	servers, _ := r.current(now)
	return servers
}

// inOrder returns all servers in the order in which to ask them: those that
// answer before those that lately did not. explore says that the second is to be
// asked as well at once.
func (r *roster) inOrder(now time.Time) (servers []*server, explore bool, why string) {
	servers, why = r.current(now)
	if n := len(servers); n > 0 {
		if servers = r.usable(servers); len(servers) == 0 {
			return nil, false, fmt.Sprintf("all %d lead back to this resolver (a forwarding loop)", n)
		}
	}
	servers = r.arrange(servers)
	return servers, r.explores() && r.explore(servers), why
}
