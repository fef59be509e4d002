package resolver

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/blocklist"
	"sinkhole/blocklist/format"
	"sinkhole/hits"
	"sinkhole/resolver/cache"
)

// age has what the cache keeps of a name's address be as old as said, with that much
// left.
func age(t *testing.T, k *rig, name string, old, left time.Duration) {
	t.Helper()
	now := time.Now()
	e := k.cache.Get(newRequest(t, k, name, dns.TypeA, now).appendKey(nil), now.UnixNano())
	if e == nil {
		t.Fatalf("nothing is kept of %s", name)
	}
	k.cache.Put(&cache.Entry{
		Key: e.Key, Packed: e.Packed, TTLs: e.TTLs, QuestionEnd: e.QuestionEnd, RCode: e.RCode,
		Names: e.Names, NameKinds: e.NameKinds, Addrs: e.Addrs,
		Stored: now.Add(-old).UnixNano(), Expires: now.Add(left).UnixNano(),
	})
}

// left is what is left of the life of what the cache keeps of a name's address.
func left(t *testing.T, k *rig, name string) time.Duration {
	t.Helper()
	e := k.cache.TryGet(newRequest(t, k, name, dns.TypeA, time.Now()).appendKey(nil), time.Now().UnixNano())
	if e == nil {
		return 0
	}
	return time.Until(time.Unix(0, e.Expires))
}

// A popular answer is asked for again before it ends, once; clients get what is there
// at once, by the reader and by the library alike, and nothing is a query or a hit of
// anyone. The fresh answer takes its place.
func TestPrefetch(t *testing.T) {
	t.Parallel()
	watched := list(t, "watched", "good.example\n")
	watched.Action = format.Log
	for _, how := range []string{"reader", "library"} {
		f := &fickle{answer: answering(nil, "good.example. 1000 A 192.0.2.1")}
		k := newRig(t, rigOptions{forward: f.exchange, specs: specsOf(watched)})
		p := newPrompt(k)
		ask := func() {
			t.Helper()
			if how == "library" {
				if m, ede := askNow(t, k, "good.example."); len(m.Answer) != 1 || ede != 0 {
					t.Fatalf("%v", m)
				}
				return
			}
			answer, handled := p.answer(queryOf(t, "good.example.", dns.TypeA), &fuzzPeer, time.Now(), make([]byte, 0, 4096))
			var m dns.Msg
			if check(t, m.Unpack(answer)); !handled || len(m.Answer) != 1 {
				t.Fatalf("%v", &m)
			}
		}
		askNow(t, k, "good.example.")
		age(t, k, "good.example.", 850*time.Second, 150*time.Second)
		for range 5 {
			ask()
		}
		if n := k.prefetching.Load(); n != 0 {
			t.Errorf("%s: asked again with 15 %% of the life left", how)
		}
		age(t, k, "good.example.", 910*time.Second, 90*time.Second)
		hold := make(chan struct{})
		f.waiting.Store(&hold)
		for range 5 {
			ask() // does not wait
		}
		eventually(t, "it is asked again", func() bool { return f.asked.Load() == 2 })
		close(hold)
		eventually(t, "the fresh answer is kept", func() bool { return left(t, k, "good.example.") > 900*time.Second })
		eventually(t, "the exchange has ended", func() bool { return k.prefetching.Load() == 0 })
		ask()
		if s := k.Stats(); f.asked.Load() != 2 || s.Prefetches != 1 || s.PrefetchesDropped != 0 || s.Failed != 0 {
			t.Errorf("%s: asked %d times, %+v", how, f.asked.Load(), s)
		}
		if found := len(k.hits(t)); found != 12 {
			t.Errorf("%s: %d hits of 12 queries", how, found)
		}
	}
}

