package upstream_test

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/upstream"
)

// What does not answer the query to the letter is discarded, counted, and the
// true answer that comes later is taken.
func TestForgedReplyIsDiscarded(t *testing.T) {
	edit := func(change func(m *dns.Msg)) func([]byte) []byte {
		return func(query []byte) []byte {
			var m dns.Msg
			if err := m.Unpack(answer(query, lie)); err != nil {
				panic(err)
			}
			change(&m)
			return pack(&m)
		}
	}
	tests := []struct {
		name      string
		forge     func(query []byte) []byte
		malformed bool
	}{
		{name: "wrong ID", forge: edit(func(m *dns.Msg) { m.Id++ })},
		{name: "wrong name", forge: edit(func(m *dns.Msg) { m.Question[0].Name = "www.example.org." })},
		{name: "longer name", forge: edit(func(m *dns.Msg) { m.Question[0].Name = "a.WwW.Example.com." })},
		{name: "wrong case", forge: edit(func(m *dns.Msg) { m.Question[0].Name = "www.example.com." })},
		{name: "wrong type", forge: edit(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA })},
		{name: "wrong class", forge: edit(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS })},
		{name: "no question", forge: edit(func(m *dns.Msg) { m.Question = nil })},
		{name: "no question and REFUSED", forge: edit(func(m *dns.Msg) { m.Question, m.Answer, m.Extra, m.Rcode = nil, nil, nil, dns.RcodeRefused })},
		{name: "two questions", forge: edit(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) })},
		{name: "wrong opcode", forge: edit(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify })},
		{name: "not a response", forge: edit(func(m *dns.Msg) { m.Response = false })},
		{name: "the query itself", forge: bytes.Clone},
		{name: "an empty datagram", forge: func([]byte) []byte { return nil }, malformed: true},
		{name: "one octet", forge: func(q []byte) []byte { return q[:1] }, malformed: true},
		{name: "half a header", forge: func(q []byte) []byte { return answer(q, lie)[:11] }, malformed: true},
		{name: "half a question", forge: func(q []byte) []byte { return answer(q, lie)[:20] }, malformed: true},
		{name: "half a record", forge: func(q []byte) []byte { return answer(q, lie)[:40] }, malformed: true},
		{name: "garbage", forge: func([]byte) []byte { return bytes.Repeat([]byte{0xa5}, 500) }, malformed: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
				send(test.forge(query))
				send(answer(query, truth))
			}, nil)
			f := newForwarder(t, 5*time.Second, p.String())
			if got, _ := exchange(t, f, "WwW.Example.com."); got != truth {
				t.Errorf("got %q, want %q", got, truth)
			}
			s := f.Stats()[0]
			want := upstream.ServerStats{Mismatched: 1}
			if test.malformed {
				want = upstream.ServerStats{Malformed: 1}
			}
			if s.Mismatched != want.Mismatched || s.Malformed != want.Malformed || s.OverTCP != 0 {
				t.Errorf("got %d mismatched, %d malformed, %d over TCP; want %d, %d, 0",
					s.Mismatched, s.Malformed, s.OverTCP, want.Mismatched, want.Malformed)
			}
		})
	}
}

// A perfect reply from another port or another address of the same machine
// must not even be read.
func TestReplyFromElsewhereIsDiscarded(t *testing.T) {
	for _, source := range []string{"127.0.0.1", "127.0.0.2"} {
		t.Run(source, func(t *testing.T) {
			other, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(source)})
			if err != nil {
				t.Skipf("no second loopback address: %v", err)
			}
			defer other.Close()
			p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), client netip.AddrPort) {
				if _, err := other.WriteToUDPAddrPort(answer(query, lie), client); err != nil {
					t.Errorf("the forged reply was not sent: %v", err)
				}
				send(answer(query, truth))
			}, nil)
			f := newForwarder(t, 5*time.Second, p.String())
			if got, _ := exchange(t, f, "www.example.com."); got != truth {
				t.Errorf("got %q, want %q", got, truth)
			}
		})
	}
}

