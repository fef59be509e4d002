package upstream_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sinkhole/resolver/upstream"
)

// reader drives Ports as a reader of datagrams does.
type reader struct {
	t     testing.TB
	ports *upstream.Ports
	fds   []int
	back  map[*upstream.Asked][]byte // handed back; nil: without a reply
}

func newReader(t testing.TB, f *upstream.Forwarder) *reader {
	r := &reader{t: t, back: map[*upstream.Asked][]byte{}}
	r.ports = f.NewPorts(func(fd int) error {
		r.fds = append(r.fds, fd)
		return nil
	})
	t.Cleanup(r.ports.Close)
	return r
}

func (r *reader) ask(name string) *upstream.Asked {
	r.t.Helper()
	a := new(upstream.Asked)
	if !r.ports.Ask(a, newQuery(r.t, name), time.Now()) {
		r.t.Fatalf("%s was not taken", name)
	}
	r.ports.Flush()
	return a
}

// until receives until something is true.
func (r *reader) until(what string, is func() bool) {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); {
		if time.Now().After(end) {
			r.t.Fatalf("not within 10 s: %s", what)
		}
		polled := make([]unix.PollFd, len(r.fds))
		for i, fd := range r.fds {
			polled[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		}
		if _, err := unix.Poll(polled, 10); err != nil && err != unix.EINTR {
			r.t.Fatal(err)
		}
		for _, p := range polled {
			if p.Revents&(unix.POLLIN|unix.POLLERR) != 0 {
				r.ports.Receive(int(p.Fd), time.Now(), func(a *upstream.Asked, reply []byte) { r.back[a] = bytes.Clone(reply) })
			}
		}
	}
}

// result waits for what comes of a query: the address in its reply, "" without one.
func (r *reader) result(a *upstream.Asked) string {
	r.t.Helper()
	r.until("the query is handed back", func() bool { _, back := r.back[a]; return back })
	if r.back[a] == nil {
		return ""
	}
	if !bytes.Equal(r.back[a][:2], a.Query()[:2]) {
		r.t.Errorf("reply %x to %x", r.back[a], a.Query())
	}
	binary.BigEndian.PutUint16(r.back[a], 4711) // that of newQuery
	return address(r.t, r.back[a])
}

func TestPortsExchange(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		p := startPeer(t, host, honest, nil)
		f := newForwarder(t, 5*time.Second, p.String())
		r := newReader(t, f)
		if got := r.result(r.ask("www.example.com.")); got != truth {
			t.Errorf("%s: got %q, want %q", host, got, truth)
		}
		if s := f.Stats()[0]; s.Exchanges != 1 || s.Replies != 1 || s.RTT.Count != 1 || s.Mismatched != 0 {
			t.Errorf("%s: %+v", host, s)
		}
	}
}

// What does not answer a query is thrown away, and the true reply is taken.
func TestPortsDiscardForgeries(t *testing.T) {
	for name, forge := range map[string]func(query []byte) []byte{
		"wrong ID":    func(q []byte) []byte { m := answer(q, lie); m[0] ^= 0xff; return m },
		"wrong name":  func(q []byte) []byte { m := answer(q, lie); m[13] ^= 1; return m },
		"the query":   bytes.Clone,
		"half a name": func(q []byte) []byte { return answer(q, lie)[:20] },
		"empty":       func([]byte) []byte { return nil },
	} {
		p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
			send(forge(query))
			send(answer(query, truth))
		}, nil)
		f := newForwarder(t, 5*time.Second, p.String())
		r := newReader(t, f)
		if got := r.result(r.ask("www.example.com.")); got != truth {
			t.Errorf("%s: got %q, want %q", name, got, truth)
		}
		if s := f.Stats()[0]; s.Mismatched+s.Malformed != 1 {
			t.Errorf("%s: %d mismatched, %d malformed, expected one of them", name, s.Mismatched, s.Malformed)
		}
	}
}

