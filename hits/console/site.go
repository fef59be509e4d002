package console

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"sinkhole/hits"
	"sinkhole/hits/export"
	"sinkhole/hits/inventory"
)

// Site is what the console shows and does.
type Site struct {
	Started       func() bool // until then nothing else of a Site is called
	Name, Version string      // of the resolver
	Journal       string      // directory of the hit journal
	// Inventory opens the inventory of machines; its error says why there is none.
	Inventory func(context.Context) (*inventory.Reader, error)
	WhoIs     inventory.WhoIs // nil: nobody knows
	Veil      *hits.Veil      // of the journal
	// Details tells more of a record's client in exports; nil: nobody knows more.
	Details func(*hits.Record) export.Details

	Lists    func() []List
	Resolver func() Resolver
	// Judge says what a query would get, as `sinkhole explain` does.
	Judge func(name, qtype, client string) (*Verdict, error)
	// Refresh asks the source of a list, and gives what came of it.
	Refresh func(ctx context.Context, list string) (List, error)
	// Approve lets in entries that the guard keeps out, or without entries the held content of
	// a version.
	Approve func(user, list, version string, entries []string) error
	// Allowed, Allow and Disallow are about the file of what is never blocked; Allow gives the
	// entry as it stands there.
	Allowed  func() ([]Allowed, error)
	Allow    func(ctx context.Context, user, entry, comment string) (string, error)
	Disallow func(ctx context.Context, entry string) error

	// Audit puts on record what somebody did.
	Audit func(hits.Audit) error
	// Background runs what may take long where it holds up nobody else, and returns then.
	Background func(func())
}

// List is a threat list, or a list of what is never blocked.
type List struct {
	Name         string    `json:"name"`
	Source       string    `json:"source"`
	Allow        bool      `json:"allow"`
	State        string    `json:"state"` // ok, held, stale, failed or fetching
	Entries      int       `json:"entries"`
	InForce      int       `json:"in_force"`
	Malformed    int       `json:"malformed"`
	Refused      int       `json:"refused"`
	GuardRefused int       `json:"guard_refused"`
	GuardHeld    int       `json:"guard_held"`
	Version      string    `json:"version"`
	Held         string    `json:"held"`         // why new content waits; "": none does
	HeldVersion  string    `json:"held_version"` // of that content
	Error        string    `json:"error"`
	Tried        string    `json:"tried"`  // RFC 3339, "": never
	Loaded       string    `json:"loaded"` // the content in force
	Warnings     []string  `json:"warnings"`
	LeftOut      []LeftOut `json:"left_out"` // the first of them
}

// LeftOut is a line or entry of a list that is not in force.
type LeftOut struct {
	Kind   string `json:"kind"` // malformed, refused or held; the latter two by the guard
	Text   string `json:"text"`
	Reason string `json:"reason"`
	File   string `json:"file"`
	Line   int    `json:"line"`
}

// Resolver is the resolver's state.
type Resolver struct {
	Ready      string     `json:"ready"` // "": it is; else why not
	Indicators int        `json:"indicators"`
	Queries    uint64     `json:"queries"` // since the start
	Hits       uint64     `json:"hits"`
	Lost       uint64     `json:"lost"` // of Hits
	Cache      Cache      `json:"cache"`
	Upstreams  []Upstream `json:"upstreams"`
}

// Cache is the state of the cache.
type Cache struct {
	Entries int    `json:"entries"`
	Hits    uint64 `json:"hits"`
	Misses  uint64 `json:"misses"`
}

// Upstream is a server that is asked.
type Upstream struct {
	Server   string `json:"server"`
	Healthy  bool   `json:"healthy"`
	Replies  uint64 `json:"replies"`
	Timeouts uint64 `json:"timeouts"`
}

