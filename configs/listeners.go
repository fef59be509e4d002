package configs

import (
	"fmt"
	"net/netip"
	"slices"
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
// for them.
func (v *validator) encrypted() {
	all := v.Config.listeners()
	plain := len(v.Listen.DNS)
	for i := plain; i < len(all); i++ {
		v.ownPort(all[i], all[:i])
	}
	if len(all) > plain {
		v.needsCertificate(all[plain].key)
	} else {
		v.needsCertificate("")
	}
	for key, page := range map[string]netip.AddrPort{"console.listen": v.Console.Listen, "metrics.listen": v.Metrics.Listen} {
		same := func(l listener) bool { return l.tcp && l.addr == page && page.Port() != 0 }
		if i := slices.IndexFunc(all[plain:], same); i >= 0 {
			v.fault(key, "found %s, which %s has too; choose another port", page, all[plain+i].key)
		}
	}
}

// ownPort holds a listener to those before it. DNS over TLS and over QUIC may have the
// same port: one is TCP, one is UDP.
func (v *validator) ownPort(l listener, before []listener) {
	same := func(other listener) bool {
		return other.addr == l.addr && l.addr.Port() != 0 && (other.udp && l.udp || other.tcp && l.tcp)
	}
	if i := slices.IndexFunc(before, same); i >= 0 {
		v.fault(l.key, "found %s, which %s has too, expected each listener on an address and port of its own", l.addr, before[i].key)
	}
}

// needsCertificate checks that certificate and key are both there or both not, and
// there for the listener at key, if any.
func (v *validator) needsCertificate(listener string) {
	certificate, key := v.Listen.Certificate != "", v.Listen.Key != ""
	switch {
	case listener != "" && !certificate && !key:
		v.fault(listener, "found a listener with encryption, but no listen.certificate and listen.key, expected the PEM files of both")
	case certificate && !key:
		v.fault("listen.certificate", "found a certificate without listen.key, expected the PEM file of its private key too")
	case key && !certificate:
		v.fault("listen.key", "found a key without listen.certificate, expected the PEM file of its certificate too")
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
