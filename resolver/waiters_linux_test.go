package resolver

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/blocklist/format"
	"sinkhole/resolver/wire"
)

// heldZone is an upstream that answers for names when it is released.
func heldZone(t *testing.T, names ...string) (z *zone, release func()) {
	var text strings.Builder
	for _, name := range names {
		fmt.Fprintf(&text, "%s A 192.0.2.1\n;! %[1]s A hold\n", name)
	}
	z = newZone(t, text.String())
	released := make(chan struct{})
	z.release(func() bool {
		select {
		case <-released:
			return true
		default:
			return false
		}
	})
	return z, func() { close(released) }
}

// Clients that ask the same share one exchange, and each gets its own answer.
func TestWaitersShareAnExchange(t *testing.T) {
	t.Parallel()
	z, release := heldZone(t, "a.example.")
	k := newRig(t, rigOptions{servers: []string{z.addr}, timeout: patience})
	one, other := dialUDP(t, k), dialUDP(t, k)
	first, second := queryOf(t, "a.example.", dns.TypeA), queryOf(t, "A.example.", dns.TypeA)
	wire.SetID(second, 12)
	send(t, one, first)
	eventually(t, "one waits", func() bool { return k.Stats().Waiting == 1 })
	send(t, other, second)
	eventually(t, "two wait", func() bool { return k.Stats().Waiting == 2 })
	release()
	for _, c := range []struct {
		reply []byte
		id    uint16
		name  string
	}{{receive(t, one), 4711, "a.example."}, {receive(t, other), 12, "A.example."}} {
		var m dns.Msg
		check(t, m.Unpack(c.reply))
		if m.Id != c.id || m.Question[0].Name != c.name || len(m.Answer) != 1 {
			t.Errorf("%v\nexpected an answer to %d for %s", m.String(), c.id, c.name)
		}
	}
	if s := k.Stats(); s.Coalesced != 1 || s.Waiting != 0 || s.Queries["udp"] != 2 || s.Responses[0] != 2 {
		t.Errorf("%+v", s)
	}
	if s := k.cache.Stats(); s.Misses != 2 || s.Entries != 1 {
		t.Errorf("cache: %+v", s)
	}
}

// However many readers get the same question, few ask it upstream: each exchange is
// a chance for a forged reply.
func TestFewAskTheSame(t *testing.T) {
	t.Parallel()
	const clients = 64
	z, release := heldZone(t, "a.example.")
	k := newRig(t, rigOptions{servers: []string{z.addr}, timeout: patience, readers: 16})
	all := make([]net.Conn, clients)
	for i := range all {
		all[i] = dialUDP(t, k)
		send(t, all[i], queryOf(t, "a.example.", dns.TypeA))
	}
	eventually(t, "all wait", func() bool { return k.Stats().Waiting == clients })
	asked := slices.DeleteFunc(z.take(), func(s string) bool { return !strings.HasPrefix(s, "a.example") }) // not the probes
	if n := len(asked); n > maxAlike+1 {
		t.Errorf("asked %d times at once", n)
	}
	release()
	for _, c := range all {
		if reply := receive(t, c); wire.Flags(reply)&wire.RCodeMask != 0 {
			t.Errorf("%x", reply)
		}
	}
}

