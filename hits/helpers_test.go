package hits

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"
)

// testPolicy is an Evidence whose rule n is indicator n of a list.
type testPolicy struct{ indicators []Indicator }

func (p *testPolicy) Indicator(rule uint64) Indicator {
	if int(rule) < len(p.indicators) {
		return p.indicators[rule]
	}
	return Indicator{Type: "domain-name", Name: fmt.Sprintf("r%d.example", rule), Scope: "subtree",
		List: "test", Line: int(rule) + 1, Family: "Lumma Stealer", Confidence: -1}
}

var somePolicy = &testPolicy{}

func wireName(labels ...string) []byte {
	var w []byte
	for _, l := range labels {
		w = append(append(w, byte(len(l))), l...)
	}
	return append(w, 0)
}

var testTime = time.Date(2026, 2, 1, 3, 4, 5, 123456789, time.UTC)

func testHit(mod func(*Hit)) *Hit {
	h := &Hit{
		Time:   testTime,
		Client: netip.MustParseAddrPort("192.0.2.7:40111"),
		Server: netip.MustParseAddrPort("198.51.100.53:53"),
		QType:  1, QClass: 1, ID: 4711,
		Flags: 1<<15 | 1<<8 | 1<<7, Answered: true,
		NRules: 1, Evidence: somePolicy,
		Fingerprint: Fingerprint{RD: true, EDNS: true, UDPSize: 1232},
		Action:      "sinkhole", Sink: netip.MustParseAddr("203.0.113.1"), TTL: 60, HasTTL: true,
	}
	h.QNameLen = uint8(copy(h.QName[:], wireName("a", "bad", "example")))
	if mod != nil {
		mod(h)
	}
	return h
}

func openJournal(t testing.TB, o Options) *Journal {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Logger == nil && !testing.Short() {
		o.Logger = zaptest.NewLogger(t)
	}
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeJournal(t, j) })
	return j
}

func closeJournal(t testing.TB, j *Journal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := j.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func readAll(t testing.TB, dir string, f Filter) []*Record {
	t.Helper()
	var out []*Record
	if err := Read(context.Background(), dir, f, func(r *Record) error { out = append(out, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func checkAccount(t testing.TB, s Stats) {
	t.Helper()
	if s.Verdicts != s.Journaled+s.Queued+s.Lost {
		t.Errorf("verdicts %d != journaled %d + queued %d + lost %d", s.Verdicts, s.Journaled, s.Queued, s.Lost)
	}
}

func sumCounts(records []*Record) (sum uint64) {
	for _, r := range records {
		sum += r.Sinkhole.Count
	}
	return sum
}
