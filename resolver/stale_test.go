package resolver

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/cache"
	"sinkhole/resolver/upstream"
	"sinkhole/resolver/wire"
)

// fickle is an upstream that answers until it is told to fail, or to wait.
type fickle struct {
	answer  func(context.Context, []byte) (upstream.Reply, error)
	failing atomic.Bool
	refused atomic.Bool // it answers SERVFAIL
	waiting atomic.Pointer[chan struct{}]
	asked   atomic.Int64
}

func (f *fickle) exchange(ctx context.Context, query []byte) (upstream.Reply, error) {
	f.asked.Add(1)
	if w := f.waiting.Load(); w != nil {
		<-*w
	}
	if f.failing.Load() {
		return upstream.Reply{}, &upstream.Error{Kind: upstream.NoReply}
	}
	reply, err := f.answer(ctx, query)
	if f.refused.Load() {
		var m dns.Msg
		err = errors.Join(err, m.Unpack(reply.Msg))
		m.Rcode, m.Answer, m.Ns = dns.RcodeServerFailure, nil, nil
		packed, failure := m.Pack()
		return upstream.Reply{Msg: packed}, errors.Join(err, failure)
	}
	return reply, err
}

func staleRig(t *testing.T, stale time.Duration, records ...string) (*rig, *fickle) {
	t.Helper()
	f := &fickle{answer: answering(nil, records...)}
	return newRig(t, rigOptions{forward: f.exchange, stale: stale, specs: specsOf(list(t, "stealers", trapList), list(t, "addresses", "198.51.100.0/24\n"))}), f
}

// end has what the cache keeps for a name's address, or of the failure to find it
// out, expire some time ago.
func end(t *testing.T, k *rig, name string, failure bool, ago time.Duration) {
	t.Helper()
	now := time.Now()
	key := newRequest(t, k, name, dns.TypeA, now).appendKey(nil)
	if failure {
		key = cache.FailureKey(nil, key)
	}
	e := k.cache.Get(key, now.UnixNano())
	if e == nil {
		t.Fatalf("nothing is kept of %s", name)
	}
	k.cache.Put(&cache.Entry{
		Key: e.Key, Packed: e.Packed, TTLs: e.TTLs, QuestionEnd: e.QuestionEnd, RCode: e.RCode, EDE: e.EDE, Text: e.Text,
		Names: e.Names, NameKinds: e.NameKinds, Addrs: e.Addrs,
		Stored: now.Add(-ago - time.Minute).UnixNano(), Expires: now.Add(-ago).UnixNano(),
	})
}

// askNow asks with EDNS, and gives the answer and its extended DNS error.
func askNow(t *testing.T, k *rig, name string) (m *dns.Msg, ede uint16) {
	t.Helper()
	q := newRequest(t, k, name, dns.TypeA, time.Now())
	q.EDNS, q.UDPSize = true, 1232
	m = new(dns.Msg)
	check(t, m.Unpack(k.respond(q, nil)))
	for _, option := range m.IsEdns0().Option {
		if e, ok := option.(*dns.EDNS0_EDE); ok {
			ede = e.InfoCode
		}
	}
	return m, ede
}

// When nobody answers, what was true lately is given for 30 s, marked as such, and
// nobody is asked again for 5 s; a fresh answer replaces it.
func TestStaleAnswers(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"silent", "SERVFAIL"} {
		k, f := staleRig(t, time.Hour, "good.example. 60 A 192.0.2.1")
		askNow(t, k, "good.example.")
		end(t, k, "good.example.", false, 10*time.Minute)
		failing := &f.failing
		if how == "SERVFAIL" {
			failing = &f.refused
		}
		failing.Store(true)
		for range 3 {
			m, ede := askNow(t, k, "good.example.")
			if m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 || m.Answer[0].Header().Ttl != staleTTL || ede != dns.ExtendedErrorCodeStaleAnswer {
				t.Fatalf("%s: %v", how, m)
			}
		}
		if n := f.asked.Load(); n != 2 {
			t.Errorf("%s: asked %d times, expected once for the answer and once for a fresh one", how, n)
		}
		if s := k.Stats(); s.Stale != 3 || s.FailedBefore != 2 {
			t.Errorf("%s: %+v", how, s)
		}
		failing.Store(false)
		end(t, k, "good.example.", true, time.Second)
		if m, ede := askNow(t, k, "good.example."); len(m.Answer) != 1 || m.Answer[0].Header().Ttl != 60 || ede != 0 {
			t.Errorf("%s: %v", how, m)
		}
	}
}

