package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"sinkhole/blocklist"
	"sinkhole/blocklist/format"
	"sinkhole/configs"
	"sinkhole/hits"
	"sinkhole/hits/landing"
	"sinkhole/resolver"
	"sinkhole/resolver/certificate"
)

// landingWithin is how long a stop waits for records of connections.
const landingWithin = 1 * time.Second

// landingPart is what listens at the sinkhole address. A nil *landingPart is none.
type landingPart struct {
	*landing.Landing
	certificate *certificate.Certificate // nil: none
	bound       []boundLanding
	policy      func() *blocklist.Policy
	config      atomic.Pointer[configs.Config] // in force
}

// boundLanding is one of its listeners.
type boundLanding struct {
	kind string // HTTP, TLS or TCP
	addr netip.AddrPort
}

// openLanding binds the listeners of the landing. One that cannot be had is an error where
// the operator asked for it, and a warning where it stands in the defaults.
func openLanding(s *server, c *configs.Config) (p *landingPart, err error) {
	if len(c.Landing.HTTP)+len(c.Landing.TLS)+len(c.Landing.TCP) == 0 {
		return nil, nil
	}
	log := s.log.Named("landing")
	p = &landingPart{policy: func() *blocklist.Policy { return s.lists.Policy() }}
	p.config.Store(c)
	defer func() {
		if err != nil {
			p.close()
			p = nil
		}
	}()
	o := landing.Options{
		KeepPayload: c.Landing.KeepPayload, Journal: c.Hits.Journal.Path, Record: s.journal.RecordConnection,
		Listed: p.listed, Marks: p.marks, Own: p.own, Background: func(work func()) { background(log, work) }, Logger: log,
	}
	if o.Veil, err = veil(&c.Hits); err != nil {
		return p, fmt.Errorf("hits.identity_key_file: %w", err)
	}
	if o.Notice, err = landing.ReadNotice(c.Landing.Notice); err != nil {
		return p, fmt.Errorf("landing.notice: %w", err)
	}
	if c.Landing.Certificate != "" {
		if p.certificate, err = certificate.Open(c.Landing.Certificate, c.Landing.Key, log.Named("certificate")); err != nil {
			return p, fmt.Errorf("landing.certificate: %w", err)
		}
		o.Certificate = p.certificate.Get
	}
	p.Landing = landing.New(o)
	return p, p.listen(s, c, log)
}

func (p *landingPart) listen(s *server, c *configs.Config, log *zap.Logger) error {
	for _, part := range []struct {
		key, kind string
		addrs     []netip.AddrPort
	}{{"landing.http", "HTTP", c.Landing.HTTP}, {"landing.tls", "TLS", c.Landing.TLS}, {"landing.tcp", "TCP", c.Landing.TCP}} {
		for _, addr := range part.addrs {
			at, err := p.Listen(addr)
			switch {
			case err == nil:
				p.bound = append(p.bound, boundLanding{part.kind, at})
			case s.asked(part.key):
				return fmt.Errorf("%s: cannot listen on %s: %w%s", part.key, addr, err, remedy(err))
			default:
				log.Warn("not listening there; set "+part.key+" to choose other addresses, or [] for none", zap.Stringer("address", addr), zap.Error(err))
			}
		}
	}
	return nil
}

func (p *landingPart) serve() {
	if p != nil {
		p.Serve()
	}
}

// close records what is open.
func (p *landingPart) close() {
	if p == nil {
		return
	}
	if p.Landing != nil {
		ctx, cancel := context.WithTimeout(context.Background(), landingWithin)
		defer cancel()
		p.Close(ctx)
	}
	if p.certificate != nil {
		p.certificate.Close()
	}
}

// configure puts a configuration in force, as far as a reload may.
func (p *landingPart) configure(c *configs.Config) {
	if p == nil {
		return
	}
	p.config.Store(c)
	if p.certificate != nil {
		p.certificate.Reload()
	}
}

// listed are the indicators by which a client that asks for a name would be a hit.
func (p *landingPart) listed(client netip.Addr, name string) (all []hits.Indicator) {
	wire, err := format.Name(nil, name)
	if err != nil {
		return nil
	}
	policy, now := p.policy(), time.Now().Unix()
	var v blocklist.Verdict
	policy.JudgeQuestion(client, wire, now, &v)
	if v.N == 0 || v.Match != blocklist.MatchQName || v.Decision != blocklist.Enforce && !v.Observed(policy) {
		return nil
	}
	for _, rule := range v.Rules[:v.N] {
		all = append(all, resolver.Indicator(policy, rule))
	}
	return all
}

func (p *landingPart) marks(client netip.Addr) (expected, forwarder, ours bool) {
	among := func(all []netip.Prefix) bool {
		return slices.ContainsFunc(all, func(n netip.Prefix) bool { return n.Contains(client) })
	}
	c := p.config.Load()
	return among(c.Clients.Expected), among(c.Clients.Forwarders), among(c.Clients.Allow)
}

// own tells of addresses that one hit alone gets. Those of an IPv6 prefix cannot be guessed.
func (p *landingPart) own(addr netip.Addr) (own, secret bool) {
	c := p.config.Load()
	contains := func(s configs.Sink) bool { return s.Kind == configs.SinkPrefix && s.Prefix.Contains(addr) }
	own = contains(c.Sinkhole.IPv4) || contains(c.Sinkhole.IPv6) ||
		slices.ContainsFunc(c.Lists, func(l configs.List) bool { return contains(l.IPv4) || contains(l.IPv6) })
	return own, own && addr.Is6()
}

// greet tells a person of the listeners.
func (p *landingPart) greet(w io.Writer) {
	if p == nil {
		return
	}
	for _, l := range p.bound {
		fmt.Fprintf(w, "  connections to %s (%s) are recorded, as at the sinkhole address\n", l.addr, l.kind)
	}
}
