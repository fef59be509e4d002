package resolver

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// relay is another resolver: it forwards all that it gets to some address, and remembers
// the names.
type relay struct {
	addr string
	to   atomic.Pointer[string]

	mu    sync.Mutex
	names []string
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	packets, err := net.ListenPacket("udp4", "127.0.0.1:0")
	check(t, err)
	r := &relay{addr: packets.LocalAddr().String()}
	started := make(chan struct{})
	s := &dns.Server{PacketConn: packets, NotifyStartedFunc: func() { close(started) }, Handler: r}
	go s.ActivateAndServe()
	<-started
	t.Cleanup(func() { s.Shutdown() })
	return r
}

func (r *relay) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	r.mu.Lock()
	r.names = append(r.names, q.Question[0].Name)
	r.mu.Unlock()
	to := r.to.Load()
	if to == nil {
		return
	}
	if m, _, err := new(dns.Client).Exchange(q, *to); err == nil {
		_ = w.WriteMsg(m)
	}
}

func (r *relay) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.names...)
}

// Two servers lead back to us, one for all and one for a zone: both are found out and asked
// no more, and the others serve on. A server that leads back for a zone only is asked for
// all else.
func TestForwardingLoops(t *testing.T) {
	t.Parallel()
	z := newZone(t, "www.example. A 192.0.2.1\nlater.example. A 192.0.2.1\n"+
		"www.corp.example. A 192.0.2.2\nlater.corp.example. A 192.0.2.2\n")
	back, zoneBack := newRelay(t), newRelay(t)
	k := newRig(t, rigOptions{
		servers: []string{back.addr, z.addr}, zones: map[string][]string{"corp.example": {zoneBack.addr, z.addr}, "alone.example": {zoneBack.addr}},
		loops: true,
	})
	ours := k.listener.Addr().String()
	back.to.Store(&ours)
	zoneBack.to.Store(&ours)
	for _, name := range []string{"www.example.", "www.corp.example.", "www.alone.example."} {
		stub(t, k, name)
	}
	eventually(t, "both are known to lead back", func() bool {
		found := uint64(0)
		for _, s := range k.forwarder.Stats() {
			if s.Looping {
				found += s.Loops
			}
		}
		return found == 3 // one of them for two zones
	})
	if m, _, _ := stub(t, k, "other.alone.example."); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("%v, expected SERVFAIL: there is nobody to ask", m)
	}
	// Names of their own, since a query from before may still be on its way round.
	for _, name := range []string{"later.example.", "later.corp.example."} {
		if m, _, _ := stub(t, k, name); len(m.Answer) != 1 {
			t.Errorf("%v", m)
		}
	}
	for _, name := range append(back.asked(), zoneBack.asked()...) {
		if strings.HasPrefix(strings.ToLower(name), "later.") {
			t.Errorf("%s went to a server that leads back", name)
		}
	}
	probes := 0
	for _, r := range []*relay{back, zoneBack} {
		for _, name := range r.asked() {
			if !strings.HasPrefix(strings.ToLower(name), "sinkhole-loop-probe-") {
				continue
			}
			probes++
			// It has come back: nobody can use it once more.
			if m, _, _ := stub(t, k, name); m.Rcode == dns.RcodeRefused {
				t.Errorf("%s is believed twice", name)
			}
		}
	}
	if probes < 3 {
		t.Errorf("%d probes", probes)
	}
	for _, s := range k.forwarder.Stats() {
		if want := map[string]uint64{back.addr: 1, zoneBack.addr: 2}[s.Server.String()]; s.Loops != want {
			t.Errorf("%s: %d loops counted, want %d", s.Server, s.Loops, want)
		}
	}
}
