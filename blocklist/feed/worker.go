package feed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// RemoteStatus is how a list over HTTPS fares.
type RemoteStatus struct {
	Name     string    `json:"name"`
	URL      string    `json:"url"` // without what may be secret of it
	Fetching bool      `json:"fetching,omitempty"`
	Tried    time.Time `json:"tried,omitzero"` // when the last try ended
	Error    string    `json:"error,omitempty"`
	Failures int       `json:"failures,omitempty"` // since the last success
	Next     time.Time `json:"next,omitzero"`      // when the server is asked again
	Good     *Copy     `json:"good,omitempty"`
	Held     *Held     `json:"held,omitempty"`
}

// worker keeps one list current.
type worker struct {
	remotes *Remotes
	list    remote
	log     *zap.Logger
	ctx     context.Context // ends when the list is taken away
	cancel  context.CancelFunc
	ended   chan struct{}
	wake    chan struct{} // someone waits for flight

	plan schedule // run's own

	mu     sync.Mutex
	flight *flight // the fetch that is running or asked for
	show   RemoteStatus
}

// flight is one try, for those who wait for it.
type flight struct {
	asked bool // by a person, not by the schedule
	done  chan struct{}
	err   error // once done is closed
}

var errTakenAway = errors.New("the list was configured anew meanwhile: ask again")

// judgementError marks content that came well and was not accepted.
type judgementError struct{ err error }

func (e *judgementError) Error() string { return e.err.Error() }
func (e *judgementError) Unwrap() error { return e.err }

func newWorker(r *Remotes, list remote) *worker {
	w := &worker{
		remotes: r,
		list:    list,
		log:     r.options.Logger.With(zap.String("list", list.Name), zap.String("url", shown(list.url))),
		ended:   make(chan struct{}),
		wake:    make(chan struct{}, 1),
		plan:    newSchedule(list.Refresh),
		show:    RemoteStatus{Name: list.Name, URL: shown(list.url)},
	}
	w.ctx, w.cancel = context.WithCancel(r.ctx)
	return w
}

// run fetches the list again and again. It begins when before is closed (nil: at
// once), so that one list never has two fetches.
func (w *worker) run(before <-chan struct{}) {
	defer close(w.ended)
	defer w.cancel()
	if before != nil {
		<-before
	}
	wait := w.plan.start(w.entry().lastConfirmed(), time.Now())
	for {
		w.rest(wait)
		if w.ctx.Err() != nil {
			w.land(errTakenAway)
			return
		}
		wait = w.try()
	}
}

// rest returns when it is time to ask the server.
func (w *worker) rest(wait time.Duration) {
	w.mu.Lock()
	w.show.Next = time.Now().Add(wait)
	w.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.wake:
	case <-w.ctx.Done():
	}
}

// try fetches once and returns how long to wait then.
func (w *worker) try() time.Duration {
	asked := w.takeOff()
	start := time.Now()
	err := w.fetch(asked)
	if w.ctx.Err() != nil {
		err = errTakenAway
	}
	wait := w.next(err)

	w.mu.Lock()
	w.show.Tried, w.show.Fetching, w.show.Error, w.show.Failures = time.Now(), false, "", w.plan.failures
	if err != nil {
		w.show.Error = err.Error()
	}
	w.mu.Unlock()
	if err != nil && w.ctx.Err() == nil {
		w.log.Log(failureLevel(err, w.plan.failures, w.entry()), "list could not be updated", zap.Error(err), zap.Int("failures", w.plan.failures),
			zap.Duration("took", time.Since(start)), zap.Duration("next try in", wait.Round(time.Second)))
	}
	w.land(err)
	return wait
}

// failureLevel is how loud a failure is told. The first one is an error where
// there is no copy to serve on; whoever has judged what came tells that himself.
func failureLevel(err error, failures int, e Entry) zapcore.Level {
	if _, judged := errors.AsType[*judgementError](err); judged || failures > 1 || e.Good != nil {
		return zap.WarnLevel
	}
	return zap.ErrorLevel
}

func (w *worker) next(err error) time.Duration {
	if err == nil {
		return w.plan.succeeded()
	}
	first, asked := firstRetry, time.Duration(0)
	if _, judged := errors.AsType[*judgementError](err); judged {
		first = firstRejudge
	}
	if r, refused := errors.AsType[*refusal](err); refused {
		asked = r.after
	}
	return w.plan.failed(first, asked)
}

