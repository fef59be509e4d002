package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"sinkhole/configs"
	"sinkhole/hits"
	hitsink "sinkhole/hits/sink"
)

// receiver is one that hits are sent to.
type receiver struct {
	name string // of its key
	hitSender
}

// hitSender is a [hitsink.Sink] or a [hitsink.Stream].
type hitSender interface {
	Run()
	Close(context.Context)
	Stats() hitsink.Stats
}

// openReceivers begins to send hits on.
func (s *server) openReceivers(c *configs.Config) error {
	to, err := c.Hits.SyslogReceiver()
	if err != nil {
		return fmt.Errorf("hits.syslog: %w", err)
	}
	if to.Network != "" {
		target, err := sinkTarget(to)
		if err != nil {
			return fmt.Errorf("hits.syslog: %w", err)
		}
		s.syslog.Store(s.sendHits("syslog", &hitsink.Syslog{Target: target, Host: hostName(), Version: versionText()}))
	}
	if to, err = c.Hits.DnstapReceiver(); err != nil {
		return fmt.Errorf("hits.dnstap: %w", err)
	}
	if to.Network != "" {
		s.sendHits("dnstap", &hitsink.Dnstap{Target: hitsink.Target{Network: to.Network, Address: to.Address}})
	}
	return s.openStream(c)
}

// openStream begins to publish hits.
func (s *server) openStream(c *configs.Config) error {
	to, credentials, err := c.Hits.StreamReceiver()
	if err != nil || to.Network == "" {
		return err
	}
	o := hitsink.StreamOptions{Server: "nats://" + to.Address, Credentials: credentials, Journal: c.Hits.Journal.Path, Logger: s.log.Named("stream")}
	if to.Network == "tls" {
		o.TLS = to.TLS
		if _, err := to.TLS(); err != nil {
			return fmt.Errorf("hits.stream: %w", err)
		}
	}
	stream := hitsink.NewStream(o)
	s.stream.Store(stream)
	s.receivers = append(s.receivers, receiver{"stream", stream})
	go background(o.Logger, stream.Run)
	return nil
}

// head hands on a head of the journal's chain.
func (s *server) head(h hits.Head) {
	if stream := s.stream.Load(); stream != nil {
		stream.Head(h)
	}
	if syslog := s.syslog.Load(); syslog != nil {
		syslog.Head(h)
	}
}

// sinkTarget fails where the files of a receiver cannot be read.
func sinkTarget(r configs.Receiver) (hitsink.Target, error) {
	t := hitsink.Target{Network: r.Network, Address: r.Address, TLS: r.TLS}
	_, err := r.TLS()
	return t, err
}

func (s *server) sendHits(name string, to hitsink.Receiver) *hitsink.Sink {
	log := s.log.Named(name)
	sink := hitsink.New(hitsink.Options{Name: name, Journal: s.config.Hits.Journal.Path, Receiver: to, Logger: log})
	s.receivers = append(s.receivers, receiver{name, sink})
	go background(log, sink.Run)
	return sink
}

// closeReceivers sends what the journal still holds.
func (s *server) closeReceivers() {
	ctx, cancel := context.WithTimeout(context.Background(), receiversWithin)
	defer cancel()
	var closing sync.WaitGroup
	for _, r := range s.receivers {
		closing.Go(func() { r.Close(ctx) })
	}
	closing.Wait()
	for _, r := range s.receivers {
		stats := r.Stats()
		s.log.Info("hits sent on", zap.String("by", r.name), zap.Uint64("lines", stats.Sent), zap.Duration("behind", max(0, time.Since(stats.CaughtUp)).Round(time.Second)))
	}
}

// receiverDescriptions are the metrics of what hits are sent to.
type receiverDescriptions struct {
	sent, skipped, failures, connected, behind *prometheus.Desc
}

func newReceiverDescriptions(d func(name, help string, labels ...string) *prometheus.Desc) receiverDescriptions {
	return receiverDescriptions{
		sent:      d("hits_sent_total", "Lines of the journal handed to a receiver, those sent again included.", "by"),
		skipped:   d("hits_unsent_total", "Lines of the journal that a receiver cannot get.", "by", "reason"),
		failures:  d("hits_receiver_failures_total", "Failures in sending hits on.", "by", "operation"),
		connected: d("hits_receiver_connected", "1 while a receiver takes hits.", "by"),
		behind:    d("hits_receiver_behind_seconds", "Time since all that the journal held had been sent.", "by"),
	}
}

func (d *receiverDescriptions) collect(m sender, r receiver) {
	s := r.Stats()
	m.counter(d.sent, s.Sent, r.name)
	m.counter(d.skipped, s.TooLong, r.name, "too_long")
	m.counter(d.skipped, s.Unusable, r.name, "unusable")
	m.counter(d.failures, s.Refused, r.name, "connect")
	m.counter(d.failures, s.Broken, r.name, "send")
	m.counter(d.failures, s.Unsaved, r.name, "save")
	m.gauge(d.connected, truth(s.Connected), r.name)
	m.gauge(d.behind, max(0, time.Since(s.CaughtUp)).Seconds(), r.name)
}
