package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"sinkhole/blocklist"
	"sinkhole/blocklist/feed"
	"sinkhole/configs"
	"sinkhole/hits"
	"sinkhole/hits/console"
	hitsink "sinkhole/hits/sink"
	"sinkhole/resolver"
	"sinkhole/resolver/cache"
	"sinkhole/resolver/certificate"
	"sinkhole/resolver/upstream"
)

// server is the running resolver: its parts, wired.
type server struct {
	file  string
	log   *zap.Logger
	level zap.AtomicLevel

	journal     *hits.Journal
	writer      int         // thread of the journal's writer, where the system has such
	store       *feed.Store // nil: nothing is kept of lists
	lists       *blocklist.Lists
	cache       *cache.Cache
	forwarder   *upstream.Forwarder
	resolver    *resolver.Resolver
	inherited   *inherited
	listeners   []*resolver.Listener
	encrypted   []encryptedListener
	certificate *certificate.Certificate // nil: none
	consoles    []*console.Server
	receivers   []receiver                     // that hits are sent to
	stream      atomic.Pointer[hitsink.Stream] // among them; nil: none
	syslog      atomic.Pointer[hitsink.Sink]   // among them; nil: none
	pages       *certificate.Certificate       // of the console; nil: none
	control     *control
	answers     *cacheFile     // nil: the cache begins empty
	inventory   *inventoryFeed // nil: none
	landing     *landingPart   // nil: none
	names       *nameFeed      // nil: nobody is named
	webhook     *webhookFeed   // nil: none
	memory      *memory
	manager     *manager

	signals <-chan os.Signal // ends a start that waits

	state    atomic.Pointer[string] // why the server is not ready; nil: it is
	serving  atomic.Bool            // queries are answered: list updates run in the background
	allowing sync.Mutex             // one change of allow_file at a time
	reloads  sync.Mutex             // one reload at a time; guards config
	config   *configs.Config        // in force
	started  *configs.Config        // at the start, for keys that need a restart
}

// newServer takes all that a server holds: the journal, the sockets, the lists.
// What it has taken is given back by stop, also after an error.
func newServer(file string, c *configs.Config, signals <-chan os.Signal) (*server, error) {
	s := &server{file: file, config: c, started: c, signals: signals}
	s.log, s.level = newLogger(c.Log)
	s.memory = newMemory(s.log)
	s.manager = newManager(s.log, s.turn, s.summary)
	s.notReady("starting")
	err := s.open(c)
	if err != nil {
		_ = s.stop()
	}
	return s, err
}

func (s *server) open(c *configs.Config) (err error) {
	if s.inherited, err = inherit(os.Getpid()); err != nil {
		return err
	}
	options := s.journalOptions(c)
	if options.Veil, err = veil(&c.Hits); err != nil {
		return fmt.Errorf("hits.identity_key_file: %w", err)
	}
	if s.journal, err = hits.Open(options); err != nil {
		return err
	}
	s.names = newNameFeed(c, s.log, s.reverseName)
	s.inventory = newInventoryFeed(c, s.log, s.names.subscriber())
	if err = s.openReceivers(c); err != nil {
		return err
	}
	s.cache = cache.New(cache.Options{Memory: c.Cache.Memory, Stale: c.Cache.ServeStale})
	s.answers = newCacheFile(c.Cache.File, s.cache, s.log.Named("cache"))
	if s.forwarder, err = upstream.New(upstream.Options{
		Servers: serverNames(c.Upstream.Servers), Zones: zoneServers(c), Strategy: strategy(c.Upstream.Strategy), FindLoops: true, Bootstrap: serverNames(c.Upstream.Bootstrap), Timeout: c.Upstream.Timeout, Own: s.addresses, Logger: s.log.Named("upstream"),
	}); err != nil {
		return err
	}
	s.webhook = newWebhookFeed(s, c)
	now, err := settings(c)
	if err != nil {
		return fmt.Errorf("clients.cookie_secret_file: %w", err)
	}
	s.resolver = resolver.New(resolver.Options{
		Settings: now, Policy: func() *blocklist.Policy { return s.lists.Policy() }, Journal: s.journal, Cache: s.cache,
		Balancers: c.Listen.ProxyProtocolFrom,
		Forward:   s.forwarder.Exchange, Ports: s.forwarder.NewPorts, Returned: s.forwarder.Returned, Zones: slices.Collect(maps.Keys(c.Upstream.Zones)), NAT64: c.Upstream.NAT64,
		Rebind: resolver.Rebind{Strip: c.Upstream.Rebind == configs.RebindStrip, Allowed: c.Upstream.RebindAllow}, Logger: s.log.Named("resolver"),
		Notified: func(msg []byte, from netip.AddrPort) []byte { return s.lists.Notify(msg, from) },
		TTL:      resolver.TTLBounds{Min: c.Cache.MinTTL, Max: c.Cache.MaxTTL, Negative: c.Cache.NegativeTTL},
		Prefetch: c.Cache.Prefetch, NXDomainCut: c.Cache.NXDomainCut,
	})
	if err = s.listen(c); err != nil {
		return err
	}
	if err = s.listenEncrypted(c); err != nil {
		return err
	}
	if err = s.inherited.unused(); err != nil {
		return err
	}
	if err = s.openConsoles(c); err != nil {
		return err
	}
	if s.landing, err = openLanding(s, c); err != nil {
		return err
	}
	for _, c := range s.consoles {
		go c.Serve() // /readyz says no until the lists are read
	}
	if s.control, err = listenControl(s); err != nil {
		return err
	}
	return s.openLists(c)
}

