package blocklist

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"sinkhole/blocklist/feed"
	"sinkhole/blocklist/format"
)

// Spec is one list as configured.
type Spec struct {
	Name          string
	Source        string // path, glob, or "embedded:NAME"
	Allow         bool
	Format        format.Kind
	Match         string // subtree, exact, "": as the notation means
	Action        format.Action
	IPv4, IPv6    Sink
	Family        string
	Confidence    int8 // where the list states none; 0: unknown
	MinConfidence int8 // entries below it are left out
	EDE           uint16
}

// Options of [Open].
type Options struct {
	Specs         []Spec
	DefaultAction format.Action // of entries that state none, in lists that have none; Unstated: Sinkhole
	// Embedded gives the content of "embedded:NAME" sources.
	Embedded func(name string) ([]byte, bool)
	// Watch reloads a list when its files change, and reads it again for some
	// time where its failure passes by itself (too many open files), until Close.
	Watch bool
	// Settle is how long files must be quiet before they are read; 0: feed's default.
	Settle time.Duration
	// Background runs parsing and compiling, and returns when it is done; it may
	// lower the priority of the work. Nil runs it in place.
	Background func(func())
	Logger     *zap.Logger
}

// Lists are the configured lists and the policy they make. All methods may be
// called from any goroutine.
type Lists struct {
	options Options
	policy  atomic.Pointer[Policy]
	watcher *feed.Watcher

	updating sync.Mutex // held through one update; guards what follows
	specs    []Spec
	action   format.Action
	serial   uint64
	retries  retries

	showing sync.Mutex // guards state, for Status while an update runs
	state   map[string]*Status
	last    Update
}

// Open reads all lists once and puts their policy in force. A list that cannot
// be read is reported by its Status and by the log, and is no error of Open.
func Open(o Options) (*Lists, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Background == nil {
		o.Background = func(work func()) { work() }
	}
	l := &Lists{options: o, state: map[string]*Status{}}
	l.policy.Store(newCompiler(0, &Policy{}).finish())
	if o.Watch {
		watcher, err := feed.NewWatcher(feed.Options{Settle: o.Settle, Logger: o.Logger, Changed: l.filesChanged})
		if err != nil {
			return nil, fmt.Errorf("watching the lists: %w", err)
		}
		l.watcher = watcher
	}
	l.Configure(o.Specs, o.DefaultAction)
	return l, nil
}

// Close stops watching and waits for a running update. The policy stays usable.
func (l *Lists) Close() error {
	if l.watcher == nil {
		return nil
	}
	err := l.watcher.Close()
	l.updating.Lock()
	defer l.updating.Unlock()
	l.retries.close()
	return err
}

// Policy is the policy in force. A query loads it once and uses it to its end.
func (l *Lists) Policy() *Policy { return l.policy.Load() }

// Configure replaces the lists by others and reads them all. A list that
// fails keeps the last good content that it had under the same name, as it was
// configured when that was read.
func (l *Lists) Configure(specs []Spec, defaultAction format.Action) Update {
	l.updating.Lock()
	defer l.updating.Unlock()
	l.specs, l.action = allowFirst(specs), defaultAction
	if l.action == format.Unstated {
		l.action = format.Sinkhole
	}
	if l.watcher != nil { // before reading, so that no change falls between
		l.watcher.Set(patterns(l.specs))
	}
	l.retries.keep(l.specs)
	return l.update(l.specs, causeConfiguration)
}

// Reload reads the named lists again, all of them without a name, whether or
// not their files have changed.
func (l *Lists) Reload(names ...string) (Update, error) {
	l.updating.Lock()
	defer l.updating.Unlock()
	specs := l.specs
	if len(names) > 0 {
		specs = nil
		for _, name := range names {
			i := slices.IndexFunc(l.specs, func(s Spec) bool { return s.Name == name })
			if i < 0 {
				return Update{}, fmt.Errorf("no list is named %q: expected one of %q", name, namesOf(l.specs))
			}
			specs = append(specs, l.specs[i])
		}
	}
	return l.update(specs, causeReload), nil
}

func (l *Lists) filesChanged(changed []string) {
	l.updating.Lock()
	defer l.updating.Unlock()
	var specs []Spec
	for _, s := range l.specs {
		if slices.Contains(changed, s.Source) {
			specs = append(specs, s)
		}
	}
	if len(specs) > 0 {
		l.update(specs, causeChanged)
	}
}

