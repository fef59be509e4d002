package upstream_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/upstream"
)

func TestAnswer(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			if host == "::1" && !haveIPv6() {
				t.Skip("no IPv6 loopback here")
			}
			p := startPeer(t, host, honest, nil)
			f := newForwarder(t, 5*time.Second, p.String())
			query := newQuery(t, "wWw.eXample.com.")
			before := string(query)
			reply, err := f.Exchange(t.Context(), query)
			if err != nil {
				t.Fatal(err)
			}
			if got := address(t, reply.Msg); got != truth {
				t.Errorf("got %q, want %q", got, truth)
			}
			if reply.Server != p.addr || reply.Transport != "udp" || reply.RTT <= 0 {
				t.Errorf("got %s over %s in %v, want %s over udp", reply.Server, reply.Transport, reply.RTT, p)
			}
			if string(query) != before {
				t.Error("the caller's query was changed")
			}
			s := f.Stats()[0]
			if s.Server != p.addr || !s.Healthy || s.Exchanges != 1 || s.Replies != 1 || s.RTT.Count != 1 || s.RTT.Sum != reply.RTT {
				t.Errorf("stats do not tell of one reply: %+v", s)
			}
		})
	}
}

func haveIPv6() bool {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv6loopback})
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// The first server is silent: the second one is asked before the client would
// retransmit, and first the next time.
func TestSilentServerCostsOneHedge(t *testing.T) {
	t.Parallel()
	good := startPeer(t, "127.0.0.1", honest, nil)
	within(t, 1100*time.Millisecond, func() {
		silent := startPeer(t, "127.0.0.1", nil, nil)
		f := newForwarder(t, 5*time.Second, silent.String(), good.String())
		start := time.Now()
		got, _ := exchange(t, f, "www.example.com.")
		if took := time.Since(start); got != truth || took < 790*time.Millisecond {
			t.Errorf("got %q after %v, want %q after 800ms", got, took, truth)
		}
		stats := f.Stats()
		if stats[0].Healthy || stats[0].Timeouts != 1 || !stats[1].Healthy {
			t.Errorf("the silent server is not known as such: %+v", stats[0])
		}
		for range 20 {
			exchange(t, f, "www.example.com.")
		}
		if n := f.Stats()[0].Exchanges; n != 1 {
			t.Errorf("the silent server was asked %d times, want once", n)
		}
	})
}

// While the second server is asked, the first may still win.
func TestSlowServerMayStillWin(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	slow := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		<-asked
		send(answer(query, truth))
	}, nil)
	silent := startPeer(t, "127.0.0.1", func([]byte, func([]byte), netip.AddrPort) { close(asked) }, nil)
	f := newForwarder(t, 2*time.Second, slow.String(), silent.String())
	got, reply := exchange(t, f, "www.example.com.")
	if got != truth || reply.Server != slow.addr {
		t.Errorf("got %q from %s, want %q from %s", got, reply.Server, truth, slow)
	}
}

func TestRefusedConnectionFailsOverAtOnce(t *testing.T) {
	good := startPeer(t, "127.0.0.1", honest, nil)
	within(t, 200*time.Millisecond, func() {
		f := newForwarder(t, 5*time.Second, deadServer(t), good.String())
		if got, _ := exchange(t, f, "www.example.com."); got != truth {
			t.Errorf("got %q, want %q", got, truth)
		}
		if s := f.Stats()[0]; s.Refused != 1 || s.Healthy {
			t.Errorf("got %d refused, healthy %v; want 1, false", s.Refused, s.Healthy)
		}
	})
}

func TestDecliningServerFailsOver(t *testing.T) {
	for _, code := range []int{dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeNotImplemented, dns.RcodeFormatError} {
		t.Run(dns.RcodeToString[code], func(t *testing.T) {
			bad := startPeer(t, "127.0.0.1", rcode(code), nil)
			good := startPeer(t, "127.0.0.1", honest, nil)
			f := newForwarder(t, 5*time.Second, bad.String(), good.String())
			if got, reply := exchange(t, f, "www.example.com."); got != truth || reply.Server != good.addr {
				t.Errorf("got %q from %s, want %q from %s", got, reply.Server, truth, good)
			}
			if s := f.Stats()[0]; s.Declined != 1 || s.Replies != 1 || !s.Healthy {
				t.Errorf("got %d declined, %d replies, healthy %v; want 1, 1, true", s.Declined, s.Replies, s.Healthy)
			}
		})
	}
}

