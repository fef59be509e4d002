package configs

import (
	"fmt"
	"net/netip"
	"slices"
)

// servers checks a list of servers against itself and against the listeners.
func (v *validator) servers(key string, servers []Server) {
	for i, s := range servers {
		at := fmt.Sprintf("%s[%d]", key, i)
		if slices.ContainsFunc(servers[:i], s.same) {
			v.fault(at, "found %s twice, expected each server once", s)
		}
		v.notOwn(at, s, "listen.dns", v.Listen.DNS)
		switch s.Kind {
		case ServerTLS:
			v.notOwn(at, s, "listen.tls", v.Listen.TLS)
		case ServerHTTPS:
			v.notOwn(at, s, "listen.https", v.Listen.HTTPS)
		case ServerQUIC:
			v.notOwn(at, s, "listen.quic", v.Listen.QUIC)
		}
	}
}

// notOwn checks that a server is none of the listeners of a key.
func (v *validator) notOwn(at string, s Server, key string, listeners []netip.AddrPort) {
	for _, l := range listeners {
		if s.Addr.IsValid() && reaches(s.Addr, l) {
			v.fault(at, "found %s, which is this resolver's own listener %s (%s): every query would be forwarded to itself; name another server", s, l, key)
		}
	}
}
