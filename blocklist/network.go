package blocklist

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"sinkhole/blocklist/feed"
)

// Network is how lists are fetched and transferred. What is nil has its default.
type Network struct {
	// Dial connects to servers; default: the system's way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Lookup finds the addresses of primaries that are given by name.
	Lookup  func(ctx context.Context, host string) ([]netip.Addr, error)
	RootCAs *x509.CertPool
	// Timers bound what zones say of themselves.
	Timers feed.Timers
	// UserAgent names the program to HTTP servers.
	UserAgent string
}

// network are the lists that do not come from files.
type network struct {
	store   *feed.Store
	remotes *feed.Remotes  // nil: nothing is fetched, only copies are read
	zones   *feed.Zones    // likewise
	asked   map[string]any // how each list is fetched now: a feed.RemoteSpec or feed.ZoneSpec; guarded by Lists.updating
	log     *zap.Logger

	closed chan struct{}
	ended  sync.WaitGroup
}

// confirmEvery is how often the confirmations of lists with a limit on age are
// looked at.
const confirmEvery = time.Minute

func (l *Lists) openNetwork() error {
	l.network = &network{store: l.options.Store, log: l.options.Logger, closed: make(chan struct{})}
	if l.options.Store == nil || !l.options.Watch {
		return nil
	}
	remotes, err := feed.NewRemotes(feed.RemoteOptions{
		Store: l.options.Store, Candidate: l.candidate, Dial: l.options.Network.Dial, RootCAs: l.options.Network.RootCAs,
		UserAgent: l.options.Network.UserAgent, Background: l.options.Background, Logger: l.options.Logger,
	})
	if err != nil {
		return fmt.Errorf("fetching lists: %w", err)
	}
	zones, err := feed.NewZones(feed.ZoneOptions{
		Store: l.options.Store, Candidate: l.candidate, Increment: l.increment, Dial: l.options.Network.Dial, Lookup: l.options.Network.Lookup,
		RootCAs: l.options.Network.RootCAs, Timers: l.options.Network.Timers, Background: l.options.Background, Logger: l.options.Logger,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("transferring zones: %w", err), remotes.Close())
	}
	l.network.remotes, l.network.zones = remotes, zones
	l.network.ended.Go(l.confirmAgain)
	return nil
}

// set replaces the lists that are fetched.
func (n *network) set(specs []Spec) {
	if n.remotes == nil {
		return
	}
	var remote []feed.RemoteSpec
	var zones []feed.ZoneSpec
	n.asked = map[string]any{}
	for i := range specs {
		switch s := &specs[i]; {
		case isZone(s.Source):
			zones = append(zones, s.zone())
			n.asked[s.Name] = s.zone()
		case !isLocal(s.Source):
			remote = append(remote, s.remote())
			n.asked[s.Name] = s.remote()
		}
	}
	if err := errors.Join(n.remotes.Set(remote), n.zones.Set(zones)); err != nil {
		n.log.Error("lists that cannot be fetched", zap.Error(err))
	}
}

func (s *Spec) remote() feed.RemoteSpec {
	return feed.RemoteSpec{Name: s.Name, URL: s.Source, Refresh: s.Refresh, Header: s.Header, Secret: s.Secret, SecretFile: s.SecretFile}
}

func (s *Spec) zone() feed.ZoneSpec {
	return feed.ZoneSpec{Name: s.Name, Source: s.Source, TSIG: feed.TSIG(s.TSIG), SecretFile: s.SecretFile}
}

// askAgain has a list fetched soon: its secret is another one.
func (n *network) askAgain(spec *Spec) {
	switch {
	case n.remotes == nil || isLocal(spec.Source):
	case isZone(spec.Source):
		n.zones.Ask(spec.Name)
	default:
		n.remotes.Ask(spec.Name)
	}
}

func (n *network) close() {
	if n == nil || n.remotes == nil {
		return
	}
	close(n.closed)
	n.ended.Wait()
	if err := errors.Join(n.remotes.Close(), n.zones.Close()); err != nil {
		n.log.Warn("ending the fetching of lists", zap.Error(err))
	}
}

var (
	errNotFetched = errors.New("not fetched yet")
	// errFetching is no failure yet: of a list that is fetched now for the first
	// time there is nothing.
	errFetching = errors.New("being fetched")
)