func TestNXDomainIsAnAnswer(t *testing.T) {
	first := startPeer(t, "127.0.0.1", rcode(dns.RcodeNameError), nil)
	second := startPeer(t, "127.0.0.1", honest, nil)
	f := newForwarder(t, 5*time.Second, first.String(), second.String())
	if _, reply := exchange(t, f, "www.example.com."); reply.Server != first.addr {
		t.Errorf("got a reply from %s, want the first server's", reply.Server)
	}
	if n := second.overUDP.Load(); n != 0 {
		t.Errorf("the second server was asked %d times, want never", n)
	}
}

// Where every server declines, what one of them said is the reply: a SERVFAIL
// if there is one, else the last.
func TestAllServersDecline(t *testing.T) {
	const servfail, refused, notimp = dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeNotImplemented
	tests := []struct {
		codes []int
		want  int
	}{
		{[]int{refused}, refused},
		{[]int{servfail, refused}, servfail},
		{[]int{refused, servfail}, servfail},
		{[]int{refused, servfail, notimp}, servfail},
		{[]int{refused, notimp}, notimp},
	}
	for _, test := range tests {
		var servers []string
		for _, code := range test.codes {
			servers = append(servers, startPeer(t, "127.0.0.1", rcode(code), nil).String())
		}
		f := newForwarder(t, 5*time.Second, servers...)
		_, reply := exchange(t, f, "www.example.com.")
		if got := int(reply.Msg[3] & 0x0f); got != test.want {
			t.Errorf("servers say %v: got %d, want %d", test.codes, got, test.want)
		}
	}
}

// A SERVFAIL in hand does not wait out a silent second server.
func TestDecliningThenSilent(t *testing.T) {
	t.Parallel()
	bad := startPeer(t, "127.0.0.1", rcode(dns.RcodeServerFailure), nil)
	silent := startPeer(t, "127.0.0.1", nil, nil)
	within(t, 1100*time.Millisecond, func() {
		f := newForwarder(t, 5*time.Second, bad.String(), silent.String())
		_, reply := exchange(t, f, "www.example.com.")
		if got := reply.Msg[3] & 0x0f; got != dns.RcodeServerFailure {
			t.Errorf("got RCODE %d, want SERVFAIL", got)
		}
	})
}

func TestNoServerAnswers(t *testing.T) {
	const timeout = 400 * time.Millisecond
	silent := func() string { return startPeer(t, "127.0.0.1", nil, nil).String() }
	tests := []struct {
		name     string
		servers  []string
		kind     upstream.Kind
		ede      uint16
		text     string
		attempts int
		atLeast  time.Duration
		atMost   time.Duration
	}{
		{"none configured", nil, upstream.NoServer, 22, "none is configured", 0, 0, 100 * time.Millisecond},
		{"one silent", []string{silent()}, upstream.NoReply, 22, "no answer", 2, timeout * 3 / 2, timeout * 2},
		{"two silent", []string{silent(), silent()}, upstream.NoReply, 22, "no answer", 2, timeout * 2, timeout * 2},
		{"four silent", []string{silent(), silent(), silent(), silent()}, upstream.NoReply, 22, "no answer", 2, timeout * 2, timeout * 2},
		{"one refused", []string{deadServer(t)}, upstream.Network, 23, "connection refused", 1, 0, 200 * time.Millisecond},
		{"two refused", []string{deadServer(t), deadServer(t)}, upstream.Network, 23, "connection refused", 2, 0, 200 * time.Millisecond},
		{"silent and refused", []string{silent(), deadServer(t)}, upstream.NoReply, 22, "connection refused", 2, timeout, timeout * 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newForwarder(t, timeout, test.servers...)
			start := time.Now()
			_, err := f.Exchange(context.Background(), newQuery(t, "www.example.com."))
			took := time.Since(start)
			var failed *upstream.Error
			if !errors.As(err, &failed) {
				t.Fatalf("got error %v, want an *upstream.Error", err)
			}
			if failed.Kind != test.kind || failed.EDE() != test.ede || len(failed.Attempts) < test.attempts {
				t.Errorf("got kind %d, EDE %d, %d attempts; want %d, %d, at least %d",
					failed.Kind, failed.EDE(), len(failed.Attempts), test.kind, test.ede, test.attempts)
			}
			if !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %q, want %q in it", err, test.text)
			}
			for _, server := range test.servers[:min(test.attempts, len(test.servers))] {
				if !strings.Contains(err.Error(), server) {
					t.Errorf("got %q, want server %s in it", err, server)
				}
			}
			if took < test.atLeast-20*time.Millisecond || took > test.atMost+time.Second {
				t.Errorf("took %v, want %v to %v", took, test.atLeast, test.atMost)
			}
		})
	}
}

