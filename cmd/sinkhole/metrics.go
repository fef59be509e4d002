package main

import (
	"net/http"
	"runtime"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sinkhole/blocklist"
	"sinkhole/hits"
	"sinkhole/resolver"
	"sinkhole/resolver/cache"
	"sinkhole/resolver/upstream"
)

// metricsHandler serves /metrics. The parts keep their own counts, without a
// lock on the data path; they are read when somebody asks.
func metricsHandler(s *server) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newCollector(s))
	handler := promhttp.HandlerFor(r, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !s.serving.Load() { // the parts are still being put together
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		handler.ServeHTTP(w, q)
	})
}

// collector reads the counts of all parts.
type collector struct {
	s    *server
	desc descriptions
}

type descriptions struct {
	build, ready                                                                                      *prometheus.Desc
	queries, responses, refused, ignored, dropped, truncated                                          *prometheus.Desc
	stale, failedBefore, coalesced, shed, failed, unsent, paused, panics, malformed, crowded, waiting *prometheus.Desc
	limited, restrained, badCookies, evicted, handshakes, unproxied                                   *prometheus.Desc
	rebound, kernelDrops                                                                              *prometheus.Desc
	indicators, serial, memory, updateTook                                                            *prometheus.Desc
	notifies                                                                                          *prometheus.Desc
	lists                                                                                             listDescriptions
	encrypted                                                                                         encryptedDescriptions
	verdicts, journaled, queued, lost, lines, segments, bytes, removed                                *prometheus.Desc
	journalErrors                                                                                     *prometheus.Desc
	inventory                                                                                         inventoryDescriptions
	console                                                                                           consoleDescriptions
	names                                                                                             nameDescriptions
	webhook                                                                                           webhookDescriptions
	cacheHits, cacheMisses, cacheExpired, cacheEvicted, cacheSize, cacheUsed                          *prometheus.Desc
	exchanges, discarded, healthy, rtt                                                                *prometheus.Desc
	prefetches, cuts, cacheFlushed, cacheRestored, cacheFileErrors                                    *prometheus.Desc
	health                                                                                            healthDescriptions
	receivers                                                                                         receiverDescriptions
	connections                                                                                       connectionDescriptions
	landing                                                                                           landingDescriptions
}

