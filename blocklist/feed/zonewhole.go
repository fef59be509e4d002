package feed

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// zoneDraft writes a zone that comes as a whole. It is made when the first
// records come.
type zoneDraft struct {
	keeper    *zoneKeeper
	session   *session
	asked     bool
	increment bool // one was asked for, the whole zone came
	begun     bool
	draft     *Draft
	text      *zoneText
}

func (w *zoneDraft) begin(soa record) error {
	k := w.keeper
	if w.increment && !k.mayWhole(w.asked) {
		return k.failedWhole
	}
	if f, _, err := k.current(); err == nil && f != nil && !w.asked && !newer(soa.serial(), f.serial()) {
		return fmt.Errorf("sent the whole zone with the serial %d, which is not newer than %d that is in force: have its servers the same zone?", soa.serial(), f.serial())
	}
	draft, err := k.store().Create(k.zone.Name, k.zone.Source)
	if err != nil {
		return err
	}
	w.begun, w.draft = true, draft
	w.text = newZoneText(draft, k.zone.apex, k.zone.Limits.File)
	return w.text.begin(soa, "from "+w.session.peer, time.Now())
}

func (w *zoneDraft) add(r record) error { return w.text.add(r) }

func (w *zoneDraft) discard() {
	if w.draft != nil {
		w.draft.Discard()
		w.draft = nil
	}
}

// mayWhole tells whether a whole zone may be transferred now. One that failed or
// was not accepted is not asked for again and again, however often the primary
// says that there is a new one.
func (k *zoneKeeper) mayWhole(asked bool) bool {
	return asked || !time.Now().Before(k.noWhole)
}

// putOff has no whole transfer follow one that came to nothing for some time.
func (k *zoneKeeper) putOff(err error, judged bool) {
	wait := k.plan.retry
	if judged {
		wait = max(wait, firstRejudge)
	}
	k.noWhole, k.failedWhole = time.Now().Add(wait-wait/10), err // the next try may come that much earlier
}

// whole transfers the whole zone and has it judged. It takes a connection of its
// own and ends the one before: that may hold the rest of an answer, or not live
// until it is this zone's turn.
func (k *zoneKeeper) whole(before *session, asked bool, serial uint32) error {
	before.close()
	if !k.mayWhole(asked) {
		return fmt.Errorf("the zone with serial %d is not transferred before %s, since the last transfer came to nothing: %w",
			serial, k.noWhole.Format(time.TimeOnly), k.failedWhole)
	}
	select {
	case k.zones.slots <- struct{}{}:
		defer func() { <-k.zones.slots }()
	case <-k.ctx.Done():
		return errTakenAway
	}
	o := &k.zones.options
	s, err := k.connect(before.peer)
	if err != nil {
		return err
	}
	defer s.close()
	w := &zoneDraft{keeper: k, session: s, asked: asked}
	defer w.discard()
	a := &assembly{apex: k.zone.apex, whole: w}
	o.Background(func() { err = k.transfer(s, a, record{}) })
	if err != nil {
		k.putOff(err, false)
		return err
	}
	return k.finish(w, a.soa)
}

// finish has a zone judged that came whole.
func (k *zoneKeeper) finish(w *zoneDraft, soa record) error {
	if err := w.text.flush(); err != nil {
		return err
	}
	draft := w.draft
	w.draft = nil
	c, err := draft.Finish(Validator{}, newDetail(soa))
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.show.Whole++
	k.mu.Unlock()
	k.log.Debug("zone transferred", zap.Uint32("serial", soa.serial()), zap.Int("records", w.text.count), zap.Int64("octets", w.session.received))
	return k.judge(c)
}

// judge has the owner judge a whole zone, and does what it says.
func (k *zoneKeeper) judge(c Candidate) error {
	j := k.zones.options.Candidate(k.ctx, c)
	if err := k.settle(c, j); err != nil {
		k.putOff(err, true)
		return &judgementError{fmt.Errorf("the zone came and was judged, but not kept: %w", err)}
	}
	serial, _ := ZoneSerial(c.Copy)
	fields := []zap.Field{zap.Uint32("serial", serial), zap.Int64("octets", c.Size)}
	switch j.verdict {
	case accepted:
		k.log.Info("zone updated as a whole", fields...)
		k.saved = time.Now()
		return k.confirm()
	case held:
		k.putOff(errors.New("the last one is held: "+j.reason), true)
		k.log.Warn("update of the zone is held, the last good copy serves on", append(fields, zap.String("reason", j.reason))...)
		return nil
	}
	err := &judgementError{fmt.Errorf("the zone with serial %d is not used: %w", serial, j.err)}
	k.putOff(err, true)
	return err
}