// A lost packet to the only server is sent once more, from another port and
// under another ID.
func TestLostPacketIsRetransmitted(t *testing.T) {
	t.Parallel()
	type seen struct {
		port uint16
		id   string
	}
	packets := make(chan seen, 10)
	first := true
	p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), client netip.AddrPort) {
		packets <- seen{client.Port(), string(query[:2])}
		if !first {
			send(answer(query, truth))
		}
		first = false
	}, nil)
	f := newForwarder(t, 2*time.Second, p.String())
	got, reply := exchange(t, f, "www.example.com.")
	if got != truth || reply.RTT > time.Second {
		t.Errorf("got %q %v after the retransmission, want %q at once", got, reply.RTT, truth)
	}
	one, two := <-packets, <-packets
	if one.port == two.port || one.id == two.id {
		t.Errorf("the retransmission repeats the port or the ID: %v, %v", one, two)
	}
	if s := f.Stats()[0]; !s.Healthy {
		t.Error("one lost packet marked the only server down")
	}
}

// A down server is tried again, and found well.
func TestServerComesBack(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	dead := true
	p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		mu.Lock()
		defer mu.Unlock()
		if !dead {
			send(answer(query, truth))
		}
	}, nil)
	other := startPeer(t, "127.0.0.1", honest, nil)
	f := newForwarder(t, 5*time.Second, p.String(), other.String())
	exchange(t, f, "www.example.com.")
	if f.Stats()[0].Healthy {
		t.Fatal("a silent server counts as healthy")
	}
	mu.Lock()
	dead = false
	mu.Unlock()
	deadline := time.Now().Add(8 * time.Second)
	for _, reply := exchange(t, f, "www.example.com."); reply.Server != p.addr; _, reply = exchange(t, f, "www.example.com.") {
		if time.Now().After(deadline) {
			t.Fatal("the server answers again and is not asked")
		}
	}
	if !f.Stats()[0].Healthy {
		t.Error("a server that answered does not count as healthy")
	}
}

// Many exchanges at once with servers that lose, decline and lie: each gets the
// truth, and the counters add up.
func TestManyExchangesAtOnce(t *testing.T) {
	t.Parallel()
	moody := func(query []byte, send func([]byte), _ netip.AddrPort) {
		forged := answer(query, lie)
		forged[0] ^= 0xff
		switch rand.IntN(10) {
		case 0: // lost
		case 1:
			send(failing(query, dns.RcodeServerFailure))
		case 2:
			send(forged)
			send(answer(query, truth))
		case 3:
			truncate(query, send, netip.AddrPort{})
		default:
			send(answer(query, truth))
		}
	}
	first := startPeer(t, "127.0.0.1", moody, honestTCP)
	second := startPeer(t, "127.0.0.1", honest, honestTCP)
	f := newForwarder(t, 5*time.Second, first.String(), second.String())
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 8 {
				reply, err := f.Exchange(context.Background(), newQuery(t, "www.example.com."))
				if err != nil {
					t.Error(err)
				} else if got := address(t, reply.Msg); got != truth {
					t.Errorf("got %q, want %q", got, truth)
				}
			}
		})
	}
	wg.Wait()
	for _, s := range f.Stats() {
		if sum := s.Replies + s.Timeouts + s.Refused + s.Network + s.Local + s.Abandoned; s.Exchanges != sum {
			t.Errorf("%s: %d exchanges, but the ends add up to %d: %+v", s.Server, s.Exchanges, sum, s)
		}
	}
}

