package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"sinkhole/hits"
)

// landingDescriptions are the metrics of connections to the sinkhole address.
type landingDescriptions struct {
	accepted, refused, failed, faults, open *prometheus.Desc
	connections, unrecorded                 *prometheus.Desc
	waiting, indexed, forgotten, errors     *prometheus.Desc
	records, journaled, queued, lost        *prometheus.Desc
	expires, certificateReloads, unusable   *prometheus.Desc
}

func newLandingDescriptions(d func(name, help string, labels ...string) *prometheus.Desc) landingDescriptions {
	return landingDescriptions{
		accepted:    d("landing_accepted_total", "Connections to the landing."),
		refused:     d("landing_refused_total", "Of them, closed at once since too many were open, of one client or in all.", "bound"),
		failed:      d("landing_accept_errors_total", "Connections that could not be accepted, such as for want of descriptors."),
		faults:      d("landing_faults_total", "Connections that a fault in the program ended."),
		open:        d("landing_open", "Connections that are open now."),
		connections: d("landing_connections_total", "Connections in records, by what they were told by: an address that is one hit's own (query_address), the hit's name or address, a listed Host or SNI, or nothing (noise).", "by"),
		unrecorded:  d("landing_unrecorded_total", "Connections without a record, since too many different ones came at once."),
		waiting:     d("landing_waiting", "Records that wait for their hit."),
		indexed:     d("landing_indexed_hits", "Hits that connections can be joined to."),
		forgotten:   d("landing_forgotten_hits_total", "Of them, forgotten before their time since there were too many."),
		errors:      d("landing_index_errors_total", "Failed attempts to read hits in the journal, and lines that could not be read."),
		records:     d("landing_records_total", "Records of connections: records_total = journaled_total + queued + lost_total, always."),
		journaled:   d("landing_journaled_total", "Records of connections written to the journal."),
		queued:      d("landing_queued", "Records of connections that wait to be written."),
		lost:        d("landing_lost_total", "Records of connections that could not be kept."),

		expires:            d("landing_certificate_expiry_timestamp_seconds", "When the certificate in force (landing.certificate) expires."),
		certificateReloads: d("landing_certificate_reloads_total", "Changes of the landing's certificate that were put in force."),
		unusable:           d("landing_certificate_reload_failures_total", "Changes of the landing's certificate that could not be used."),
	}
}

func (d *landingDescriptions) collect(m sender, p *landingPart, j hits.Stats) {
	if p == nil {
		return
	}
	s := p.Stats()
	m.counter(d.accepted, s.Accepted)
	m.counter(d.refused, s.RefusedOfClient, "client")
	m.counter(d.refused, s.RefusedInAll, "all")
	m.counter(d.failed, s.AcceptErrors)
	m.counter(d.faults, s.Faults)
	m.gauge(d.open, float64(s.Open))
	m.counter(d.connections, s.Own, "query_address")
	m.counter(d.connections, s.Name, "name")
	m.counter(d.connections, s.Address, "address")
	m.counter(d.connections, s.Listed, "listed")
	m.counter(d.connections, s.Noise, "noise")
	m.counter(d.unrecorded, s.Unrecorded)
	m.gauge(d.waiting, float64(s.Waiting))
	m.gauge(d.indexed, float64(s.Indexed))
	m.counter(d.forgotten, s.Forgotten)
	m.counter(d.errors, s.IndexErrors)
	m.counter(d.records, j.Connections)
	m.counter(d.journaled, j.ConnectionsJournaled)
	m.gauge(d.queued, float64(j.ConnectionsQueued))
	m.counter(d.lost, j.ConnectionsLost)
	if p.certificate == nil {
		return
	}
	c := p.certificate.Stats()
	m.gauge(d.expires, float64(c.NotAfter.Unix()))
	m.counter(d.certificateReloads, c.Reloads)
	m.counter(d.unusable, c.Refused)
}