func newCollector(s *server) *collector {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("sinkhole_"+name, help, labels, nil)
	}
	return &collector{s: s, desc: descriptions{
		build:        d("build_info", "Version of the program, always 1.", "version", "go_version"),
		ready:        d("ready", "1 when /readyz says so."),
		queries:      d("queries_total", "Queries of clients that may ask.", "transport"),
		responses:    d("responses_total", "Answers by response code.", "rcode"),
		refused:      d("clients_refused_total", "Queries of clients outside clients.allow, answered REFUSED."),
		ignored:      d("clients_ignored_total", "Queries of clients outside clients.allow, not answered."),
		dropped:      d("queries_dropped_total", "Queries not answered by policy (action drop)."),
		truncated:    d("responses_truncated_total", "Answers cut down to TC since the client could not take them."),
		coalesced:    d("queries_coalesced_total", "Queries that shared the upstream exchange of an identical one."),
		stale:        d("stale_answers_total", "Answers given although they had expired, since no upstream gave a fresh one (RFC 8767)."),
		rebound:      d("rebinding_stripped_total", "Upstream answers that lost private addresses (upstream.rebind)."),
		failedBefore: d("failures_remembered_total", "Queries for what could not be found out a moment before: no upstream was asked again (RFC 9520)."),
		shed:         d("queries_shed_total", "Queries answered SERVFAIL, or dropped, since too many waited for upstreams."),
		failed:       d("upstream_failures_total", "Questions to which no upstream gave a usable reply."),
		paused:       d("reader_pauses_total", "Waits of readers, of 2 ms at most, for the writer of the hit journal."),
		unsent:       d("responses_unsent_total", "Answers that the socket did not take."),
		panics:       d("faults_total", "Queries answered SERVFAIL after a fault in the program."),
		malformed:    d("queries_malformed_total", "Messages that are no DNS query."),
		crowded:      d("tcp_connections_refused_total", "TCP connections closed since too many were open, of all clients or of one."),
		evicted:      d("tcp_connections_evicted_total", "Silent TCP connections closed to make room for others."),
		handshakes:   d("tls_handshakes_failed_total", "TLS connections of clients that came to no handshake."),
		limited:      d("clients_limited_total", "Queries over the limit of their client (clients.rate_limit)."),
		restrained:   d("responses_limited_total", "Answers held back, or cut down to TC, since too many were alike (clients.response_rate_limit)."),
		badCookies:   d("cookies_bad_total", "Server cookies (RFC 7873) of clients that are not ours, or too old."),
		unproxied:    d("proxy_headers_missing_total", "Datagrams and connections of balancers without a valid PROXY header, dropped."),
		waiting:      d("queries_waiting", "Queries that wait for an upstream now."),
		kernelDrops:  d("udp_kernel_drops_total", "Datagrams that the kernel dropped since the socket's buffer was full.", "listener"),
		indicators:   d("policy_indicators", "Indicators in force, allow entries included."),
		serial:       d("policy_serial", "Number of the policy in force, one more with each update."),
		memory:       d("policy_memory_bytes", "Memory of the policy in force."),
		updateTook:   d("list_update_duration_seconds", "How long the latest update of the lists took."),
		notifies:     d("list_notifies_total", "NOTIFY messages about zones that are lists, by what became of them.", "outcome"),
		lists:        newListDescriptions(d),
		encrypted:    newEncryptedDescriptions(d),
		verdicts:     d("hits_verdicts_total", "Hits: verdicts_total = journaled_total + queued + lost_total, always."),
		journaled:    d("hits_journaled_total", "Hits in lines written to the journal."),
		queued:       d("hits_queued", "Hits that wait to be written."),
		lost:         d("hits_lost_total", "Hits that could not be kept.", "reason"),
		lines:        d("hits_lines_total", "Lines written to the journal for hits.", "kind"),
		segments:     d("hits_journal_segments", "Segments of the journal on disk."),
		bytes:        d("hits_journal_bytes", "Size of the journal on disk."),
		removed:      d("hits_journal_removed_bytes_total", "Octets of segments removed by hits.journal.keep and keep_size."),

		journalErrors: d("hits_journal_errors_total", "Failed operations on the journal's files.", "operation"),
		cacheHits:     d("cache_hits_total", "Look-ups answered from the cache."),
		cacheMisses:   d("cache_misses_total", "Look-ups not answered from the cache."),
		cacheExpired:  d("cache_expired_total", "Misses whose answer had expired."),
		cacheEvicted:  d("cache_evictions_total", "Answers removed to stay within cache.memory."),
		cacheSize:     d("cache_entries", "Answers in the cache."),
		cacheUsed:     d("cache_bytes", "Memory of the cache."),
		exchanges:     d("upstream_exchanges_total", "Attempts with an upstream by outcome.", "server", "outcome"),
		discarded:     d("upstream_discarded_total", "Messages from an upstream's address that did not match what was asked.", "server", "reason"),
		healthy:       d("upstream_healthy", "1 unless the upstream has failed of late.", "server"),
		rtt:           d("upstream_rtt_seconds", "Time until an upstream's reply.", "server"),

		prefetches:      d("cache_prefetches_total", "Popular answers that were to be asked for again before they expired.", "outcome"),
		cuts:            d("cache_nxdomain_cuts_total", "Misses answered NXDOMAIN without asking, since their name or one above it does not exist (RFC 8020)."),
		cacheFlushed:    d("cache_flushed_total", "Answers and failures removed by sinkhole cache flush."),
		cacheRestored:   d("cache_file_restored_total", "Answers that cache.file had at the start."),
		cacheFileErrors: d("cache_file_errors_total", "Failed uses of cache.file.", "operation"),
		inventory:       newInventoryDescriptions(d),
		names:           newNameDescriptions(d),
		webhook:         newWebhookDescriptions(d),
		console:         newConsoleDescriptions(d),
		health:          newHealthDescriptions(d),
		connections:     newConnectionDescriptions(d),
		receivers:       newReceiverDescriptions(d),
		landing:         newLandingDescriptions(d),
	}}
}

