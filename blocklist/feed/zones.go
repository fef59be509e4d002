package feed

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// ZoneOptions is what [NewZones] needs. A field that is zero has its default,
// but for Store, Candidate and Increment.
type ZoneOptions struct {
	Store *Store // open for writing; the caller closes it after Zones
	// Candidate judges a zone that came as a whole. The file at Candidate.Path is
	// a master file; the serial is that of ZoneSerial(Candidate.Copy).
	Candidate func(context.Context, Candidate) Judgement
	// Increment applies an increment to the zone, see [Increment]. Nil means
	// applied and committed; ErrUnfit that the increment does not lead on from what
	// is in force or is to be judged as a whole, and the whole zone is transferred
	// at once; any other error that the increment is rejected.
	//
	// Both are called from the zone's own goroutine: never twice at once for one
	// zone, but for several zones at once. They may call Set and Status, but neither
	// Refresh nor Close, which wait for them. The context ends when the zone is
	// taken away.
	Increment func(context.Context, *Increment) error

	Dial    func(ctx context.Context, network, address string) (net.Conn, error) // address is never a name
	Lookup  func(ctx context.Context, host string) ([]netip.Addr, error)         // default: the system's resolver
	RootCAs *x509.CertPool                                                       // nil: the system's
	Bounds  Bounds                                                               // Header: until the first message
	Timers  Timers
	// AtOnce is how many whole zones are transferred at the same time, default 4.
	AtOnce int
	// Background runs the transfer of a whole zone and the rewriting of copies,
	// see RemoteOptions.
	Background func(func())
	Logger     *zap.Logger // nil: silent
}

// Timers bound what the SOA record of a zone says. A field that is zero has its
// default.
type Timers struct {
	MinRefresh, MaxRefresh time.Duration // default 30 s, 24 h
	MinRetry, MaxRetry     time.Duration // default 10 s, 1 h
	MinExpire              time.Duration // default 1 h
	// NotifyEvery is the time for each check upon a NOTIFY in the long run, default
	// 2 s; a few may follow each other at once.
	NotifyEvery time.Duration
}

func (t Timers) withDefaults() Timers {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.MinRefresh, 30 * time.Second},
		{&t.MaxRefresh, 24 * time.Hour},
		{&t.MinRetry, 10 * time.Second},
		{&t.MaxRetry, time.Hour},
		{&t.MinExpire, time.Hour},
		{&t.NotifyEvery, 2 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return t
}