// Three guesses, and the exchange believes UDP no more, not even a reply that
// fits.
func TestRepeatedMismatchesGoToTCP(t *testing.T) {
	p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		for range 3 {
			forged := answer(query, lie)
			forged[0] ^= 0xff
			send(forged)
		}
		send(answer(query, lie))
	}, honestTCP)
	f := newForwarder(t, 5*time.Second, p.String())
	got, reply := exchange(t, f, "www.example.com.")
	if got != truth || reply.Transport != "tcp" {
		t.Errorf("got %q over %s, want %q over tcp", got, reply.Transport, truth)
	}
	if s := f.Stats()[0]; s.Suspected != 1 || s.Mismatched != 3 || s.OverTCP != 1 {
		t.Errorf("got %d suspected, %d mismatched, %d over TCP; want 1, 3, 1", s.Suspected, s.Mismatched, s.OverTCP)
	}
}

// Malformed datagrams never end the wait (TuDoor), however many.
func TestMalformedFloodIsWaitedOut(t *testing.T) {
	p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		whole := answer(query, lie)
		for i := range 100 {
			send(whole[:i%len(whole)])
		}
		send(answer(query, truth))
	}, nil)
	f := newForwarder(t, 5*time.Second, p.String())
	if got, reply := exchange(t, f, "www.example.com."); got != truth || reply.Transport != "udp" {
		t.Errorf("got %q over %s, want %q over udp", got, reply.Transport, truth)
	}
}

// 2,000 queries: source ports and IDs are spread evenly, follow no sequence and
// do not depend on each other.
func TestPortsAndIDsAreUnpredictable(t *testing.T) {
	const queries = 2000
	type sample struct{ port, id int }
	samples := make(chan sample, 2*queries)
	p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), client netip.AddrPort) {
		samples <- sample{int(client.Port()), int(query[0])<<8 | int(query[1])}
		send(answer(query, truth))
	}, nil)
	f := newForwarder(t, 5*time.Second, p.String())
	query := newQuery(t, "www.example.com.")
	var ports, ids, both []int
	for range queries {
		if _, err := f.Exchange(t.Context(), query); err != nil {
			t.Fatal(err)
		}
		s := <-samples
		ports, ids, both = append(ports, s.port), append(ids, s.id), append(both, s.port^s.id)
	}
	spread(t, "ports", ports, 1024)
	spread(t, "IDs", ids, 0)
	if n := distinct(both); n < queries*19/20 {
		t.Errorf("port xor ID takes only %d values in %d queries", n, queries)
	}
}

func spread(t *testing.T, what string, values []int, lowest int) {
	t.Helper()
	const buckets = 16
	var count [buckets]float64
	deltas := make([]int, 0, len(values))
	for i, v := range values {
		if v < lowest || v > 65535 {
			t.Fatalf("%s: %d is out of range", what, v)
		}
		count[(v-lowest)*buckets/(65536-lowest)]++
		if i > 0 {
			deltas = append(deltas, v-values[i-1])
		}
	}
	expected := float64(len(values)) / buckets
	var chi2 float64
	for _, c := range count {
		chi2 += (c - expected) * (c - expected) / expected
	}
	// 15 degrees of freedom: above 70 once in 10^8 runs.
	if chi2 > 70 {
		t.Errorf("%s: chi-square %.1f over %d buckets, want below 70: %v", what, chi2, buckets, count)
	}
	// About 30 repeats are chance among 2,000 of 65,536.
	if n := distinct(values); n < len(values)*19/20 {
		t.Errorf("%s: only %d different values among %d", what, n, len(values))
	}
	if n := distinct(deltas); n < len(deltas)*19/20 {
		t.Errorf("%s: only %d different steps among %d", what, n, len(deltas))
	}
}

func distinct(values []int) int {
	set := map[int]bool{}
	for _, v := range values {
		set[v] = true
	}
	return len(set)
}
