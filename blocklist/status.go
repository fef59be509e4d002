package blocklist

import (
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"sinkhole/blocklist/format"
)

// Status is one list as `sinkhole lists` and /metrics show it.
type Status struct {
	Name      string       `json:"name"`
	Source    string       `json:"source"`
	Allow     bool         `json:"allow,omitempty"`
	State     string       `json:"state"`   // ok; stale: the last good content serves on; failed: nothing of it is in force
	Entries   int          `json:"entries"` // as far as it was read, if it failed
	Rules     int          `json:"rules"`   // entries in force, without repetitions
	Malformed int          `json:"malformed"`
	Refused   int          `json:"refused"`
	Low       int          `json:"below_min_confidence,omitempty"`
	Excess    int          `json:"excess,omitempty"`  // left out because one trigger had too many different entries
	Version   string       `json:"version,omitempty"` // the digest of its file, or one over those of its files
	Files     []FileStatus `json:"files,omitempty"`
	Faults    []Fault      `json:"faults,omitempty"` // the first of those counted
	Warnings  []string     `json:"warnings,omitempty"`
	Error     string       `json:"error,omitempty"` // of the last try
	Tried     time.Time    `json:"tried"`
	Loaded    time.Time    `json:"loaded"` // when the content in force was read; zero: never
}

// States of a list.
const (
	StateOK     = "ok"
	StateStale  = "stale"
	StateFailed = "failed"
)

// FileStatus is one file of a list.
type FileStatus struct {
	Name      string      `json:"name"`
	Format    format.Kind `json:"format"`
	Lines     int         `json:"lines"`
	Entries   int         `json:"entries"`
	Malformed int         `json:"malformed"`
	Refused   int         `json:"refused"`
	Digest    string      `json:"digest"`
}

// Status shows the lists, allow lists first, else as configured. The result
// belongs to the caller, its slices to the past.
func (l *Lists) Status() []Status {
	l.showing.Lock()
	defer l.showing.Unlock()
	all := make([]Status, 0, len(l.state))
	for _, list := range l.Policy().lists {
		if s := l.state[list.Name]; s != nil {
			all = append(all, *s)
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
func (l *Lists) note(p *Policy, read map[string]*reading, failed map[string]error) {
	rules := make([]int, len(p.lists))
	for i := range p.rules {
		if p.rules[i].kind != kindNone {
			rules[p.files[p.rules[i].file].list]++
		}
	}
	l.showing.Lock()
	defer l.showing.Unlock()
	before := l.state
	l.state = map[string]*Status{}
	for i := range l.specs {
		spec := &l.specs[i]
		s := &Status{}
		if b := before[spec.Name]; b != nil && b.Allow == spec.Allow {
			*s = *b
		}
		s.Name, s.Source, s.Allow = spec.Name, spec.Source, spec.Allow
		if r := read[spec.Name]; r != nil {
			s.take(r, failed[spec.Name])
		}
		if at := slices.IndexFunc(p.lists, func(o List) bool { return o.Name == spec.Name }); at >= 0 {
			s.Rules = rules[at]
		}
		l.state[spec.Name] = s
	}
}

// take amends a list's state by the outcome of reading it. While content is in
// force, what a failed try found is shown as its error only, and the counts stay
// those of the content; else they are those of the try.
func (s *Status) take(r *reading, err error) {
	s.Tried = time.Now()
	if err != nil {
		s.Error, s.State = err.Error(), StateStale
		if s.Loaded.IsZero() {
			s.State = StateFailed
			s.Faults, s.Warnings = r.faults, r.warnings
			s.count(r.files)
		}
		return
	}
	s.Error, s.State, s.Loaded = "", StateOK, s.Tried
	s.Version, s.Files, s.Faults, s.Warnings, s.Low = r.version, r.files, r.faults, r.warnings, r.segment.low
	if s.Excess = r.excess; s.Excess > 0 {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%d entries left out: more than %d that differ on one name or prefix", s.Excess, maxRulesPerList))
	}
	s.count(r.files)
}

// count sums up what stands in a list's files.
func (s *Status) count(files []FileStatus) {
	s.Entries, s.Malformed, s.Refused = 0, 0, 0
	for _, f := range files {
		s.Entries += f.Entries
		s.Malformed += f.Malformed
		s.Refused += f.Refused
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
		if s.Error != "" {
			log.Error("list failed", zap.String("list", s.Name), zap.String("error", s.Error), zap.String("serving", serving(s.State)))
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
				zap.Int("refused", s.Refused), zap.String("version", s.Version))
		}
	}
	log.Info("policy in force", zap.String("cause", cause), zap.Uint64("serial", u.Serial), zap.Int("lists", len(specs)), zap.Int("failed", len(u.Failed)),
		zap.Int("indicators", u.Indicators), zap.Int("added", u.Added), zap.Int("removed", u.Removed), zap.Duration("took", u.Took))
}

// serving says what answers queries in place of a list that failed.
func serving(state string) string {
	if state == StateStale {
		return "the last good content"
	}
	return "nothing of this list"
}
