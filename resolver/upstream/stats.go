package upstream

import (
	"fmt"
	"sync/atomic"
	"time"
)

const rttBuckets = 12

// RTTBounds are the upper bounds of the buckets of RTTHistogram.
func RTTBounds() [rttBuckets]time.Duration {
	return [rttBuckets]time.Duration{
		500 * time.Microsecond,
		time.Millisecond,
		2500 * time.Microsecond,
		5 * time.Millisecond,
		10 * time.Millisecond,
		25 * time.Millisecond,
		50 * time.Millisecond,
		100 * time.Millisecond,
		250 * time.Millisecond,
		500 * time.Millisecond,
		time.Second,
		2500 * time.Millisecond,
	}
}

// ServerStats is what happened with one server since the start. Exchanges =
// Replies + Timeouts + Refused + Network + Local + Abandoned + those under way.
type ServerStats struct {
	Server  fmt.Stringer // as in Reply
	Healthy bool

	Exchanges uint64 // attempts begun
	Replies   uint64 // attempts that ended with a checked reply
	Declined  uint64 // replies with SERVFAIL, REFUSED, NOTIMP or FORMERR, part of Replies
	Timeouts  uint64 // attempts without an answer in time
	Refused   uint64 // attempts ended by "connection refused" (not by RCODE REFUSED)
	Network   uint64 // attempts ended by another fault of the network, or by an unusable message over TCP
	Local     uint64 // attempts that failed on this machine: no descriptor, no port
	Abandoned uint64 // attempts that another server or the caller ended early

	Mismatched uint64 // messages discarded: wrong ID, question, opcode, or no reply at all
	Malformed  uint64 // messages discarded: not a DNS message
	Truncated  uint64 // replies over UDP with TC set
	Suspected  uint64 // exchanges taken to TCP because of repeated mismatches
	OverTCP    uint64 // queries sent over TCP
	Probes     uint64 // queries of our own to learn whether it is there, not in Exchanges

	Loops   uint64 // names that came back to us from it
	Looping bool   // it leads back to us, and is not asked

	Cookies   bool // it has given a cookie (RFC 7873), and must go on to
	KeepsCase bool // it gives names back in the random case that they were sent in, and must go on to

	SmoothedRTT time.Duration // how long replies took of late; 0: there was none

	RTT RTTHistogram

	Connections *ConnectionStats // of an encrypted server, else nil
}

// ConnectionStats is about the connections to an encrypted server.
type ConnectionStats struct {
	Open      int64  // now
	Opened    uint64 // since the start
	Resumed   uint64 // of these, with the session of an earlier one
	Requeried uint64 // queries sent once more since their connection had ended
	Crowded   uint64 // queries that waited since all connections there may be were full
}

// RTTHistogram holds the times that Replies took.
type RTTHistogram struct {
	Count uint64
	Sum   time.Duration
	// Buckets counts the replies that took at most the bound of the same index
	// in RTTBounds (cumulative, as in Prometheus).
	Buckets [rttBuckets]uint64
}

// counters are the live form of ServerStats.
type counters struct {
	exchanges, replies, declined                 atomic.Uint64
	timeouts, refused, network, local, abandoned atomic.Uint64
	mismatched, malformed                        atomic.Uint64
	truncated, suspected, overTCP, probes, loops atomic.Uint64
	rttSum                                       atomic.Int64
	rtt                                          [rttBuckets + 1]atomic.Uint64 // not cumulative; the last one is unbounded
}

func (c *counters) observe(rtt time.Duration) {
	c.rttSum.Add(int64(rtt))
	for i, bound := range RTTBounds() {
		if rtt <= bound {
			c.rtt[i].Add(1)
			return
		}
	}
	c.rtt[rttBuckets].Add(1)
}

func (c *counters) failed(why cause) {
	switch why {
	case causeTimeout:
		c.timeouts.Add(1)
	case causeRefused:
		c.refused.Add(1)
	case causeLocal:
		c.local.Add(1)
	case causeCancelled:
		c.abandoned.Add(1)
	case causeNetwork, causeMismatched, causeMalformed:
		c.network.Add(1)
	}
}

func (c *counters) histogram() RTTHistogram {
	h := RTTHistogram{Sum: time.Duration(c.rttSum.Load())}
	for i := range c.rtt {
		h.Count += c.rtt[i].Load()
		if i < rttBuckets {
			h.Buckets[i] = h.Count
		}
	}
	return h
}