// When too many wait, those that wait longest are told so, and the others stay.
func TestWaitersShedTheOldest(t *testing.T) {
	t.Parallel()
	const places = minPlaces
	names := make([]string, places+1)
	for i := range names {
		names[i] = fmt.Sprintf("n%d.example.", i)
	}
	z, release := heldZone(t, names...)
	k := newRig(t, rigOptions{servers: []string{z.addr}, timeout: patience, idle: true, fairWait: 1})
	k.listener.udp[0].prompt.waiters.places = places
	k.listener.Serve()
	const others = maxMisses / 2
	k.misses.Add(others) // with the library: they take no places of a reader's clients
	c := dialUDP(t, k)
	second := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	late, err := second.Dial("udp", k.listener.Addr().String())
	check(t, err)
	defer late.Close()
	check(t, late.SetDeadline(time.Now().Add(patience)))
	for i, name := range names {
		query := queryOf(t, name, dns.TypeA)
		wire.SetID(query, uint16(i))
		if i < places {
			send(t, c, query)
			continue
		}
		eventually(t, "all before wait", func() bool { return k.Stats().Waiting == others+places })
		send(t, late, query)
	}
	if reply := receive(t, c); wire.ID(reply) != 0 || wire.Flags(reply)&wire.RCodeMask != wire.RCodeServFail {
		t.Errorf("%x, expected SERVFAIL to the first query", reply)
	}
	release()
	for i := range places {
		from := c
		if i == 0 {
			from = late.(*net.UDPConn)
		}
		if reply := receive(t, from); wire.ID(reply) == 0 || wire.Flags(reply)&wire.RCodeMask != 0 {
			t.Errorf("%x, expected an answer to the other queries", reply)
		}
	}
	k.misses.Add(-others)
	if s := k.Stats(); s.Shed != 1 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

// Those that have not waited for long are not given up for others: else nobody would
// be answered when more come than an upstream answers in time.
func TestWaitersLetNobodyIn(t *testing.T) {
	t.Parallel()
	const places = minPlaces
	names := make([]string, places)
	for i := range names {
		names[i] = fmt.Sprintf("n%d.example.", i)
	}
	watched := list(t, "watched", "watched.example\n")
	watched.Action = format.Log
	z, release := heldZone(t, names...)
	k := newRig(t, rigOptions{servers: []string{z.addr}, timeout: patience, readers: maxMisses / places, fairWait: time.Hour, specs: specsOf(list(t, "stealers", trapList), watched)})
	c := dialUDP(t, k)
	for i, name := range append(names, "late.example.", "bad.example.", "watched.example.") {
		query := queryOf(t, name, dns.TypeA)
		wire.SetID(query, uint16(i))
		if i == places {
			eventually(t, "all before wait", func() bool { return k.Stats().Waiting == places })
		}
		send(t, c, query)
	}
	if reply := receive(t, c); wire.ID(reply) != places || wire.Flags(reply)&wire.RCodeMask != wire.RCodeServFail {
		t.Errorf("%x, expected SERVFAIL to the query that came last", reply)
	}
	if reply := receive(t, c); wire.ID(reply) != places+1 || wire.Flags(reply)&wire.RCodeMask != 0 {
		t.Errorf("%x, expected the sinkhole's answer", reply)
	}
	if reply := receive(t, c); wire.ID(reply) != places+2 || wire.Flags(reply)&wire.RCodeMask != wire.RCodeServFail {
		t.Errorf("%x, expected SERVFAIL to the query that is observed", reply)
	}
	release()
	for range places {
		if reply := receive(t, c); wire.ID(reply) >= places || wire.Flags(reply)&wire.RCodeMask != 0 {
			t.Errorf("%x, expected an answer to the queries before", reply)
		}
	}
	if s := k.Stats(); s.Shed != 2 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
	var recorded []string
	for _, h := range k.hits(t) {
		recorded = append(recorded, h.DNS.Question.Name+" "+h.DNS.ResponseCode)
	}
	if !slices.Equal(recorded, []string{"bad.example NOERROR", "watched.example SERVFAIL"}) {
		t.Errorf("hits %q", recorded)
	}
}

// A policy that comes while a query waits judges its answer.
func TestWaitersAreJudgedByThePolicyInForce(t *testing.T) {
	t.Parallel()
	z, release := heldZone(t, "a.example.")
	spec := list(t, "addresses", "198.51.100.1\n")
	k := newRig(t, rigOptions{servers: []string{z.addr}, timeout: patience, specs: specsOf(spec)})
	c := dialUDP(t, k)
	send(t, c, queryOf(t, "a.example.", dns.TypeA))
	eventually(t, "it waits", func() bool { return k.Stats().Waiting == 1 })
	check(t, os.WriteFile(spec.Source, []byte("192.0.2.0/24\n"), 0o600))
	_, err := k.lists.Reload()
	check(t, err)
	release()
	var m dns.Msg
	check(t, m.Unpack(receive(t, c)))
	if a, isA := m.Answer[0].(*dns.A); !isA || a.A.String() != "203.0.113.1" {
		t.Errorf("%v, expected the sinkhole's address", m.String())
	}
	if all := k.hits(t); len(all) != 1 || all[0].Sinkhole.Trigger != "response-ip" {
		t.Errorf("%d hits, expected one by address", len(all))
	}
}

// All that waits when a shutdown begins is answered, also what would have been the
// library's by then.
func TestShutdownAnswersAllThatWaits(t *testing.T) {
	t.Parallel()
	z, release := heldZone(t, "a.example.", "b.example.", "c.example.")
	k := newRig(t, rigOptions{servers: []string{z.addr}, timeout: patience, readers: 2})
	const clients = 30
	all := make([]net.Conn, clients)
	for i := range all {
		all[i] = dialUDP(t, k)
		send(t, all[i], queryOf(t, string(rune('a'+i%3))+".example.", dns.TypeA))
	}
	eventually(t, "all wait", func() bool { return k.Stats().Waiting == clients })
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		k.stop()
	}()
	eventually(t, "the shutdown has begun", func() bool {
		return k.listener.udp[0].datagrams.ended.Load() && k.listener.udp[1].datagrams.ended.Load()
	})
	release()
	for _, c := range all {
		if reply := receive(t, c); wire.Flags(reply)&wire.RCodeMask != 0 {
			t.Errorf("%x, expected an answer", reply)
		}
	}
	<-stopped
	if s := k.Stats(); s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

// Of what upstreams hold back, one client has no more than its part: it must not all go out
// to one address, which may be forged, at once (DNSBomb, CVE-2024-33655). Others go on.
func TestTrapWaitingOfOneClientIsBounded(t *testing.T) {
	t.Parallel()
	names := make([]string, 200)
	for i := range names {
		names[i] = fmt.Sprintf("n%d.example.", i)
	}
	z, release := heldZone(t, append(names, "other.example.")...)
	k := newRig(t, rigOptions{servers: []string{z.addr}, timeout: patience, idle: true})
	w := k.listener.udp[0].prompt.waiters
	w.places = 400
	part := w.ofClient()
	k.listener.Serve()
	c := dialUDP(t, k)
	for i := range part + 50 {
		send(t, c, queryOf(t, names[i%len(names)], dns.TypeA))
	}
	eventually(t, "the rest is refused", func() bool { return k.Stats().Shed == 50 })
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	other, err := d.Dial("udp", k.listener.Addr().String())
	check(t, err)
	defer other.Close()
	check(t, other.SetDeadline(time.Now().Add(patience)))
	send(t, other, queryOf(t, "other.example.", dns.TypeA))
	eventually(t, "another client waits", func() bool { return k.Stats().Waiting == int64(part)+1 })
	release()
	if reply := receive(t, other); wire.Flags(reply)&wire.RCodeMask != 0 {
		t.Errorf("%x", reply)
	}
	eventually(t, "nobody waits", func() bool { return k.Stats().Waiting == 0 })
	send(t, c, queryOf(t, "n0.example.", dns.TypeA))
	k.stop()
	if n := len(w.clients); n != 0 {
		t.Errorf("%d clients are still counted", n)
	}
}
