package main

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// traffic sends queries at a steady rate over a few sockets and counts what comes
// back. It is bounded by its number of queries.
type traffic struct {
	sent, answered atomic.Int64
	rcodes         [16]atomic.Int64
	conns          []net.Conn
	reading        sync.WaitGroup
}

func newTraffic(t testing.TB, addr string, sockets int) *traffic {
	t.Helper()
	l := &traffic{}
	for range sockets {
		c, err := net.Dial("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		// What the generator cannot take in time is not the server's loss.
		_ = c.(*net.UDPConn).SetReadBuffer(4 << 20)
		l.conns = append(l.conns, c)
		l.reading.Go(func() { l.read(c) })
	}
	return l
}

func (l *traffic) read(c net.Conn) {
	b := make([]byte, 4096)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if n >= 12 {
			l.answered.Add(1)
			l.rcodes[b[3]&15].Add(1)
		}
	}
}

// send asks for names in turn, rate queries a second, until stop is closed or
// limit queries are sent.
func (l *traffic) send(names []string, rate int, limit int64, stop <-chan struct{}) {
	queries := make([][]byte, len(names))
	for i, name := range names {
		q, err := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA).Pack()
		if err != nil {
			panic(err)
		}
		queries[i] = q
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		due := min(int64(time.Since(begin).Seconds()*float64(rate)), limit)
		for n := l.sent.Load(); n < due; n++ {
			q := queries[n%int64(len(queries))]
			binary.BigEndian.PutUint16(q, uint16(n))
			if _, err := l.conns[n%int64(len(l.conns))].Write(q); err == nil {
				l.sent.Add(1)
			}
		}
		if l.sent.Load() >= limit {
			return
		}
	}
}

// settle waits until every query is answered, or until nothing has come for a
// second, and closes the sockets.
func (l *traffic) settle() {
	last, since := int64(-1), time.Now()
	for l.answered.Load() < l.sent.Load() && time.Since(since) < time.Second {
		if n := l.answered.Load(); n != last {
			last, since = n, time.Now()
		}
		time.Sleep(5 * time.Millisecond)
	}
	for _, c := range l.conns {
		c.Close()
	}
	l.reading.Wait()
}
