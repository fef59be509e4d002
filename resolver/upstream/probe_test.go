package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sinkhole/resolver/upstream"
)

// switched is a server that can be silenced.
type switched struct {
	*peer
	mute   atomic.Bool
	probes atomic.Int64 // queries for the root
}

func startSwitched(t testing.TB) *switched {
	s := &switched{}
	s.peer = startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		if query[12] == 0 {
			s.probes.Add(1)
		}
		if !s.mute.Load() {
			send(answer(query, truth))
		}
	}, nil)
	return s
}

func eventuallyUp(t *testing.T, f *upstream.Forwarder, server int, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); !f.Stats()[server].Healthy; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("server %d is not up after %v", server, within)
		}
	}
}

// A server that is down is asked by nobody's query, and found up again by a probe.
func TestProbeFindsServerUp(t *testing.T) {
	t.Parallel()
	p, other := startSwitched(t), startPeer(t, "127.0.0.1", honest, nil)
	p.mute.Store(true)
	f := newForwarder(t, 300*time.Millisecond, p.String(), other.String())
	exchange(t, f, "www.example.com.")
	if f.Stats()[0].Healthy {
		t.Fatal("a silent server is up")
	}
	for range 100 {
		if _, reply := exchange(t, f, "www.example.com."); reply.Server != other.addr || reply.RTT > 250*time.Millisecond {
			t.Fatalf("answered by %v after %v", reply.Server, reply.RTT)
		}
	}
	if n := f.Stats()[0].Exchanges; n != 1 {
		t.Errorf("clients asked the dead server %d times, want once", n)
	}
	p.mute.Store(false)
	eventuallyUp(t, f, 0, 10*time.Second)
	if s := f.Stats()[0]; s.Exchanges != 1 || s.Probes == 0 || s.Probes > 4 {
		t.Errorf("want a few probes and one exchange: %+v", s)
	}
	if _, reply := exchange(t, f, "www.example.com."); reply.Server != p.addr {
		t.Errorf("answered by %v, want the first server again", reply.Server)
	}
}

// An error is a sign of life: any checked reply to a probe counts.
func TestProbeTakesAnyReply(t *testing.T) {
	t.Parallel()
	var mute atomic.Bool
	mute.Store(true)
	p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		if !mute.Load() {
			send(failing(query, 5))
		}
	}, nil)
	f := newForwarder(t, 200*time.Millisecond, p.String(), startPeer(t, "127.0.0.1", honest, nil).String())
	exchange(t, f, "www.example.com.")
	mute.Store(false)
	eventuallyUp(t, f, 0, 10*time.Second)
}

// A server that answers nothing about the root is found up by what clients ask.
func TestProbeAsksForClients(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 2} {
		var mute atomic.Bool
		mute.Store(true)
		p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
			if query[12] != 0 && !mute.Load() {
				send(answer(query, truth))
			}
		}, nil)
		f := newForwarder(t, 200*time.Millisecond, []string{p.String(), startPeer(t, "127.0.0.1", honest, nil).String()}[:servers]...)
		ask := func() { _, _ = f.Exchange(t.Context(), newQuery(t, "www.example.com.")) }
		ask()
		for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			ask()
		}
		if f.Stats()[0].Healthy {
			t.Fatal("a silent server is up")
		}
		mute.Store(false)
		for end := time.Now().Add(10 * time.Second); !f.Stats()[0].Healthy; time.Sleep(10 * time.Millisecond) {
			if ask(); time.Now().After(end) {
				t.Fatalf("of %d servers: not up after 10 s", servers)
			}
		}
	}
}

