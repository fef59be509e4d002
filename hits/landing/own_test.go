package landing

import (
	"net/netip"
	"testing"
	"time"

	"sinkhole/hits"
)

// ownPrefixes are a range that anybody can go through, and a prefix that nobody can.
func ownPrefixes(a netip.Addr) (own, secret bool) {
	secret = netip.MustParsePrefix("2001:db8:5::/64").Contains(a)
	return secret || netip.MustParsePrefix("203.0.113.0/24").Contains(a), secret
}

// A hit has its address for its TTL and a minute; a connection to it is that hit's whoever
// connects, unless the address can be guessed and who connects is none of ours.
func TestOwnAddressNamesTheHit(t *testing.T) {
	t.Parallel()
	const range4, prefix6 = "203.0.113.9", "2001:db8:5::c0:ffee"
	const client, machine, forwarder = "192.0.2.7", "192.0.2.99", "192.0.2.53"
	now := time.Now()
	type hit struct {
		ago             time.Duration
		client, address string
		mod             func(*hitLine)
	}
	behind := func(l *hitLine) { l.Sinkhole.Forwarder = true }
	told := func(l *hitLine) { l.Sinkhole.Identity.Trusted = true }
	merged := func(l *hitLine) { l.Event.End = now }
	for name, c := range map[string]struct {
		hits         []hit
		client, to   string
		ours         bool
		joined, name string
	}{
		"a forwarder's client": {[]hit{{0, forwarder, prefix6, behind}}, machine, prefix6, false, hits.JoinedQueryAddress, "0.example"},
		"its own":              {[]hit{{0, client, prefix6, nil}}, client, prefix6, false, hits.JoinedQueryAddress, "0.example"},
		"of the other family":  {[]hit{{0, client, prefix6, nil}}, "2001:db8::7", prefix6, false, hits.JoinedQueryAddress, "0.example"},
		"the one of several": {[]hit{{3 * time.Second, forwarder, prefix6, behind}, {2 * time.Second, forwarder, "2001:db8:5::1", behind}, {0, forwarder, "2001:db8:5::2", behind}},
			machine, prefix6, false, hits.JoinedQueryAddress, "0.example"},
		"an address that nobody got":         {[]hit{{0, forwarder, prefix6, behind}}, machine, "2001:db8:5::1", true, hits.JoinedNone, ""},
		"nobody got, but it asked":           {[]hit{{0, client, prefix6, nil}}, client, "2001:db8:5::1", false, hits.JoinedAddress, "0.example"},
		"too long ago":                       {[]hit{{window + time.Second, forwarder, prefix6, behind}}, machine, prefix6, true, hits.JoinedNone, ""},
		"a range, its own":                   {[]hit{{0, client, range4, nil}}, client, range4, false, hits.JoinedQueryAddress, "0.example"},
		"a range, one of ours":               {[]hit{{0, forwarder, range4, behind}}, machine, range4, true, hits.JoinedQueryAddress, "0.example"},
		"a range, told by the forwarder":     {[]hit{{0, "10.0.0.1", range4, told}}, machine, range4, true, hits.JoinedQueryAddress, "0.example"},
		"a range, a scanner":                 {[]hit{{0, forwarder, range4, behind}}, machine, range4, false, hits.JoinedNone, ""},
		"a range, another client's":          {[]hit{{0, client, range4, nil}}, machine, range4, true, hits.JoinedNone, ""},
		"a range, two had it":                {[]hit{{60 * time.Second, forwarder, range4, behind}, {0, forwarder, range4, behind}}, machine, range4, true, hits.JoinedNone, ""},
		"a range, two had it, the other way": {[]hit{{0, forwarder, range4, behind}, {60 * time.Second, forwarder, range4, behind}}, machine, range4, true, hits.JoinedNone, ""},
		"a range, two had it, one asked":     {[]hit{{60 * time.Second, client, range4, nil}, {0, forwarder, range4, behind}}, client, range4, true, hits.JoinedAddress, "0.example"},
		"a range, given back meanwhile":      {[]hit{{91 * time.Second, forwarder, range4, behind}, {0, forwarder, range4, behind}}, machine, range4, true, hits.JoinedQueryAddress, "1.example"},
		"a range, in the other generation":   {[]hit{{window + time.Second, forwarder, range4, behind}, {0, forwarder, range4, behind}}, machine, range4, true, hits.JoinedQueryAddress, "1.example"},
		"a range, its line is read twice":    {[]hit{{0, forwarder, range4, behind}, {0, forwarder, range4, func(l *hitLine) { behind(l); l.Event.ID = "0" }}}, machine, range4, true, hits.JoinedQueryAddress, "1.example"},
		"merged, the first of them":          {[]hit{{time.Second, forwarder, prefix6, func(l *hitLine) { behind(l); merged(l) }}}, machine, prefix6, false, hits.JoinedQueryAddress, "0.example"},
		"merged, another of them":            {[]hit{{time.Second, client, prefix6, merged}}, client, "2001:db8:5::1", false, hits.JoinedAddress, "0.example"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newIndex(new(counters), ownPrefixes)
			for i, h := range c.hits {
				l := &hitLine{Time: now.Add(-h.ago)}
				l.Event.ID, l.Client.IP, l.Sinkhole.Address = string(rune('0'+i)), netip.MustParseAddr(h.client), netip.MustParseAddr(h.address)
				l.DNS.Question.Name, l.Sinkhole.TTL = string(rune('0'+i))+".example", new(uint32)
				*l.Sinkhole.TTL = 30
				if h.mod != nil {
					h.mod(l)
				}
				x.add(l, l.Time)
			}
			s, joined := x.find(netip.MustParseAddr(c.client), netip.MustParseAddr(c.to), c.ours, now)
			check(t, "joined", joined, c.joined)
			found := ""
			if s.match != nil {
				found = s.match.name
			}
			check(t, "name", found, c.name)
		})
	}
}

