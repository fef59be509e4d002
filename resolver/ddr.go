package resolver

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// Endpoint is a listener with encryption, as clients are told of it.
type Endpoint struct {
	Addr netip.AddrPort // that it listens on
	ALPN []string
	Path string // of DNS over HTTPS, a URI template (RFC 9461 section 5); else empty
}

// DoHTemplate is the Path of our DNS over HTTPS.
const DoHTemplate = dohPath + "{?dns}"

// designation is what is answered for _dns.resolver.arpa (RFC 9462 section 4).
type designation struct {
	names     func() []string // of the certificate
	endpoints []Endpoint      // the first is preferred
}

// Designate has clients that ask over plain DNS told of the encrypted listeners, by the
// first DNS name of the certificate. They believe it only if the certificate is for
// the address too that they asked.
func (r *Resolver) Designate(names func() []string, endpoints []Endpoint) {
	r.designated.Store(&designation{names, endpoints})
}

// designatedName is _dns.resolver.arpa in wire form.
const designatedName = "\x04_dns\x08resolver\x04arpa\x00"

// designate answers a query for the encrypted listeners; nil: there is nothing to tell.
func (r *Resolver) designate(q *request, dst []byte) []byte {
	d := r.designated.Load()
	if d == nil || q.Type != dns.TypeSVCB || !bytes.Equal(q.QName(), []byte(designatedName)) {
		return nil
	}
	name, ok := target(d.names())
	if !ok {
		return nil
	}
	dst = q.AppendResponse(dst, 0, 0)
	n := counts{}
	for i := range d.endpoints {
		e := &d.endpoints[i]
		n.answers++
		dst = wire.AppendSVCB(dst, localTTL, n.answers, name, e.parameters(q.server.Addr()))
	}
	if n.answers == 0 {
		return nil
	}
	return r.finish(q, dst, n, 0, wire.EDE{})
}

// Designates tells whether one of a certificate's names can be told to clients: a
// wildcard cannot.
func Designates(names []string) bool {
	_, ok := target(names)
	return ok
}

// target is the name to be told.
func target(names []string) ([]byte, bool) {
	for _, name := range names {
		if strings.Contains(name, "*") {
			continue
		}
		if packed, ok := packName(dns.CanonicalName(name)); ok {
			return packed, true
		}
	}
	return nil, false
}

// parameters are those of a SVCB record, for a client that asked the address asked.
func (e *Endpoint) parameters(asked netip.Addr) (p wire.SVCBParams) {
	p.ALPN, p.Port, p.DoHPath = e.ALPN, e.Addr.Port(), e.Path
	switch at := e.Addr.Addr(); {
	case !at.IsUnspecified():
		p.Hint = at.WithZone("")
	case asked.IsValid() && !asked.IsUnspecified() && (asked.Is4() || at.Is6()): // [::] has both families
		p.Hint = asked.WithZone("")
	}
	return p
}
