package resolver

import (
	"testing"
	"time"

	"github.com/miekg/dns"
)

// The reply to what was asked before a flush is given to who waits for it, and not
// kept.
func TestFlushBesideExchanges(t *testing.T) {
	t.Parallel()
	for _, failing := range []bool{false, true} {
		f := &fickle{answer: answering(nil, "good.example. 60 A 192.0.2.1")}
		k := newRig(t, rigOptions{forward: f.exchange})
		hold := make(chan struct{})
		f.waiting.Store(&hold)
		f.failing.Store(failing)
		answered := make(chan *dns.Msg)
		go func() { answered <- respondAt(t, k, "good.example.", time.Now()) }()
		eventually(t, "it is asked", func() bool { return f.asked.Load() == 1 })
		k.cache.Flush()
		close(hold)
		if m := <-answered; (m.Rcode == dns.RcodeSuccess) == failing {
			t.Errorf("%v", m)
		}
		if n := k.cache.Len(); n != 0 {
			t.Errorf("failing %v: %d entries are kept", failing, n)
		}
		respondAt(t, k, "good.example.", time.Now())
		if k.cache.Len() != 1 {
			t.Errorf("failing %v: what was asked after the flush is not kept", failing)
		}
	}
}

// A flush takes a failure, and what is stale: the next query is asked.
func TestFlushTakesFailures(t *testing.T) {
	t.Parallel()
	k, f := staleRig(t, time.Hour, "good.example. 60 A 192.0.2.1")
	askNow(t, k, "good.example.")
	end(t, k, "good.example.", false, time.Minute)
	f.failing.Store(true)
	if _, ede := askNow(t, k, "good.example."); ede != dns.ExtendedErrorCodeStaleAnswer {
		t.Fatalf("EDE %d", ede)
	}
	if n := k.cache.FlushName([]byte("\x04good\x07example\x00"), false); n != 2 {
		t.Errorf("%d entries flushed, expected an answer and a failure", n)
	}
	if m, _ := askNow(t, k, "good.example."); m.Rcode != dns.RcodeServerFailure || f.asked.Load() != 3 {
		t.Errorf("asked %d times: %v", f.asked.Load(), m)
	}
}
