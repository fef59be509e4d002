package blocklist

import (
	"context"
	"errors"
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
	after, err := amend(spec, l.terms(spec), l.Policy(), before, inc)
	if err != nil {
		return err
	}
	if l.HoldShrunk && before.entries-after.entries > before.entries*l.ShrinkLimit/100 {
		return errShrinks
	}
	if err := commit(); err != nil {
		return err
	}
	after.seen = start
	u := Update{Lists: []string{spec.Name}, Failed: map[string]error{}, Held: map[string]string{}}
	next := map[string]*content{spec.Name: after}
	old := l.Policy()
	if err := l.put(next); err != nil {
		return err
	}
	p := l.Policy()
	l.compare(old, p, next, &u)
	u.Serial, u.Indicators, u.Took = p.serial, p.Indicators(), time.Since(start)
	l.note(p, nil, nil, &u)
	l.noteIncrement(spec.Name, inc, after, u)
	return nil
}

func (l *Lists) noteIncrement(list string, inc *increment, after *content, u Update) {
	l.showing.Lock()
	s := l.state[list]
	s.Version, s.Loaded, s.Error, s.State, s.HeldReason, s.Entries = inc.version, time.Now(), "", StateOK, "", after.entries
	s.Tried = s.Loaded
	l.last = u
	l.showing.Unlock()
	l.options.Logger.Info("increment in force", zap.String("list", list), zap.String("version", inc.version), zap.Uint64("serial", u.Serial),
		zap.Int("indicators", u.Indicators), zap.Int("added", u.Added), zap.Int("removed", u.Removed), zap.Duration("took", u.Took))
}

// replay works the increments that a copy has gathered into what was read of it.
func replay(spec *Spec, t *terms, r *reading, zone *feed.ZoneCopy) error {
	r.serial = serialVersion(zone.Serial)
	if zone.Increments == 0 {
		return nil
	}
	sum, err := zone.Sum()
	if err != nil {
		return err
	}
	before := contentOf(spec, r)
	p, err := compile(0, []compiled{{List: spec.list(), parts: before.parts}}, groups{})
	if err != nil {
		return err
	}
	after, err := amend(spec, t, p, before, incrementOf(&sum))
	if err != nil {
		return err
	}
	r.parts, r.changed = after.parts, after.entries-before.entries
	return nil
}

// replayed is a zone from its compiled copy, which has no increments.
func (n *network) replayed(spec *Spec, t *terms, image *reading) *reading {
	entry := n.store.Entry(spec.Name, spec.Source)
	zone, err := feed.OpenZone(n.store, spec.Name, *entry.Good, feed.Limits{})
	if err != nil {
		return &reading{err: err}
	}
	defer zone.Close()
	image.err = replay(spec, t, image, zone)
	return image
}
