package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"sinkhole/blocklist"
	"sinkhole/configs"
	"sinkhole/hits"
	"sinkhole/hits/console"
	"sinkhole/hits/inventory"
	"sinkhole/resolver/certificate"
)

// openSite gives the console what it shows, and who may see it.
func (s *server) openSite(c *configs.Config, o *console.Options) (err error) {
	if !c.Console.Listen.IsValid() {
		return nil
	}
	o.TokensFile, o.ClientCA = c.Console.TokensFile, c.Console.ClientCA
	if c.Console.Certificate != "" {
		if s.pages, err = certificate.Open(c.Console.Certificate, c.Console.Key, s.log.Named("console")); err != nil {
			return fmt.Errorf("console.certificate: %w", err)
		}
		o.Certificate = s.pages.Get
	} else if !c.Console.Listen.Addr().IsLoopback() {
		s.log.Warn("tokens of the console cross the network without encryption: set console.certificate and console.key, unless something in front of it does that", zap.Stringer("address", c.Console.Listen))
	}
	veiled, err := veil(&c.Hits)
	if err != nil {
		return fmt.Errorf("hits.identity_key_file: %w", err)
	}
	o.Site = &console.Site{
		Veil:    veiled,
		Started: s.serving.Load, Name: hostName(), Version: versionText(), Journal: c.Hits.Journal.Path,
		Inventory: func(ctx context.Context) (*inventory.Reader, error) {
			if c.Hits.Inventory == "" {
				return nil, errors.New("hits.inventory is not configured")
			}
			return inventory.OpenReader(ctx, c.Hits.Inventory)
		},
		WhoIs: s.names.whoIs(), Details: detailsOf(s.names.whoIs(), places(c, s.log.Named("geo"))), Lists: s.shownLists, Resolver: s.shownResolver, Judge: s.shownVerdict, Refresh: s.refreshShown, Approve: s.approveShown,
		Allowed: s.allowed, Allow: s.allow, Disallow: s.disallow,
		Audit: s.journal.Audit, Background: func(work func()) { background(s.log, work) },
	}
	return nil
}

// consoleFaults is what stands against the files of the console, at their keys.
func consoleFaults(c *configs.Config) (faults configs.Faults) {
	check := func(key, path string, check func(string) error) {
		if path == "" {
			return
		}
		if err := check(path); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				faults = append(faults, faultAt(c, key, line))
			}
		}
	}
	check("console.tokens_file", c.Console.TokensFile, console.CheckTokens)
	check("console.client_ca", c.Console.ClientCA, console.CheckAuthorities)
	if c.Console.Certificate != "" && c.Console.Key != "" {
		check("console.certificate", c.Console.Certificate, func(path string) error { return certificate.Check(path, c.Console.Key) })
	}
	return faults
}

// shownFaultsOfList is how many left-out lines of each kind the console shows of a list.
const shownFaultsOfList = 50

func (s *server) shownLists() []console.List {
	all := []console.List{}
	for _, l := range s.statuses() {
		v := console.List{
			Name: l.Name, Source: l.Source, Allow: l.Allow, State: l.State, Entries: l.Entries, InForce: l.Rules,
			Malformed: l.Malformed, Refused: l.LeftOut(), GuardRefused: l.Kept, GuardHeld: l.Held, Version: l.Version,
			Held: l.HeldReason, Error: l.Error, Tried: dateText(l.Tried), Loaded: dateText(l.Loaded),
			Warnings: append([]string{}, l.Warnings...), LeftOut: []console.LeftOut{},
		}
		if v.Held != "" {
			if d := s.lists.Diff(l.Name); d != nil && d.Held != "" {
				v.HeldVersion = d.Version
			}
		}
		for _, kind := range []struct {
			name   string
			faults []blocklist.Fault
		}{{"held", l.GuardHeld}, {"refused", l.GuardRefused}, {"malformed", l.Faults}} {
			for _, f := range kind.faults[:min(len(kind.faults), shownFaultsOfList)] {
				v.LeftOut = append(v.LeftOut, console.LeftOut{Kind: kind.name, Text: f.Text, Reason: f.Reason, File: f.File, Line: f.Line})
			}
		}
		all = append(all, v)
	}
	return all
}

