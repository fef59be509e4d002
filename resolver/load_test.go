package resolver

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// Clients ask over both transports while the list changes under them: each gets
// an answer, each listed answer is one verdict of the journal.
func TestLoadWithReloads(t *testing.T) {
	t.Parallel()
	z := newZone(t, "*.good.example. A 192.0.2.1\nflip.example. A 192.0.2.2\nbyip.example. A 198.51.100.1\nalias.example. CNAME flip.example.\n")
	spec := list(t, "flips", "bad.example\n")
	k := newRig(t, rigOptions{specs: specsOf(spec), servers: []string{z.addr}, queue: 1 << 14})
	ending, reloading := make(chan struct{}), sync.WaitGroup{}
	reloading.Go(func() {
		texts := []string{"bad.example\nflip.example\n198.51.100.0/24\n", "bad.example\n"}
		for i := 0; ; i++ {
			select {
			case <-ending:
				return
			default:
			}
			if err := os.WriteFile(spec.Source, []byte(texts[i%2]), 0o600); err != nil {
				t.Error(err)
				return
			}
			if _, err := k.lists.Reload(); err != nil {
				t.Error(err)
			}
		}
	})
	var asking sync.WaitGroup
	var forged atomic.Uint64
	for client := range 8 {
		asking.Go(func() {
			network := [...]string{"udp", "tcp"}[client%2]
			forged.Add(askMany(t, k, network, 300))
		})
	}
	asking.Wait()
	close(ending)
	reloading.Wait()
	k.stop()
	if s := k.journal.Stats(); s.Verdicts != forged.Load() || s.Journaled != s.Verdicts {
		t.Errorf("%d answers of the sinkhole, %d verdicts, %d journaled", forged.Load(), s.Verdicts, s.Journaled)
	}
	if s := k.Stats(); s.Panics != 0 || s.Unsent != 0 || s.Failed != 0 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

// askMany asks n queries one after the other and gives how many the sinkhole
// answered.
func askMany(t *testing.T, k *rig, network string, n int) (forged uint64) {
	c, err := dns.Dial(network, k.listener.Addr().String())
	if err != nil {
		t.Error(err)
		return 0
	}
	defer c.Close()
	for i := range n {
		name := [...]string{"bad.example.", "flip.example.", "byip.example.", "alias.example.", fmt.Sprintf("n%d.good.example.", i)}[i%5]
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		m.SetEdns0(1232, false)
		reply, _, err := (&dns.Client{Net: network, Timeout: patience}).ExchangeWithConn(m, c)
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
			return forged
		case len(reply.IsEdns0().Option) > 0:
			forged++
		case uint16(reply.Rcode) == wire.RCodeServFail, name == "bad.example.":
			t.Errorf("%s: %v", name, reply)
		}
	}
	return forged
}