// missing says why there is no copy of a list.
func (n *network) missing(spec *Spec) error {
	if n.remotes == nil {
		return fmt.Errorf("%s: %w", shown(spec.Source), errNotFetched)
	}
	problem := ""
	switch n.asked[spec.Name] {
	case any(spec.remote()):
		s, _ := n.remotes.Status(spec.Name)
		problem = s.Error
	case any(spec.zone()):
		s, _ := n.zones.Status(spec.Name)
		problem = s.Error
	}
	if problem == "" {
		return errFetching
	}
	return errors.New(problem)
}

// readCopy reads a list from its last good copy, or if that is damaged from the
// one before.
func (n *network) readCopy(spec *Spec, t *terms) (r *reading) {
	if n.store == nil {
		return &reading{err: fmt.Errorf("%s: lists that come over the network need a list_store", shown(spec.Source))}
	}
	for range 2 {
		entry := n.store.Entry(spec.Name, spec.Source)
		if entry.Good == nil {
			return &reading{err: n.missing(spec)}
		}
		if isZone(spec.Source) {
			r = n.readZone(spec, t, *entry.Good)
		} else {
			r = n.readPage(spec, t, *entry.Good)
		}
		r.seen = entry.Good.Confirmed
		// Beside a running server the copy may be replaced between the two.
		if !errors.Is(r.err, feed.ErrDamaged) && !errors.Is(r.err, fs.ErrNotExist) {
			break
		}
	}
	return r
}

// readHeld reads what is held of a list that comes over the network; nil if
// nothing is.
func (n *network) readHeld(spec *Spec, t *terms) (*reading, string) {
	if n.store == nil || isLocal(spec.Source) {
		return nil, ""
	}
	held := n.store.Entry(spec.Name, spec.Source).Held
	if held == nil {
		return nil, ""
	}
	content, err := feed.OpenAs(n.store.Path(spec.Name, held.Copy), shown(spec.Source), feed.Limits{})
	if err != nil {
		return &reading{err: err}, held.Reason
	}
	defer content.Close()
	if serial, isZone := feed.ZoneSerial(held.Copy); isZone {
		t = t.ofZone(serial)
	}
	return readOpened(spec, t, content), held.Reason
}

// readPage reads the copy of a URL's content.
func (n *network) readPage(spec *Spec, t *terms, c feed.Copy) *reading {
	content, err := n.store.Open(spec.Name, c, feed.Limits{})
	if err != nil {
		return &reading{err: err}
	}
	defer content.Close()
	return readOpened(spec, t, content)
}

// readZone reads a zone as its copy and the increments that came since make it.
func (n *network) readZone(spec *Spec, t *terms, c feed.Copy) *reading {
	r := n.openZone(spec, c, func(zone *feed.ZoneCopy) *reading {
		text, err := zone.Text()
		if err != nil {
			return &reading{err: err}
		}
		return readText(spec, t.ofZone(zone.Serial), text, zone.Content)
	})
	if !errors.Is(r.err, feed.ErrIncrement) {
		return r
	}
	// A primary that removes a record with another TTL than the record had.
	return n.openZone(spec, c, func(zone *feed.ZoneCopy) *reading {
		r := readOpened(spec, t.ofZone(zone.Base), zone.Content)
		if r.err == nil {
			r.err = replay(spec, t, r, zone.Base, zone)
		}
		return r
	})
}

func (n *network) openZone(spec *Spec, c feed.Copy, read func(*feed.ZoneCopy) *reading) *reading {
	zone, err := feed.OpenZone(n.store, spec.Name, c, feed.Limits{})
	if err != nil {
		return &reading{err: err}
	}
	defer zone.Close()
	return read(zone)
}

// candidate judges what was fetched of a list, and puts it in force if it is
// good.
func (l *Lists) candidate(_ context.Context, c feed.Candidate) feed.Judgement {
	l.updating.Lock()
	defer l.updating.Unlock()
	spec := l.spec(c.Name)
	if spec == nil || !c.IsFrom(spec.Source) {
		return feed.Reject(errors.New("the list was configured anew meanwhile"))
	}
	content, err := feed.OpenAs(c.Path, shown(spec.Source), feed.Limits{})
	if err != nil {
		return feed.Reject(err)
	}
	defer content.Close()
	u := l.updateWith([]Spec{*spec}, causeFetched, func(spec *Spec) *reading {
		t := l.terms(spec)
		if serial, isZone := feed.ZoneSerial(c.Copy); isZone {
			t = t.ofZone(serial)
		}
		r := readOpened(spec, t, content)
		r.seen = c.Confirmed
		return r
	})
	if err := u.Failed[spec.Name]; err != nil {
		return feed.Reject(err)
	}
	if reason := u.Held[spec.Name]; reason != "" {
		return feed.Hold(reason)
	}
	return feed.Accept()
}

