package upstream

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxLines bounds the connections to one server, and maxQueries the queries in
	// flight on one: as many as servers read ahead by default. A second connection
	// is opened when the first is full.
	maxLines   = 16
	maxQueries = 100
	// idleAfter is how long a connection is kept that is not used.
	idleAfter = 30 * time.Second
)

// line is one connection to a server, which carries many queries at a time.
type line interface {
	// ask sends q under an ID that it writes into q, and returns the message that
	// the server sent for it, which is still to be judged. The error is a
	// *failure, or a *lostError if the connection ended.
	ask(ctx context.Context, q query) ([]byte, error)
	// places is how many queries it carries at a time.
	places() int
	// late is how many queries the server may still answer that nobody waits for.
	late() int
	// idle is how long the connection may stay unused; 0: it is not to be used
	// again.
	idle() time.Duration
	// close ends the connection and what waits on it.
	close()
}

// lostError is the end of a connection under a query, which says nothing about the
// server: it may close a connection at any time (RFC 7766 section 6.2.4).
type lostError struct {
	failure *failure
	full    bool // the connection goes on, but takes no further query
}

func (e *lostError) Error() string { return e.failure.text }
func (e *lostError) Unwrap() error { return e.failure }

// lineCounters are the live form of ConnectionStats.
type lineCounters struct {
	open                                atomic.Int64
	opened, resumed, requeried, crowded atomic.Uint64
}

func (c *lineCounters) established(resumed bool) {
	c.opened.Add(1)
	if resumed {
		c.resumed.Add(1)
	}
}

// pool is the lines to one server. Queries get a place on one; who finds none
// waits, while another line is opened.
type pool struct {
	// open sets up a line; lost is to be called when it ends by itself.
	open  func(ctx context.Context, lost func()) (line, error)
	start func(work func()) bool
	count *lineCounters

	closing context.Context
	timeout time.Duration // for open
	quiet   time.Duration // without any answer, after which a line gets no further query

	mu      sync.Mutex
	places  int // on each line, as the last one had
	links   []*link
	claims  []*claim
	opening int
}

// link is a line of a pool, guarded by its mu.
type link struct {
	line    line
	opened  time.Time
	waiting int       // queries that are waited for
	heard   time.Time // the last answer, or since when queries wait
	unused  time.Time // since when none does
	keep    time.Duration
	timer   *time.Timer // looks whether it is idle
	retired bool        // takes no further query, and is closed after the last
	gone    bool        // not of the pool any more
}

// claim is a query that waits for a place on a line opened after since.
type claim struct {
	since time.Time
	got   chan place // has room for one
}

type place struct {
	link *link
	err  error
}

// take gives a place on a line that was opened after since; give is to be called
// with the outcome.
func (p *pool) take(ctx context.Context, since time.Time) (*link, error) {
	p.mu.Lock()
	if l := p.free(since); l != nil {
		p.mu.Unlock()
		return l, nil
	}
	c := &claim{since: since, got: make(chan place, 1)}
	p.claims = append(p.claims, c)
	if p.openMore(); p.opening == 0 {
		p.count.crowded.Add(1)
	}
	p.mu.Unlock()
	select {
	case got := <-c.got:
		return got.link, got.err
	case <-ctx.Done():
		return nil, p.withdraw(ctx, c)
	}
}

// withdraw gives up a claim, and the place that it may have got meanwhile.
func (p *pool) withdraw(ctx context.Context, c *claim) error {
	p.mu.Lock()
	before := len(p.claims)
	p.claims = slices.DeleteFunc(p.claims, func(other *claim) bool { return other == c })
	withdrawn, opening := len(p.claims) < before, p.opening > 0
	p.mu.Unlock()
	err := explain(ctx, "connect", ctx.Err())
	if !withdrawn {
		if got := <-c.got; got.link != nil {
			p.give(got.link, err)
		}
	} else if !opening && err.cause == causeTimeout {
		return failuref(causeLocal, "all %d connections are full", maxLines)
	}
	return err
}

// free takes a place where there is one. Lines that have fallen silent get no
// further query.
func (p *pool) free(since time.Time) *link {
	now := time.Now()
	for _, l := range p.links {
		if l.waiting > 0 && now.Sub(l.heard) > p.quiet || l.line.late() > l.line.places()/2 {
			l.retired = true
		}
		if p.has(l, since) {
			l.occupy(now)
			return l
		}
	}
	return nil
}