// An answer too old, or with serve_stale 0s, is none; a failure is told at once for 5 s,
// by the reader too, and holds for one name and type.
func TestFailuresAreRemembered(t *testing.T) {
	t.Parallel()
	for _, stale := range []time.Duration{0, time.Minute} {
		k, f := staleRig(t, stale, "good.example. 60 A 192.0.2.1", "other.example. 60 A 192.0.2.2")
		askNow(t, k, "good.example.")
		end(t, k, "good.example.", false, 10*time.Minute)
		f.failing.Store(true)
		for range 3 {
			if m, ede := askNow(t, k, "good.example."); m.Rcode != dns.RcodeServerFailure || ede != dns.ExtendedErrorCodeNoReachableAuthority {
				t.Fatalf("stale %v: %v", stale, m)
			}
		}
		answer, handled := newPrompt(k).answer(queryOf(t, "good.example.", dns.TypeA), &fuzzPeer, time.Now(), make([]byte, 0, 4096))
		if !handled || wire.Flags(answer)&wire.RCodeMask != wire.RCodeServFail {
			t.Errorf("stale %v: the reader answers %x (%v)", stale, answer, handled)
		}
		if n := f.asked.Load(); n != 2 {
			t.Errorf("stale %v: asked %d times, expected 2", stale, n)
		}
		f.failing.Store(false)
		if m, _ := askNow(t, k, "other.example."); m.Rcode != dns.RcodeSuccess {
			t.Errorf("another name: %v", m)
		}
	}
}

// A client waits for 1.8 s where there is a stale answer; the exchange goes on.
func TestStaleAnswerInTime(t *testing.T) {
	t.Parallel()
	k, f := staleRig(t, time.Hour, "good.example. 60 A 192.0.2.1")
	askNow(t, k, "good.example.")
	end(t, k, "good.example.", false, time.Minute)
	hold := make(chan struct{})
	f.waiting.Store(&hold)
	begin := time.Now()
	m, ede := askNow(t, k, "good.example.")
	if took := time.Since(begin); took < staleWait || took > staleWait+patience || ede != dns.ExtendedErrorCodeStaleAnswer {
		t.Errorf("after %v: %v", took, m)
	}
	close(hold)
	eventually(t, "a fresh answer is kept", func() bool {
		_, ede := askNow(t, k, "good.example.")
		return ede == 0
	})
}

// A fault while a fresh answer is fetched costs neither the process nor the stale answer.
func TestFaultBesideAStaleAnswer(t *testing.T) {
	t.Parallel()
	k, f := staleRig(t, time.Hour, "good.example. 60 A 192.0.2.1")
	askNow(t, k, "good.example.")
	end(t, k, "good.example.", false, time.Minute)
	f.answer = func(context.Context, []byte) (upstream.Reply, error) { panic("odd reply") }
	if m, ede := askNow(t, k, "good.example."); len(m.Answer) != 1 || ede != dns.ExtendedErrorCodeStaleAnswer {
		t.Errorf("%v", m)
	}
	if n := k.Stats().Panics; n != 1 {
		t.Errorf("%d faults counted", n)
	}
}

// A stale answer is judged as any other, by the policy in force.
func TestStaleAnswersAreJudged(t *testing.T) {
	t.Parallel()
	k, f := staleRig(t, time.Hour, "evil.example. 60 A 198.51.100.7")
	askNow(t, k, "evil.example.")
	end(t, k, "evil.example.", false, time.Minute)
	f.failing.Store(true)
	m, ede := askNow(t, k, "evil.example.")
	if len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != "203.0.113.1" || ede != dns.ExtendedErrorCodeForgedAnswer {
		t.Errorf("%v", m)
	}
}