func (s *server) shownResolver() console.Resolver {
	r, j, c := s.resolver.Stats(), s.journal.Stats(), s.cache.Stats()
	v := console.Resolver{
		Indicators: s.lists.Policy().Indicators(), Hits: j.Verdicts, Lost: j.Lost,
		Cache: console.Cache{Entries: c.Entries, Hits: c.Hits + r.CacheHits, Misses: c.Misses}, Upstreams: []console.Upstream{},
	}
	if err := s.ready(); err != nil {
		v.Ready = err.Error()
	}
	for _, n := range r.Queries {
		v.Queries += n
	}
	for _, u := range s.forwarder.Stats() {
		v.Upstreams = append(v.Upstreams, console.Upstream{Server: u.Server.String(), Healthy: u.Healthy, Replies: u.Replies, Timeouts: u.Timeouts})
	}
	return v
}

// shownVerdict is what explain says, of the lists in force.
func (s *server) shownVerdict(name, qtype, client string) (*console.Verdict, error) {
	q, err := newQuestion(name, qtype, client)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "--"))
	}
	x := judge(s.lists.Policy(), s.configNow(), q)
	v := &console.Verdict{
		Query: x.Query, Type: x.Type, Client: x.Client, Listed: x.Listed, Verdict: x.Verdict, Answer: x.Answer,
		Trigger: x.Trigger, Group: x.Group, Mode: x.Mode, Indicators: []console.ListedEntry{}, KeptOut: []console.KeptOutOfLists{},
	}
	for _, i := range x.Indicators {
		v.Indicators = append(v.Indicators, console.ListedEntry(i))
	}
	for _, k := range keptOutOf(s.lists.Status(), q) {
		v.KeptOut = append(v.KeptOut, console.KeptOutOfLists(k))
	}
	return v, nil
}

// refreshWithin is how long the console waits for the source of a list, which goes on by
// itself then.
const refreshWithin = 20 * time.Second

func (s *server) refreshShown(ctx context.Context, name string) (console.List, error) {
	ctx, cancel := context.WithTimeout(ctx, refreshWithin)
	defer cancel()
	err := s.lists.Refresh(ctx, name)
	all := s.shownLists()
	i := slices.IndexFunc(all, func(l console.List) bool { return l.Name == name })
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("the source has not answered within %s; it is waited for on", refreshWithin)
	case i < 0 && err == nil:
		err = fmt.Errorf("no list is named %q any more", name)
	}
	if i < 0 {
		return console.List{}, err
	}
	return all[i], err
}

func (s *server) approveShown(user, list, version string, entries []string) (err error) {
	if len(entries) > 0 {
		_, err = s.lists.Approve("console: "+user, list, entries...)
	} else {
		_, _, err = s.lists.ApproveHeld("console: "+user, list, version)
	}
	return err
}

// auditControl puts on record what a command did, in the name of the user at its other end.
func (s *server) auditControl(r *http.Request, action, object string, failure error) {
	a := hits.Audit{User: r.RemoteAddr, Action: action, Object: object}
	if failure != nil {
		a.Failed, a.Reason = true, failure.Error()
	}
	if err := s.journal.Audit(a); err != nil {
		s.log.Error("an audit record is not in the hit journal", zap.String("user", a.User), zap.String("action", action), zap.String("object", object), zap.Error(err))
	}
}

type consoleDescriptions struct{ logins, refused, exports, streams *prometheus.Desc }

func newConsoleDescriptions(d func(name, help string, labels ...string) *prometheus.Desc) consoleDescriptions {
	return consoleDescriptions{
		logins:  d("console_logins_total", "Tokens that were entered in the console."),
		refused: d("console_refused_total", "Requests to the console that were refused: without a token that may, made by pages of other sites, too many at once.", "reason"),
		exports: d("console_exports_total", "Exports that were begun in the console."),
		streams: d("console_streams", "Live tails that are open."),
	}
}

func (d *consoleDescriptions) collect(m sender, all []*console.Server) {
	var sum console.Stats
	for _, c := range all {
		s := c.Stats()
		sum.Logins, sum.Denied, sum.Forged = sum.Logins+s.Logins, sum.Denied+s.Denied, sum.Forged+s.Forged
		sum.Overload, sum.Exports, sum.Streams = sum.Overload+s.Overload, sum.Exports+s.Exports, sum.Streams+s.Streams
	}
	m.counter(d.logins, sum.Logins)
	m.counter(d.refused, sum.Denied, "denied")
	m.counter(d.refused, sum.Forged, "forged")
	m.counter(d.refused, sum.Overload, "too_many")
	m.counter(d.exports, sum.Exports)
	m.gauge(d.streams, float64(sum.Streams))
}
