package resolver

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// The limiter is a token bucket: what it lets through is what a bucket that is filled all
// the time lets through, to one in a hundred.
func FuzzLimiter(f *testing.F) {
	f.Add(uint16(10), uint16(5), []byte{0, 0, 0, 50, 100, 0, 200})
	f.Add(uint16(1), uint16(0), []byte{0, 250, 250, 250, 250, 250})
	f.Add(uint16(1000), uint16(1), []byte{1, 0, 1, 0, 1, 2, 3})
	f.Fuzz(func(t *testing.T, rate, burst uint16, gaps []byte) {
		rate, burst = rate%2000+1, burst%2000
		l := newLimiter(int(rate), int(burst))
		now := time.Unix(1_000_000, 0)
		full := float64(rate) + float64(burst)
		tokens, last := full, now
		for i, gap := range gaps {
			now = now.Add(time.Duration(gap) * 10 * time.Millisecond)
			tokens = min(tokens+now.Sub(last).Seconds()*1e6/float64(l.every), full)
			last = now
			got := l.take(7, now)
			if sure := tokens > 1.01 || tokens < 0.99; sure && got != (tokens >= 1) {
				t.Fatalf("step %d: let through %v with %.3f tokens", i, got, tokens)
			}
			if got {
				tokens--
			}
		}
	})
}

func TestLimiter(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	l := newLimiter(10, 5)
	through := 0
	for range 100 {
		if l.take(1, now) {
			through++
		}
	}
	if through != 15 || !l.take(2, now) {
		t.Errorf("%d of 100 at once, expected 15, and others let through", through)
	}
	if l.take(1, now) || !l.take(1, now.Add(101*time.Millisecond)) {
		t.Error("a tenth of a second is one more")
	}
	if !l.take(1, now.Add(-time.Hour)) {
		t.Error("a clock that was set back shuts a client out")
	}
	// Others that come once each take no place from one that asks all the time, or it
	// begins anew: nobody is shut out for another.
	for key := range uint64(1_000_000) {
		if !l.take(key<<8|3, now) {
			t.Fatalf("key %d is shut out by others", key)
		}
	}
}

// What counts as one client.
func TestLimiterClient(t *testing.T) {
	t.Parallel()
	l := newLimiter(1, 0)
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true}, {"192.0.2.1", "192.0.2.2", false},
		{"2001:db8:0:1::1", "2001:db8:0:ff::2", true}, {"2001:db8:0:100::1", "2001:db8::1", false},
	} {
		a, b := l.client(netip.MustParseAddr(test.a), 32, 56), l.client(netip.MustParseAddr(test.b), 32, 56)
		if (a == b) != test.same {
			t.Errorf("%s and %s: the same client %v, expected %v", test.a, test.b, a == b, test.same)
		}
	}
}

// limitedRig lets a client ask so often in an hour or so that the test sees no more.
func limitedRig(t *testing.T, change func(*Settings)) *rig {
	t.Helper()
	settings := sinkSettings()
	change(settings)
	z := newZone(t, trapZone)
	return newRig(t, rigOptions{settings: settings, specs: specsOf(list(t, "stealers", trapList)), servers: []string{z.addr}})
}

// Over its limit a client gets every second answer with TC over UDP, and REFUSED over
// streams; its hits are recorded all the same. Others, and forwarders, have their own.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	k := limitedRig(t, func(s *Settings) {
		s.RateLimit = RateLimit{PerSecond: 1, Burst: 9, Bits4: 32, Bits6: 56}
		s.Forwarders = []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}
	})
	udp, tcp, tls := dialUDP(t, k), dialTCP(t, k), dialTLS(t, k)
	query := queryOf(t, "bad.example.", dns.TypeA)
	for range 200 {
		send(t, udp, query)
	}
	eventually(t, "all are counted", func() bool { return k.Stats().Queries["udp"] == 200 })
	whole, cut := 0, 0
	check(t, udp.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	for buffer := make([]byte, 4096); ; {
		n, err := udp.Read(buffer)
		if err != nil {
			break
		}
		if wire.Flags(buffer[:n])&wire.TC != 0 {
			cut++
		} else {
			whole++
		}
	}
	if whole < 10 || whole > 14 || cut < 60 || cut > 130 {
		t.Errorf("%d answers whole and %d with TC, expected 10 or a few more, and half of the others", whole, cut)
	}
	// What was forged in its name does not shut out who proves its source.
	held := cookieOf(t, dialTCP(t, k), "localhost.", "0102030405060708")
	for range 3 {
		check(t, udp.SetReadDeadline(time.Now().Add(patience)))
		send(t, udp, withOption(t, "bad.example.", &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: held}))
		if reply := receive(t, udp); wire.Flags(reply)&wire.TC != 0 {
			t.Error("a query with a cookie is cut down for what others asked")
		}
	}
	refused := 0
	for _, c := range []net.Conn{tcp, tls} {
		for range 25 {
			send(t, c, query)
			if wire.Flags(receive(t, c))&wire.RCodeMask == wire.RCodeRefused {
				refused++
			}
		}
	}
	if refused < 35 || refused > 47 {
		t.Errorf("%d of 50 refused over streams, expected some 40", refused)
	}
	for address, limited := range map[string]bool{"127.0.0.2": true, "127.0.0.3": false} {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
		c, err := d.Dial("tcp", k.listener.Addr().String())
		check(t, err)
		defer c.Close()
		check(t, c.SetDeadline(time.Now().Add(patience)))
		fine := 0
		for range 50 {
			send(t, c, query)
			if wire.Flags(receive(t, c))&wire.RCodeMask == 0 {
				fine++
			}
		}
		if limited && (fine < 10 || fine > 14) || !limited && fine != 50 {
			t.Errorf("%s: %d of 50 answered, limited %v", address, fine, limited)
		}
	}
	if n := len(k.hits(t)); n != 353 {
		t.Errorf("%d hits of 353 queries", n)
	}
	if s := k.Stats(); s.Limited == 0 || s.Dropped != 0 {
		t.Errorf("%d limited, %d dropped by policy", s.Limited, s.Dropped)
	}
}

