package blocklist

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"sinkhole/blocklist/feed"
	"sinkhole/blocklist/format"
	"sinkhole/blocklist/guard"
)

// Spec is one list as configured.
type Spec struct {
	Name          string
	Source        string // path, glob, "embedded:NAME", URL, "rpz://primary:port/zone"
	Allow         bool
	Format        format.Kind
	Match         string // subtree, exact, "": as the notation means
	Action        format.Action
	IPv4, IPv6    Sink
	Family        string
	Confidence    int8 // where the list states none; 0: unknown
	MinConfidence int8 // entries below it are left out
	EDE           uint16
	Expires       time.Duration // an indicator unseen for longer is dropped; 0: never
	Refresh       time.Duration // of a URL; 0: feed's default
	Header        string        // sent with the secret to a URL
	Secret        string
	TSIG          TSIG // of a zone transfer
	// SecretFile is read for each fetch and transfer, in place of Secret and
	// TSIG.Secret. Empty: these hold.
	SecretFile string
	// Edited is a list that people take entries out of: it is never held for what it lost.
	Edited bool
}

// TSIG is the key of a zone transfer (RFC 8945).
type TSIG struct {
	Name      string
	Algorithm string // hmac-sha256 or hmac-sha512
	Secret    string // base64
}

// list is what a policy keeps of a spec.
func (s *Spec) list() List {
	return List{Name: s.Name, Allow: s.Allow, Action: s.Action, IPv4: s.IPv4, IPv6: s.IPv6, EDE: s.EDE}
}

// Configuration is what may change while the lists serve.
type Configuration struct {
	Specs         []Spec
	DefaultAction format.Action // of entries that state none, in lists that have none; Unstated: Sinkhole
	Groups        []Group
	Guard         guard.Options
	// HoldShrunk holds the new content of a list that lost more than ShrinkLimit
	// percent of its entries at once.
	HoldShrunk  bool
	ShrinkLimit int
}

// Options of [Open].
type Options struct {
	Configuration
	// ReadClients reads a file of clients, see [Group.Files].
	ReadClients func(path string) ([]netip.Prefix, error)
	// Embedded gives the content of "embedded:NAME" sources.
	Embedded func(name string) ([]byte, bool)
	// Store keeps the copies of lists that come over the network, the compiled
	// copies of all and what was approved. Nil: nothing outlives the process.
	// It belongs to the caller, who closes it after the lists.
	Store *feed.Store
	// Watch reloads a list when its files change, and what depends on them when the
	// files of groups and of the guard do, fetches those that come over the
	// network, and reads a list again for some time where its failure passes by
	// itself (too many open files), until Close. Without it lists are read once,
	// those that come over the network from their copies.
	Watch bool
	// Settle is how long files must be quiet before they are read; 0: feed's default.
	Settle time.Duration
	// Background runs parsing and compiling, and returns when it is done; it may
	// lower the priority of the work. Nil runs it in place.
	Background func(func())
	// Program tells versions of the program apart: one does not use what another
	// has compiled.
	Program string
	// Network is how lists are fetched.
	Network Network
	Logger  *zap.Logger
}

// Lists are the configured lists and the policy they make. All methods may be
// called from any goroutine.
type Lists struct {
	options   Options
	policy    atomic.Pointer[Policy]
	watcher   *feed.Watcher
	network   *network
	approvals *approvals

	updating sync.Mutex // held through one update; guards what follows
	Configuration
	guard   *guard.Guard
	groups  groups
	serial  uint64
	content map[string]*content
	retries retries

	saving    sync.WaitGroup // compiled copies being written
	savingOne sync.Mutex

	showing sync.Mutex // guards what follows, for those who look while an update runs
	state   map[string]*Status
	diffs   map[string]*Diff
	last    Update
}

// content is what of one list is in force.
type content struct {
	allow   bool
	source  string
	parts   []listPart
	account account
	entries int // that the source held, those that were kept out included
	rules   int // of them
	acting  int // triggers of them that act; 0 before they were in force
	most    mostActing
	key     string // of all that decides what becomes of the source
	version string
	digest  string // of the files that it was read from; "" after an increment
	seen    time.Time
}

