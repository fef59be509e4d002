package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/blocklist"
	"sinkhole/hits"
	"sinkhole/resolver/cache"
	"sinkhole/resolver/upstream"
	"sinkhole/resolver/wire"
)

// answering is an upstream that gives the records of a text to every query.
func answering(change func(*dns.Msg), records ...string) func(context.Context, []byte) (upstream.Reply, error) {
	return func(_ context.Context, query []byte) (upstream.Reply, error) {
		var q dns.Msg
		if err := q.Unpack(query); err != nil {
			return upstream.Reply{}, err
		}
		m := new(dns.Msg).SetReply(&q)
		for _, text := range records {
			rr, err := dns.NewRR(text)
			if err != nil {
				return upstream.Reply{}, err
			}
			if rr.Header().Rrtype == dns.TypeSOA {
				m.Ns = append(m.Ns, rr)
			} else {
				m.Answer = append(m.Answer, rr)
			}
		}
		if change != nil {
			change(m)
		}
		m.Compress = true
		msg, err := m.Pack()
		return upstream.Reply{Msg: msg}, err
	}
}

// newRequest is a query of 127.0.0.1 over UDP, received at a given time.
func newRequest(t testing.TB, k *rig, name string, typ uint16, received time.Time) *request {
	t.Helper()
	q := &request{arrival: arrival{
		client: netip.MustParseAddrPort("127.0.0.1:40000"), server: netip.MustParseAddrPort("127.0.0.1:53"),
		transport: hits.UDP, queue: k.journal.NewQueue(1), received: received,
	}}
	check(t, q.Parse(queryOf(t, name, typ)))
	return q
}

// respondAt unpacks the answer to a query received at a given time.
func respondAt(t testing.TB, k *rig, name string, received time.Time) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	check(t, m.Unpack(k.respond(newRequest(t, k, name, dns.TypeA, received), make([]byte, 0, 512))))
	return m
}

func TestTTLIsCountedDown(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	forward := answering(nil, "good.example. 100 A 192.0.2.1", "good.example. 130 A 192.0.2.2")
	k := newRig(t, rigOptions{forward: func(ctx context.Context, q []byte) (upstream.Reply, error) {
		asked.Add(1)
		return forward(ctx, q)
	}})
	k.prefetches = false // it counts what is asked
	start := time.Now()
	for _, test := range []struct {
		after time.Duration
		ttl   uint32
		asked int32
	}{
		{0, 100, 1},
		{time.Second, 99, 1},
		{50 * time.Second, 50, 1},
		{99 * time.Second, 1, 1},
		{-time.Hour, 100, 1}, // the clock was set back
	} {
		m := respondAt(t, k, "good.example.", start.Add(test.after))
		got := m.Answer[0].Header().Ttl
		// It was stored a moment after start, so that a second is not yet whole.
		if got != test.ttl && got != test.ttl+1 || asked.Load() != test.asked {
			t.Errorf("after %v: TTL %d, upstream asked %d times, expected %d and %d", test.after, got, asked.Load(), test.ttl, test.asked)
		}
		if m.Answer[1].Header().Ttl != got+30 {
			t.Errorf("after %v: the second record has TTL %d, expected %d", test.after, m.Answer[1].Header().Ttl, got+30)
		}
	}
	respondAt(t, k, "good.example.", start.Add(102*time.Second))
	if asked.Load() != 2 {
		t.Errorf("upstream asked %d times, expected that the answer has expired", asked.Load())
	}
}