// Alike answers to addresses that may be forged are bounded; those to others, and to who
// has a cookie, are not. Random names below one that does not exist are alike.
func TestResponseRateLimit(t *testing.T) {
	t.Parallel()
	k := limitedRig(t, func(s *Settings) { s.ResponsesPerSecond = 5 })
	answered := func(c net.Conn, n int, query func(i int) []byte) (whole, cut int) {
		before := k.Stats().Queries["udp"]
		for i := range n {
			send(t, c, query(i))
		}
		eventually(t, "all are counted", func() bool { return k.Stats().Queries["udp"] == before+uint64(n) })
		check(t, c.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
		for buffer := make([]byte, 4096); ; {
			size, err := c.Read(buffer)
			if err != nil {
				check(t, c.SetReadDeadline(time.Now().Add(patience)))
				return whole, cut
			}
			if wire.Flags(buffer[:size])&wire.TC != 0 {
				cut++
			} else {
				whole++
			}
		}
	}
	c := dialUDP(t, k)
	same := func(int) []byte { return queryOf(t, "bad.example.", dns.TypeA) }
	if whole, cut := answered(c, 65, same); whole < 5 || whole > 8 || cut < 12 || cut > 48 {
		t.Errorf("%d whole and %d with TC of 65, expected some 5 and 30", whole, cut)
	}
	random := func(i int) []byte {
		return queryOf(t, string(rune('a'+i%26))+string(rune('a'+i/26))+"."+string(rune('a'+i%7))+[]string{".nx.invalid.", ".nX.InvaliD.", ".nx.iNVALId."}[i%3], dns.TypeA)
	}
	if whole, _ := answered(c, 65, random); whole < 5 || whole > 8 {
		t.Errorf("%d of 65 random names answered whole, expected some 5", whole)
	}
	held := cookieOf(t, c, "localhost.", "0102030405060708")
	known := withOption(t, "bad.example.", &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: held})
	if whole, _ := answered(c, 50, func(int) []byte { return known }); whole != 50 {
		t.Errorf("%d of 50 with a cookie answered whole", whole)
	}
	stream := dialTCP(t, k)
	for range 20 {
		serves(t, stream)
	}
	unanswered := 0
	for _, r := range k.hits(t) {
		if r.DNS.ResponseCode == "" {
			unanswered++
		}
	}
	if s := k.Stats(); s.Restrained == 0 || unanswered < 12 || unanswered > 48 {
		t.Errorf("%d restrained, %d hits without an answer", s.Restrained, unanswered)
	}
}

// ANY is not worth reflecting: over UDP its answer is one short record, over TCP the
// upstream's (RFC 8482).
func TestANY(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	query := queryOf(t, "good.example.", dns.TypeANY)
	for _, c := range []net.Conn{dialUDP(t, k), dialTCP(t, k)} {
		send(t, c, query)
		packed := receive(t, c)
		var m dns.Msg
		check(t, m.Unpack(packed))
		_, overUDP := c.(*net.UDPConn)
		if minimal := len(m.Answer) == 1 && m.Answer[0].Header().Rrtype == dns.TypeHINFO; minimal != overUDP {
			t.Errorf("%T: %v", c, m.String())
		}
		if overUDP && len(packed) > 3*len(query) {
			t.Errorf("%d octets for %d", len(packed), len(query))
		}
	}
}
