package blocklist

import (
	"errors"
	"slices"
	"syscall"
	"time"
)

// A list whose failure passes by itself is read again after retryFirst, then
// after twice as long each time, up to retryLast.
const (
	retryFirst = time.Second
	retryLast  = time.Minute
)

// passing tells whether a list may be readable soon although its files stay as
// they are: then no event would have it read again.
func passing(err error) bool {
	for _, cause := range [...]error{
		errChanging, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.EAGAIN, syscall.ESTALE,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// What is read again beside lists; no list has such a name.
const (
	retryGroups = "files of groups"
	retryGuard  = "files of the guard"
)

// retries are what is to be read again, with one timer for all. They are guarded
// by Lists.updating.
type retries struct {
	waiting map[string]retry // by list, retryGroups or retryGuard
	timer   *time.Timer      // nil until there was something to wait for
	closed  bool
}

type retry struct {
	due  time.Time
	wait time.Duration
}

// note takes what an update did. again is true for an update made by a retry:
// what fails then waits longer.
func (r *retries) note(u *Update, again bool, now time.Time) {
	for _, name := range u.Lists {
		r.noteOne(name, u.Failed[name], again, now)
	}
}

// noteOne takes how reading something ended.
func (r *retries) noteOne(name string, err error, again bool, now time.Time) {
	before, waited := r.waiting[name]
	if !passing(err) {
		delete(r.waiting, name)
		return
	}
	wait := retryFirst
	if again && waited {
		wait = min(2*before.wait, retryLast)
	}
	if r.waiting == nil {
		r.waiting = map[string]retry{}
	}
	r.waiting[name] = retry{due: now.Add(wait), wait: wait}
}

// keep forgets all but the lists that are configured.
func (r *retries) keep(specs []Spec) {
	for name := range r.waiting {
		if !slices.ContainsFunc(specs, func(s Spec) bool { return s.Name == name }) {
			delete(r.waiting, name)
		}
	}
}

// due are the lists whose time has come.
func (r *retries) due(specs []Spec, now time.Time) (due []Spec) {
	for _, s := range specs {
		if r.isDue(s.Name, now) {
			due = append(due, s)
		}
	}
	return due
}

func (r *retries) isDue(name string, now time.Time) bool {
	w, waits := r.waiting[name]
	return waits && !now.Before(w.due)
}

// arm has fire called when the first list is due, if any waits.
func (r *retries) arm(now time.Time, fire func()) {
	var next time.Time
	for _, w := range r.waiting {
		if next.IsZero() || w.due.Before(next) {
			next = w.due
		}
	}
	switch {
	case next.IsZero() || r.closed:
		if r.timer != nil {
			r.timer.Stop()
		}
	case r.timer == nil:
		r.timer = time.AfterFunc(next.Sub(now), fire)
	default:
		r.timer.Reset(next.Sub(now))
	}
}

func (r *retries) close() {
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
	}
}

// retry reads what is due.
func (l *Lists) retry() {
	l.updating.Lock()
	defer l.updating.Unlock()
	if l.retries.closed {
		return
	}
	now := time.Now()
	specs, cause := l.retries.due(l.Specs, now), causeRetry
	if l.retries.isDue(retryGroups, now) {
		l.regroup(true)
	}
	if l.retries.isDue(retryGuard, now) && l.reguard(true) {
		specs, cause = l.Specs, causeGuard
	}
	if len(specs) > 0 {
		l.update(specs, cause)
		return
	}
	l.retries.arm(time.Now(), l.retry)
}
