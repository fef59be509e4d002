package configs

import (
	"fmt"
	"net/netip"
	"slices"
)

// landing checks its listeners against each other and against all others over TCP, and
// that certificate and key go together. Defaults that collide only warn at the start.
func (v *validator) landing() {
	var all []listener
	for _, l := range v.Config.listeners() {
		if l.tcp {
			all = append(all, l)
		}
	}
	for key, addr := range map[string]netip.AddrPort{"console.listen": v.Console.Listen, "metrics.listen": v.Metrics.Listen} {
		if addr.IsValid() && v.Stated(key) {
			all = append(all, listener{key: key, addr: addr, tcp: true})
		}
	}
	for _, part := range []struct {
		key   string
		addrs []netip.AddrPort
	}{{"landing.http", v.Landing.HTTP}, {"landing.tls", v.Landing.TLS}, {"landing.tcp", v.Landing.TCP}} {
		if !v.Stated(part.key) {
			continue
		}
		for i, addr := range part.addrs {
			l := listener{fmt.Sprintf("%s[%d]", part.key, i), addr, false, true}
			v.ownPort(l, all)
			all = append(all, l)
		}
	}
	certificate, key := v.Landing.Certificate != "", v.Landing.Key != ""
	switch {
	case certificate && !key:
		v.fault("landing.certificate", "found a certificate without landing.key, expected the PEM file of its private key too")
	case key && !certificate:
		v.fault("landing.key", "found a key without landing.certificate, expected the PEM file of its certificate too")
	case certificate && len(slices.Concat(v.Landing.TLS, v.Landing.TCP)) == 0:
		v.fault("landing.certificate", "found a certificate, and no listener for it in landing.tls or landing.tcp, expected one")
	}
}