// takeOff begins a flight, or the one that was asked for.
func (w *worker) takeOff() (asked bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flight == nil {
		w.flight = &flight{done: make(chan struct{})}
	}
	select {
	case <-w.wake: // it is this flight that was asked for
	default:
	}
	w.show.Fetching = true
	return w.flight.asked
}

// land tells those who wait how the flight ended.
func (w *worker) land(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flight != nil {
		w.flight.err = err
		close(w.flight.done)
		w.flight = nil
	}
}

// ask has run fetch now. If it does already, that is the flight asked for.
func (w *worker) ask(byPerson bool) *flight {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flight == nil {
		w.flight = &flight{asked: byPerson, done: make(chan struct{})}
		select {
		case w.wake <- struct{}{}:
		default: // left from a flight that never took off: run has ended
		}
	}
	return w.flight
}

func (w *worker) refresh(ctx context.Context) error {
	f := w.ask(true)
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("list %s: still being fetched: %w", w.list.Name, context.Cause(ctx))
	case <-w.ended:
		return errTakenAway
	}
}

func (w *worker) status() RemoteStatus {
	e := w.entry()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.show
	s.Good, s.Held = e.Good, e.Held
	return s
}

func (w *worker) entry() Entry { return w.store().Entry(w.list.Name, w.list.URL) }

func (w *worker) store() *Store { return w.remotes.options.Store }

// fetch asks the server and has what came judged.
func (w *worker) fetch(asked bool) error {
	basis, got, err := w.transfer()
	if err != nil {
		return err
	}
	if got.current != nil {
		return w.confirm(asked, basis.Digest, *got.current, *basis)
	}
	c := *got.candidate
	if w.entry().isKnown(c.Digest) {
		defer w.store().release(c)
		return w.confirm(asked, c.Digest, c.Validator, c.Copy)
	}
	return w.judge(c)
}

// transfer fetches within one of the slots that all lists share.
func (w *worker) transfer() (basis *Copy, got fetched, err error) {
	select {
	case w.remotes.slots <- struct{}{}:
		defer func() { <-w.remotes.slots }()
	case <-w.ctx.Done():
		return nil, fetched{}, errTakenAway
	}
	basis = w.basis()
	got, err = w.remotes.fetcher.fetch(w.ctx, w.list, basis)
	return basis, got, err
}

// basis is the copy that the server is asked about: the newest that is whole.
// Asking about a damaged one would leave us without content.
func (w *worker) basis() *Copy {
	const copies = 3 // at most, if one after the other is given up
	for range copies {
		basis := w.entry().newest()
		if basis == nil {
			break
		}
		var err error
		w.remotes.options.Background(func() { err = w.store().verify(w.list.Name, *basis) })
		switch {
		case err == nil:
			return basis
		case !errors.Is(err, ErrDamaged): // it could not be read, or given up
			w.log.Warn("copy of the list cannot be read, the whole list is fetched", zap.Error(err))
			return nil
		}
	}
	return nil
}

// confirm notes that the server has what we have. A held copy is judged again if
// a person asked for the list: what speaks against it may have been changed.
func (w *worker) confirm(asked bool, digest string, v Validator, c Copy) error {
	e, err := w.store().Confirm(w.list.Name, w.list.URL, digest, v, c.Detail)
	if err != nil {
		return err
	}
	w.log.Debug("list is current", zap.String("digest", digest))
	if asked && e.Held != nil && e.Held.Digest == digest {
		return w.judge(Candidate{Name: w.list.Name, Copy: e.Held.Copy, Path: w.store().Path(w.list.Name, e.Held.Copy), Again: true})
	}
	return nil
}

// judge has the owner judge a candidate, and does what it says.
func (w *worker) judge(c Candidate) error {
	j := w.remotes.options.Candidate(w.ctx, c)
	if _, err := w.store().Settle(c, j); err != nil {
		return fmt.Errorf("what came was judged but not kept: %w", err)
	}
	fields := []zap.Field{zap.Int64("octets", c.Size), zap.String("digest", c.Digest)}
	switch j.verdict {
	case accepted:
		w.log.Info("list updated", fields...)
	case held:
		w.log.Warn("update of the list is held, the last good copy serves on", append(fields, zap.String("reason", j.reason))...)
	default:
		return &judgementError{fmt.Errorf("what came is not used: %w", j.err)}
	}
	return nil
}