// Three guesses, and nothing that comes to the port is believed any more.
func TestPortsGiveUpAPortThatIsGuessed(t *testing.T) {
	var guessing atomic.Bool
	guessing.Store(true)
	sources := make(chan netip.AddrPort, 2)
	p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), client netip.AddrPort) {
		if !guessing.Load() {
			sources <- client
			send(answer(query, truth))
			return
		}
		sources <- client
		for range 3 {
			forged := answer(query, lie)
			forged[0] ^= 0xff
			send(forged)
		}
		send(answer(query, lie))
	}, nil)
	f := newForwarder(t, 5*time.Second, p.String())
	r := newReader(t, f)
	first := r.ask("www.example.com.")
	r.until("it is handed back", func() bool { return len(r.back) == 1 })
	if s := f.Stats()[0]; r.back[first] != nil || s.Suspected != 1 || s.Mismatched != 3 {
		t.Errorf("believed %x; %+v", r.back[first], s)
	}
	guessing.Store(false)
	if got := r.result(r.ask("www.example.com.")); got != truth {
		t.Errorf("afterwards: %q", got)
	}
	if one, other := <-sources, <-sources; one == other {
		t.Errorf("both queries left from %s", one)
	}
}

// What does not go the usual way is handed back for Exchange to ask.
func TestPortsHandBackTheUncommon(t *testing.T) {
	for _, test := range []struct {
		name    string
		peer    onUDP
		servers int
		back    bool
	}{
		{"truncated", truncate, 1, true},
		{"FORMERR", rcode(1), 1, true},
		{"SERVFAIL of one of two", rcode(2), 2, true},
		{"SERVFAIL of the only one", rcode(2), 1, false},
		{"NXDOMAIN", rcode(3), 2, false},
	} {
		p := startPeer(t, "127.0.0.1", test.peer, nil)
		servers := []string{p.String(), startPeer(t, "127.0.0.1", honest, nil).String()}[:test.servers]
		f := newForwarder(t, 5*time.Second, servers...)
		r := newReader(t, f)
		a := r.ask("www.example.com.")
		r.until("it is handed back", func() bool { return len(r.back) == 1 })
		if got := r.back[a] == nil; got != test.back {
			t.Errorf("%s: handed back without a reply: %v", test.name, got)
		}
		s := f.Stats()[0]
		if s.Exchanges != s.Replies+s.Abandoned {
			t.Errorf("%s: %+v do not add up", test.name, s)
		}
	}
}

// A reply that comes twice is no sign of guessing, and an error without a question
// costs its own query only.
func TestPortsStayWithOddServers(t *testing.T) {
	const queries = 200
	p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		if bytes.Contains(query, []byte("odd")) {
			send(append(bytes.Clone(query[:2]), 0x81, 0x85, 0, 0, 0, 0, 0, 0, 0, 0)) // REFUSED
			return
		}
		send(answer(query, truth))
		send(answer(query, truth))
	}, nil)
	f := newForwarder(t, 5*time.Second, p.String())
	r := newReader(t, f)
	for i := range queries {
		name, want := fmt.Sprintf("n%d.example.", i), truth
		if i%4 == 0 {
			name, want = fmt.Sprintf("odd%d.example.", i), ""
		}
		if got := r.result(r.ask(name)); got != want {
			t.Fatalf("%s: got %q, want %q", name, got, want)
		}
	}
	if s := f.Stats()[0]; s.Suspected != 0 || s.Mismatched != 0 || s.Abandoned != queries/4 {
		t.Errorf("%+v", s)
	}
}