// Open reads all lists once and puts their policy in force. A list that cannot
// be read is reported by its Status and by the log, and is no error of Open.
func Open(o Options) (*Lists, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Background == nil {
		o.Background = func(work func()) { work() }
	}
	l := &Lists{options: o, state: map[string]*Status{}, diffs: map[string]*Diff{}, content: map[string]*content{}}
	empty, err := compile(0, nil, groups{})
	if err != nil {
		return nil, err
	}
	l.policy.Store(empty)
	l.approvals = newApprovals(o.Store)
	if o.Watch {
		if l.watcher, err = feed.NewWatcher(feed.Options{Settle: o.Settle, Logger: o.Logger, Changed: l.filesChanged}); err != nil {
			return nil, fmt.Errorf("watching the lists: %w", err)
		}
	}
	if err := l.openNetwork(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if _, err := l.Configure(o.Configuration); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close stops watching and fetching and waits for a running update. The policy
// stays usable.
func (l *Lists) Close() error {
	var err error
	if l.watcher != nil {
		err = l.watcher.Close()
	}
	l.network.close()
	l.updating.Lock()
	l.retries.close()
	l.updating.Unlock()
	l.saving.Wait()
	return err
}

// Policy is the policy in force. A query loads it once and uses it to its end.
func (l *Lists) Policy() *Policy { return l.policy.Load() }

// Configure replaces the lists by others and reads them all. A list that
// fails keeps the last good content that it had under the same name, as it was
// configured when that was read. An error says that nothing has changed, since a
// file of the groups or of the guard cannot be used.
func (l *Lists) Configure(c Configuration) (Update, error) {
	l.updating.Lock()
	defer l.updating.Unlock()
	l.watch(&l.Configuration, &c) // before reading, so that no change falls between
	keeper, failure := guard.Open(c.Guard)
	clients, err := l.readGroups(c.Groups)
	if err = errors.Join(failure, err); err != nil {
		l.watch(&l.Configuration)
		return Update{}, err
	}
	l.watch(&c)
	l.Configuration, l.guard, l.groups = c, keeper, newGroups(clients)
	l.warnOfGroups()
	l.Specs = allowFirst(c.Specs)
	if l.DefaultAction == format.Unstated {
		l.DefaultAction = format.Sinkhole
	}
	l.retries.keep(l.Specs)
	u := l.update(l.Specs, causeConfiguration)
	l.network.set(l.Specs)
	return u, nil
}

// Reload reads the named lists again, all of them without a name, whether or
// not their files have changed; of those that come over the network, the copies.
func (l *Lists) Reload(names ...string) (Update, error) {
	l.updating.Lock()
	defer l.updating.Unlock()
	specs, err := l.named(names)
	if err != nil {
		return Update{}, err
	}
	return l.update(specs, causeReload), nil
}

// named are the specs of some lists, of all without a name.
func (l *Lists) named(names []string) ([]Spec, error) {
	if len(names) == 0 {
		return l.Specs, nil
	}
	var specs []Spec
	for _, name := range names {
		s := l.spec(name)
		if s == nil {
			return nil, fmt.Errorf("no list is named %q: expected one of %q", name, namesOf(l.Specs))
		}
		specs = append(specs, *s)
	}
	return specs, nil
}

// spec is that of a list, nil where none is named so.
func (l *Lists) spec(name string) *Spec {
	i := slices.IndexFunc(l.Specs, func(s Spec) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &l.Specs[i]
}

// allowFirst puts the allow lists before all others: a match there always wins.
func allowFirst(specs []Spec) []Spec {
	sorted := slices.Clone(specs)
	slices.SortStableFunc(sorted, func(a, b Spec) int {
		switch {
		case a.Allow == b.Allow:
			return 0
		case a.Allow:
			return -1
		}
		return 1
	})
	return sorted
}

// isLocal tells whether a list is read from files or the binary, not over the
// network.
func isLocal(source string) bool { return isEmbedded(source) || !strings.Contains(source, "://") }

func namesOf(specs []Spec) []string {
	var all []string
	for _, s := range specs {
		all = append(all, s.Name)
	}
	return all
}
