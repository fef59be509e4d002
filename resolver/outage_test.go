package resolver

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// mutable is an upstream that answers every name, until it is silenced.
type mutable struct {
	addr  string
	mute  atomic.Bool
	asked atomic.Int64
}

func newMutable(t *testing.T) *mutable {
	t.Helper()
	packets, err := net.ListenPacket("udp4", "127.0.0.1:0")
	check(t, err)
	u := &mutable{addr: packets.LocalAddr().String()}
	started := make(chan struct{})
	s := &dns.Server{PacketConn: packets, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(u.answer)}
	go s.ActivateAndServe()
	<-started
	t.Cleanup(func() { s.Shutdown() })
	return u
}

func (u *mutable) answer(w dns.ResponseWriter, q *dns.Msg) {
	u.asked.Add(1)
	if u.mute.Load() {
		return
	}
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	if question := q.Question[0]; question.Qtype == dns.TypeA {
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(192, 0, 2, 1)}}
	}
	_ = w.WriteMsg(m)
}

// stub asks over a socket of its own and retransmits as stub resolvers do, after a
// second.
func stub(t *testing.T, k *rig, name string) (m *dns.Msg, took time.Duration, sent int) {
	c := dialUDP(t, k)
	defer c.Close()
	begin, query := time.Now(), queryOf(t, name, dns.TypeA)
	buffer := make([]byte, 4096)
	for sent = 1; sent <= 5; sent++ {
		if _, err := c.Write(query); err != nil {
			t.Error(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := c.Read(buffer); err == nil {
			m = new(dns.Msg)
			if err := m.Unpack(buffer[:n]); err != nil {
				t.Error(err)
			}
			return m, time.Since(begin), sent
		}
	}
	t.Errorf("%s: no answer to five queries", name)
	return new(dns.Msg), time.Since(begin), sent
}

// One upstream of two dies under load: no client sends more than one query more, and soon
// none does; when it is back it is asked again.
func TestOneOfTwoUpstreamsDies(t *testing.T) {
	t.Parallel()
	one, two := newMutable(t), newMutable(t)
	k := newRig(t, rigOptions{servers: []string{one.addr, two.addr}, timeout: 2 * time.Second, readers: 2})
	var number, late atomic.Int64
	var clients sync.WaitGroup
	ended := make(chan struct{})
	for range 8 {
		clients.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				m, _, sent := stub(t, k, fmt.Sprintf("n%d.example.", number.Add(1)))
				if m.Rcode != dns.RcodeSuccess || sent > 2 {
					t.Errorf("%d queries were needed for %s", sent, m)
				}
				if sent > 1 {
					late.Add(1)
				}
			}
		})
	}
	eventually(t, "the first upstream is asked", func() bool { return one.asked.Load() > 100 })
	one.mute.Store(true)
	before := two.asked.Load()
	eventually(t, "the second is asked", func() bool { return two.asked.Load() > before+200 })
	dead := one.asked.Load()
	before = two.asked.Load()
	eventually(t, "it goes on", func() bool { return two.asked.Load() > before+200 })
	if n := one.asked.Load() - dead; n > 8 {
		t.Errorf("the dead upstream still got %d queries", n)
	}
	one.mute.Store(false)
	before = one.asked.Load()
	eventually(t, "the first one is asked again", func() bool { return one.asked.Load() > before+100 })
	close(ended)
	clients.Wait()
	t.Logf("%d queries, %d sent twice", number.Load(), late.Load())
	if late.Load() > 8 {
		t.Errorf("%d clients had to ask again, want each at most once", late.Load())
	}
}

// All upstreams die: who asks for what was known gets it stale, others SERVFAIL at once
// (RFC 8767, RFC 9520), for as long as it lasts; then all is as before.
func TestAllUpstreamsDie(t *testing.T) {
	t.Parallel()
	one, two := newMutable(t), newMutable(t)
	k := newRig(t, rigOptions{servers: []string{one.addr, two.addr}, timeout: time.Second, stale: time.Hour, ttl: TTLBounds{Max: time.Second}})
	if m, _, _ := stub(t, k, "known.example."); len(m.Answer) != 1 {
		t.Fatal(m)
	}
	one.mute.Store(true)
	two.mute.Store(true)
	end(t, k, "known.example.", false, time.Minute)
	number := 0
	if m, took, _ := stub(t, k, "known.example."); len(m.Answer) != 1 || took > 2500*time.Millisecond {
		t.Errorf("after %v: %v", took, m)
	}
	eventually(t, "failures come at once", func() bool {
		number++
		m, took, _ := stub(t, k, fmt.Sprintf("n%d.example.", number))
		return m.Rcode == dns.RcodeServerFailure && took < 50*time.Millisecond
	})
	asked := one.asked.Load() + two.asked.Load()
	slow := 0
	outage := time.Minute
	if testing.Short() {
		outage = 3 * time.Second
	}
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for begin := time.Now(); time.Since(begin) < outage; <-pace.C {
		number++
		m, took, sent := stub(t, k, fmt.Sprintf("n%d.example.", number))
		if m.Rcode != dns.RcodeServerFailure || sent > 1 {
			t.Fatalf("%d sent: %v", sent, m)
		}
		if took > 200*time.Millisecond {
			slow++
		}
		m, took, sent = stub(t, k, "known.example.")
		if len(m.Answer) != 1 || sent > 1 || m.Answer[0].Header().Ttl != staleTTL {
			t.Fatalf("%d sent: %v", sent, m)
		}
		if took > 200*time.Millisecond {
			slow++
		}
	}
	if slow > 20 { // a busy machine
		t.Errorf("%d answers took more than 200 ms", slow)
	}
	if n := one.asked.Load() + two.asked.Load() - asked; n > 2*int64(outage/time.Second)+10 {
		t.Errorf("dead upstreams got %d queries within %v, want a probe a second each", n, outage)
	}
	two.mute.Store(false)
	eventually(t, "service is back", func() bool {
		number++
		m, _, _ := stub(t, k, fmt.Sprintf("n%d.example.", number))
		return m.Rcode == dns.RcodeSuccess
	})
}
