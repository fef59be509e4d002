package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"sinkhole/configs"
	"sinkhole/hits/inventory"
)

// inventoryFeed keeps the inventory up with the journal while the server runs. A nil
// *inventoryFeed is none.
type inventoryFeed struct {
	*inventory.Inventory
	log  *zap.Logger
	task task
}

func newInventoryFeed(c *configs.Config, log *zap.Logger, subscriber inventory.SubscriberOf) *inventoryFeed {
	if c.Hits.Inventory == "" {
		return nil
	}
	log = log.Named("inventory")
	return &inventoryFeed{log: log, Inventory: inventory.New(inventory.Options{
		Path: c.Hits.Inventory, Journal: c.Hits.Journal.Path, Keep: c.Hits.Journal.Keep, Subscriber: subscriber, Logger: log,
	})}
}

func (f *inventoryFeed) start() {
	if f != nil {
		f.task.start(f.log, f.Run)
	}
}

func (f *inventoryFeed) stop() {
	if f != nil {
		f.task.stop()
	}
}

type inventoryDescriptions struct {
	lines, hits, unused, damaged, machines, readTo, behind, errors, anew *prometheus.Desc
}

func newInventoryDescriptions(d func(name, help string, labels ...string) *prometheus.Desc) inventoryDescriptions {
	return inventoryDescriptions{
		lines:    d("inventory_lines_total", "Lines of the journal that the inventory read."),
		hits:     d("inventory_hits_total", "Hits in them."),
		unused:   d("inventory_unused_total", "What made no machine, or not all of one, by the reason: connections that are noise, hits of clients.expected, lines beyond the bound of machines, lines whose indicators were too many.", "reason"),
		damaged:  d("inventory_damaged_total", "Places of the journal that the inventory could not read."),
		machines: d("inventory_machines", "Entries of the inventory, forwarders included."),
		readTo:   d("inventory_read_to_timestamp_seconds", "Time of the latest record that the inventory has."),
		behind:   d("inventory_behind", "1 while the journal has more than the inventory."),
		errors:   d("inventory_errors_total", "Failed attempts to bring the inventory up with the journal."),
		anew:     d("inventory_set_aside_total", "Databases that were set aside, and made anew from the journal."),
	}
}

func (d *inventoryDescriptions) collect(m sender, f *inventoryFeed) {
	if f == nil {
		return
	}
	s := f.Stats()
	m.counter(d.lines, s.Lines)
	m.counter(d.hits, s.Hits)
	m.counter(d.unused, s.Noise, "noise")
	m.counter(d.unused, s.Expected, "expected")
	m.counter(d.unused, s.MachinesRefused, "too_many_machines")
	m.counter(d.unused, s.Capped, "too_many_indicators")
	m.counter(d.damaged, s.Damaged)
	m.gauge(d.machines, float64(s.Machines))
	if !s.ReadTo.IsZero() {
		m.gauge(d.readTo, float64(s.ReadTo.Unix()))
	}
	m.gauge(d.behind, truth(s.Behind))
	m.counter(d.errors, s.Errors)
	m.counter(d.anew, s.SetAside)
}
