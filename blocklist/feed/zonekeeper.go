package feed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// ZoneStatus is how a transferred zone fares.
type ZoneStatus struct {
	Name         string    `json:"name"`
	Source       string    `json:"source"`
	Zone         string    `json:"zone"`
	Serial       uint32    `json:"serial"`         // of what is in force, if Good is there
	Primary      uint32    `json:"primary_serial"` // as the primary last said
	Transferring bool      `json:"transferring,omitempty"`
	Fetched      time.Time `json:"fetched,omitzero"`   // when what is in force came: the zone, or the last increment to it
	Tried        time.Time `json:"tried,omitzero"`     // when the last check ended
	Confirmed    time.Time `json:"confirmed,omitzero"` // when the primary last said that what is in force is current
	Error        string    `json:"error,omitempty"`
	Failures     int       `json:"failures,omitempty"` // since the last success
	Next         time.Time `json:"next,omitzero"`      // when the primary is asked again
	// Expired is since when the zone should not be served any more by its SOA record
	// (RFC 1035 section 3.3.13). What is in force stays in force all the same.
	Expired time.Time `json:"expired,omitzero"`

	Whole      uint64 `json:"whole_transfers"` // since the start, those that came through
	Increments uint64 `json:"increments"`      // likewise, applied
	Notifies   uint64 `json:"notifies"`        // believed
	Kept       int    `json:"kept_increments"` // beside the copy
	KeptOctets int64  `json:"kept_increment_octets"`

	Good *Copy `json:"good,omitempty"` // without its increments
	Held *Held `json:"held,omitempty"`
}

// zoneKeeper keeps one zone current.
type zoneKeeper struct {
	zones  *Zones
	zone   zone
	log    *zap.Logger
	ctx    context.Context // ends when the zone is taken away
	cancel context.CancelFunc
	ended  chan struct{}
	wake   chan struct{} // someone waits for flight, or a NOTIFY came

	addresses atomic.Pointer[[]netip.Addr] // of the primary
	key       atomic.Pointer[tsigKey]      // as it was read last; nil: none

	// run's own:
	plan         zonePlan
	looked       time.Time // when the addresses were found
	saved        time.Time // the confirmation that is on disk
	noWhole      time.Time // until then no whole transfer that nobody asked for
	failedWhole  error     // why
	failedDeltas int       // increments in a row that did not come through
	expiryTold   bool

	mu       sync.Mutex
	next     *flight // the check that a person asked for and that has not begun
	notified bool
	checks   bucket // upon NOTIFY
	show     ZoneStatus

	// storing is held while the good copy and its increments are changed.
	storing    sync.Mutex
	file       *increments // of the good copy; nil: not opened, or there is none
	compacting bool
	compaction sync.WaitGroup
}

// notifyBurst is how many checks upon NOTIFY may follow each other at once.
const notifyBurst = 5

func newZoneKeeper(z *Zones, spec zone) *zoneKeeper {
	k := &zoneKeeper{
		zones:  z,
		zone:   spec,
		log:    z.options.Logger.With(zap.String("list", spec.Name), zap.String("source", spec.Source)),
		ended:  make(chan struct{}),
		wake:   make(chan struct{}, 1),
		plan:   newZonePlan(z.options.Timers),
		checks: bucket{every: z.options.Timers.NotifyEvery, burst: notifyBurst},
		show:   ZoneStatus{Name: spec.Name, Source: spec.Source, Zone: spec.text()},
	}
	k.ctx, k.cancel = context.WithCancel(z.ctx)
	k.key.Store(spec.key)
	if spec.address.IsValid() {
		k.addresses.Store(&[]netip.Addr{spec.address})
	}
	return k
}

// run checks the zone again and again. It begins when before is closed (nil: at
// once), so that one list never has two transfers.
func (k *zoneKeeper) run(before <-chan struct{}) {
	defer close(k.ended)
	defer k.compaction.Wait()
	defer k.cancel()
	if before != nil {
		<-before
	}
	wait := k.plan.start(k.begin())
	for {
		k.rest(wait)
		if k.ctx.Err() != nil {
			return
		}
		wait = k.try()
	}
}

// begin takes up what the last process left; known tells whether there is a
// copy.
func (k *zoneKeeper) begin() (known bool) {
	if dir, err := k.store().Dir(k.zone.Name); err == nil {
		tidyIncrements(dir)
	}
	f, good, err := k.current()
	if err != nil {
		k.log.Error("increments of the zone cannot be read", zap.Error(err))
	}
	if f == nil {
		return false
	}
	k.storing.Lock()
	k.plan.follow(f.soa)
	k.storing.Unlock()
	k.saved = good.Confirmed
	k.mu.Lock()
	k.show.Confirmed = good.Confirmed
	k.mu.Unlock()
	return true
}

// rest returns when it is time to ask the primary.
func (k *zoneKeeper) rest(wait time.Duration) {
	k.mu.Lock()
	k.show.Next = time.Now().Add(wait)
	k.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			k.due(time.Now()) // a check upon NOTIFY is paid for
			return
		case <-k.ctx.Done():
			return
		case <-k.wake:
		}
		now, later := k.due(time.Now())
		if now {
			return
		}
		if later > 0 && time.Until(k.nextCheck()) > later {
			k.mu.Lock()
			k.show.Next = time.Now().Add(later)
			k.mu.Unlock()
			timer.Reset(later)
		}
	}
}

func (k *zoneKeeper) nextCheck() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.show.Next
}

// due tells whether to check now, or how much later upon NOTIFY; 0: nobody
// wants it.
func (k *zoneKeeper) due(t time.Time) (now bool, later time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next != nil {
		return true, 0
	}
	if !k.notified {
		return false, 0
	}
	later = k.checks.take(t)
	return later == 0, later
}

