package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sinkhole/blocklist"
)

// listDescriptions are the metrics that each list has.
type listDescriptions struct {
	entries, rules, leftOut, state, loaded, age, fetchError, fetchFailures, zoneSerial, transfers *prometheus.Desc
}

func newListDescriptions(d func(name, help string, labels ...string) *prometheus.Desc) listDescriptions {
	return listDescriptions{
		entries:       d("list_entries", "Entries that the list's content in force has, those that the guard keeps out included.", "list"),
		rules:         d("list_rules", "Entries of a list in force, each once.", "list"),
		leftOut:       d("list_entries_left_out", "Lines and entries of a list that are not in force.", "list", "reason"),
		state:         d("list_state", "1 for the state that a list is in: ok, held (new content waits for approval), stale (the last good content serves on), failed, or fetching (for the first time).", "list", "state"),
		loaded:        d("list_loaded_timestamp_seconds", "When the content in force was read.", "list"),
		age:           d("list_age_seconds", "Time since the content in force was loaded (read), fetched (of a zone: its last increment), or confirmed by its source.", "list", "since"),
		fetchError:    d("list_fetch_error", "1 if the last try to fetch the list failed.", "list"),
		fetchFailures: d("list_fetch_failures", "Tries to fetch the list that failed since the last that did not.", "list"),
		zoneSerial:    d("list_zone_serial", "Serial of a transferred zone in force.", "list"),
		transfers:     d("list_transfers_total", "Transfers of a zone that came through.", "list", "kind"),
	}
}

func (d *listDescriptions) collect(m sender, l *blocklist.Status) {
	m.gauge(d.entries, float64(l.Entries), l.Name)
	m.gauge(d.rules, float64(l.Rules), l.Name)
	for reason, n := range map[string]int{
		"malformed": l.Malformed, "refused": l.Refused, "not_applicable": l.NotApplicable, "confidence": l.Low, "excess": l.Excess,
		"guard_refused": l.Kept, "guard_held": l.Held,
	} {
		m.gauge(d.leftOut, float64(n), l.Name, reason)
	}
	for _, state := range []string{blocklist.StateOK, blocklist.StateHeld, blocklist.StateStale, blocklist.StateFailed, blocklist.StateFetching} {
		m.gauge(d.state, truth(l.State == state), l.Name, state)
	}
	age := func(since string, t time.Time) {
		if !t.IsZero() {
			m.gauge(d.age, time.Since(t).Seconds(), l.Name, since)
		}
	}
	age("loaded", l.Loaded)
	if !l.Loaded.IsZero() {
		m.gauge(d.loaded, float64(l.Loaded.UnixMilli())/1000, l.Name)
	}
	source := sourceOf(l)
	if source == nil {
		return
	}
	age("fetched", source.fetched)
	age("confirmed", source.confirmed)
	m.gauge(d.fetchError, truth(source.failed), l.Name)
	m.gauge(d.fetchFailures, float64(source.failures), l.Name)
	if source.zone != nil {
		m.gauge(d.zoneSerial, float64(source.zone.Serial), l.Name)
		m.counter(d.transfers, source.zone.Whole, l.Name, "whole")
		m.counter(d.transfers, source.zone.Increments, l.Name, "increment")
	}
}