// Describe implements [prometheus.Collector]. It describes nothing, which makes
// the collector an unchecked one: what it sends depends on lists and servers.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(out chan<- prometheus.Metric) {
	m := sender(out)
	m.gauge(c.desc.build, 1, versionText(), runtime.Version())
	m.gauge(c.desc.ready, truth(c.s.ready() == nil))
	c.resolver(m, c.s.resolver.Stats())
	for _, l := range c.s.listeners {
		m.counter(c.desc.kernelDrops, l.Drops(), l.Addr().String())
	}
	c.desc.encrypted.collect(m, c.s.resolver.Stats().Encrypted, c.s.certificate)
	c.policy(m, c.s.lists)
	for _, l := range c.s.statuses() {
		c.desc.lists.collect(m, &l)
	}
	c.hits(m, c.s.journal.Stats())
	c.desc.inventory.collect(m, c.s.inventory)
	c.desc.landing.collect(m, c.s.landing, c.s.journal.Stats())
	c.desc.names.collect(m, c.s.names)
	c.desc.webhook.collect(m, c.s.webhook)
	c.desc.console.collect(m, c.s.consoles)
	for _, r := range c.s.receivers {
		c.desc.receivers.collect(m, r)
	}
	c.cache(m, c.s.cache.Stats(), c.s.resolver.Stats().CacheHits)
	for _, u := range c.s.forwarder.Stats() {
		c.upstream(m, u)
	}
}

func (c *collector) resolver(m sender, s resolver.Stats) {
	for transport, n := range s.Queries {
		m.counter(c.desc.queries, n, transport)
	}
	for code, n := range s.Responses {
		m.counter(c.desc.responses, n, dns.RcodeToString[int(code)])
	}
	m.counter(c.desc.refused, s.Refused)
	m.counter(c.desc.ignored, s.Ignored)
	m.counter(c.desc.dropped, s.Dropped)
	m.counter(c.desc.truncated, s.Truncated)
	m.counter(c.desc.stale, s.Stale)
	m.counter(c.desc.rebound, s.Rebound)
	m.counter(c.desc.failedBefore, s.FailedBefore)
	m.counter(c.desc.coalesced, s.Coalesced)
	m.counter(c.desc.cuts, s.Cuts)
	m.counter(c.desc.prefetches, s.Prefetches, "asked")
	m.counter(c.desc.prefetches, s.PrefetchesDropped, "dropped")
	m.counter(c.desc.shed, s.Shed)
	m.counter(c.desc.failed, s.Failed)
	m.counter(c.desc.unsent, s.Unsent)
	m.counter(c.desc.paused, s.Paused)
	m.counter(c.desc.panics, s.Panics)
	m.counter(c.desc.malformed, s.Malformed)
	m.counter(c.desc.crowded, s.Crowded)
	m.counter(c.desc.evicted, s.Evicted)
	m.counter(c.desc.handshakes, s.Handshakes)
	m.counter(c.desc.unproxied, s.Unproxied)
	m.counter(c.desc.limited, s.Limited)
	m.counter(c.desc.restrained, s.Restrained)
	m.counter(c.desc.badCookies, s.BadCookies)
	m.gauge(c.desc.waiting, float64(s.Waiting))
}

