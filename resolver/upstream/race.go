package upstream

import (
	"context"
	"errors"
	"slices"
	"time"
)

// race is one exchange: attempts at one server after the other, the next one
// begun as soon as an attempt fails, or when it has been silent for the patience
// of the exchange; then the earlier one may still win. One goroutine owns it.
type race struct {
	f        *Forwarder
	query    query
	plan     []*server // still to be asked, in this order
	explore  bool      // the second is asked at once
	patience time.Duration

	running []*attempt
	results chan *attempt // has room for every attempt, so that none is held up

	held   *Reply // the best reply that declines
	failed []Attempt
}

// attempt is one server's part in a race. The attempt's goroutine owns it until
// it is sent to the race's results.
type attempt struct {
	server  *server
	started time.Time

	ended     time.Time
	transport string
	msg       []byte
	err       *failure // nil if msg is a checked reply
}

// race returns the first reply that does not decline, else the best that does.
func (f *Forwarder) race(outer context.Context, q query, servers []*server, explore bool) (Reply, error) {
	ctx, cancel := context.WithTimeout(outer, 2*f.timeout)
	defer cancel()
	defer context.AfterFunc(f.closing, cancel)()

	r := &race{f: f, query: q, plan: servers, explore: explore, patience: min(f.timeout, hedgeAfter)}
	if len(servers) == 1 { // a lost packet: one retransmission
		r.plan = []*server{servers[0], servers[0]}
		r.patience = f.timeout / 2
	}
	r.results = make(chan *attempt, len(r.plan))
	defer r.settle()
	return r.run(ctx, outer)
}

// run ends early with outer, or when the Forwarder closes; ctx ends with both,
// and with the exchange's time.
func (r *race) run(ctx, outer context.Context) (Reply, error) {
	if !r.f.sockets.take(ctx) {
		return Reply{}, r.unasked(outer)
	}
	r.launch(ctx)
	if r.explore {
		r.hedge(ctx)
	}
	timer := time.NewTimer(r.patience)
	defer timer.Stop()
	for {
		select {
		case a := <-r.results:
			r.remove(a)
			if reply, done := r.finish(a); done {
				return reply, nil
			}
			if r.replace(ctx, a.server) {
				timer.Reset(r.patience)
			}
			if len(r.running) == 0 {
				return r.outcome(outer)
			}
		case <-timer.C:
			if len(r.plan) == 0 && r.held != nil {
				return *r.held, nil
			}
			r.hedge(ctx)
			timer.Reset(r.patience)
		case <-outer.Done():
			return Reply{}, r.stopped(outer)
		case <-r.f.closing.Done():
			return Reply{}, r.stopped(outer)
		}
	}
}

// launch begins the next attempt of the plan. Its place among the sockets must
// have been taken; the attempt gives it back.
func (r *race) launch(ctx context.Context) {
	a := &attempt{server: r.plan[0], started: time.Now()}
	r.plan = r.plan[1:]
	r.running = append(r.running, a)
	a.server.counters.exchanges.Add(1)
	// A copy: the caller's query must not be used after Exchange returns, which
	// this attempt may outlive by a moment.
	q := r.query.clone()
	r.f.works.running.Add(1)
	go func() {
		defer r.f.works.running.Done()
		a.run(ctx, r.f, q)
		r.f.sockets.give()
		r.results <- a
	}()
}

func (a *attempt) run(ctx context.Context, f *Forwarder, q query) {
	msg, transport, err := f.ask(ctx, a.server, q)
	a.ended = time.Now()
	a.msg, a.transport = msg, transport
	if err != nil && !errors.As(err, &a.err) {
		a.err = &failure{cause: causeNetwork, text: err.Error(), err: err}
	}
}

// hedge asks the next server beside the silent ones, unless sockets are short:
// then the attempts under way have to do.
func (r *race) hedge(ctx context.Context) {
	if len(r.plan) > 0 && ctx.Err() == nil && r.f.sockets.tryTake() {
		r.launch(ctx)
	}
}

