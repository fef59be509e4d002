package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"go.uber.org/zap"

	"sinkhole/configs"
	"sinkhole/resolver"
	"sinkhole/resolver/certificate"
)

// encryptedListener is a listener with TLS, HTTP or QUIC.
type encryptedListener interface {
	Addr() netip.AddrPort
	Serve()
	Failed() <-chan error
	Shutdown(context.Context) error
}

// listenEncrypted reads the certificate, binds the listeners that need it, and has
// clients of plain DNS told of them.
func (s *server) listenEncrypted(c *configs.Config) (err error) {
	if c.Listen.Certificate == "" {
		return nil
	}
	if s.certificate, err = certificate.Open(c.Listen.Certificate, c.Listen.Key, s.log.Named("certificate")); err != nil {
		return fmt.Errorf("listen.certificate: %w", err)
	}
	var told []resolver.Endpoint
	for _, addr := range c.Listen.TLS {
		l, err := s.resolver.ListenTLS(addr, dualStack(addr, c.Listen.TLS), s.inherited.stream(addr), s.certificate.Get)
		if err != nil {
			return fmt.Errorf("listen.tls: cannot listen on %s: %w%s", addr, err, remedy(err))
		}
		s.encrypted = append(s.encrypted, l)
		told = append(told, resolver.Endpoint{Addr: l.Addr(), ALPN: []string{"dot"}})
	}
	for _, addr := range c.Listen.HTTPS {
		l, err := s.resolver.ListenHTTPS(addr, dualStack(addr, c.Listen.HTTPS), s.inherited.take(addr), s.certificate.Get)
		if err != nil {
			return fmt.Errorf("listen.https: cannot listen on %s: %w%s", addr, err, remedy(err))
		}
		s.encrypted = append(s.encrypted, l)
		told = append(told, resolver.Endpoint{Addr: l.Addr(), ALPN: []string{"h2", "h3"}, Path: resolver.DoHTemplate})
	}
	for _, addr := range c.Listen.QUIC {
		l, err := s.resolver.ListenQUIC(addr, dualStack(addr, c.Listen.QUIC), s.inherited.packet(addr), s.certificate.Get)
		if err != nil {
			return fmt.Errorf("listen.quic: cannot listen on %s: %w%s", addr, err, remedy(err))
		}
		s.encrypted = append(s.encrypted, l)
		told = append(told, resolver.Endpoint{Addr: l.Addr(), ALPN: []string{"doq"}})
	}
	s.designate(told)
	return nil
}

// designate tells clients of plain DNS of the encrypted listeners.
func (s *server) designate(told []resolver.Endpoint) {
	if len(told) == 0 {
		return
	}
	s.resolver.Designate(s.certificate.Names, told)
	if !resolver.Designates(s.certificate.Names()) {
		s.log.Warn("clients do not find the encrypted listeners by themselves (RFC 9462): the certificate has no DNS name without *", zap.String("file", s.started.Listen.Certificate))
	}
}

// greetEncrypted tells a person of the encrypted listeners.
func (s *server) greetEncrypted(w io.Writer) {
	for _, l := range s.encrypted {
		switch l.(type) {
		case *resolver.Listener:
			fmt.Fprintf(w, "  DNS over TLS on %s\n", l.Addr())
		case *resolver.HTTPSListener:
			fmt.Fprintf(w, "  DNS over HTTPS on https://%s/dns-query (HTTP/2 and HTTP/3)\n", l.Addr())
		case *resolver.QUICListener:
			fmt.Fprintf(w, "  DNS over QUIC on %s\n", l.Addr())
		}
	}
}

// certificateFaults is what stands against the pairs of files, at the keys.
func certificateFaults(c *configs.Config) (faults configs.Faults) {
	for _, pair := range [][3]string{{"listen.certificate", c.Listen.Certificate, c.Listen.Key}, {"landing.certificate", c.Landing.Certificate, c.Landing.Key}} {
		if pair[1] == "" || pair[2] == "" {
			continue
		}
		if err := certificate.Check(pair[1], pair[2]); err != nil {
			faults = append(faults, faultAt(c, pair[0], err.Error()))
		}
	}
	return faults
}
