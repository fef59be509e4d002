package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"sinkhole/resolver"
	"sinkhole/resolver/certificate"
)

// encryptedDescriptions are the metrics of DNS over HTTPS and QUIC, and of the
// certificate.
type encryptedDescriptions struct {
	connections, queries, crowded, busy       *prometheus.Desc
	stalled, rejected, violated, validated    *prometheus.Desc
	expires, certificateReloads, unsuccessful *prometheus.Desc
}

func newEncryptedDescriptions(d func(name, help string, labels ...string) *prometheus.Desc) encryptedDescriptions {
	return encryptedDescriptions{
		connections: d("encrypted_connections", "Open connections: over tls (HTTP/2 and HTTP/1.1) and over quic (HTTP/3 and DNS over QUIC).", "over"),
		queries:     d("encrypted_queries_under_way", "Queries of these connections that are under way.", "over"),
		crowded:     d("encrypted_connections_refused_total", "Connections refused since too many were open, of one client or in all.", "over"),
		busy:        d("encrypted_queries_refused_total", "Queries refused since too many were under way, of one client or in all.", "over"),
		stalled:     d("encrypted_queries_stalled_total", "Queries given up since they did not come whole in time."),
		rejected:    d("https_requests_rejected_total", "HTTP requests that are no DNS over HTTPS."),
		violated:    d("quic_protocol_errors_total", "DNS over QUIC connections closed since the client broke RFC 9250."),
		validated:   d("quic_retries_total", "QUIC clients that had to prove their address first, since many handshakes were under way."),

		expires:            d("certificate_expiry_timestamp_seconds", "When the certificate in force (listen.certificate) expires."),
		certificateReloads: d("certificate_reloads_total", "Changes of the certificate's files that were put in force."),
		unsuccessful:       d("certificate_reload_failures_total", "Changes of the certificate's files that could not be used: the pair before stays in force."),
	}
}

// collect sends what there is: nothing without a certificate.
func (d *encryptedDescriptions) collect(m sender, s resolver.EncryptedStats, c *certificate.Certificate) {
	if c == nil {
		return
	}
	for over, g := range map[string]resolver.GuestStats{"tls": s.TLS, "quic": s.QUIC} {
		m.gauge(d.connections, float64(g.Connections), over)
		m.gauge(d.queries, float64(g.Queries), over)
		m.counter(d.crowded, g.Crowded, over)
		m.counter(d.busy, g.Busy, over)
	}
	m.counter(d.stalled, s.Stalled)
	m.counter(d.rejected, s.Rejected)
	m.counter(d.violated, s.Violated)
	m.counter(d.validated, s.Validated)
	in := c.Stats()
	m.gauge(d.expires, float64(in.NotAfter.Unix()))
	m.counter(d.certificateReloads, in.Reloads)
	m.counter(d.unsuccessful, in.Refused)
}
