package upstream

import (
	"context"
	"errors"
	"time"
)

// Names of the transports, in Reply and Attempt.
const (
	overUDP = "udp"
	overTCP = "tcp"
)

// plain is unencrypted DNS with one server: UDP first, TCP where UDP does not
// do, and without EDNS where the server does not know it.
type plain struct {
	udp *udp
	tcp *tcp
}

func newPlain(timeout time.Duration) *plain {
	return &plain{udp: newUDP(timeout), tcp: &tcp{timeout: timeout}}
}

// exchange may change q's message. It returns the transport used last, with an
// error too.
func (p *plain) exchange(ctx context.Context, s *server, q query) (msg []byte, transport string, err error) {
	if q.opt > 0 && s.withoutEDNS(time.Now()) {
		q = q.withoutOPT()
	}
	return p.proven(ctx, s, q.withProofs(s, time.Now(), systemBits{}))
}

// proven is an exchange in which the server must give back what the query has for that.
// What it turns out not to give back, or to choke on, is left out from then on.
func (p *plain) proven(ctx context.Context, s *server, q query) (msg []byte, transport string, err error) {
	msg, transport, err = p.ask(ctx, s, q)
	if errors.Is(err, errMiscased) {
		s.proofs.losesCase(time.Now())
		q = q.withoutCase()
		msg, transport, err = p.ask(ctx, s, q)
	}
	if err != nil || q.opt == 0 || rcodeOf(msg) != rcodeFormErr {
		return msg, transport, err
	}
	if q.cookie > 0 {
		q = q.withoutCookie()
		msg, transport, err = p.ask(ctx, s, q)
		if err != nil || rcodeOf(msg) != rcodeFormErr {
			s.proofs.refuseCookies(time.Now())
			return msg, transport, err
		}
	}
	if hasOPT(msg) {
		return msg, transport, nil
	}
	// RFC 6891 section 6.2.2. If the query as such is what the server cannot
	// read, that says nothing about EDNS.
	msg, transport, err = p.ask(ctx, s, q.withoutOPT())
	if err == nil && rcodeOf(msg) != rcodeFormErr {
		s.rememberWithoutEDNS(time.Now())
	}
	return msg, transport, err
}

// ask asks over UDP, and over TCP where that does not do.
func (p *plain) ask(ctx context.Context, s *server, q query) ([]byte, string, error) {
	msg, err := p.udp.exchange(ctx, s, q)
	if errors.Is(err, errBadCookie) { // RFC 7873 section 5.3: once more with the new one, then TCP
		q = q.withoutCookie()
		if c := s.proofs.known(time.Now()); c != nil {
			q = q.withCookie(c.octets)
		}
		msg, err = p.udp.exchange(ctx, s, q)
	}
	switch {
	case errors.Is(err, errSuspicious), errors.Is(err, errUnproven), errors.Is(err, errBadCookie):
		s.counters.suspected.Add(1)
	case err != nil:
		return nil, overUDP, err
	case !isTruncated(msg):
		return msg, overUDP, nil
	default:
		s.counters.truncated.Add(1)
		s.answered(time.Now())
	}
	s.counters.overTCP.Add(1)
	msg, err = p.tcp.exchange(ctx, s, q)
	return msg, overTCP, err
}