// notify has the zone checked soon. However many come, one check follows the
// last of them.
func (k *zoneKeeper) notify() {
	k.mu.Lock()
	k.notified = true
	k.show.Notifies++
	k.mu.Unlock()
	k.awake()
}

// ask has the zone checked soon, as upon a NOTIFY.
func (k *zoneKeeper) ask() {
	k.mu.Lock()
	k.notified = true
	k.mu.Unlock()
	k.awake()
}

func (k *zoneKeeper) awake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// try checks once and returns how long to wait then.
func (k *zoneKeeper) try() time.Duration {
	f := k.takeOff()
	start := time.Now()
	err := k.check(f.asked)
	if k.ctx.Err() != nil {
		err = errTakenAway
	}
	var wait time.Duration
	if err == nil {
		wait = k.plan.succeeded()
	} else {
		wait = k.plan.failed()
	}
	k.mu.Lock()
	k.show.Tried, k.show.Transferring, k.show.Error, k.show.Failures = time.Now(), false, "", k.plan.failures
	if err != nil {
		k.show.Error = err.Error()
	}
	k.mu.Unlock()
	if err != nil && k.ctx.Err() == nil {
		level := failureLevel(err, k.plan.failures, k.store().Entry(k.zone.Name, k.zone.Source))
		k.log.Log(level, "zone could not be updated", zap.Error(err), zap.Int("failures", k.plan.failures),
			zap.Duration("took", time.Since(start)), zap.Duration("next try in", wait.Round(time.Second)))
		k.tellExpiry()
	}
	f.land(err)
	return wait
}

func (k *zoneKeeper) tellExpiry() {
	if since := k.expired(time.Now()); !since.IsZero() && !k.expiryTold {
		k.expiryTold = true
		k.log.Error("zone has expired: its primary was not reached for longer than its SOA record allows; the last good copy serves on", zap.Time("since", since))
	}
}

// expired is since when the zone has expired; the zero time: it has not.
func (k *zoneKeeper) expired(now time.Time) time.Time {
	k.mu.Lock()
	confirmed := k.show.Confirmed
	k.mu.Unlock()
	if confirmed.IsZero() || k.plan.expire <= 0 || now.Sub(confirmed) < k.plan.expire {
		return time.Time{}
	}
	return confirmed.Add(k.plan.expire)
}

// takeOff begins a check, the one that was asked for if there is one.
func (k *zoneKeeper) takeOff() *flight {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.next
	if f == nil {
		f = &flight{done: make(chan struct{})}
	}
	select {
	case <-k.wake: // it is this check that was asked for
	default:
	}
	k.next, k.notified, k.show.Transferring = nil, false, true
	return f
}

// land tells those who wait how the check ended.
func (f *flight) land(err error) {
	f.err = err
	close(f.done)
}

// refresh waits for a check that begins after the call.
func (k *zoneKeeper) refresh(ctx context.Context) error {
	k.mu.Lock()
	if k.next == nil {
		k.next = &flight{asked: true, done: make(chan struct{})}
		k.awake()
	}
	f := k.next
	k.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("list %s: still being transferred: %w", k.zone.Name, context.Cause(ctx))
	case <-k.ended:
		return errTakenAway
	}
}

func (k *zoneKeeper) status() ZoneStatus {
	e := k.store().Entry(k.zone.Name, k.zone.Source)
	k.mu.Lock()
	s := k.show
	k.mu.Unlock()
	s.Good, s.Held = e.Good, e.Held
	k.storing.Lock()
	defer k.storing.Unlock()
	if f := k.file; f != nil && e.Good != nil && f.digest == e.Good.Digest {
		s.Serial, s.Kept, s.KeptOctets, s.Fetched = f.serial(), f.count, f.end, f.fetched(e.Good)
		plan := newZonePlan(k.zones.options.Timers)
		plan.follow(f.soa)
		if !s.Confirmed.IsZero() && time.Since(s.Confirmed) >= plan.expire {
			s.Expired = s.Confirmed.Add(plan.expire)
		}
	}
	return s
}

func (k *zoneKeeper) store() *Store { return k.zones.options.Store }

// current is the good copy and the file of its increments, nil if there is none.
func (k *zoneKeeper) current() (*increments, *Copy, error) {
	k.storing.Lock()
	defer k.storing.Unlock()
	return k.currentLocked()
}

func (k *zoneKeeper) currentLocked() (*increments, *Copy, error) {
	good := k.store().Entry(k.zone.Name, k.zone.Source).Good
	if good == nil {
		k.file = nil
		return nil, nil, nil
	}
	if k.file == nil || k.file.digest != good.Digest {
		f, err := openIncrements(k.store(), k.zone.Name, *good)
		if err != nil {
			k.file = nil
			return nil, nil, err
		}
		k.file = f
	}
	return k.file, good, nil
}

// errCopyGone is an increment to a copy that is not the good one any more.
var errCopyGone = errors.New("the zone's copy was replaced meanwhile")

// commit appends an increment to those of the copy with this digest.
func (k *zoneKeeper) commit(digest string, d Delta) error {
	k.storing.Lock()
	defer k.storing.Unlock()
	f, _, err := k.currentLocked()
	switch {
	case err != nil:
		return err
	case f == nil || f.digest != digest && f.was != digest:
		return errCopyGone
	}
	return f.append(d)
}

// settle does with a whole zone what the judgement says.
func (k *zoneKeeper) settle(c Candidate, j Judgement) error {
	k.storing.Lock()
	defer k.storing.Unlock()
	if _, err := k.store().Settle(c, j); err != nil {
		return err
	}
	if dir, err := k.store().Dir(k.zone.Name); err == nil {
		tidyIncrements(dir)
	}
	_, _, err := k.currentLocked()
	return err
}
