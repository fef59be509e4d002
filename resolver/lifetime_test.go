package resolver

import (
	"testing"
	"time"

	"github.com/miekg/dns"
)

// How long an answer is kept, and what clients are told, at the edges of the bounds.
func TestLifetime(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	usual := TTLBounds{Max: day, Negative: 15 * time.Minute}
	soa := func(ttl, minimum string) string {
		return "example. " + ttl + " SOA ns.example. root.example. 1 3600 600 86400 " + minimum
	}
	for _, test := range []struct {
		what    string
		bounds  TTLBounds
		records []string
		change  func(*dns.Msg)
		kept    time.Duration // 0: not at all
		told    uint32
	}{
		{"as it says", usual, []string{"x.example. 60 A 192.0.2.1"}, nil, time.Minute, 60},
		{"TTL 0", usual, []string{"x.example. 0 A 192.0.2.1"}, nil, 0, 0},
		{"TTL 0 with a minimum", TTLBounds{Min: 5 * time.Second, Max: day}, []string{"x.example. 0 A 192.0.2.1"}, nil, 5 * time.Second, 5},
		{"one of two is 0", usual, []string{"x.example. 60 A 192.0.2.1", "x.example. 0 A 192.0.2.2"}, nil, 0, 60},
		{"below the minimum", TTLBounds{Min: time.Minute, Max: day}, []string{"x.example. 59 A 192.0.2.1"}, nil, time.Minute, 60},
		{"at the minimum", TTLBounds{Min: time.Minute, Max: day}, []string{"x.example. 60 A 192.0.2.1"}, nil, time.Minute, 60},
		{"above the maximum", TTLBounds{Max: time.Minute}, []string{"x.example. 61 A 192.0.2.1"}, nil, time.Minute, 60},
		{"both bounds one", TTLBounds{Min: time.Minute, Max: time.Minute}, []string{"x.example. 5 A 192.0.2.1"}, nil, time.Minute, 60},
		{"the largest TTL", TTLBounds{Max: (1<<31 - 1) * time.Second}, []string{"x.example. 2147483647 A 192.0.2.1"}, nil, (1<<31 - 1) * time.Second, 1<<31 - 1},
		{"the first bit is set", usual, []string{"x.example. 2147483648 A 192.0.2.1"}, nil, 0, 0},
		{"negative, by the SOA's TTL", usual, []string{soa("50", "60")}, nxdomain, 50 * time.Second, 50},
		{"negative, by the SOA's MINIMUM", usual, []string{soa("60", "50")}, nxdomain, 50 * time.Second, 50},
		{"negative, MINIMUM 0", usual, []string{soa("60", "0")}, nxdomain, 0, 0},
		{"negative, the minimum does not hold", TTLBounds{Min: time.Hour, Max: day, Negative: 15 * time.Minute}, []string{soa("60", "60")}, nxdomain, time.Minute, 60},
		{"negative, at most negative_ttl", usual, []string{soa("86400", "86400")}, nxdomain, 15 * time.Minute, 900},
		{"negative, at most max_ttl", TTLBounds{Max: time.Minute, Negative: time.Hour}, []string{soa("86400", "86400")}, nxdomain, time.Minute, 60},
		{"negative_ttl 0", TTLBounds{Max: day}, []string{soa("60", "60")}, nxdomain, 0, 0},
		{"NODATA", usual, []string{soa("60", "60")}, nil, time.Minute, 60},
		{"NXDOMAIN without SOA", usual, nil, nxdomain, 0, 0},
		{"NXDOMAIN with the SOA of another zone", usual, []string{"other.test. 60 SOA ns.test. root.test. 1 3600 600 86400 60"}, nxdomain, 0, 0},
		{"REFUSED with an SOA", usual, []string{soa("60", "60")}, func(m *dns.Msg) { m.Rcode = dns.RcodeRefused }, 0, 60},
	} {
		k := newRig(t, rigOptions{forward: answering(test.change, test.records...), ttl: test.bounds})
		begin := time.Now()
		m := respondAt(t, k, "x.example.", begin)
		for _, rr := range append(m.Answer, m.Ns...) {
			if rr.Header().Ttl != test.told {
				t.Errorf("%s: told %v, expected %d", test.what, rr, test.told)
			}
			break
		}
		entries := k.cache.Entries([]byte("\x01x\x07example\x00"))
		switch {
		case test.kept == 0 && len(entries) != 0:
			t.Errorf("%s: kept for %v", test.what, time.Duration(entries[0].Expires-entries[0].Stored))
		case test.kept != 0 && (len(entries) != 1 || entries[0].Expires-entries[0].Stored != int64(test.kept)):
			t.Errorf("%s: %d entries, expected one for %v", test.what, len(entries), test.kept)
		}
		k.stop()
	}
}