func TestNegativeAnswersExpire(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		bounds  TTLBounds
		records []string
		rcode   int
		want    time.Duration // how long it is kept
	}{
		"MINIMUM":        {TTLBounds{Max: time.Hour, Negative: time.Hour}, []string{"example. 900 SOA . . 1 2 3 4 60"}, dns.RcodeNameError, time.Minute},
		"TTL of the SOA": {TTLBounds{Max: time.Hour, Negative: time.Hour}, []string{"example. 30 SOA . . 1 2 3 4 60"}, dns.RcodeNameError, 30 * time.Second},
		"NODATA":         {TTLBounds{Max: time.Hour, Negative: time.Hour}, []string{"example. 900 SOA . . 1 2 3 4 60"}, dns.RcodeSuccess, time.Minute},
		"negative_ttl":   {TTLBounds{Max: time.Hour, Negative: 10 * time.Second}, []string{"example. 900 SOA . . 1 2 3 4 60"}, dns.RcodeNameError, 10 * time.Second},
		"max_ttl":        {TTLBounds{Max: 5 * time.Second, Negative: time.Hour}, []string{"example. 900 SOA . . 1 2 3 4 60"}, dns.RcodeNameError, 5 * time.Second},
		"min_ttl":        {TTLBounds{Min: time.Hour, Max: time.Hour, Negative: time.Hour}, []string{"example. 900 SOA . . 1 2 3 4 60"}, dns.RcodeNameError, time.Minute},
		"chain":          {TTLBounds{Max: time.Hour, Negative: time.Hour}, []string{"gone.example. 20 CNAME no.example.", "example. 900 SOA . . 1 2 3 4 60"}, dns.RcodeNameError, 20 * time.Second},
		"no SOA":         {TTLBounds{Max: time.Hour, Negative: time.Hour}, nil, dns.RcodeNameError, 0},
		"other zone":     {TTLBounds{Max: time.Hour, Negative: time.Hour}, []string{"other. 900 SOA . . 1 2 3 4 60"}, dns.RcodeNameError, 0},
		"SERVFAIL":       {TTLBounds{Max: time.Hour, Negative: time.Hour}, []string{"example. 900 SOA . . 1 2 3 4 60"}, dns.RcodeServerFailure, 0},
		"no negatives":   {TTLBounds{Max: time.Hour}, []string{"example. 900 SOA . . 1 2 3 4 60"}, dns.RcodeNameError, 0},
	} {
		t.Run(name, func(t *testing.T) {
			k := newRig(t, rigOptions{ttl: test.bounds, forward: answering(func(m *dns.Msg) { m.Rcode = test.rcode }, test.records...)})
			m := respondAt(t, k, "gone.example.", time.Now())
			if m.Rcode != test.rcode {
				t.Fatalf("%v", m)
			}
			e := cached(t, k, "gone.example.")
			if test.want == 0 {
				if e != nil {
					t.Errorf("kept for %v, expected not to be kept", time.Duration(e.Expires-e.Stored))
				}
				return
			}
			if e == nil || time.Duration(e.Expires-e.Stored) != test.want {
				t.Fatalf("%+v, expected to be kept for %v", e, test.want)
			}
			for _, rr := range m.Ns {
				if ttl := time.Duration(rr.Header().Ttl) * time.Second; ttl > test.want {
					t.Errorf("%v, expected a TTL of at most %v", rr, test.want)
				}
			}
		})
	}
}

// cached looks into the cache.
func cached(t testing.TB, k *rig, name string) *cache.Entry {
	t.Helper()
	q := newRequest(t, k, name, dns.TypeA, time.Now())
	return k.cache.Get(cache.AppendKey(nil, q.QName(), q.Type, q.Class, false, false), time.Now().UnixNano())
}

// What is no reply to the question is no answer, whoever let it through.
func TestUnusableRepliesAreServfail(t *testing.T) {
	t.Parallel()
	good := answering(nil, "good.example. A 192.0.2.1")
	for name, damage := range map[string]func([]byte) []byte{
		"nothing":            func([]byte) []byte { return nil },
		"header only":        func(m []byte) []byte { return m[:wire.HeaderLen] },
		"no question":        func(m []byte) []byte { return header(0, wire.QR) },
		"another name":       func(m []byte) []byte { m[wire.HeaderLen+1] ^= 1; return m },
		"another type":       func(m []byte) []byte { m[wire.HeaderLen+15] ^= 1; return m },
		"cut short":          func(m []byte) []byte { return m[:len(m)-1] },
		"octets behind":      func(m []byte) []byte { return append(m, 0) },
		"no response":        func(m []byte) []byte { m[2] &^= 0x80; return m },
		"more records said":  func(m []byte) []byte { wire.SetCounts(m, 2, 0, 0); return m },
		"A of three octets":  func(m []byte) []byte { m[len(m)-5]--; return m[:len(m)-1] },
		"owner points ahead": func(m []byte) []byte { m[len(m)-15] = 0xFF; return m },
	} {
		t.Run(name, func(t *testing.T) {
			k := newRig(t, rigOptions{forward: func(ctx context.Context, q []byte) (upstream.Reply, error) {
				reply, err := good(ctx, q)
				reply.Msg = damage(reply.Msg)
				return reply, err
			}})
			m := respondAt(t, k, "good.example.", time.Now())
			if m.Rcode != dns.RcodeServerFailure || len(m.Answer) != 0 {
				t.Errorf("%v, expected SERVFAIL", m)
			}
			if cached(t, k, "good.example.") != nil {
				t.Error("it was kept")
			}
			if k.Stats().Failed != 1 {
				t.Errorf("%d failures counted, expected 1", k.Stats().Failed)
			}
		})
	}
}

// Records that have no business in a reply reach neither client nor policy.
func TestStrayRecordsAreRemoved(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{
		specs:   specsOf(list(t, "addresses", "192.0.2.66\n")),
		forward: answering(nil, "good.example. A 192.0.2.1", "bank.example. A 192.0.2.66"),
	})
	for range 2 { // fresh and cached
		m := respondAt(t, k, "good.example.", time.Now())
		if len(m.Answer) != 1 || m.Answer[0].String() != "good.example.\t3600\tIN\tA\t192.0.2.1" {
			t.Errorf("%v, expected the one record that was asked for", m)
		}
	}
}

