package feed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"
)

const (
	// lookedFor is how long the addresses of a primary named by name are used for
	// a check without asking again.
	lookedFor = 5 * time.Minute
	// saveEvery is how often the time of a confirmation goes to disk.
	saveEvery = time.Minute
	// maxFailedDeltas is how many increments in a row may fail to come until the
	// whole zone is asked for.
	maxFailedDeltas = 2
)

// check asks the primary and has what came put in force.
func (k *zoneKeeper) check(asked bool) error {
	key, err := k.zone.keyNow()
	if err != nil {
		return err
	}
	k.key.Store(key)
	addresses, err := k.lookUp()
	if err != nil {
		return err
	}
	var failed error
	for _, a := range addresses {
		err := k.checkAt(a, asked)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("primary %s: %w", k.zone.at(a), err)
		if _, final := errors.AsType[*judgementError](err); final || k.ctx.Err() != nil {
			return err
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// primaries are the addresses of the primary as far as they are known.
func (k *zoneKeeper) primaries() []netip.Addr {
	if all := k.addresses.Load(); all != nil {
		return *all
	}
	return nil
}

// lookUp finds the addresses of the primary. Old ones are better than none.
func (k *zoneKeeper) lookUp() ([]netip.Addr, error) {
	known := k.primaries()
	if k.zone.address.IsValid() || len(known) > 0 && time.Since(k.looked) < lookedFor && k.plan.failures == 0 {
		return known, nil
	}
	ctx, done := context.WithTimeout(k.ctx, k.zones.options.Bounds.Connect)
	defer done()
	found, err := k.zones.options.Lookup(ctx, k.zone.host)
	for i := range found {
		found[i] = found[i].Unmap()
	}
	switch {
	case len(found) > 0:
		slices.SortFunc(found, netip.Addr.Compare)
		found = slices.Compact(found)
		k.addresses.Store(&found)
		k.looked = time.Now()
		return found, nil
	case len(known) > 0:
		return known, nil
	case err == nil:
		err = errors.New("it has none")
	}
	return nil, fmt.Errorf("the addresses of the primary %s cannot be found: %w", k.zone.host, err)
}

// checkAt asks the primary at one address.
func (k *zoneKeeper) checkAt(a netip.Addr, asked bool) error {
	file, _, err := k.current()
	if err != nil {
		k.log.Error("increments of the zone cannot be read, the whole zone is transferred", zap.Error(err))
	}
	s, err := k.connect(k.zone.at(a))
	if err != nil {
		return err
	}
	defer s.close()
	soa, err := s.soa()
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.show.Primary = soa.serial()
	k.mu.Unlock()
	k.plan.follow(soa)

	if held := k.store().Entry(k.zone.Name, k.zone.Source).Held; held != nil {
		if serial, ok := ZoneSerial(held.Copy); ok && serial == soa.serial() {
			return k.waiting(*held, asked)
		}
	}
	switch {
	case file == nil:
		return k.whole(s, asked, soa.serial())
	case soa.serial() == file.serial():
		return k.confirm()
	case newer(soa.serial(), file.serial()):
		return k.advance(s, file, asked, soa.serial())
	case asked:
		return k.whole(s, asked, soa.serial())
	}
	return fmt.Errorf("has the serial %d, which is older than %d that is in force (RFC 1982): raise the serial there, or take it as it is by refreshing the list", soa.serial(), file.serial())
}

func (k *zoneKeeper) connect(address string) (*session, error) {
	o := &k.zones.options
	z := k.zone
	z.key = k.key.Load()
	return connect(k.ctx, o.Dial, &z, address, z.tlsConfig(o), o.Bounds)
}

// waiting is a primary that has what is held. It is judged again if a person
// asked: what speaks against it may have been changed.
func (k *zoneKeeper) waiting(held Held, asked bool) error {
	if !asked {
		return nil
	}
	return k.judge(Candidate{Name: k.zone.Name, Copy: held.Copy, Path: k.store().Path(k.zone.Name, held.Copy), Again: true})
}

// confirm notes that what is in force is current; on disk only now and then, or
// where something is held that is outdated by that.
func (k *zoneKeeper) confirm() error {
	now := time.Now()
	k.confirmed(now)
	k.noWhole, k.failedWhole, k.failedDeltas = time.Time{}, nil, 0
	e := k.store().Entry(k.zone.Name, k.zone.Source)
	if e.Good == nil || e.Held == nil && now.Sub(k.saved) < saveEvery {
		return nil
	}
	k.storing.Lock()
	defer k.storing.Unlock()
	_, err := k.store().Confirm(k.zone.Name, k.zone.Source, e.Good.Digest, e.Good.Validator, e.Good.Detail)
	if err == nil {
		k.saved = now
	}
	return err
}

func (k *zoneKeeper) confirmed(now time.Time) {
	k.expiryTold = false
	k.mu.Lock()
	k.show.Confirmed = now
	k.mu.Unlock()
}

// advance asks for an increment, and for the whole zone where there is none to
// be had or it does not fit.
func (k *zoneKeeper) advance(s *session, file *increments, asked bool, serial uint32) error {
	if k.failedDeltas >= maxFailedDeltas {
		return k.whole(s, asked, serial)
	}
	a := &assembly{apex: k.zone.apex, increment: true, have: file.serial()}
	a.changes.limit = maxIncrement
	w := &zoneDraft{keeper: k, session: s, asked: asked, increment: true}
	a.whole = w
	defer w.discard()
	err := k.transfer(s, a, file.soa)
	switch {
	case err == nil && a.at == endDelta:
		return k.apply(s, file, a.delta(), asked)
	case err == nil && a.at == endWhole:
		return k.finish(w, a.soa)
	case err == nil: // its SOA record said otherwise a moment ago
		return nil
	case w.begun:
		k.putOff(err, false)
	}
	_, broken := errors.AsType[*brokenError](err)
	if broken || w.begun || errors.Is(err, errUnbelieved) {
		k.failedDeltas++
		return err
	}
	k.log.Info("no increment to be had, the whole zone is transferred", zap.Error(err))
	return k.whole(s, asked, serial)
}

// transfer runs a transfer within the time that it may take.
func (k *zoneKeeper) transfer(s *session, a *assembly, have record) error {
	total := k.zones.options.Bounds.Total
	ctx, done := context.WithTimeoutCause(k.ctx, total, fmt.Errorf("it took longer than %s", total))
	defer done()
	defer context.AfterFunc(ctx, func() { s.cancel(context.Cause(ctx)) })()
	return s.transfer(a, have)
}

// apply has an increment put in force.
func (k *zoneKeeper) apply(s *session, file *increments, d Delta, asked bool) error {
	start := time.Now()
	i := &Increment{Name: k.zone.Name, Source: k.zone.Source, Delta: d, keeper: k, digest: file.digest}
	err := k.zones.options.Increment(k.ctx, i)
	switch {
	case err == nil && !i.committed:
		err = errors.New("it was applied without Commit")
		fallthrough
	case errors.Is(err, ErrUnfit), errors.Is(err, errCopyGone), err != nil && i.committed:
		k.log.Info("increment is not used, the whole zone is transferred", zap.Uint32("from", d.From), zap.Uint32("to", d.To), zap.Error(err))
		return k.whole(s, asked, d.To)
	case err != nil:
		return &judgementError{fmt.Errorf("the increment to the serial %d is not used: %w", d.To, err)}
	}
	k.mu.Lock()
	k.show.Increments++
	k.mu.Unlock()
	k.log.Info("zone updated", zap.Uint32("from", d.From), zap.Uint32("serial", d.To), zap.Int("removed", d.Removed.Len()),
		zap.Int("added", d.Added.Len()), zap.Duration("took", time.Since(start)))
	k.compact()
	return k.confirm()
}

// compact writes the increments into the copy, beside what else goes on, once
// there are enough of them.
func (k *zoneKeeper) compact() {
	k.storing.Lock()
	defer k.storing.Unlock()
	file, good, err := k.currentLocked()
	if err != nil || file == nil || k.compacting || !file.full(good.Size) {
		return
	}
	copied, end := *good, file.end
	k.compacting = true
	k.compaction.Go(func() {
		k.zones.options.Background(func() { err = k.rewrite(file, copied, end) })
		k.storing.Lock()
		k.compacting = false
		k.storing.Unlock()
		if err != nil {
			k.log.Warn("increments of the zone could not be written into its copy", zap.Error(err))
		}
	})
}

// rewrite makes a new copy of the one given and its increments up to end. Those
// that came meanwhile go over to it.
func (k *zoneKeeper) rewrite(file *increments, from Copy, end int64) error {
	text, err := file.upTo(end)
	if err != nil {
		return err
	}
	c, err := compacted(k.store(), &k.zone, from, text)
	if err != nil {
		return err
	}
	k.storing.Lock()
	defer k.storing.Unlock()
	current, good, err := k.currentLocked()
	entry := k.store().Entry(k.zone.Name, k.zone.Source)
	if err != nil || current != file || entry.Held != nil || k.ctx.Err() != nil {
		k.store().release(c)
		return err // another copy is good by now, or may be soon: this one is nobody's
	}
	c.Fetched, c.Confirmed = file.fetched(good), good.Confirmed
	if err := file.moveRest(end, incrementsPath(k.store(), k.zone.Name, c.Copy)); err != nil {
		k.store().release(c)
		return err
	}
	if _, err := k.store().Settle(c, Accept()); err != nil {
		return err
	}
	if dir, err := k.store().Dir(k.zone.Name); err == nil {
		tidyIncrements(dir)
	}
	made, _, err := k.currentLocked()
	if made != nil {
		made.was = from.Digest
	}
	return err
}