// allowFirst puts the allow lists before all others: a match there always wins.
func allowFirst(specs []Spec) []Spec {
	sorted := slices.Clone(specs)
	slices.SortStableFunc(sorted, func(a, b Spec) int {
		switch {
		case a.Allow == b.Allow:
			return 0
		case a.Allow:
			return -1
		}
		return 1
	})
	return sorted
}

func patterns(specs []Spec) []string {
	var all []string
	for _, s := range specs {
		if !isEmbedded(s.Source) {
			all = append(all, s.Source)
		}
	}
	return all
}

func namesOf(specs []Spec) []string {
	var all []string
	for _, s := range specs {
		all = append(all, s.Name)
	}
	return all
}

// Update is what one update of the lists did.
type Update struct {
	Serial         uint64
	Lists          []string // read in this update
	Indicators     int      // in force after it
	Added, Removed int      // indicators
	Failed         map[string]error
	Took           time.Duration
}

// Err joins the lists' errors.
func (u *Update) Err() error {
	var all []error
	for _, name := range u.Lists {
		if err := u.Failed[name]; err != nil {
			all = append(all, fmt.Errorf("list %s: %w", name, err))
		}
	}
	return errors.Join(all...)
}

// Why there is an update, as the log names it.
const (
	causeConfiguration = "configuration"
	causeReload        = "reload"
	causeChanged       = "changed"
	causeRetry         = "retry"
)

// update reads some lists, compiles all and swaps the policy. A retry in which
// no list could be read leaves the policy as it is.
func (l *Lists) update(specs []Spec, cause string) (u Update) {
	l.options.Background(func() { u = l.run(specs, cause) })
	if l.watcher != nil {
		now := time.Now()
		l.retries.note(&u, cause == causeRetry, now)
		l.retries.arm(now, l.retry)
	}
	l.showing.Lock()
	l.last = u
	l.showing.Unlock()
	l.report(specs, u, cause)
	return u
}

func (l *Lists) run(specs []Spec, cause string) Update {
	start := time.Now()
	u := Update{Lists: namesOf(specs), Failed: map[string]error{}}
	read := map[string]*reading{}
	for i := range specs {
		r := readList(&specs[i], l.action, l.options.Embedded)
		if r.err != nil {
			u.Failed[specs[i].Name] = r.err
		}
		read[specs[i].Name] = r
	}
	old := l.Policy()
	next := old
	if cause != causeRetry || len(u.Failed) < len(specs) {
		var err error
		if next, err = l.compile(old, read); err != nil {
			for _, name := range u.Lists {
				u.Failed[name] = err
			}
			next = old
		}
	}
	u.Added, u.Removed = next.difference(old)
	l.policy.Store(next)
	u.Serial, u.Indicators, u.Took = next.serial, next.Indicators(), time.Since(start)
	l.note(next, read, u.Failed)
	return u
}

func (l *Lists) compile(old *Policy, read map[string]*reading) (*Policy, error) {
	l.serial++
	c := newCompiler(l.serial, old)
	for i := range l.specs {
		spec := &l.specs[i]
		list := List{Name: spec.Name, Allow: spec.Allow, Action: spec.Action, IPv4: spec.IPv4, IPv6: spec.IPv6, EDE: spec.EDE}
		at := slices.IndexFunc(old.lists, func(o List) bool { return o.Name == spec.Name && o.Allow == spec.Allow })
		var err error
		switch r := read[spec.Name]; {
		case r != nil && r.err == nil:
			list.Version = r.version
			err = c.addSegment(list, &r.segment)
		case at >= 0:
			list.Version = old.lists[at].Version
			err = c.carry(list, old, uint16(at))
		default:
			err = c.addSegment(list, &segment{interner: newInterner()})
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", spec.Name, err)
		}
	}
	p := c.finish()
	for i, list := range p.lists {
		if r := read[list.Name]; r != nil {
			r.excess = c.excess[i]
		}
	}
	return p, nil
}

// difference counts the indicators of p that old lacks, and the other way.
func (p *Policy) difference(old *Policy) (added, removed int) {
	both := 0
	for at := range p.names.each() {
		if _, found := old.names.find(p.names.name(at)); found {
			both++
		}
	}
	for _, pair := range [][2]*prefixSet{{&p.answers, &old.answers}, {&p.clients, &old.clients}} {
		for _, e := range pair[0].entries {
			if _, found := pair[1].table.Get(e.prefix); found {
				both++
			}
		}
	}
	return p.Indicators() - both, old.Indicators() - both
}
