package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"sinkhole/resolver/upstream"
)

// healthDescriptions are the metrics of how upstreams are chosen.
type healthDescriptions struct{ probes, smoothed, loops, looping *prometheus.Desc }

func newHealthDescriptions(d func(name, help string, labels ...string) *prometheus.Desc) healthDescriptions {
	return healthDescriptions{
		probes:   d("upstream_probes_total", "Queries of our own to an upstream that did not answer, to learn whether it is back.", "server"),
		loops:    d("upstream_loops_total", "Queries of our own that an upstream has sent back to us.", "server"),
		looping:  d("upstream_looping", "1 while an upstream leads back to this resolver, and is not asked.", "server"),
		smoothed: d("upstream_smoothed_rtt_seconds", "How long replies of an upstream took of late.", "server"),
	}
}

func (d *healthDescriptions) collect(m sender, server string, s *upstream.ServerStats) {
	m.counter(d.probes, s.Probes, server)
	m.counter(d.loops, s.Loops, server)
	m.gauge(d.looping, truth(s.Looping), server)
	if s.SmoothedRTT > 0 {
		m.gauge(d.smoothed, s.SmoothedRTT.Seconds(), server)
	}
}

// connectionDescriptions are the metrics that each encrypted upstream has.
type connectionDescriptions struct {
	open, opened, requeried, crowded *prometheus.Desc
}

func newConnectionDescriptions(d func(name, help string, labels ...string) *prometheus.Desc) connectionDescriptions {
	return connectionDescriptions{
		open:      d("upstream_connections", "Connections to an encrypted upstream now.", "server"),
		opened:    d("upstream_connections_opened_total", "Connections set up, with a new TLS session or with that of an earlier one.", "server", "session"),
		requeried: d("upstream_requeried_total", "Queries sent once more since their connection had ended.", "server"),
		crowded:   d("upstream_crowded_total", "Queries that waited since all connections there may be were full.", "server"),
	}
}

func (d *connectionDescriptions) collect(m sender, server string, s *upstream.ConnectionStats) {
	m.gauge(d.open, float64(s.Open), server)
	m.counter(d.opened, s.Opened-s.Resumed, server, "new")
	m.counter(d.opened, s.Resumed, server, "resumed")
	m.counter(d.requeried, s.Requeried, server)
	m.counter(d.crowded, s.Crowded, server)
}