func (s *server) journalOptions(c *configs.Config) hits.Options {
	j := c.Hits.Journal
	return hits.Options{
		Dir: j.Path, RotateSize: j.RotateSize, RotateEvery: j.RotateEvery, Keep: j.Keep, KeepSize: j.KeepSize,
		SyncEvery: j.SyncEvery, MergeAbove: j.MergeAbove, SigningKeyFile: j.SigningKeyFile,
		Observer: hits.Observer{Name: hostName(), Version: versionText()}, Logger: s.log.Named("hits"),
		Background: func(work func()) { go background(s.log, work) },
		RunWriter:  func(write func()) { s.writer = onThread(write) },
		Yield:      yield, OnHead: s.head,
	}
}

// veil is what hides who asked; nil: nothing does.
func veil(c *configs.Hits) (*hits.Veil, error) {
	if c.Identity == configs.IdentityTruncate {
		return hits.Truncated(), nil
	}
	key, err := c.IdentityKey()
	if key == nil {
		return nil, err
	}
	return hits.Pseudonymous(key), nil
}

// listen binds the DNS listeners. One that cannot be had is an error where the
// operator asked for it, and a warning where it stands in the defaults.
func (s *server) listen(c *configs.Config) error {
	for _, addr := range c.Listen.DNS {
		l, err := s.resolver.ListenOn(addr, dualStack(addr, c.Listen.DNS), s.inherited.take(addr))
		switch {
		case err == nil:
			s.listeners = append(s.listeners, l)
		case s.asked("listen.dns"):
			return fmt.Errorf("listen.dns: cannot listen on %s: %w%s", addr, err, remedy(err))
		default:
			s.log.Warn("not listening there; set listen.dns to choose other addresses", zap.Stringer("address", addr), zap.Error(err))
		}
	}
	if len(s.listeners) == 0 {
		return fmt.Errorf("listen.dns: none of %v can be had: stop what listens there, or choose other addresses", c.Listen.DNS)
	}
	return nil
}

// remedy is what helps against a fault of listening.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.EACCES):
		return ": ports below 1024 need CAP_NET_BIND_SERVICE (setcap cap_net_bind_service=+ep on the binary, or AmbientCapabilities in its unit)"
	case errors.Is(err, syscall.EADDRINUSE):
		return ": stop what listens there (ss -lunp shows it), or choose another address"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return ": no interface of this machine has that address"
	}
	return ""
}

// asked tells whether a key was written by an operator.
func (s *server) asked(key string) bool { return s.file != "" && s.config.Stated(key) }

func (s *server) openConsoles(c *configs.Config) error {
	own := c.Metrics.Listen.IsValid()
	handler := metricsHandler(s)
	open := func(key string, addr netip.AddrPort, withMetrics bool) error {
		if !addr.IsValid() {
			return nil
		}
		o := console.Options{Addr: addr, Ready: s.ready, Logger: s.log.Named("console")}
		if withMetrics {
			o.Metrics = handler
		}
		if key == "console.listen" {
			if err := s.openSite(c, &o); err != nil {
				return err
			}
		}
		l, err := console.Listen(o)
		switch {
		case err == nil:
			s.consoles = append(s.consoles, l)
		case s.asked(key):
			return fmt.Errorf("%s: cannot listen on %s: %w%s", key, addr, err, remedy(err))
		default:
			s.log.Warn("not listening there; set "+key+" to choose another address", zap.Stringer("address", addr), zap.Error(err))
		}
		return nil
	}
	return errors.Join(open("console.listen", c.Console.Listen, !own), open("metrics.listen", c.Metrics.Listen, true))
}

