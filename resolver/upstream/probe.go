package upstream

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

const (
	// probeWithin is how long a server may take for its answer to a probe, if it
	// has not less for others.
	probeWithin = 2 * time.Second
	// probePause is the least time between two probes of a server, however many
	// clients wait for it to come back.
	probePause = time.Second
)

// probing is how a server that does not answer is asked whether it is there.
type probing struct {
	running chan struct{} // has room for the one who does
	wanted  chan struct{} // has room for one wish to know at once
	// question is one of a client, for servers that answer nothing about the root; nil:
	// nobody has asked since the last probe.
	question atomic.Pointer[query]
}

func newProbing() *probing {
	return &probing{running: make(chan struct{}, 1), wanted: make(chan struct{}, 1)}
}

// offer gives the next probe a question to ask, unless it has one.
func (p *probing) offer(q query) {
	if p.question.Load() == nil {
		q = q.clone()
		p.question.CompareAndSwap(nil, &q)
	}
}

// want has the next probe come at once.
func (p *probing) want() {
	select {
	case p.wanted <- struct{}{}:
	default:
	}
}

// revive probes a server that is not up until it answers, beside all exchanges and
// for no client.
func (f *Forwarder) revive(s *server) {
	if s.health.standing() == up {
		return
	}
	select {
	case s.probing.running <- struct{}{}:
	default: // somebody does
		return
	}
	if !f.works.start(func() { f.probeUntilUp(s) }) {
		<-s.probing.running
	}
}

func (f *Forwarder) probeUntilUp(s *server) {
	for wait := time.Duration(0); s.health.standing() != up && f.pause(s, wait); {
		started := time.Now()
		err := f.probe(s)
		switch {
		case err == nil:
			s.answered(time.Now())
		case err.cause == causeLocal || err.cause == causeCancelled:
			wait = probePause
		default:
			wait = s.unanswered(started, time.Now(), err)
		}
	}
	<-s.probing.running
	if f.closing.Err() == nil {
		f.revive(s) // who failed since the last look
	}
}

// pause waits, for no longer than probePause if somebody wants to know. It reports
// false when the Forwarder closes.
func (f *Forwarder) pause(s *server, wait time.Duration) bool {
	least := time.NewTimer(min(wait, probePause))
	defer least.Stop()
	select {
	case <-least.C:
	case <-f.closing.Done():
		return false
	}
	rest := time.NewTimer(max(wait-probePause, 0))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-s.probing.wanted:
	case <-f.closing.Done():
		return false
	}
	return true
}

// probe asks a server for the name servers of the root, which any resolver has, and where
// it does not answer that, what a client wants to know. Any checked reply counts.
func (f *Forwarder) probe(s *server) *failure {
	err := f.probeWith(s, newProbe([]byte{0}, typeNS))
	if q := s.probing.question.Swap(nil); q != nil && err != nil && err.cause == causeTimeout {
		err = f.probeWith(s, *q)
	}
	return err
}

func (f *Forwarder) probeWith(s *server, q query) *failure {
	ctx, cancel := context.WithTimeout(f.closing, min(f.timeout, probeWithin))
	defer cancel()
	if !f.sockets.take(ctx) {
		return failuref(causeLocal, "all %d sockets for upstream queries are in use", cap(f.sockets))
	}
	defer f.sockets.give()
	s.counters.probes.Add(1)
	_, _, err := f.ask(ctx, s, q)
	if err == nil {
		return nil
	}
	if failed, ok := errors.AsType[*failure](err); ok {
		return failed
	}
	return &failure{cause: causeNetwork, text: err.Error(), err: err}
}

// newProbe is a query of our own, with RD and an OPT record.
func newProbe(name []byte, qtype uint16) query {
	msg := []byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1}
	msg = append(msg, name...)
	msg = append(msg, byte(qtype>>8), byte(qtype), 0, 1)
	q := query{end: len(msg), opt: len(msg)}
	q.msg = append(msg, 0, 0, typeOPT, probeSize>>8, probeSize&0xff, 0, 0, 0, 0, 0, 0)
	return q
}

const (
	typeNS    = 2
	probeSize = 1232
)

// giveUp fails an exchange of servers that are all dead, at once, and has them asked
// whether they still are.
func (f *Forwarder) giveUp(servers []*server) *Error {
	e := &Error{Kind: Network}
	for _, s := range servers {
		s.probing.want()
		f.revive(s)
		why := cause(s.failure.Load())
		if why == causeTimeout {
			e.Kind = NoReply
		}
		e.Attempts = append(e.Attempts, Attempt{Server: s.name, Transport: s.over(), Err: failuref(why, "not asked: it has not answered of late, and is being probed")})
	}
	return e
}
