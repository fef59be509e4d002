package configs

import (
	"fmt"
	"net/netip"
)

// listener is one address that queries come in at.
type listener struct {
	key      string // listen.https[0]
	addr     netip.AddrPort
	udp, tcp bool
}

// listeners are all of them, in the order of the schema.
func (c *Config) listeners() (all []listener) {
	for _, part := range []struct {
		key      string
		addrs    []netip.AddrPort
		udp, tcp bool
	}{
		{"listen.dns", c.Listen.DNS, true, true},
		{"listen.tls", c.Listen.TLS, false, true},
		{"listen.https", c.Listen.HTTPS, true, true},
		{"listen.quic", c.Listen.QUIC, true, false},
	} {
		for i, addr := range part.addrs {
			all = append(all, listener{fmt.Sprintf("%s[%d]", part.key, i), addr, part.udp, part.tcp})
		}
	}
	return all
}

// encrypted checks the listeners with encryption: no two on one port, and a certificate
// for them. DNS over TLS and over QUIC may have the same port: one is TCP, one is UDP.
func (v *validator) encrypted() {
	all := v.Config.listeners()
	needed := ""
	for i, l := range all {
		if i < len(v.Listen.DNS) {
			continue // see listeners of the validator
		}
		if needed == "" {
			needed = l.key
		}
		for _, other := range all[:i] {
			if other.addr == l.addr && l.addr.Port() != 0 && (other.udp && l.udp || other.tcp && l.tcp) {
				v.fault(l.key, "found %s, which %s has too, expected each listener on an address and port of its own", l.addr, other.key)
				break
			}
		}
	}
	cert, key := v.Listen.Certificate, v.Listen.Key
	switch {
	case needed != "" && cert == "" && key == "":
		v.fault(needed, "found a listener with encryption, but no listen.certificate and listen.key, expected the PEM files of both")
	case key == "" && cert != "":
		v.fault("listen.certificate", "found a certificate without listen.key, expected the PEM file of its private key too")
	case cert == "" && key != "":
		v.fault("listen.key", "found a key without listen.certificate, expected the PEM file of its certificate too")
	}
	for key, page := range map[string]netip.AddrPort{"console.listen": v.Console.Listen, "metrics.listen": v.Metrics.Listen} {
		for _, l := range all[len(v.Listen.DNS):] {
			if page.IsValid() && page == l.addr && page.Port() != 0 && l.tcp {
				v.fault(key, "found %s, which %s has too; choose another port", page, l.key)
				break
			}
		}
	}
}

// beyondLoopback is the first listener that other machines can reach, nil where there
// is none.
func (c *Config) beyondLoopback() *listener {
	for _, l := range c.listeners() {
		if !l.addr.Addr().IsLoopback() {
			return &l
		}
	}
	return nil
}