func (c *collector) policy(m sender, l *blocklist.Lists) {
	p := l.Policy()
	m.gauge(c.desc.indicators, float64(p.Indicators()))
	m.gauge(c.desc.serial, float64(p.Serial()))
	m.gauge(c.desc.memory, float64(p.Memory()))
	m.gauge(c.desc.updateTook, l.LastUpdate().Took.Seconds())
	n := l.Notifies()
	m.counter(c.desc.notifies, n.Believed, "believed")
	m.counter(c.desc.notifies, n.Refused, "refused")
	m.counter(c.desc.notifies, n.Forged, "forged")
}

func (c *collector) hits(m sender, s hits.Stats) {
	m.counter(c.desc.verdicts, s.Verdicts)
	m.counter(c.desc.journaled, s.Journaled)
	m.gauge(c.desc.queued, float64(s.Queued))
	m.counter(c.desc.lost, s.LostQueueFull, "queue_full")
	m.counter(c.desc.lost, s.LostClosed, "closed")
	m.counter(c.desc.lost, s.LostClients, "too_many_clients")
	m.counter(c.desc.lost, s.LostWrite, "write_failed")
	m.counter(c.desc.lines, s.Lines-s.MergedLines, "single")
	m.counter(c.desc.lines, s.MergedLines, "merged")
	m.gauge(c.desc.segments, float64(s.Segments))
	m.gauge(c.desc.bytes, float64(s.Bytes))
	m.counter(c.desc.removed, s.RetentionRemovedBytes)
	m.counter(c.desc.journalErrors, s.WriteErrors, "write")
	m.counter(c.desc.journalErrors, s.SyncErrors, "sync")
	m.counter(c.desc.journalErrors, s.CompressErrors, "compress")
	m.counter(c.desc.journalErrors, s.ChainErrors, "chain")
}

func (c *collector) cache(m sender, s cache.Stats, uncounted uint64) {
	m.counter(c.desc.cacheHits, s.Hits+uncounted)
	m.counter(c.desc.cacheMisses, s.Misses)
	m.counter(c.desc.cacheExpired, s.Expired)
	m.counter(c.desc.cacheEvicted, s.Evictions)
	m.counter(c.desc.cacheFlushed, s.Flushed)
	if f := c.s.answers; f != nil {
		m.counter(c.desc.cacheRestored, f.restored.Load())
		m.counter(c.desc.cacheFileErrors, f.readErrors.Load(), "read")
		m.counter(c.desc.cacheFileErrors, f.writeErrors.Load(), "write")
	}
	m.gauge(c.desc.cacheSize, float64(s.Entries))
	m.gauge(c.desc.cacheUsed, float64(s.Bytes))
}

func (c *collector) upstream(m sender, u upstream.ServerStats) {
	name := u.Server.String()
	m.counter(c.desc.exchanges, u.Replies, name, "reply")
	m.counter(c.desc.exchanges, u.Timeouts, name, "timeout")
	m.counter(c.desc.exchanges, u.Refused, name, "refused")
	m.counter(c.desc.exchanges, u.Network, name, "network")
	m.counter(c.desc.exchanges, u.Local, name, "local")
	m.counter(c.desc.exchanges, u.Abandoned, name, "abandoned")
	m.counter(c.desc.discarded, u.Mismatched, name, "mismatched")
	m.counter(c.desc.discarded, u.Malformed, name, "malformed")
	m.gauge(c.desc.healthy, truth(u.Healthy), name)
	c.desc.health.collect(m, name, &u)
	if u.Connections != nil {
		c.desc.connections.collect(m, name, u.Connections)
	}
	buckets := map[float64]uint64{}
	for i, bound := range upstream.RTTBounds() {
		buckets[bound.Seconds()] = u.RTT.Buckets[i]
	}
	m <- prometheus.MustNewConstHistogram(c.desc.rtt, u.RTT.Count, time.Duration.Seconds(u.RTT.Sum), buckets, name)
}

// sender sends metrics.
type sender chan<- prometheus.Metric

func (m sender) counter(d *prometheus.Desc, n uint64, labels ...string) {
	m <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func (m sender) gauge(d *prometheus.Desc, v float64, labels ...string) {
	m <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