// approve makes the held copy of a list the one in use.
func (n *network) approve(spec *Spec, version string) error {
	if n.store == nil {
		return errors.New("nothing is held without a list_store")
	}
	_, err := n.store.Approve(spec.Name, spec.Source, version)
	return err
}

// Refresh asks the sources of the named lists now, of all without a name, and
// waits for what comes of it: URLs are fetched, files are read.
func (l *Lists) Refresh(ctx context.Context, names ...string) error {
	l.updating.Lock()
	specs, err := l.named(names)
	l.updating.Unlock()
	if err != nil {
		return err
	}
	var local []string
	var wait sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for _, s := range specs {
		if isLocal(s.Source) || l.network.remotes == nil {
			local = append(local, s.Name)
			continue
		}
		wait.Go(func() {
			if err := l.network.refresh(ctx, &s); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = errors.Join(failed, fmt.Errorf("list %s: %w", s.Name, err))
			}
		})
	}
	if len(local) > 0 {
		u, err := l.Reload(local...)
		failed = errors.Join(failed, err, u.Err())
	}
	wait.Wait()
	return failed
}

func (n *network) refresh(ctx context.Context, spec *Spec) error {
	if isZone(spec.Source) {
		return n.zones.Refresh(ctx, spec.Name)
	}
	return n.remotes.Refresh(ctx, spec.Name)
}

// Notify takes a NOTIFY message and gives the answer to it, see [feed.Zones.Notify].
func (l *Lists) Notify(msg []byte, from netip.AddrPort) []byte {
	if l.network.zones == nil {
		return nil
	}
	return l.network.zones.Notify(msg, from)
}

// Notifies counts the NOTIFY messages.
func (l *Lists) Notifies() feed.NotifyStats {
	if l.network.zones == nil {
		return feed.NotifyStats{}
	}
	return l.network.zones.Notifies()
}

// isZone tells whether a list is a zone that is transferred.
func isZone(source string) bool {
	return strings.HasPrefix(source, "rpz://") || strings.HasPrefix(source, "rpzs://")
}

// confirmAgain keeps lists with a limit on age alive for as long as their
// sources confirm them. An answer found clean under a policy stays so: what comes
// to life again is in a new one.
func (l *Lists) confirmAgain() {
	ticker := time.NewTicker(confirmEvery)
	defer ticker.Stop()
	for {
		select {
		case <-l.network.closed:
			return
		case <-ticker.C:
			l.confirm()
		}
	}
}

func (l *Lists) confirm() {
	l.updating.Lock()
	defer l.updating.Unlock()
	next := map[string]*content{}
	for i := range l.Specs {
		spec := &l.Specs[i]
		c := l.content[spec.Name]
		if spec.Expires <= 0 || c == nil || isLocal(spec.Source) {
			continue
		}
		entry := l.network.store.Entry(spec.Name, spec.Source)
		if entry.Good == nil || !entry.Good.Confirmed.After(c.seen) {
			continue
		}
		fresh := *c
		fresh.seen = entry.Good.Confirmed
		next[spec.Name] = &fresh
	}
	if len(next) == 0 {
		return
	}
	l.options.Background(func() {
		if err := l.put(next); err != nil {
			l.options.Logger.Error("confirming lists", zap.Error(err))
		}
	})
}

// shown is a source without what may be secret of it: the user and the query of a
// URL.
func shown(source string) string {
	if isLocal(source) || isZone(source) {
		return source
	}
	u, err := url.Parse(source)
	if err != nil {
		return "a URL that cannot be read"
	}
	u.User, u.RawQuery, u.ForceQuery = nil, "", false
	return u.String()
}

// show adds to a list's state how its source fares.
func (n *network) show(s *Status) {
	switch {
	case n.remotes == nil || isLocal(s.Source):
	case isZone(s.Source):
		if z, found := n.zones.Status(s.Name); found {
			s.Zone = &z
			s.fail(z.Error)
		}
	default:
		if r, found := n.remotes.Status(s.Name); found {
			s.Remote = &r
			s.fail(r.Error)
		}
	}
}

// fail notes that the source could not be reached: what is in force stays.
func (s *Status) fail(problem string) {
	if problem == "" {
		return
	}
	s.Error = problem
	switch {
	case s.State == StateFetching && s.Loaded.IsZero():
		s.State = StateFailed
	case s.State == StateOK || s.State == StateFetching:
		s.State = StateStale
	}
}