// Clients that come when the answer has ended share the exchange that is under way for
// nobody.
func TestPrefetchIsShared(t *testing.T) {
	t.Parallel()
	f := &fickle{answer: answering(nil, "good.example. 1000 A 192.0.2.1")}
	k := newRig(t, rigOptions{forward: f.exchange})
	askNow(t, k, "good.example.")
	age(t, k, "good.example.", 99*time.Second, time.Second)
	hold := make(chan struct{})
	f.waiting.Store(&hold)
	askNow(t, k, "good.example.")
	askNow(t, k, "good.example.")
	eventually(t, "it is asked again", func() bool { return f.asked.Load() == 2 })
	eventually(t, "the answer has ended", func() bool { return left(t, k, "good.example.") <= 0 })
	answered := make(chan *dns.Msg)
	go func() {
		m, _ := askNow(t, k, "good.example.")
		answered <- m
	}()
	eventually(t, "a client waits", func() bool { return k.Stats().Waiting == 1 })
	close(hold)
	if m := <-answered; len(m.Answer) != 1 || f.asked.Load() != 2 || k.Stats().Coalesced != 1 {
		t.Errorf("asked %d times: %v", f.asked.Load(), m)
	}
}

// What a list blocks, by name or by address, is not asked for again; nor is anything
// while there is no room, or clients wait in half of the places.
func TestPrefetchGivesWay(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		what    string
		setUp   func(k *rig)
		dropped uint64
	}{
		{"off", func(k *rig) { k.prefetches = false }, 0},
		{"the name is listed since", func(k *rig) { reloadWith(t, k, "good.example\n") }, 0},
		{"the address is listed since", func(k *rig) { reloadWith(t, k, "192.0.2.0/24\n") }, 0},
		{"no room", func(k *rig) { k.prefetching.Add(maxPrefetches) }, 1},
		{"the library's clients wait", func(k *rig) { k.misses.Add(maxMisses/2 + 1) }, 1},
		{"a reader's clients wait", func(k *rig) { k.handler(hits.UDP, 1).count.waiting.Add(int64(k.places()/2 + 1)) }, 1},
	} {
		f := &fickle{answer: answering(nil, "good.example. 1000 A 192.0.2.1")}
		k := newRig(t, rigOptions{forward: f.exchange, specs: specsOf(list(t, "stealers", trapList))})
		askNow(t, k, "good.example.")
		age(t, k, "good.example.", 99*time.Second, 5*time.Second)
		test.setUp(k)
		for range 5 {
			askNow(t, k, "good.example.")
		}
		eventually(t, test.what, func() bool { return k.Stats().PrefetchesDropped == test.dropped })
		if n := f.asked.Load(); n != 1 || k.Stats().Prefetches != 0 {
			t.Errorf("%s: asked %d times", test.what, n)
		}
		k.misses.Store(0)
	}
}

// reloadWith puts another content into the list stealers.
func reloadWith(t *testing.T, k *rig, text string) {
	t.Helper()
	spec := list(t, "stealers", text)
	_, err := k.lists.Configure(blocklist.Configuration{Specs: specsOf(spec), DefaultAction: format.Sinkhole})
	check(t, err)
}

// Where nobody answers, what is there is given to its end, and asked for once.
func TestPrefetchThatFails(t *testing.T) {
	t.Parallel()
	f := &fickle{answer: answering(nil, "good.example. 1000 A 192.0.2.1")}
	k := newRig(t, rigOptions{forward: f.exchange})
	askNow(t, k, "good.example.")
	age(t, k, "good.example.", 95*time.Second, 5*time.Second)
	f.failing.Store(true)
	for range 5 {
		askNow(t, k, "good.example.")
	}
	eventually(t, "the exchange has failed", func() bool { return k.Stats().Failed == 1 && k.prefetching.Load() == 0 })
	for range 5 {
		if m, ede := askNow(t, k, "good.example."); len(m.Answer) != 1 || ede != 0 {
			t.Fatalf("%v", m)
		}
	}
	if n := f.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}
