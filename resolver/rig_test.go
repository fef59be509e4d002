package resolver

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"sinkhole/blocklist"
	"sinkhole/blocklist/format"
	"sinkhole/hits"
	"sinkhole/resolver/cache"
	"sinkhole/resolver/upstream"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// rigOptions make a rig; the zero value answers loopback clients on 127.0.0.1,
// has no lists and no upstream.
type rigOptions struct {
	settings  *Settings
	specs     []blocklist.Spec
	action    format.Action
	groups    []blocklist.Group
	servers   []string
	zones     map[string][]string                                   // with servers of their own
	forward   func(context.Context, []byte) (upstream.Reply, error) // in place of servers
	rebind    Rebind
	loops     bool // upstreams that lead back are looked for
	timeout   time.Duration
	ttl       TTLBounds
	listen    string
	dualStack bool
	idle      bool          // does not serve yet
	queue     int           // length of the journal's queues
	readers   int           // 0: one
	stale     time.Duration // how long after its end an answer may be given
	fairWait  time.Duration // 0: as usual
	noCut     bool          // a name that does not exist stands for itself alone
	balancers []netip.Prefix
	veil      *hits.Veil
	still     bool // the journal's writer runs only when the rig is stopped
}

// rig is a whole resolver on loopback, made of the real parts.
type rig struct {
	*Resolver
	listener  *Listener
	lists     *blocklist.Lists
	journal   *hits.Journal
	forwarder *upstream.Forwarder
	dir       string
	stop      func()
}

func sinkSettings() *Settings {
	return &Settings{
		Allow:       []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		IPv4:        blocklist.Sink{Mode: blocklist.SinkAddress, Addr: netip.MustParseAddr("203.0.113.1")},
		IPv6:        blocklist.Sink{Mode: blocklist.SinkAddress, Addr: netip.MustParseAddr("2001:db8::1")},
		SinkholeTTL: time.Minute, Explain: ExplainCode,
	}
}

func newRig(t testing.TB, o rigOptions) *rig {
	t.Helper()
	k := &rig{dir: t.TempDir()}
	var err error
	runWriter := func(write func()) { go write() }
	if o.still {
		runWriter = func(write func()) { t.Cleanup(func() { go write(); k.stop() }) }
	}
	k.journal, err = hits.Open(hits.Options{Dir: k.dir, QueueLength: cmp.Or(o.queue, 1024), RunWriter: runWriter, Veil: o.veil})
	check(t, err)
	k.lists, err = blocklist.Open(blocklist.Options{Configuration: blocklist.Configuration{Specs: o.specs, DefaultAction: cmp.Or(o.action, format.Sinkhole), Groups: o.groups}})
	check(t, err)
	update := k.lists.LastUpdate()
	check(t, update.Err())
	forwarder, err := upstream.New(upstream.Options{Servers: o.servers, Zones: o.zones, FindLoops: o.loops, Timeout: cmp.Or(o.timeout, 2*time.Second)})
	check(t, err)
	k.forwarder = forwarder
	var ports func(func(int) error) *upstream.Ports
	if o.forward == nil {
		o.forward, ports = forwarder.Exchange, forwarder.NewPorts
	}
	if o.settings == nil {
		o.settings = sinkSettings()
	}
	if o.ttl == (TTLBounds{}) {
		o.ttl = TTLBounds{Max: 24 * time.Hour, Negative: 15 * time.Minute}
	}
	k.Resolver = New(Options{
		Settings: *o.settings, Policy: k.lists.Policy, Journal: k.journal, Cache: cache.New(cache.Options{Memory: 16 << 20, Stale: o.stale}),
		Returned: forwarder.Returned, Rebind: o.rebind, NAT64: []netip.Prefix{netip.MustParsePrefix("2001:db8:64::/96")},
		Zones: slices.Collect(maps.Keys(o.zones)), Prefetch: true, NXDomainCut: !o.noCut, Forward: o.forward, Ports: ports, Readers: cmp.Or(o.readers, 1), Balancers: o.balancers, TTL: o.ttl, Logger: zap.NewNop(),
	})
	k.Resolver.fairWait = cmp.Or(o.fairWait, k.Resolver.fairWait)
	k.listener, err = k.Listen(netip.MustParseAddrPort(cmp.Or(o.listen, "127.0.0.1:0")), o.dualStack)
	check(t, err)
	if !o.idle {
		k.listener.Serve()
	}
	var once sync.Once
	k.stop = func() {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			check(t, k.listener.Shutdown(ctx))
			check(t, forwarder.Close())
			check(t, k.lists.Close())
			check(t, k.journal.Close(ctx))
		})
	}
	if !o.still {
		t.Cleanup(k.stop)
	}
	return k
}

// hits stops the rig and gives the hits in its journal.
func (k *rig) hits(t testing.TB) []*hits.Record {
	t.Helper()
	k.stop()
	var all []*hits.Record
	check(t, hits.Read(context.Background(), k.dir, hits.Filter{}, func(r *hits.Record) error {
		all = append(all, r)
		return nil
	}))
	return all
}

// list writes a list and gives its spec.
func list(t testing.TB, name, text string) blocklist.Spec {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	check(t, os.WriteFile(path, []byte(text), 0o600))
	return blocklist.Spec{Name: name, Source: path, Format: format.Auto}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until something is true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

func specsOf(specs ...blocklist.Spec) []blocklist.Spec { return specs }