// A panic of what answers one query is answered SERVFAIL, and counted.
func TestFaultIsSurvived(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{forward: func(context.Context, []byte) (upstream.Reply, error) { panic("fault") }, specs: specsOf(list(t, "stealers", trapList))})
	eachTransport(t, k, func(t *testing.T, c net.Conn) {
		send(t, c, queryOf(t, "good.example.", dns.TypeA))
		if reply := receive(t, c); wire.Flags(reply)&wire.RCodeMask != wire.RCodeServFail || wire.ID(reply) != 4711 {
			t.Errorf("reply %x, expected SERVFAIL", reply)
		}
		serves(t, c)
	})
	if s := k.Stats(); s.Panics != 3 || s.Waiting != 0 {
		t.Errorf("%d faults counted, %d queries wait, expected 3 and 0", s.Panics, s.Waiting)
	}
}

// More queries than may wait are answered at once; listed and cached names do
// not notice.
func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{forward: answering(nil, "good.example. A 192.0.2.1"), specs: specsOf(list(t, "stealers", trapList))})
	respondAt(t, k, "good.example.", time.Now())
	k.misses.Add(maxMisses)
	if m := respondAt(t, k, "other.example.", time.Now()); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("%v, expected SERVFAIL", m)
	}
	for _, name := range []string{"good.example.", "bad.example."} {
		if m := respondAt(t, k, name, time.Now()); len(m.Answer) != 1 {
			t.Errorf("%v, expected an answer", m)
		}
	}
	k.misses.Add(-maxMisses)
	if s := k.Stats(); s.Shed != 1 || s.Waiting != 0 {
		t.Errorf("%+v, expected one query shed", s)
	}
}

func TestCoalescedCountsThoseThatShared(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	forward := answering(nil, "good.example. A 192.0.2.1")
	k := newRig(t, rigOptions{forward: func(ctx context.Context, q []byte) (upstream.Reply, error) {
		<-hold
		return forward(ctx, q)
	}})
	const n = 10
	var asking sync.WaitGroup
	for range n {
		asking.Go(func() { respondAt(t, k, "good.example.", time.Now()) })
	}
	eventually(t, "all wait", func() bool { return k.Stats().Waiting == n })
	close(hold)
	asking.Wait()
	// Whoever was about to join when the answer came has asked anew or found it
	// in the cache; with all of them waiting there is no such one but by
	// preemption, hence the margin.
	if got := k.Stats().Coalesced; got < n-3 || got > n-1 {
		t.Errorf("%d counted, expected %d", got, n-1)
	}
}

// A query of a client with a zone (fe80::1%eth0) is judged like any.
func TestClientWithAZone(t *testing.T) {
	t.Parallel()
	zone := "$ORIGIN zone.\n@ 300 SOA localhost. root.localhost. 1 3600 600 86400 300\n@ 300 NS localhost.\n128.1.zz.fe80.rpz-client-ip 300 CNAME .\n"
	k := newRig(t, rigOptions{specs: specsOf(list(t, "zone", zone)), forward: answering(nil, "good.example. A 192.0.2.1")})
	q := newRequest(t, k, "good.example.", dns.TypeA, time.Now())
	q.client = netip.MustParseAddrPort("[fe80::1%eth0]:40000")
	var m dns.Msg
	check(t, m.Unpack(k.respond(q, nil)))
	if m.Rcode != dns.RcodeNameError {
		t.Errorf("%v, expected NXDOMAIN", &m)
	}
	settings := compileSettings(Settings{Allow: []netip.Prefix{netip.MustParsePrefix("fe80::/10")}}, nil)
	if !settings.allowed(q.client.Addr()) {
		t.Error("it may not ask")
	}
}

// The sources of failures have their extended DNS errors.
func TestFailureCodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want uint16
	}{
		{&upstream.Error{Kind: upstream.NoReply}, dns.ExtendedErrorCodeNoReachableAuthority},
		{&upstream.Error{Kind: upstream.NoServer}, dns.ExtendedErrorCodeNoReachableAuthority},
		{&upstream.Error{Kind: upstream.Network}, dns.ExtendedErrorCodeNetworkError},
		{fmt.Errorf("wrapped: %w", &upstream.Error{Kind: upstream.NoReply}), dns.ExtendedErrorCodeNoReachableAuthority},
		{errors.New("another"), dns.ExtendedErrorCodeNetworkError},
	} {
		if got := failureCode(test.err); got != test.want {
			t.Errorf("%v: EDE %d, expected %d", test.err, got, test.want)
		}
	}
}

// verdictOf is what the policy says about the question.
func verdictOf(k *rig, q *request) (v blocklist.Verdict) {
	k.policy().JudgeQuestion(q.client.Addr(), q.QName(), q.received.Unix(), &v)
	return v
}