func (p *pool) has(l *link, since time.Time) bool {
	return !l.retired && l.opened.After(since) && l.waiting+l.line.late() < l.line.places()
}

func (l *link) occupy(now time.Time) {
	if l.waiting == 0 {
		l.heard = now
	}
	l.waiting++
}

// openMore opens as many lines as the claims need.
func (p *pool) openMore() {
	for p.opening*p.places < len(p.claims) && len(p.links)+p.opening < maxLines && p.start(p.openOne) {
		p.opening++
	}
}

func (p *pool) openOne() {
	ctx, cancel := context.WithTimeout(p.closing, p.timeout)
	defer cancel()
	l := &link{}
	line, err := p.open(ctx, func() { p.lost(l) })

	p.mu.Lock()
	defer p.mu.Unlock()
	p.opening--
	now := time.Now()
	switch {
	case err == nil && p.closing.Err() != nil:
		line.close()
		return
	case err == nil && l.gone:
		err = &lostError{failure: failuref(causeNetwork, "the server closed the connection at once")}
	}
	if err != nil {
		p.refuse(err)
		return
	}
	p.places = line.places()
	l.line, l.opened, l.unused, l.keep = line, now, now, line.idle()
	l.timer = time.AfterFunc(l.keep, func() { p.expire(l) })
	p.links = append(p.links, l)
	p.grant(l)
	p.openMore()
}

// grant hands the places of a line to those who wait for one.
func (p *pool) grant(l *link) {
	now := time.Now()
	p.claims = slices.DeleteFunc(p.claims, func(c *claim) bool {
		if !p.has(l, c.since) {
			return false
		}
		l.occupy(now)
		c.got <- place{link: l}
		return true
	})
}

// refuse ends the claims of those who can get a place on no other line.
func (p *pool) refuse(err error) {
	if p.opening > 0 {
		return
	}
	p.claims = slices.DeleteFunc(p.claims, func(c *claim) bool {
		if slices.ContainsFunc(p.links, func(l *link) bool { return !l.retired && l.opened.After(c.since) }) {
			return false
		}
		c.got <- place{err: err}
		return true
	})
}

// give ends a query's use of a line. err is what came of it.
func (p *pool) give(l *link, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	l.waiting--
	l.unused = now
	if err == nil {
		l.heard = now
	} else if lost, ok := errors.AsType[*lostError](err); ok && !lost.full {
		p.forget(l)
	} else if ok {
		l.retired = true
	} else if f, ok := errors.AsType[*failure](err); ok && f.cause != causeTimeout && f.cause != causeCancelled {
		l.heard = now
	} else if now.Sub(l.heard) >= p.quiet {
		l.retired = true
	}
	switch keep := l.line.idle(); {
	case l.gone:
		if l.waiting == 0 {
			p.end(l)
		}
	case keep == 0:
		l.retired = true
	case keep != l.keep:
		l.keep = keep
		l.timer.Reset(keep)
	}
	if l.retired && l.waiting == 0 {
		p.forget(l)
	}
	if !l.gone {
		p.grant(l)
	}
	p.openMore()
}

// expire ends a line that was not used for its time.
func (p *pool) expire(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := l.keep - time.Since(l.unused)
	switch {
	case l.gone:
	case l.waiting > 0:
		l.timer.Reset(l.keep)
	case rest > 0:
		l.timer.Reset(rest)
	default:
		p.forget(l)
	}
}

// lost notes that a line has ended by itself.
func (p *pool) lost(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.line == nil { // not of the pool yet
		l.gone = true
		return
	}
	p.forget(l)
	p.openMore()
}

// forget takes a line out of the pool and ends it.
func (p *pool) forget(l *link) {
	if l.gone {
		return
	}
	l.gone = true
	l.timer.Stop()
	p.links = slices.DeleteFunc(p.links, func(other *link) bool { return other == l })
	p.end(l)
}

// end closes a line beside the caller, since that may take a moment.
func (p *pool) end(l *link) {
	if !p.start(l.line.close) {
		l.line.close()
	}
}

// close ends all lines.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range slices.Clone(p.links) {
		p.forget(l)
	}
}