// When all servers are dead an exchange fails at once, and they are probed once a second
// at most, however many ask; when one is back, so is service.
func TestAllDeadFailsAtOnce(t *testing.T) {
	t.Parallel()
	one, two := startSwitched(t), startSwitched(t)
	one.mute.Store(true)
	two.mute.Store(true)
	f := newForwarder(t, 200*time.Millisecond, one.String(), two.String())
	fails := func() time.Duration {
		begin := time.Now()
		_, err := f.Exchange(t.Context(), newQuery(t, "www.example.com."))
		if failed, ok := errors.AsType[*upstream.Error](err); !ok || failed.Kind != upstream.NoReply || len(failed.Attempts) == 0 {
			t.Fatalf("got error %v", err)
		}
		return time.Since(begin)
	}
	if took := fails(); took < 200*time.Millisecond {
		t.Fatalf("the first exchange failed after %v: nobody was asked", took)
	}
	for end := time.Now().Add(10 * time.Second); fails() > 20*time.Millisecond; {
		if time.Now().After(end) {
			t.Fatal("exchanges do not fail at once")
		}
	}
	begin, probes, exchanges := time.Now(), one.probes.Load(), f.Stats()[0].Exchanges
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() {
			for time.Since(begin) < 3*time.Second {
				_, _ = f.Exchange(context.Background(), newQuery(t, "www.example.com."))
				time.Sleep(time.Millisecond)
			}
		})
	}
	asking.Wait()
	if n := one.probes.Load() - probes; n < 1 || n > 4 {
		t.Errorf("%d probes within 3 s, want one to four", n)
	}
	if n := f.Stats()[0].Exchanges - exchanges; n != 0 {
		t.Errorf("%d exchanges with a dead server", n)
	}
	two.mute.Store(false)
	back := time.Now()
	for {
		if _, err := f.Exchange(t.Context(), newQuery(t, "www.example.com.")); err == nil {
			break
		}
		if time.Since(back) > 10*time.Second {
			t.Fatal("service does not come back")
		}
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(back); took > 4*time.Second {
		t.Errorf("service came back after %v", took)
	}
}

// A probe under way keeps nobody from closing.
func TestCloseEndsProbes(t *testing.T) {
	t.Parallel()
	f := newForwarder(t, 10*time.Second, startPeer(t, "127.0.0.1", nil, nil).String(), startPeer(t, "127.0.0.1", honest, nil).String())
	exchange(t, f, "www.example.com.")
	within(t, time.Second, func() { f.Close() })
}

// fastest has the favourite asked first, finds out who got faster by one query in 64 at
// most, and costs no client more than the first server's time.
func TestFastest(t *testing.T) {
	t.Parallel()
	var slow [3]atomic.Int64
	var servers []string
	peers := make([]*peer, 3)
	for i := range peers {
		peers[i] = startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
			time.AfterFunc(time.Duration(slow[i].Load()), func() { send(answer(query, truth)) })
		}, nil)
		servers = append(servers, peers[i].String())
	}
	set := func(ms ...int) {
		for i, n := range ms {
			slow[i].Store(int64(time.Duration(n) * time.Millisecond))
		}
	}
	f := forwarder(t, upstream.Options{Servers: servers, Strategy: upstream.Fastest, Timeout: 5 * time.Second})
	asked := func() (n int64) {
		for _, p := range peers {
			n += p.overUDP.Load()
		}
		return n
	}
	queries := int64(0)
	settle := func(want int) {
		t.Helper()
		row := 0
		for range 4000 {
			_, reply := exchange(t, f, "www.example.com.")
			if queries++; reply.Server == peers[want].addr {
				row++
			} else {
				row = 0
			}
			if row == 70 { // more than from one that explores to the next
				return
			}
		}
		t.Fatalf("server %d is not the favourite: %v", want, f.Stats())
	}
	set(10, 20, 1)
	settle(2)
	set(1, 20, 10)
	settle(0)
	if extra := asked() - queries; extra > queries/64+1 {
		t.Errorf("%d extra queries for %d, want one of 64", extra, queries)
	}
}

func TestRandom(t *testing.T) {
	var servers []string
	for range 3 {
		servers = append(servers, startPeer(t, "127.0.0.1", honest, nil).String())
	}
	f := forwarder(t, upstream.Options{Servers: servers, Strategy: upstream.Random, Timeout: 5 * time.Second})
	for range 300 {
		exchange(t, f, "www.example.com.")
	}
	for _, s := range f.Stats() {
		if s.Exchanges < 50 || s.Exchanges > 150 {
			t.Errorf("%s was asked %d of 300 times, want about a third", s.Server, s.Exchanges)
		}
	}
}

// Of servers that are down none is chosen by any strategy.
func TestStrategiesLeaveDeadServers(t *testing.T) {
	t.Parallel()
	for _, strategy := range []upstream.Strategy{upstream.Ordered, upstream.Fastest, upstream.Random} {
		t.Run(fmt.Sprint(strategy), func(t *testing.T) {
			t.Parallel()
			good := startPeer(t, "127.0.0.1", honest, nil)
			f := forwarder(t, upstream.Options{Servers: []string{deadServer(t), good.String(), deadServer(t)}, Strategy: strategy, Timeout: time.Second})
			for range 200 {
				if got, _ := exchange(t, f, "www.example.com."); got != truth {
					t.Fatalf("got %q", got)
				}
			}
			for _, s := range f.Stats() {
				if s.Server != good.addr && s.Exchanges > 2 {
					t.Errorf("a dead server was asked %d times", s.Exchanges)
				}
			}
		})
	}
}
