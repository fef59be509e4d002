package blocklist

import (
	"errors"
	"fmt"
	"time"
)

// Update is what one update of the lists did.
type Update struct {
	Serial         uint64
	Lists          []string // read in this update
	Indicators     int      // in force after it
	Added, Removed int      // indicators
	Failed         map[string]error
	Fetching       []string          // lists of which nothing has come yet, and the first try has not ended
	Compiled       []string          // those of Lists that were taken from their compiled copies
	Held           map[string]string // lists whose new content waits for approval, and why
	InForce        time.Duration     // from its start until the policy judged
	Took           time.Duration     // until also all was told of it: what differs, what is kept
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
	causeFetched       = "fetched"
	causeApproved      = "approved"
	causeTransferred   = "transferred"
	causeGuard         = "guard"
)

// update reads some lists, compiles all and swaps the policy. A retry in which
// no list could be read leaves the policy as it is.
func (l *Lists) update(specs []Spec, cause string) Update {
	return l.updateWith(specs, cause, l.read)
}

// read reads a list from where its content is: files, or the copy of what came
// over the network.
func (l *Lists) read(spec *Spec) *reading {
	t := l.terms(spec)
	if isLocal(spec.Source) {
		return readLocal(spec, t)
	}
	return l.network.readCopy(spec, t)
}

func (l *Lists) terms(spec *Spec) *terms {
	return &terms{
		action: l.DefaultAction, embedded: l.options.Embedded, guard: l.guard,
		overrides: l.approvals.overrides(spec.Name), spill: l.spill(spec.Name),
	}
}

// spill is where what belongs to a list and need not outlive the process may lie:
// with the list's copies if they are ours, else anywhere.
func (l *Lists) spill(list string) string {
	if !l.options.Watch {
		return ""
	}
	return l.approvals.dir(list)
}

func (l *Lists) updateWith(specs []Spec, cause string, read func(*Spec) *reading) (u Update) {
	l.options.Background(func() { u = l.run(specs, cause, read) })
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

func (l *Lists) run(specs []Spec, cause string, read func(*Spec) *reading) Update {
	start := time.Now()
	u := Update{Lists: namesOf(specs), Failed: map[string]error{}, Held: map[string]string{}}
	results := map[string]*reading{}
	next := map[string]*content{}
	bases := map[string]*reading{}
	for i := range specs {
		spec := &specs[i]
		r := l.readOrLoad(spec, read, bases)
		results[spec.Name] = r
		if !r.saved.IsZero() {
			u.Compiled = append(u.Compiled, spec.Name)
		}
		switch reason := l.shrunk(spec, r, cause); {
		case errors.Is(r.err, errFetching):
			u.Fetching = append(u.Fetching, spec.Name)
		case r.err != nil:
			u.Failed[spec.Name] = r.err
		case reason != "":
			u.Held[spec.Name] = reason
		default:
			next[spec.Name] = l.contentOf(spec, r)
		}
	}
	old := l.Policy()
	if cause == causeRetry && len(u.Failed) == len(specs) {
		next = nil
	} else if err := l.putUnlessWeaker(specs, next, cause, u.Held); err != nil {
		for _, name := range u.Lists {
			u.Failed[name] = err
		}
		next = nil
	}
	p := l.Policy()
	u.InForce = time.Since(start)
	for name, c := range next {
		results[name].acting = c.acting
	}
	l.compare(old, p, next, &u)
	l.previewHeld(p, results, u.Held)
	u.Serial, u.Indicators, u.Took = p.serial, p.Indicators(), time.Since(start)
	l.note(p, results, bases, &u)
	l.saveImages(specs, results, &u)
	if cause == causeConfiguration {
		l.findHeld(p, specs, &u)
	}
	return u
}

// readOrLoad reads a list unless its compiled copy is current. A copy that is
// not is the last good content until there is another.
func (l *Lists) readOrLoad(spec *Spec, read func(*Spec) *reading, bases map[string]*reading) *reading {
	image := l.image(spec, l.terms(spec))
	if image == nil {
		return read(spec)
	}
	if l.isCurrent(spec, image) {
		if isZone(spec.Source) {
			return l.network.replayed(spec, l.terms(spec), image)
		}
		return image
	}
	bases[spec.Name] = image
	l.content[spec.Name] = l.contentOf(spec, image)
	return read(spec)
}

func (l *Lists) contentOf(spec *Spec, r *reading) *content {
	c := contentOf(spec, r)
	c.key = l.imageKey(spec, l.terms(spec))
	return c
}

func contentOf(spec *Spec, r *reading) *content {
	c := &content{
		allow: spec.Allow, source: spec.Source, parts: r.parts, account: r.account, acting: r.acting,
		entries: r.entries(), rules: r.segment.rules, version: orElse(r.serial, r.version), digest: r.version, seen: r.seen,
	}
	if c.parts == nil {
		c.parts = []listPart{{segment: r.segment}}
	}
	return c
}

// put compiles a policy in which some lists have new content, and swaps it in.
func (l *Lists) put(next map[string]*content) error {
	p, all, err := l.compile(next)
	if err == nil {
		l.swap(p, all)
	}
	return err
}

// compile makes the policy in which some lists have new content, and tells the
// content of each list.
func (l *Lists) compile(next map[string]*content) (*Policy, map[string]*content, error) {
	all := map[string]*content{}
	var lists []compiled
	for i := range l.Specs {
		spec := &l.Specs[i]
		c := next[spec.Name]
		if c == nil {
			if c = l.content[spec.Name]; c != nil && c.allow != spec.Allow {
				c = nil // an allow list never becomes one that blocks, or the other way
			}
		}
		list := compiled{List: spec.list()}
		if c != nil {
			all[spec.Name] = c
			list.parts, list.Version = c.parts, c.version
			if spec.Expires > 0 && !c.seen.IsZero() {
				list.Ends = c.seen.Add(spec.Expires).Unix()
			}
		}
		lists = append(lists, list)
	}
	p, err := compile(l.serial+1, lists, l.groups)
	if err != nil {
		return nil, nil, err
	}
	for i := range p.lists {
		if c := next[p.lists[i].Name]; c != nil {
			c.acting = p.tally[i].acting
		}
	}
	return p, all, nil
}

// swap puts a policy in force.
func (l *Lists) swap(p *Policy, all map[string]*content) {
	l.serial++
	l.content = all
	l.policy.Store(p)
}