// serve starts to answer.
func (s *server) serve() {
	s.control.serve()
	var readers []int
	for _, l := range s.listeners {
		l.Serve()
		readers = append(readers, l.Readers()...)
	}
	for _, l := range s.encrypted {
		l.Serve()
	}
	if err := prefer(readers, s.writer); err != nil {
		s.log.Warn("the threads that answer queries and record hits have no preference over others", zap.Error(err))
	}
	s.landing.serve()
	s.serving.Store(true)
	s.answers.start(s.resolver)
	s.names.start()
	s.inventory.start()
	s.webhook.start()
	s.state.Store(nil)
	s.memory.updated()
	s.manager.ready()
}

// failed gives the error of a listener that stopped by itself.
func (s *server) failed() <-chan error {
	merged := make(chan error, len(s.listeners)+len(s.encrypted))
	for _, l := range s.listeners {
		go func() { merged <- <-l.Failed() }()
	}
	for _, l := range s.encrypted {
		go func() { merged <- <-l.Failed() }()
	}
	return merged
}

// turn waits until every reader has come round.
func (s *server) turn(ctx context.Context) error {
	for _, l := range s.listeners {
		if err := l.Turn(ctx); err != nil {
			return err
		}
	}
	return nil
}

// summary is the state in a line.
func (s *server) summary() string {
	if err := s.ready(); err != nil {
		return err.Error()
	}
	p := s.lists.Policy()
	return fmt.Sprintf("%s from %s", plural(p.Indicators(), "indicator", "indicators"), listsText(s.lists.Status()))
}

func (s *server) notReady(why string) { s.state.Store(&why) }

func (s *server) ready() error {
	if why := s.state.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
}

// addresses are those that we listen on.
func (s *server) addresses() []netip.AddrPort {
	var all []netip.AddrPort
	for _, l := range s.listeners {
		all = append(all, l.Addr())
	}
	for _, l := range s.encrypted {
		all = append(all, l.Addr())
	}
	return all
}

// stopWithin is how long a stop takes at most, after the shutdown delay.
const stopWithin = 5 * time.Second

// How long the parts of a stop may take: together less than stopWithin.
const (
	upstreamsWithin = 1 * time.Second // then what still waits for an upstream gets SERVFAIL
	answersWithin   = 2500 * time.Millisecond
	hitsWithin      = 1500 * time.Millisecond
	consolesWithin  = 300 * time.Millisecond
	receiversWithin = 500 * time.Millisecond // what is left is sent after the next start
)

// stop ends the service: sockets read empty and closed, hits written. Only hits
// that could not be written are an error.
func (s *server) stop() error {
	s.notReady("stopping")
	s.manager.close()
	s.stopAnswering()
	if s.control != nil {
		s.control.close()
	}
	var saving sync.WaitGroup
	saving.Go(s.answers.stop)
	defer saving.Wait()
	var err error
	if s.journal != nil {
		ctx, cancel := context.WithTimeout(context.Background(), hitsWithin)
		defer cancel()
		err = s.journal.Close(ctx)
		s.logAccount()
		s.closeReceivers()
	}
	s.webhook.stop()
	s.inventory.stop()
	s.names.stop()
	ctx, cancel := context.WithTimeout(context.Background(), consolesWithin)
	defer cancel()
	for _, c := range s.consoles {
		c.Shutdown(ctx)
	}
	if s.pages != nil {
		s.pages.Close()
	}
	_ = s.log.Sync()
	return err
}

// stopAnswering drains and closes the listeners and all that answers come from.
// A list update under way is not waited for.
func (s *server) stopAnswering() {
	ctx, cancel := context.WithTimeout(context.Background(), answersWithin)
	defer cancel()
	var stopping sync.WaitGroup
	stopping.Go(s.landing.close)
	for _, l := range s.encrypted {
		stopping.Go(func() {
			if err := l.Shutdown(ctx); err != nil {
				s.log.Warn("stopped before all queries were answered", zap.Error(err))
			}
		})
	}
	for _, l := range s.listeners {
		stopping.Go(func() {
			if err := l.Shutdown(ctx); err != nil {
				s.log.Warn("stopped before all queries were answered", zap.Error(err))
			}
		})
	}
	if s.forwarder != nil {
		soon := time.AfterFunc(upstreamsWithin, func() { _ = s.forwarder.Close() })
		defer soon.Stop()
	}
	stopping.Wait()
	if s.forwarder != nil {
		_ = s.forwarder.Close()
	}
	s.memory.close()
	if s.certificate != nil {
		s.certificate.Close()
	}
	go s.closeLists()
}

