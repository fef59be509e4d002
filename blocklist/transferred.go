package blocklist

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"sinkhole/blocklist/feed"
)

// errShrinks says that an increment takes so much away that the zone as a whole
// has to be looked at.
var errShrinks = errors.New("the increment takes away more than guard.shrink_limit allows")

// increment works what changed in a zone into the list that it is.
func (l *Lists) increment(_ context.Context, i *feed.Increment) error {
	l.updating.Lock()
	defer l.updating.Unlock()
	spec := l.spec(i.Name)
	if spec == nil || spec.Source != i.Source {
		return errors.New("the list was configured anew meanwhile")
	}
	if c := l.content[i.Name]; c == nil || c.version != serialVersion(i.Delta.From) {
		return feed.ErrUnfit
	}
	var err error
	l.options.Background(func() { err = l.applyIncrement(spec, incrementOf(&i.Delta), i.Commit) })
	if errors.Is(err, errInapplicable) || errors.Is(err, errShrinks) {
		l.options.Logger.Info("the zone is transferred whole", zap.String("list", i.Name), zap.NamedError("because", err))
		return feed.ErrUnfit
	}
	return err
}

// incrementOf is a delta as lists take it.
func incrementOf(d *feed.Delta) *increment {
	return &increment{origin: d.SOA[:nameEnd(d.SOA, 0)], removed: d.Removed.All(), added: d.Added.All(), version: serialVersion(d.To)}
}

// applyIncrement puts an increment in force once commit has written it to disk.
// An error changes nothing.
func (l *Lists) applyIncrement(spec *Spec, inc *increment, commit func() error) error {
	start := time.Now()
	before := l.content[spec.Name]
	after, done, err := amend(spec, l.terms(spec), l.Policy(), before, inc)
	if err != nil {
		return err
	}
	if l.HoldShrunk && before.entries-after.entries > before.entries*l.ShrinkLimit/100 {
		return errShrinks
	}
	after.seen, after.digest = start, ""
	next := map[string]*content{spec.Name: after}
	p, all, err := l.compile(next)
	if err != nil {
		return err
	}
	if l.weaker(spec, after, causeTransferred) != "" {
		return errShrinks
	}
	if err := commit(); err != nil {
		return err
	}
	u := Update{Lists: []string{spec.Name}, Failed: map[string]error{}, Held: map[string]string{}}
	old := l.Policy()
	l.swap(p, all)
	u.InForce = time.Since(start)
	l.compare(old, p, next, &u)
	u.Serial, u.Indicators, u.Took = p.serial, p.Indicators(), time.Since(start)
	told := l.warnings(spec.Name)
	l.note(p, nil, nil, &u)
	l.noteIncrement(spec.Name, done, told, u)
	return nil
}

// warnings are those of a list.
func (l *Lists) warnings(list string) []string {
	l.showing.Lock()
	defer l.showing.Unlock()
	return l.state[list].Warnings
}

// noteIncrement brings a list's state up to date, once what is in force of it is
// noted, and logs what an increment did, without the warnings that are told
// already.
func (l *Lists) noteIncrement(list string, done *ledger, told []string, u Update) {
	l.showing.Lock()
	s := l.state[list]
	s.Loaded, s.Error, s.State, s.HeldReason = time.Now(), "", StateOK, ""
	s.Tried = s.Loaded
	l.last = u
	now := *s
	l.showing.Unlock()
	log := l.options.Logger.With(zap.String("list", list))
	for _, kind := range []struct {
		message, field string
		came           []Fault
	}{{"entry refused", "entry", done.refused.came.shown}, {"entry held", "entry", done.held.came.shown}, {"line left out", "fault", done.faults.came.shown}} {
		for i := range min(len(kind.came), loggedFaults) {
			log.Warn(kind.message, zap.Stringer(kind.field, &kind.came[i]))
		}
	}
	for _, w := range now.Warnings {
		if !slices.Contains(told, w) {
			log.Warn("list", zap.String("warning", w))
		}
	}
	log.Info("increment in force", zap.String("version", now.Version), zap.Uint64("serial", u.Serial), zap.Int("indicators", u.Indicators),
		zap.Int("added", u.Added), zap.Int("removed", u.Removed), zap.Int("entries", now.Entries), zap.Int("malformed", now.Malformed),
		zap.Int("refused", now.Refused), zap.Int("not_applicable", now.NotApplicable), zap.Int("guard_refused", now.Kept), zap.Int("guard_held", now.Held),
		zap.Duration("in_force_after", u.InForce), zap.Duration("took", u.Took))
}

// replay works the increments of a copy that came since it was read, at a serial,
// into what was read of it.
func replay(spec *Spec, t *terms, r *reading, from uint32, zone *feed.ZoneCopy) error {
	r.serial = serialVersion(zone.Serial)
	if from == zone.Serial {
		return nil
	}
	sum, err := zone.Sum(from)
	if err != nil {
		return err
	}
	before := contentOf(spec, r)
	p, err := compile(0, []compiled{{List: spec.list(), parts: before.parts}}, groups{})
	if err != nil {
		return err
	}
	after, _, err := amend(spec, t, p, before, incrementOf(&sum))
	if err != nil {
		return err
	}
	r.parts, r.account = after.parts, after.account
	return nil
}

// replayed is a zone from its compiled copy, with the increments that came since.
// Where they cannot be worked in, the zone is read.
func (n *network) replayed(spec *Spec, t *terms, image *reading) *reading {
	good := n.store.Entry(spec.Name, spec.Source).Good
	if good == nil || len(image.files) != 1 {
		return n.readCopy(spec, t)
	}
	from, known := serialOf(image.files[0].AsOf)
	zone, err := feed.OpenZone(n.store, spec.Name, *good, feed.Limits{})
	if err != nil || !known {
		return n.readCopy(spec, t)
	}
	defer zone.Close()
	if err := replay(spec, t, image, from, zone); err != nil {
		return n.readCopy(spec, t)
	}
	return image
}
