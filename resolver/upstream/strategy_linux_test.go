package upstream_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"sinkhole/resolver/upstream"
)

// A reader asks whom the strategy has first, leaves one query in 64 to Exchange, which
// asks a second server too, and so finds the one that is faster.
func TestPortsFastest(t *testing.T) {
	t.Parallel()
	slow := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		time.AfterFunc(20*time.Millisecond, func() { send(answer(query, truth)) })
	}, nil)
	quick := startPeer(t, "127.0.0.1", honest, nil)
	f := forwarder(t, upstream.Options{Servers: []string{slow.String(), quick.String()}, Strategy: upstream.Fastest, Timeout: 5 * time.Second})
	r := newReader(t, f)
	left := 0
	for i := range 1000 {
		a := new(upstream.Asked)
		if !r.ports.Ask(a, newQuery(t, "www.example.com."), time.Now()) {
			left++
			exchange(t, f, "www.example.com.")
			continue
		}
		r.ports.Flush()
		if got := r.result(a); got != truth {
			t.Fatalf("got %q", got)
		}
		if s := f.Stats()[1]; s.Exchanges > 100 {
			if want := i/64 + 1; left > want {
				t.Errorf("%d of %d queries were left to Exchange, want %d at most", left, i, want)
			}
			return
		}
	}
	t.Errorf("the faster server is not asked: %+v", f.Stats())
}

// Silence has others asked first at once, and a probe finds whether the server is there:
// so it costs no more than the reader's patience, once.
func TestPortsSilence(t *testing.T) {
	t.Parallel()
	var mute atomic.Bool
	p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		if !mute.Load() {
			send(answer(query, truth))
		}
	}, nil)
	good := startPeer(t, "127.0.0.1", honest, nil)
	f := newForwarder(t, 2*time.Second, p.String(), good.String())
	r := newReader(t, f)
	if got := r.result(r.ask("www.example.com.")); got != truth || f.Stats()[0].Replies != 1 {
		t.Fatalf("got %q", got)
	}
	mute.Store(true)
	r.ports.Cancel(r.ask("one.example.com."))
	within(t, 300*time.Millisecond, func() {
		if _, reply := exchange(t, f, "one.example.com."); reply.Server != good.addr {
			t.Errorf("asked %v, want the other server", reply.Server)
		}
	})
	r.ask("two.example.com.")
	r.until("the other server answers the reader", func() bool { return f.Stats()[1].Replies >= 2 })
	r.until("the silent server is found down", func() bool { return !f.Stats()[0].Healthy })
	mute.Store(false)
	r.until("the server is found up", func() bool { return f.Stats()[0].Healthy })
	r.until("it is asked first again", func() bool {
		r.result(r.ask("three.example.com."))
		return f.Stats()[0].Replies > 1
	})
}

// A reader leaves zones to Exchange.
func TestPortsLeaveZones(t *testing.T) {
	p := startPeer(t, "127.0.0.1", honest, nil)
	f := forwarder(t, upstream.Options{Servers: []string{p.String()}, Zones: map[string][]string{"corp.example": {deadServer(t)}}, Timeout: time.Second})
	r := newReader(t, f)
	if r.ports.Ask(new(upstream.Asked), newQuery(t, "www.corp.example."), time.Now()) {
		t.Error("a query of a zone was taken")
	}
	if got := r.result(r.ask("www.example.")); got != truth {
		t.Errorf("got %q", got)
	}
}