// Verdict is what a query would get.
type Verdict struct {
	Query      string           `json:"query"`
	Type       string           `json:"type"`
	Client     string           `json:"client"`
	Listed     bool             `json:"listed"`
	Verdict    string           `json:"verdict"` // none, allow, observe, or the action
	Answer     string           `json:"answer"`
	Trigger    string           `json:"trigger"`
	Group      string           `json:"group"`
	Mode       string           `json:"mode"`
	Indicators []ListedEntry    `json:"indicators"` // the deciding one first
	KeptOut    []KeptOutOfLists `json:"kept_out"`
}

// ListedEntry is an entry of a list behind a verdict.
type ListedEntry struct {
	Indicator  string `json:"indicator"`
	Trigger    string `json:"trigger"`
	Scope      string `json:"scope"`
	Action     string `json:"action"`
	List       string `json:"list"`
	Version    string `json:"version"`
	File       string `json:"file"`
	Line       int    `json:"line"`
	Family     string `json:"family"`
	Confidence *int   `json:"confidence"` // nil: not known
	Reference  string `json:"reference"`
	TLP        string `json:"tlp"`
	FirstSeen  string `json:"first_seen"`
	LastSeen   string `json:"last_seen"`
	Expires    string `json:"expires"`
}

// KeptOutOfLists is an entry that the guard keeps out.
type KeptOutOfLists struct {
	Entry   string `json:"entry"`
	Outcome string `json:"outcome"` // refused or held
	Kind    string `json:"kind"`
	Reason  string `json:"reason"`
	List    string `json:"list"`
	File    string `json:"file"`
	Line    int    `json:"line"`
}

// Allowed is an entry of the file of what is never blocked.
type Allowed struct {
	Entry   string `json:"entry"`
	By      string `json:"by"` // "": written by hand
	At      string `json:"at"`
	Comment string `json:"comment"`
}

// site answers what is not monitoring.
type site struct {
	*Site
	gate  *gate
	count *counters
	log   *zap.Logger

	views   chan struct{} // a place for each reading of the inventory, which may take much memory
	reads   chan struct{} // and of the journal
	exports chan struct{}
	streams chan struct{}
}

// Bounds of what may be under way at once. What finds no place waits for a while, and is
// refused then.
const (
	maxViews   = 1
	maxReads   = 2
	maxExports = 2
	maxStreams = 16

	placeWithin = 10 * time.Second
)

func newSite(o *Options, g *gate, count *counters) *site {
	return &site{
		Site: o.Site, gate: g, count: count, log: o.Logger,
		views: make(chan struct{}, maxViews), reads: make(chan struct{}, maxReads), exports: make(chan struct{}, maxExports), streams: make(chan struct{}, maxStreams),
	}
}

func (s *site) handler() http.Handler {
	mux := http.NewServeMux()
	s.addAPI(mux)
	s.addPages(mux)
	return s.gate.protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.Started() {
			refuse(w, r, &fault{http.StatusServiceUnavailable, "starting: the lists are still being read"})
			return
		}
		mux.ServeHTTP(w, r)
	}))
}

// place takes a place, and gives what gives it back.
func (s *site) place(ctx context.Context, of chan struct{}, wait time.Duration) (free func(), err error) {
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case of <- struct{}{}:
		return func() { <-of }, nil
	default:
	}
	select {
	case of <- struct{}{}:
		return func() { <-of }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-late.C:
		s.count.overload.Add(1)
		return nil, &fault{http.StatusServiceUnavailable, "too much of this kind is under way: try again in a moment"}
	}
}

// audit puts on record what a request did, or could not do.
func (s *site) audit(r *http.Request, action, object, reason string, failure error) {
	v := visitorOf(r)
	a := hits.Audit{User: v.Name, Role: v.Role.String(), Client: remote(r), Action: action, Object: object, Reason: reason}
	if failure != nil {
		a.Failed, a.Reason = true, failure.Error()
	}
	fields := []zap.Field{zap.String("user", a.User), zap.String("action", action), zap.String("object", object), zap.String("reason", a.Reason), zap.Bool("failed", a.Failed)}
	if err := s.Audit(a); err != nil {
		s.log.Error("an audit record is not in the hit journal", append(fields, zap.Error(err))...)
		return
	}
	s.log.Info("done in the console", fields...)
}
