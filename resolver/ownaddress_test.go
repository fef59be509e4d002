package resolver

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/blocklist"
)

func prefixSink(prefix string) blocklist.Sink {
	return blocklist.Sink{Mode: blocklist.SinkPrefix, Prefix: netip.MustParsePrefix(prefix)}
}

func ownSettings(ipv4, ipv6 string) *Settings {
	s := sinkSettings()
	s.IPv4, s.IPv6 = prefixSink(ipv4), prefixSink(ipv6)
	return s
}

// No address of an IPv6 prefix is given twice, whoever gives it, and each bit beyond the
// prefix is as often set as not.
func TestOwnAddressesOfIPv6(t *testing.T) {
	t.Parallel()
	const threads, each = 4, 20_000
	prefix := netip.MustParsePrefix("2001:db8:5::/64")
	var o ownAddresses
	var mu sync.Mutex
	seen := make(map[netip.Addr]bool)
	bits := [64]int{}
	var giving sync.WaitGroup
	for range threads {
		giving.Go(func() {
			for range each {
				a := o.next(prefix)
				mu.Lock()
				if seen[a] || !prefix.Contains(a) {
					t.Errorf("%s was given before, or is not of %s", a, prefix)
				}
				seen[a] = true
				octets := a.As16()
				for i := range bits {
					bits[i] += int(octets[8+i/8] >> (7 - i%8) & 1)
				}
				mu.Unlock()
			}
		})
	}
	giving.Wait()
	for i, n := range bits { // 10 standard deviations
		if half, off := threads*each/2, 1500; n < half-off || n > half+off {
			t.Errorf("bit %d is set in %d of %d addresses", i, n, threads*each)
		}
	}
	if a := o.next(netip.MustParsePrefix("2001:db8::/32")); !netip.MustParsePrefix("2001:db8::/64").Contains(a) {
		t.Errorf("of a wider prefix: found %s", a)
	}
}

// Each address of a range has its turn, but the first and the last.
func TestOwnAddressesOfIPv4(t *testing.T) {
	t.Parallel()
	var o ownAddresses
	prefix := netip.MustParsePrefix("203.0.113.248/29")
	for round := range 3 {
		seen := make(map[netip.Addr]bool)
		for range 6 {
			seen[o.next(prefix)] = true
		}
		for _, a := range []string{"203.0.113.249", "203.0.113.250", "203.0.113.251", "203.0.113.252", "203.0.113.253", "203.0.113.254"} {
			if !seen[netip.MustParseAddr(a)] {
				t.Errorf("round %d: %s had no turn", round, a)
			}
		}
	}
}

// Two answers to one question differ in their address, and the journal has each; a list may
// have a prefix of its own.
func TestEachHitHasItsOwnAddress(t *testing.T) {
	t.Parallel()
	second := list(t, "second", "worse.example\n")
	second.IPv6 = prefixSink("2001:db8:6::/64")
	k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList), second), settings: ownSettings("203.0.113.0/24", "2001:db8:5::/64")})
	given := make(map[string]bool)
	c := dns.Client{Timeout: patience}
	for _, q := range []struct {
		name, prefix string
		typ          uint16
	}{{"bad.example.", "203.0.113.0/24", dns.TypeA}, {"bad.example.", "2001:db8:5::/64", dns.TypeAAAA}, {"worse.example.", "2001:db8:6::/64", dns.TypeAAAA}} {
		for range 2 {
			m, _, err := c.Exchange(new(dns.Msg).SetQuestion(q.name, q.typ), k.listener.Addr().String())
			check(t, err)
			var addr netip.Addr
			switch rr := m.Answer[0].(type) {
			case *dns.A:
				addr, _ = netip.AddrFromSlice(rr.A.To4())
			case *dns.AAAA:
				addr, _ = netip.AddrFromSlice(rr.AAAA)
			}
			if !netip.MustParsePrefix(q.prefix).Contains(addr) || given[addr.String()] {
				t.Errorf("%s: found %s, expected one of %s that was not given yet", q.name, addr, q.prefix)
			}
			given[addr.String()] = true
		}
	}
	for _, h := range k.hits(t) {
		if !given[h.Sinkhole.Address.String()] {
			t.Errorf("the journal has %s, which nobody was given", h.Sinkhole.Address)
		}
		delete(given, h.Sinkhole.Address.String())
	}
	if len(given) != 0 {
		t.Errorf("the journal does not have %v", given)
	}
}

func TestOwnAddressDoesNotAllocate(t *testing.T) {
	for _, prefix := range []string{"203.0.113.0/24", "2001:db8:5::/64"} {
		var o ownAddresses
		p := netip.MustParsePrefix(prefix)
		if n := testing.AllocsPerRun(100, func() { o.next(p) }); n != 0 {
			t.Errorf("%s: %v allocations", prefix, n)
		}
	}
}

func BenchmarkOwnAddress(b *testing.B) {
	for _, prefix := range []string{"203.0.113.0/24", "2001:db8:5::/64"} {
		b.Run(prefix, func(b *testing.B) {
			var o ownAddresses
			p := netip.MustParsePrefix(prefix)
			b.ReportAllocs()
			for b.Loop() {
				o.next(p)
			}
		})
	}
}

// BenchmarkOwnAddressAnswer is BenchmarkPolicyAnswer with an address of its own, and with one
// that all have.
func BenchmarkOwnAddressAnswer(b *testing.B) {
	for name, sink := range map[string]blocklist.Sink{"own": prefixSink("2001:db8:5::/64"), "one": {Mode: blocklist.SinkAddress, Addr: netip.MustParseAddr("2001:db8::1")}} {
		b.Run(name, func(b *testing.B) {
			settings := sinkSettings()
			settings.IPv6 = sink
			k := newRig(b, rigOptions{specs: specsOf(list(b, "stealers", trapList)), settings: settings})
			q := newRequest(b, k, "bad.example.", dns.TypeAAAA, time.Now())
			q.EDNS, q.UDPSize = true, 1232
			s, p := k.settings.Load(), k.policy()
			v := verdictOf(k, q)
			answer := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				k.sinkhole(q, s, p, &v, answer)
			}
		})
	}
}