func TestBadQuery(t *testing.T) {
	p := startPeer(t, "127.0.0.1", honest, nil)
	f := newForwarder(t, time.Second, p.String())
	good := newQuery(t, "www.example.com.")
	edit := func(change func(q []byte) []byte) []byte { return change(append([]byte(nil), good...)) }
	tests := map[string][]byte{
		"empty":                  nil,
		"short":                  good[:11],
		"cut in the question":    good[:20],
		"cut in the OPT":         good[:len(good)-1],
		"too long":               make([]byte, 65536),
		"a response":             edit(func(q []byte) []byte { q[2] |= 0x80; return q }),
		"no question":            edit(func(q []byte) []byte { q[5] = 0; return q }),
		"two questions":          edit(func(q []byte) []byte { q[5] = 2; return q }),
		"a compressed question":  edit(func(q []byte) []byte { q[12], q[13] = 0xc0, 0; return q }),
		"an unknown label type":  edit(func(q []byte) []byte { q[12] = 0x43; return q }),
		"a name of 256 octets":   nameOf(256),
		"a record beyond itself": edit(func(q []byte) []byte { q[len(q)-1] = 9; return q }),
	}
	for name, query := range tests {
		if _, err := f.Exchange(t.Context(), query); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if n := p.overUDP.Load(); n != 0 {
		t.Errorf("%d of them were sent", n)
	}
	if _, err := f.Exchange(t.Context(), nameOf(255)); err != nil {
		t.Errorf("a name of 255 octets: %v", err)
	}
}

// nameOf packs a query whose name has that many octets in wire form.
func nameOf(octets int) []byte {
	msg := []byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for rest := octets - 1; rest > 0; {
		label := min(rest, 64) - 1
		if rest == 65 { // no room for an empty label at the end
			label--
		}
		msg = append(msg, byte(label))
		for range label {
			msg = append(msg, 'a')
		}
		rest -= 1 + label
	}
	return append(msg, 0, 0, 1, 0, 1)
}

func TestNewRefuses(t *testing.T) {
	for _, server := range []string{
		"", "System", "localhost", "dns.example:53", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:", "192.0.2.256",
		"0.0.0.0", "[::]:53", "224.0.0.251", "ff02::fb", "255.255.255.255", "[::1", "udp://192.0.2.1", "tls://", "tls://192.0.2.1#", "tls://192.0.2.300", "tls://192.0.2.1:0", "tls://0.0.0.0#a.example", "tls://a.example#b.example",
		"tls://a.example/x", "tls://a b.example", "tls://a..example", "tls://a.example:x", "tls://192.0.2.1#a example", "quic://[2001:db8::1",
		"https://", "https://a.example", "https:///dns-query", "https://user@a.example/", "https://a.example/dns-query{?dns}", "https://a.example/#b.example", "https://a.example:0/",
		"https://a.example/%zz", "http://192.0.2.1/",
	} {
		_, err := upstream.New(upstream.Options{Servers: []string{server}, Timeout: time.Second})
		if err == nil || !strings.Contains(err.Error(), "\""+server+"\"") || !strings.Contains(err.Error(), "expected") {
			t.Errorf("%q: got error %v, want one that shows it and says what was expected", server, err)
		}
	}
	if _, err := upstream.New(upstream.Options{Servers: []string{"192.0.2.1"}}); err == nil {
		t.Error("no timeout: no error")
	}
}

func TestServerNotations(t *testing.T) {
	f := forwarder(t, upstream.Options{Timeout: time.Second, Servers: []string{
		"192.0.2.1", "192.0.2.1:53", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:5353", "fe80::1%eth0", "::ffff:192.0.2.2",
	}})
	want := []string{"192.0.2.1:53", "192.0.2.1:5353", "[2001:db8::1]:53", "[2001:db8::1]:5353", "[fe80::1%eth0]:53", "192.0.2.2:53"}
	stats := f.Stats()
	if len(stats) != len(want) {
		t.Fatalf("got %d servers, want %d: %v", len(stats), len(want), stats)
	}
	for i, s := range stats {
		if s.Server.String() != want[i] {
			t.Errorf("server %d: got %s, want %s", i, s.Server, want[i])
		}
	}
}
