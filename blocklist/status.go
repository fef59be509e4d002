package blocklist

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"sinkhole/blocklist/feed"
	"sinkhole/blocklist/format"
)

// Status is one list as `sinkhole lists` and /metrics show it.
type Status struct {
	Name    string `json:"name"`
	Source  string `json:"source"`
	Allow   bool   `json:"allow,omitempty"`
	State   string `json:"state"`   // ok; held, stale: the last good content serves on; failed: nothing of it is in force; fetching: the first try has not ended
	Entries int    `json:"entries"` // of the content in force, what the guard keeps out included
	Rules   int    `json:"rules"`   // entries in force, without repetitions
	// Lines that are no entries, each in one of three: of the content in force, or of
	// the last try if nothing is.
	Malformed     int          `json:"malformed"`
	Refused       int          `json:"refused"`
	NotApplicable int          `json:"not_applicable,omitempty"` // what DNS, or a forwarder, cannot apply
	Kept          int          `json:"guard_refused"`            // entries that the guard refused
	Held          int          `json:"guard_held"`               // entries that wait for approval
	HeldReason    string       `json:"held,omitempty"`           // why new content waits as a whole
	Low           int          `json:"below_min_confidence,omitempty"`
	Excess        int          `json:"excess,omitempty"`  // left out because one trigger had too many different entries
	Version       string       `json:"version,omitempty"` // the digest of its file, or one over those of its files
	Files         []FileStatus `json:"files,omitempty"`
	Faults        []Fault      `json:"faults,omitempty"` // the first of those counted
	GuardRefused  []Fault      `json:"guard_refused_entries,omitempty"`
	GuardHeld     []Fault      `json:"guard_held_entries,omitempty"`
	Warnings      []string     `json:"warnings,omitempty"`
	Error         string       `json:"error,omitempty"` // of the last try
	Tried         time.Time    `json:"tried"`
	Loaded        time.Time    `json:"loaded"` // when the content in force was read; zero: never
	// Remote and Zone tell how a list over HTTPS and a transferred zone come.
	Remote *feed.RemoteStatus `json:"remote,omitempty"`
	Zone   *feed.ZoneStatus   `json:"zone,omitempty"`
}

// LeftOut is how many lines of the list are no entries though they are well formed.
func (s *Status) LeftOut() int { return s.Refused + s.NotApplicable }

// States of a list.
const (
	StateOK       = "ok"
	StateHeld     = "held"
	StateStale    = "stale"
	StateFailed   = "failed"
	StateFetching = "fetching"
)

// FileStatus is one file of a list as it was read.
type FileStatus struct {
	Name          string      `json:"name"`
	Format        format.Kind `json:"format"`
	Lines         int         `json:"lines"`
	Entries       int         `json:"entries"`
	Malformed     int         `json:"malformed"`
	Refused       int         `json:"refused"`
	NotApplicable int         `json:"not_applicable,omitempty"`
	Digest        string      `json:"digest"`
	AsOf          string      `json:"as_of,omitempty"` // the version of a zone that was read; increments may have followed
}

// Status shows the lists, allow lists first, else as configured. The result
// belongs to the caller, its slices to the past.
func (l *Lists) Status() []Status {
	l.showing.Lock()
	defer l.showing.Unlock()
	all := make([]Status, 0, len(l.state))
	for _, list := range l.Policy().lists {
		if s := l.state[list.Name]; s != nil {
			show := *s
			l.network.show(&show)
			all = append(all, show)
		}
	}
	return all
}

// LastUpdate is what the latest update did.
func (l *Lists) LastUpdate() Update {
	l.showing.Lock()
	defer l.showing.Unlock()
	return l.last
}

// note brings the lists' states up to date after an update.
func (l *Lists) note(p *Policy, results, bases map[string]*reading, u *Update) {
	l.showing.Lock()
	defer l.showing.Unlock()
	before := l.state
	l.state = map[string]*Status{}
	for i := range l.Specs {
		spec := &l.Specs[i]
		s := &Status{}
		if b := before[spec.Name]; b != nil && b.Allow == spec.Allow {
			*s = *b
		}
		s.Name, s.Source, s.Allow = spec.Name, shown(spec.Source), spec.Allow
		if b := bases[spec.Name]; b != nil {
			s.Loaded = b.saved
		}
		r := results[spec.Name]
		if r != nil {
			s.take(r, u.Failed[spec.Name], u.Held[spec.Name])
		}
		var t tally
		if at := p.listNamed(spec.Name); at >= 0 {
			t = p.tally[at]
		}
		s.Rules = t.rules
		switch c := l.content[spec.Name]; {
		case c != nil:
			s.Version = c.version
			s.describe(&c.account, t.excess)
		case r != nil:
			s.describe(&r.account, 0)
			s.Entries = 0
		}
		l.state[spec.Name] = s
	}
}