// replace asks the next server in place of one that is done with. There is no
// point in asking the same one again at once. It waits for a socket only if
// nothing else is under way; otherwise the next hedge makes up for it.
func (r *race) replace(ctx context.Context, done *server) bool {
	if len(r.plan) == 0 || r.plan[0] == done || ctx.Err() != nil {
		return false
	}
	if !r.f.sockets.tryTake() && (len(r.running) > 0 || !r.f.sockets.take(ctx)) {
		return false
	}
	r.launch(ctx)
	return true
}

// finish notes what an attempt brought; true if that ends the race.
func (r *race) finish(a *attempt) (Reply, bool) {
	took := a.ended.Sub(a.started)
	if a.err != nil {
		if a.err.cause == causeTimeout && took < r.patience {
			// The end of the exchange cut it short.
			a.err = failuref(causeCancelled, "given up, the exchange took too long")
		}
		r.f.failed(a.server, a.started, a.ended, a.err)
		r.failed = append(r.failed, Attempt{Server: a.server.name, Transport: a.transport, Took: took, Err: a.err})
		return Reply{}, false
	}
	a.server.answered(a.ended)
	a.server.counters.replies.Add(1)
	a.server.counters.observe(took)
	a.server.took(took)
	reply := Reply{Msg: a.msg, Server: a.server.name, Transport: a.transport, RTT: took}
	if !declines(a.msg) {
		return reply, true
	}
	a.server.counters.declined.Add(1)
	if r.held == nil || rcodeOf(r.held.Msg) != rcodeServFail || rcodeOf(a.msg) == rcodeServFail {
		r.held = &reply
	}
	return Reply{}, false
}

// outcome is what an exchange comes to in which no server gave a usable answer.
func (r *race) outcome(outer context.Context) (Reply, error) {
	if r.held != nil {
		return *r.held, nil
	}
	// Attempts end with outer, and may be quicker to say so.
	if err := r.stopped(outer); err != nil {
		return Reply{}, err
	}
	err := &Error{Kind: Network, Attempts: r.failed}
	for _, a := range r.failed {
		var f *failure
		if errors.As(a.Err, &f) && f.cause == causeTimeout {
			err.Kind = NoReply
		}
	}
	return Reply{}, err
}

// stopped is the error of an exchange that was not let go on, else nil.
func (r *race) stopped(outer context.Context) error {
	if err := outer.Err(); err != nil {
		return err
	}
	if r.f.closing.Err() != nil {
		return errClosed()
	}
	return nil
}

// unasked is the error of an exchange that did not get to ask any server.
func (r *race) unasked(outer context.Context) error {
	if err := r.stopped(outer); err != nil {
		return err
	}
	return &Error{Kind: Network, Attempts: []Attempt{{
		Server: r.plan[0].name, Transport: r.plan[0].over(), Took: 2 * r.f.timeout,
		Err: failuref(causeLocal, "all %d sockets for upstream queries are in use", cap(r.f.sockets)),
	}}}
}

// settle accounts for attempts that are still under way when the race is over.
// Who was silent for as long as the exchange had patience is to be avoided as
// if it had timed out: otherwise a dead server would delay every exchange that
// another one wins.
func (r *race) settle() {
	for len(r.results) > 0 {
		a := <-r.results
		r.remove(a)
		r.finish(a)
	}
	now := time.Now()
	for _, a := range r.running {
		why := failuref(causeCancelled, "given up")
		if now.Sub(a.started) >= r.patience {
			why = failuref(causeTimeout, "no answer")
		}
		a.server.tookLonger(now.Sub(a.started))
		r.f.failed(a.server, a.started, now, why)
	}
}

// failed notes the end of an attempt, and has the server probed if it is down now.
func (f *Forwarder) failed(s *server, started, now time.Time, why *failure) {
	s.failed(started, now, why)
	f.revive(s)
}

func (r *race) remove(a *attempt) {
	r.running = slices.DeleteFunc(r.running, func(other *attempt) bool { return other == a })
}
