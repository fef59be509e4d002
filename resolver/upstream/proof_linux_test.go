package upstream_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/upstream"
)

// A reader's queries have cookie and random case as well; a reply that lacks them is not
// taken, and where the server wants something else Exchange is to ask.
func TestPortsProofs(t *testing.T) {
	t.Parallel()
	const name = "www.a-long-name.with-many-letters.example.com."
	b := startBaker(t)
	f := introducing(t, func(s upstream.ServerStats) bool { return s.Cookies && s.KeepsCase }, b.String())
	r := newReader(t, f)
	ask := func() *upstream.Asked {
		t.Helper()
		query := newQuery(t, name)
		a := new(upstream.Asked)
		if !r.ports.Ask(a, query, time.Now()) {
			t.Fatal("not taken")
		}
		r.ports.Flush()
		return a
	}
	before := b.without.Load()
	spelled := make(chan string, 100)
	note := func(q *dns.Msg, _ func(*dns.Msg)) { spelled <- q.Question[0].Name }
	b.before.Store(&note)
	for range 10 {
		a := ask()
		if got := r.result(a); got != truth {
			t.Fatalf("got %q", got)
		}
		if !bytes.Equal(a.Query()[12:60], newQuery(t, name)[12:60]) {
			t.Errorf("the query given back has the question %q", a.Query()[12:60])
		}
		if !bytes.Equal(r.back[a][12:60], newQuery(t, name)[12:60]) {
			t.Errorf("the reply has the question %q", r.back[a][12:60])
		}
	}
	all := map[string]bool{}
	for range 10 {
		all[<-spelled] = true
	}
	if len(all) < 8 || b.without.Load() != before {
		t.Errorf("%d spellings of ten, %d without the cookie", len(all), b.without.Load()-before)
	}

	lying(b, func(_, m *dns.Msg) { give(m, "0102030405060708"+firstPart) })
	if got := r.result(ask()); got != truth {
		t.Errorf("another client's cookie: got %q", got)
	}
	for what, forge := range map[string]func(q, m *dns.Msg){
		"without a cookie": func(_, _ *dns.Msg) {},
		"in another case":  func(q, m *dns.Msg) { m.Question[0].Name = name; give(m, cookieIn(q).Cookie) },
		"BADCOOKIE":        func(q, m *dns.Msg) { m.Rcode = dns.RcodeBadCookie; give(m, cookieIn(q).Cookie[:16]+secondPart) },
	} {
		b.before.Store(nil)
		if !f.Stats()[0].Cookies {
			t.Fatal("no cookie is known")
		}
		lying(b, forge)
		if got := r.result(ask()); got != "" {
			t.Errorf("%s: got %q, want it handed back", what, got)
		}
	}
	if s := f.Stats()[0]; s.KeepsCase {
		t.Error("the case is still relied on")
	}
}