// A connection through the listener to an address of its hit's own, by a client that nobody
// knows.
func TestOwnAddressIsJoined(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(l *Landing) {
		l.ledger.index.own = func(a netip.Addr) (bool, bool) { return a.IsLoopback(), true }
	})
	r.hit("192.0.2.53", "a.bad.example", func(h *hits.Hit) { h.Forwarder = true })
	r.send("beacon")
	x := r.one()
	check(t, "joined", x.Sinkhole.Joined, hits.JoinedQueryAddress)
	check(t, "name", x.DNS.Question.Name, "a.bad.example")
	check(t, "evidence", x.Sinkhole.Evidence, hits.EvidenceSent)
	check(t, "counted", r.Stats().Own, 1)
}

// Hits with addresses of their own are bounded, and many of them push no others out.
func TestOwnAddressesAreBounded(t *testing.T) {
	t.Parallel()
	x := newIndex(new(counters), ownPrefixes)
	now := time.Now()
	l := &hitLine{Time: now}
	l.Event.ID, l.DNS.Question.Name, l.Client.IP = "id", "first.example", netip.MustParseAddr("192.0.2.7")
	x.add(l, now)
	l.DNS.Question.Name = "bad.example"
	for i := range 5 * maxIndexed {
		l.Sinkhole.Address = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 5, 12: byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		x.add(l, now)
	}
	if n := x.count.indexed.Load(); n > 2*maxIndexed+8 || n < maxIndexed {
		t.Errorf("found %d entries", n)
	}
	check(t, "forgotten", x.count.forgotten.Load(), 3*maxIndexed)
	nobody := netip.MustParseAddr("192.0.2.99")
	if _, joined := x.find(nobody, l.Sinkhole.Address, false, now); joined != hits.JoinedQueryAddress {
		t.Error("the latest hit is not found")
	}
	if _, joined := x.find(l.Client.IP, netip.Addr{}, false, now, "first.example"); joined != hits.JoinedName {
		t.Error("a hit of before is not found by its name")
	}
}