// take amends a list's state by the outcome of reading it. While content is in
// force, what a failed try found is shown as its error only.
func (s *Status) take(r *reading, err error, held string) {
	s.Tried = time.Now()
	s.HeldReason = held
	switch {
	case held != "":
		s.Error, s.State = "", StateHeld
	case err != nil:
		s.Error, s.State = err.Error(), StateStale
		if s.Loaded.IsZero() {
			s.State = StateFailed
		}
	case errors.Is(r.err, errFetching):
		s.Error, s.State = "", StateFetching
	default:
		s.Error, s.State, s.Loaded = "", StateOK, s.Tried
	}
}

// describe takes over what was found in the list; excess is what was left out of it
// when the policy was made.
func (s *Status) describe(a *account, excess int) {
	n := a.total()
	s.Entries, s.Malformed, s.Refused, s.NotApplicable = n.entries, n.malformed, n.refused, n.notApplicable
	s.Files, s.Faults, s.Warnings = a.files, a.faults.shown, slices.Concat(a.warnings, a.amended)
	s.GuardRefused, s.GuardHeld, s.Kept, s.Held = a.refused.shown, a.held.shown, a.refused.all, a.held.all
	s.Low, s.Excess = a.low, a.excess+excess
	if s.Excess > 0 {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%d entries left out: more than %d that differ, or more than %d KiB of local data, on one name or prefix",
			s.Excess, maxRulesPerList, maxEntryData>>10))
	}
}

// loggedFaults is how many left-out lines of a list one update logs.
const loggedFaults = 5

// report writes the log lines of an update.
func (l *Lists) report(specs []Spec, u Update, cause string) {
	log := l.options.Logger
	for _, s := range l.Status() {
		if !slices.Contains(u.Lists, s.Name) {
			continue
		}
		if cause == causeConfiguration {
			l.tellApprovals(s.Name)
		}
		if s.HeldReason != "" {
			log.Error("list held", zap.String("list", s.Name), zap.String("reason", s.HeldReason), zap.String("serving", serving(s.State)),
				zap.String("do", "sinkhole lists diff "+s.Name))
			continue
		}
		if s.State == StateFetching {
			log.Info("list is being fetched", zap.String("list", s.Name), zap.String("source", s.Source))
			continue
		}
		if s.Error != "" {
			log.Error("list failed", zap.String("list", s.Name), zap.String("error", s.Error), zap.String("serving", serving(s.State)))
		}
		for i := range min(len(s.GuardRefused), loggedFaults) {
			log.Warn("entry refused", zap.String("list", s.Name), zap.Stringer("entry", &s.GuardRefused[i]))
		}
		for i := range min(len(s.GuardHeld), loggedFaults) {
			log.Warn("entry held", zap.String("list", s.Name), zap.Stringer("entry", &s.GuardHeld[i]))
		}
		if s.Error == "" || s.State == StateFailed {
			for i := range min(len(s.Faults), loggedFaults) {
				log.Warn("line left out", zap.String("list", s.Name), zap.Stringer("fault", &s.Faults[i]))
			}
		}
		if s.Error == "" {
			for _, w := range s.Warnings {
				log.Warn("list", zap.String("list", s.Name), zap.String("warning", w))
			}
			log.Info("list read", zap.String("list", s.Name), zap.Int("entries", s.Entries), zap.Int("malformed", s.Malformed),
				zap.Int("refused", s.Refused), zap.Int("not_applicable", s.NotApplicable), zap.Int("guard_refused", s.Kept), zap.Int("guard_held", s.Held), zap.String("version", s.Version))
		}
	}
	log.Info("policy in force", zap.String("cause", cause), zap.Uint64("serial", u.Serial), zap.Int("lists", len(specs)), zap.Int("failed", len(u.Failed)), zap.Int("fetching", len(u.Fetching)), zap.Int("held", len(u.Held)),
		zap.Int("indicators", u.Indicators), zap.Int("added", u.Added), zap.Int("removed", u.Removed),
		zap.Duration("in_force_after", u.InForce), zap.Duration("took", u.Took))
}

// serving says what answers queries in place of a list that failed.
func serving(state string) string {
	if state == StateStale || state == StateHeld {
		return "the last good content"
	}
	return "nothing of this list"
}
