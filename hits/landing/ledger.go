package landing

import (
	"errors"
	"io"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"sinkhole/hits"
)

const (
	// pace is how often the ledger reads what the journal has got.
	pace = 200 * time.Millisecond
	// settleAfter is how long a finished connection waits for its hit, which reaches the
	// journal's file up to a second late in a flood.
	settleAfter = 1500 * time.Millisecond
	// settleAnyway is when it waits no longer for a reader that is behind.
	settleAnyway = 15 * time.Second
	// maxWaiting bounds the records that wait, and maxWaitingOfClient those of one client that
	// differ; alike ones are one.
	maxWaiting         = 4096
	maxWaitingOfClient = 32
	// readBatch bounds the lines read between two looks at what waits.
	readBatch = 10_000
)

// ledger joins finished connections to hits, and hands them on.
type ledger struct {
	o     *Options
	count *counters

	mu       sync.Mutex
	queue    []*entry // in the order of coming
	alike    map[likeness]*entry
	ofClient map[netip.Prefix]int
	wait     time.Duration // settleAfter

	// The rest belongs to run.
	index    *index
	cursor   *hits.Cursor
	since    time.Time // lines before it are of no interest
	caughtUp time.Time // when the journal's end was seen last
	warned   bool
}

// entry is a record that waits.
type entry struct {
	*hits.Connection
	came time.Time
	like likeness
}

// likeness is what connections have in common that share a record.
type likeness struct {
	client                             netip.Addr
	destination                        netip.AddrPort
	protocol, evidence                 string
	method, host, path, agent, referer string
	query, first                       [32]byte
	server, ja4                        string
}

func newLedger(o *Options, count *counters) *ledger {
	return &ledger{o: o, count: count, alike: make(map[likeness]*entry), ofClient: make(map[netip.Prefix]int), index: newIndex(count, o.Own), wait: settleAfter}
}

// add takes a finished connection over.
func (b *ledger) add(c *hits.Connection) {
	like := likeness{
		client: c.Client.Addr(), destination: c.Destination, protocol: c.Protocol, evidence: c.Evidence,
		method: c.Method, host: c.Host, path: c.Path, agent: c.UserAgent, referer: c.Referrer, query: c.Query, server: c.ServerName, ja4: c.JA4,
	}
	if c.Protocol != "tls" || c.Evidence == hits.EvidenceSent { // a ClientHello is random
		like.first = c.First
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.alike[like]; e != nil {
		e.Count++
		e.Bytes += c.Bytes
		if c.Time.After(e.Last) {
			e.Last = c.Time
		}
		if c.Time.Before(e.Time) {
			e.Time = c.Time
		}
		return
	}
	client := clientOf(c.Client.Addr())
	if len(b.queue) >= maxWaiting || b.ofClient[client] >= maxWaitingOfClient {
		b.count.unrecorded.Add(1)
		return
	}
	e := &entry{Connection: c, came: time.Now(), like: like}
	b.queue, b.alike[like] = append(b.queue, e), e
	b.ofClient[client]++
	b.count.waiting.Store(uint64(len(b.queue)))
}

// due removes what has waited long enough; all of it at the end.
func (b *ledger) due(now time.Time, all bool) (due []*entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, e := range b.queue {
		waited := now.Sub(e.came)
		if !all && (waited < b.wait || waited < settleAnyway && b.caughtUp.Before(e.came.Add(b.wait))) {
			break
		}
		n++
		delete(b.alike, e.like)
		client := clientOf(e.Client.Addr())
		if b.ofClient[client]--; b.ofClient[client] == 0 {
			delete(b.ofClient, client)
		}
	}
	due = append(due, b.queue[:n]...)
	rest := copy(b.queue, b.queue[n:])
	clear(b.queue[rest:])
	b.queue = b.queue[:rest]
	b.count.waiting.Store(uint64(rest))
	return due
}

// run works until stop is closed, and leaves nothing.
func (b *ledger) run(stop <-chan struct{}) {
	b.since = time.Now().Add(-window)
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	defer b.closeCursor()
	for {
		b.read()
		for _, e := range b.due(time.Now(), false) {
			b.settle(e.Connection)
		}
		select {
		case <-ticker.C:
		case <-stop:
			b.read()
			for _, e := range b.due(time.Now(), true) {
				b.settle(e.Connection)
			}
			return
		}
	}
}

// settle finds out whose a connection is, and hands it on.
func (b *ledger) settle(c *hits.Connection) {
	client, ours := c.Client.Addr(), false
	if b.o.Marks != nil {
		c.Expected, c.Forwarder, ours = b.o.Marks(client)
	}
	s, joined := b.index.find(b.o.Veil.Addr(client), c.Destination.Addr(), ours, c.Time, c.Host, c.ServerName)
	c.Joined = joined
	switch joined {
	case hits.JoinedName:
		b.count.name.Add(c.Count)
	case hits.JoinedAddress:
		b.count.address.Add(c.Count)
	case hits.JoinedQueryAddress:
		b.count.own.Add(c.Count)
	}
	if s.match != nil {
		c.HitID, c.Name, c.Indicators = s.id, s.match.name, s.match.indicators
		c.Expected = c.Expected || s.expected && (joined == hits.JoinedAddress || joined == hits.JoinedQueryAddress)
	} else if c.Indicators = b.listed(c); len(c.Indicators) > 0 {
		b.count.listed.Add(c.Count)
	} else {
		c.Noise = true
		b.count.noise.Add(c.Count)
	}
	b.o.Record(c)
}

// listed are the indicators of the names that a connection named.
func (b *ledger) listed(c *hits.Connection) []hits.Indicator {
	if b.o.Listed == nil {
		return nil
	}
	for _, name := range []string{c.Host, c.ServerName} {
		if name == "" {
			continue
		}
		if _, err := netip.ParseAddr(name); err == nil {
			continue
		}
		if found := b.o.Listed(c.Client.Addr(), name); len(found) > 0 {
			return found
		}
	}
	return nil
}

// read takes in what the journal has got.
func (b *ledger) read() {
	if b.cursor == nil {
		from, err := hits.Recent(b.o.Journal, b.since)
		if err != nil {
			b.fault(err)
			return
		}
		b.cursor = hits.NewCursor(b.o.Journal, from, func(hits.Damage) { b.count.indexErrors.Add(1) })
	}
	for range readBatch {
		line, err := b.cursor.Next()
		now := time.Now()
		switch {
		case errors.Is(err, io.EOF):
			b.caughtUp, b.warned = now, false
			return
		case err != nil:
			b.fault(err)
			b.since = now.Add(-window)
			b.closeCursor() // from the window's beginning on; what is known is found again
			return
		}
		hit, err := readHit(line, now.Add(-window-settleAnyway))
		if err != nil {
			b.count.indexErrors.Add(1)
		}
		if hit != nil {
			b.index.add(hit, now)
		}
	}
}

func (b *ledger) fault(err error) {
	b.count.indexErrors.Add(1)
	if !b.warned {
		b.warned = true
		b.o.Logger.Warn("the hit journal cannot be read: connections to the landing are not joined to hits", zap.Error(err))
	}
}

func (b *ledger) closeCursor() {
	if b.cursor != nil {
		b.cursor.Close()
		b.cursor = nil
	}
}
