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
	msg, transport, err = p.ask(ctx, s, q)
	if err != nil || q.opt == 0 || rcodeOf(msg) != rcodeFormErr || hasOPT(msg) {
		return msg, transport, err
	}
	// RFC 6891 section 6.2.2. If the query as such is what the server cannot
	// read, that says nothing about EDNS.
	msg, transport, err = p.ask(ctx, s, q.withoutOPT())
	if err == nil && rcodeOf(msg) != rcodeFormErr {
		s.rememberWithoutEDNS(time.Now())
	}
	return msg, transport, err
}

func (p *plain) ask(ctx context.Context, s *server, q query) ([]byte, string, error) {
	msg, err := p.udp.exchange(ctx, s, q)
	switch {
	case errors.Is(err, errSuspicious):
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