// A server that cannot be reached costs no descriptor, and nobody else's.
func TestPortsWithoutARoute(t *testing.T) {
	const attempts = 500
	r := newReader(t, newForwarder(t, time.Second, "[fe80::1]:53")) // of no interface
	var before, after unix.Stat_t
	if err := unix.Fstat(0, &before); err != nil {
		t.Skip("there is no descriptor 0:", err)
	}
	open := descriptors(t)
	for range attempts {
		if r.ports.Ask(new(upstream.Asked), newQuery(t, "www.example.com."), time.Now()) {
			t.Fatal("a query was taken")
		}
	}
	if grown := descriptors(t) - open; grown > attempts/2 {
		t.Errorf("%d more descriptors after %d attempts", grown, attempts)
	}
	if err := unix.Fstat(0, &after); err != nil || before.Ino != after.Ino || before.Dev != after.Dev {
		t.Error("descriptor 0 is another")
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// A refused port hands back at once, a silent one when its owner has waited.
func TestPortsWithoutAServer(t *testing.T) {
	f := newForwarder(t, 5*time.Second, deadServer(t))
	r := newReader(t, f)
	if got := r.result(r.ask("www.example.com.")); got != "" {
		t.Errorf("got %q of nobody", got)
	}
	var late func()
	asked := make(chan struct{})
	p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		if late != nil {
			send(answer(query, truth))
			return
		}
		late = func() { send(answer(query, truth)) }
		close(asked)
	}, nil)
	f = newForwarder(t, 5*time.Second, p.String())
	r = newReader(t, f)
	a := r.ask("slow.example.")
	<-asked
	r.ports.Cancel(a)
	late()
	// What came late was read before what comes now.
	if got := r.result(r.ask("quick.example.")); got != truth {
		t.Errorf("afterwards: %q", got)
	}
	if s := f.Stats()[0]; len(r.back) != 1 || s.Mismatched != 0 || s.Abandoned != 1 {
		t.Errorf("%d handed back, %+v", len(r.back), s)
	}
}

// A server that is down is for Exchange to find up again; the next one is asked.
func TestPortsLeaveServersThatAreDown(t *testing.T) {
	silent, good := startPeer(t, "127.0.0.1", nil, nil), startPeer(t, "127.0.0.1", honest, nil)
	f := newForwarder(t, 100*time.Millisecond, silent.String(), good.String())
	if got, _ := exchange(t, f, "www.example.com."); got != truth {
		t.Fatalf("got %q", got)
	}
	if f.Stats()[0].Healthy {
		t.Fatal("the silent server is up")
	}
	r := newReader(t, f)
	if got := r.result(r.ask("www.example.com.")); got != truth || f.Stats()[1].Replies != 2 {
		t.Errorf("got %q, %d replies of the second", got, f.Stats()[1].Replies)
	}
	f = newForwarder(t, 50*time.Millisecond, silent.String())
	_, _ = f.Exchange(t.Context(), newQuery(t, "www.example.com."))
	if newReader(t, f).ports.Ask(new(upstream.Asked), newQuery(t, "www.example.com."), time.Now()) {
		t.Error("a query was taken although no server is up")
	}
}

// Ports and IDs of many queries at a time: IDs are spread evenly and differ at one
// port, and ports change.
func TestPortsChange(t *testing.T) {
	const queries = 4000
	type sample struct{ port, id int }
	samples := make(chan sample, queries)
	p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), client netip.AddrPort) {
		samples <- sample{int(client.Port()), int(query[0])<<8 | int(query[1])}
		send(answer(query, truth))
	}, nil)
	r := newReader(t, newForwarder(t, 5*time.Second, p.String()))
	for i := range queries {
		r.ask(fmt.Sprintf("n%d.example.", i))
		if i%64 == 63 {
			r.until("64 more are answered", func() bool { return len(r.back) >= i-64 })
		}
	}
	r.until("all are answered", func() bool { return len(r.back) == queries })
	var ids, ports []int
	for range queries {
		s := <-samples
		ids, ports = append(ids, s.id), append(ports, s.port)
	}
	if n := distinct(ports); n < 4 {
		t.Errorf("%d queries left from %d ports", queries, n)
	}
	spread(t, "IDs", ids, 0)
}

// An encrypted server is for Exchange, and as long as it is first so is all.
func TestPortsLeaveEncryptedServers(t *testing.T) {
	a := newAuthority(t)
	secure, plain := startTLS(t, a.config(peerName), honestTLS), startPeer(t, "127.0.0.1", honest, nil)
	first := newReader(t, secureForwarder(t, a, 5*time.Second, secure.server(peerName), plain.String()))
	if first.ports.Ask(new(upstream.Asked), newQuery(t, "www.example.com."), time.Now()) {
		t.Error("a query was taken although an encrypted server is first")
	}
	second := newReader(t, secureForwarder(t, a, 5*time.Second, plain.String(), secure.server(peerName)))
	if got := second.result(second.ask("www.example.com.")); got != truth {
		t.Errorf("got %q, want %q", got, truth)
	}
	if n := secure.queries.Load(); n != 0 {
		t.Errorf("the encrypted server was asked %d times", n)
	}
}
