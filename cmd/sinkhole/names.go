package main

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"sinkhole/configs"
	"sinkhole/hits"
	"sinkhole/hits/names"
)

// namesFile is the history of leases, in the journal's directory.
const namesFile = "names.jsonl"

// nameFeed keeps names up with their files while the server runs. A nil *nameFeed knows nobody.
type nameFeed struct {
	*names.Names
	log  *zap.Logger
	task task
}

// nameOptions are those of a configuration; nil where there are no names, or none may be shown.
func nameOptions(c *configs.Config, log *zap.Logger) *names.Options {
	if len(c.Hits.Names) == 0 || c.Hits.NamesWarning() != "" {
		return nil
	}
	return &names.Options{
		Files: c.Hits.NameFiles(), History: filepath.Join(c.Hits.Journal.Path, namesFile), Keep: c.Hits.Journal.Keep, Logger: log.Named("names"),
	}
}

// newNameFeed is for the server, which alone keeps the history. reverse looks up the name of an
// address.
func newNameFeed(c *configs.Config, log *zap.Logger, reverse func(context.Context, netip.Addr) (string, error)) *nameFeed {
	if w := c.Hits.NamesWarning(); w != "" {
		log.Warn(w)
	}
	o := nameOptions(c, log)
	if o == nil {
		return nil
	}
	o.Write = true
	if on, all := c.Hits.ReverseNames(); on {
		o.Reverse, o.ReverseAll = reverse, all
	}
	return &nameFeed{Names: names.Open(*o), log: o.Logger}
}

// commandNames are those that a command shows, as files and history are now; nil: none.
func commandNames(c *configs.Config, log *zap.Logger) *nameFeed {
	o := nameOptions(c, log)
	if o == nil {
		return nil
	}
	return &nameFeed{Names: names.Open(*o)}
}

func (f *nameFeed) start() {
	if f != nil {
		f.task.start(f.log, f.Run)
	}
}

func (f *nameFeed) stop() {
	if f != nil {
		f.task.stop()
	}
}

// subscriber is for the inventory: who had an address, which is noted for reverse DNS too.
func (f *nameFeed) subscriber() func(hits.Client) (string, bool) {
	if f == nil {
		return nil
	}
	return func(c hits.Client) (string, bool) {
		f.Seen(c.Addr, c.At)
		return f.Subscriber(c)
	}
}

// whoIs is for views; nil where nobody is known.
func (f *nameFeed) whoIs() func(hits.Client) hits.Who {
	if f == nil {
		return nil
	}
	return f.Who
}

// reverseName asks the configured upstreams for the name of an address.
func (s *server) reverseName(ctx context.Context, a netip.Addr) (string, error) {
	all, err := newListDialer(s.forwarder.Exchange).own.Resolver.LookupAddr(ctx, a.String())
	if err != nil || len(all) == 0 {
		return "", err
	}
	return strings.TrimSuffix(all[0], "."), nil
}

type nameDescriptions struct {
	entries, leases, faults, failures, forgotten, asked *prometheus.Desc
}

func newNameDescriptions(d func(name, help string, labels ...string) *prometheus.Desc) nameDescriptions {
	return nameDescriptions{
		entries:   d("names_entries", "Entries of the CSV files of hits.names."),
		leases:    d("names_leases", "Leases and names of reverse DNS that are kept, those of before included."),
		faults:    d("names_faults", "Lines of the files of hits.names that cannot be used."),
		failures:  d("names_failures_total", "Failed uses of files of names.", "operation"),
		forgotten: d("names_forgotten_total", "Leases that went before their time, since there were too many."),
		asked:     d("names_reverse_total", "Addresses whose names were wanted of reverse DNS.", "outcome"),
	}
}

func (d *nameDescriptions) collect(m sender, f *nameFeed) {
	if f == nil {
		return
	}
	s := f.Stats()
	m.gauge(d.entries, float64(s.Entries))
	m.gauge(d.leases, float64(s.Leases))
	m.gauge(d.faults, float64(s.Faults))
	m.counter(d.failures, s.Unread, "read")
	m.counter(d.failures, s.Unsaved, "save")
	m.counter(d.forgotten, s.Forgotten)
	m.counter(d.asked, s.Asked-s.Unnamed, "named")
	m.counter(d.asked, s.Unnamed, "unnamed")
	m.counter(d.asked, s.Unasked, "dropped")
}
