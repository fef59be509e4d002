package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"sinkhole/configs"
	"sinkhole/hits/inventory"
	"sinkhole/hits/webhook"
)

// webhookFeed tells of the machines of the inventory. A nil *webhookFeed is none.
type webhookFeed struct {
	*webhook.Webhook
	log  *zap.Logger
	task task
}

// evidenceLevels are those of machines, rising.
func evidenceLevels() []string {
	return []string{inventory.Queried, inventory.Connected, inventory.Sent}
}

func newWebhookFeed(s *server, c *configs.Config) *webhookFeed {
	if c.Hits.Webhook == "" {
		return nil
	}
	log := s.log.Named("webhook")
	source := &webhookSource{path: c.Hits.Inventory, feed: s.inventory, who: s.names.whoIs()}
	return &webhookFeed{log: log, Webhook: webhook.New(webhook.Options{
		URL: c.Hits.Webhook, Secret: c.Hits.WebhookKey, Journal: c.Hits.Journal.Path, Keep: c.Hits.Journal.Keep,
		Changes: source.changes, Describe: source.describe, Observer: hostName(),
		Dial: newListDialer(s.forwarder.Exchange).dial, Logger: log,
	})}
}

func (f *webhookFeed) start() {
	if f != nil {
		f.task.start(f.log, f.Run)
	}
}

func (f *webhookFeed) stop() {
	if f != nil {
		f.task.stop()
	}
}

// webhookSource reads the inventory for the webhook.
type webhookSource struct {
	path string
	feed *inventoryFeed
	who  inventory.WhoIs
}

func (s *webhookSource) changes(ctx context.Context, since time.Time) (all []webhook.Change, ready bool, err error) {
	state := s.feed.Stats()
	ready = !state.Behind && !state.ReadTo.IsZero() // before it is read, so that none is missed
	r, err := inventory.OpenReader(ctx, s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil // it is not made yet
	}
	if err != nil {
		return nil, false, err
	}
	defer r.Close()
	found, err := r.Changes(ctx, since)
	for _, c := range found {
		all = append(all, webhook.Change{
			Key: c.Key, Level: 1 + slices.Index(evidenceLevels(), c.Evidence), Evidence: c.Evidence, FirstSeen: c.FirstSeen, LastSeen: c.LastSeen, Of: c,
		})
	}
	return all, ready, err
}

func (s *webhookSource) describe(ctx context.Context, of []webhook.Change) (all []json.RawMessage, err error) {
	r, err := inventory.OpenReader(ctx, s.path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var changes []inventory.Change
	for _, c := range of {
		if c, ok := c.Of.(inventory.Change); ok {
			changes = append(changes, c)
		}
	}
	machines, err := r.Describe(ctx, changes, s.who)
	if err != nil {
		return nil, err
	}
	for _, m := range machines {
		text, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, nil
}

type webhookDescriptions struct {
	told, failures, waiting *prometheus.Desc
}

func newWebhookDescriptions(d func(name, help string, labels ...string) *prometheus.Desc) webhookDescriptions {
	return webhookDescriptions{
		told:     d("webhook_machines_total", "New machines, and raised evidence, that the webhook was told of, by what became of it.", "outcome"),
		failures: d("webhook_failures_total", "Failures of the webhook.", "operation"),
		waiting:  d("webhook_waiting", "Machines that the webhook is still to be told of, as far as is known."),
	}
}

func (d *webhookDescriptions) collect(m sender, f *webhookFeed) {
	if f == nil {
		return
	}
	s := f.Stats()
	m.counter(d.told, s.Told, "taken")
	m.counter(d.told, s.Refused, "refused")
	m.counter(d.failures, s.Failed, "send")
	m.counter(d.failures, s.Unsaved, "save")
	m.counter(d.failures, s.Unlooked, "read")
	m.gauge(d.waiting, float64(s.Waiting))
}