func (s *server) logAccount() {
	j := s.journal.Stats()
	s.log.Info("hits accounted for", zap.Uint64("verdicts", j.Verdicts), zap.Uint64("journaled", j.Journaled),
		zap.Uint64("queued", j.Queued), zap.Uint64("lost", j.Lost))
	if j.Connections > 0 {
		s.log.Info("records of connections accounted for", zap.Uint64("records", j.Connections), zap.Uint64("journaled", j.ConnectionsJournaled),
			zap.Uint64("queued", j.ConnectionsQueued), zap.Uint64("lost", j.ConnectionsLost))
	}
}

// reloadable are the keys that a reload puts in force; the others need a
// restart.
func reloadable(key string) bool {
	switch key {
	case "lists", "allow", "allow_file", "clients.allow", "clients.refuse", "clients.forwarders", "clients.believe", "clients.expected", "clients.response_rate_limit", "clients.cookie_secret_file", "groups", "log.level", "guard.on_empty", "guard.protect", "guard.files", "guard.hold", "guard.shrink_limit":
		return true
	}
	return strings.HasPrefix(key, "sinkhole.") || strings.HasPrefix(key, "local.") || strings.HasPrefix(key, "clients.rate_limit.")
}

// reloaded is the outcome of a reload.
type reloaded struct {
	Update  blocklist.Update
	Changed []string // keys put in force
	Restart []string // keys that differ from those in force until a restart
}

// reload reads configuration and lists again. A configuration with faults
// changes nothing.
func (s *server) reload() (reloaded, error) {
	s.reloads.Lock()
	defer s.reloads.Unlock()
	defer s.manager.reloading()()
	next, err := load(s.file)
	if err == nil {
		err = checkBeside(next)
	}
	var now resolver.Settings
	if err == nil {
		now, err = settings(next)
	}
	if err != nil {
		s.log.Error("configuration not reloaded: the old one stays in force", zap.Error(err))
		return reloaded{}, fmt.Errorf("configuration not reloaded, the old one stays in force:\n%w", err)
	}
	var r reloaded
	for _, key := range configs.Changed(s.config, next) {
		if reloadable(key) {
			r.Changed = append(r.Changed, key)
		}
	}
	for _, key := range configs.Changed(s.started, next) {
		if !reloadable(key) {
			r.Restart = append(r.Restart, key)
		}
	}
	if err := makeAllowFile(next.AllowFile); err != nil {
		s.log.Error("configuration not reloaded: the old one stays in force", zap.Error(err))
		return reloaded{}, fmt.Errorf("configuration not reloaded, the old one stays in force:\n%w", err)
	}
	s.adopt(next)
	if r.Update, err = s.lists.Configure(listConfiguration(next)); err != nil {
		err = atKeys(next, err)
		s.log.Error("configuration not reloaded: the old one stays in force", zap.Error(err))
		return reloaded{}, fmt.Errorf("configuration not reloaded, the old one stays in force:\n%w", err)
	}
	s.config = next
	s.level.SetLevel(logLevel(next.Log.Level))
	s.resolver.Configure(now)
	s.landing.configure(next)
	for _, pair := range []*certificate.Certificate{s.certificate, s.pages} {
		if pair != nil {
			pair.Reload() // what comes of it is logged
		}
	}
	s.log.Info("reloaded", zap.Strings("changed", r.Changed), zap.Strings("restart_needed", r.Restart))
	return r, nil
}

// configNow is the configuration in force.
func (s *server) configNow() *configs.Config {
	s.reloads.Lock()
	defer s.reloads.Unlock()
	return s.config
}

func strategy(s configs.Strategy) upstream.Strategy {
	switch s {
	case configs.StrategyFastest:
		return upstream.Fastest
	case configs.StrategyRandom:
		return upstream.Random
	}
	return upstream.Ordered
}

func zoneServers(c *configs.Config) map[string][]string {
	all := map[string][]string{}
	for zone, servers := range c.Upstream.Zones {
		all[zone] = serverNames(servers)
	}
	return all
}

func serverNames(servers []configs.Server) []string {
	var all []string
	for _, s := range servers {
		all = append(all, s.String())
	}
	return all
}