func (o ZoneOptions) withDefaults() ZoneOptions {
	o.Bounds, o.Timers = o.Bounds.withDefaults(), o.Timers.withDefaults()
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Lookup == nil {
		o.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if o.AtOnce <= 0 {
		o.AtOnce = 4
	}
	if o.Background == nil {
		o.Background = func(work func()) { work() }
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

// ErrUnfit is returned by ZoneOptions.Increment where the whole zone is needed.
var ErrUnfit = errors.New("the increment does not fit what is in force")

// Increment is what changed in a zone, to be put in force.
//
// The owner first sees whether the increment fits: Delta.From is the serial of
// what is in force, every record of Removed is there. Then it calls Commit, and
// only if that returns nil it puts the outcome in force. Whoever reads the copy
// ([OpenZone]) under the same lock thus never finds another serial than the one
// in force.
type Increment struct {
	Name   string // of the list
	Source string
	Delta  Delta

	keeper    *zoneKeeper
	digest    string // of the copy that it belongs to
	committed bool
}

// Commit writes the increment to disk.
func (i *Increment) Commit() error {
	if i.committed {
		return nil
	}
	if err := i.keeper.commit(i.digest, i.Delta); err != nil {
		return err
	}
	i.committed = true
	return nil
}

// Zones keep the copies of zones current: they are a secondary server that
// answers nobody. Methods may be called from any goroutine.
type Zones struct {
	options ZoneOptions
	slots   chan struct{} // taken through one transfer of a whole zone

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	ended  sync.WaitGroup

	notifies notifyCounters

	mu      sync.Mutex // held for moments only: Notify takes it
	keepers map[string]*zoneKeeper
	faulty  map[string]ZoneStatus // zones whose specs are wrong
}

// NotifyStats counts NOTIFY messages.
type NotifyStats struct {
	Believed uint64 `json:"believed"`
	// Refused came from strangers, or for zones that their sender does not serve us.
	Refused uint64 `json:"refused"`
	// Forged had a signature that does not hold.
	Forged uint64 `json:"forged"`
}

type notifyCounters struct{ believed, refused, forged atomic.Uint64 }

// NewZones has no zones yet.
func NewZones(o ZoneOptions) (*Zones, error) {
	if o.Store == nil || o.Candidate == nil || o.Increment == nil {
		return nil, errors.New("feed: ZoneOptions.Store, Candidate or Increment is nil, expected all three")
	}
	if o.Store.readOnly {
		return nil, ErrReadOnly
	}
	o = o.withDefaults()
	z := &Zones{options: o, slots: make(chan struct{}, o.AtOnce)}
	z.ctx, z.cancel = context.WithCancel(context.Background())
	return z, nil
}

// Set replaces the zones. It does not wait for the network, nor for a callback
// that runs: a zone whose spec is the same goes on as it was, another one is
// given up and begins anew. The error tells of specs that are wrong; the others
// hold.
func (z *Zones) Set(specs []ZoneSpec) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.ctx.Err() != nil {
		return errClosed
	}
	before := z.keepers
	z.keepers, z.faulty = map[string]*zoneKeeper{}, map[string]ZoneStatus{}
	var faults []error
	for _, spec := range specs {
		zone, err := spec.check()
		if err == nil && z.keepers[spec.Name] != nil {
			err = errors.New("configured twice, expected another name")
		}
		if err != nil {
			err = fmt.Errorf("list %s: %w", spec.Name, err)
			faults = append(faults, err)
			if z.keepers[spec.Name] == nil {
				z.faulty[spec.Name] = ZoneStatus{Name: spec.Name, Source: ShownSource(spec.Source), Error: err.Error()}
			}
			continue
		}
		delete(z.faulty, spec.Name)
		old := before[spec.Name]
		if old != nil && old.zone.ZoneSpec == zone.ZoneSpec {
			z.keepers[spec.Name] = old
			continue
		}
		z.keepers[spec.Name] = z.start(zone, old)
	}
	for name, old := range before {
		if z.keepers[name] != old {
			old.cancel()
		}
	}
	return errors.Join(faults...)
}

// start begins to keep a zone current, once old has ended.
func (z *Zones) start(zone zone, old *zoneKeeper) *zoneKeeper {
	k := newZoneKeeper(z, zone)
	var ended <-chan struct{}
	if old != nil {
		ended = old.ended
	}
	z.ended.Go(func() { k.run(ended) })
	return k
}

// Ask has a zone checked soon, without waiting for it: something of how it is
// transferred has changed.
func (z *Zones) Ask(name string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if k := z.keepers[name]; k != nil {
		k.ask()
	}
}

// Refresh asks a zone's primary, once a check that is running has ended, and
// waits until what came is judged. Nil means that what the primary has is in
// force or held, see Status. What was held or rejected is judged again, and a
// zone that is older than the one in force is taken.
func (z *Zones) Refresh(ctx context.Context, name string) error {
	z.mu.Lock()
	k, fault := z.keepers[name], z.faulty[name].Error
	z.mu.Unlock()
	switch {
	case k != nil:
		return k.refresh(ctx)
	case fault != "":
		return errors.New(fault)
	}
	return fmt.Errorf("no transferred zone is named %q", name)
}

// Status shows a zone; false: there is none of that name.
func (z *Zones) Status(name string) (ZoneStatus, bool) {
	z.mu.Lock()
	k := z.keepers[name]
	faulty, found := z.faulty[name]
	z.mu.Unlock()
	if k == nil {
		return faulty, found
	}
	return k.status(), true
}

// Notifies counts the NOTIFY messages since the start.
func (z *Zones) Notifies() NotifyStats {
	return NotifyStats{z.notifies.believed.Load(), z.notifies.refused.Load(), z.notifies.forged.Load()}
}

// Close ends all transfers and waits for each running callback.
func (z *Zones) Close() error {
	z.mu.Lock()
	z.cancel()
	z.mu.Unlock()
	z.ended.Wait()
	return nil
}
