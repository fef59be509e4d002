package resolver

import (
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// Several sockets share the clients of an address: each client is answered, from
// the list, by the cache and by the upstream, and all that is counted adds up.
func TestReadersShareTheClients(t *testing.T) {
	t.Parallel()
	z := newZone(t, "*.good.example. A 192.0.2.1\n")
	for _, address := range []string{"127.0.0.1:0", "[::]:0"} {
		k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), servers: []string{z.addr}, listen: address, dualStack: true, readers: 4})
		const clients = 100
		for range clients {
			c := dialUDP(t, k)
			for _, name := range []string{"bad.example.", "a.good.example.", "a.good.example."} {
				send(t, c, queryOf(t, name, dns.TypeA))
				var m dns.Msg
				check(t, m.Unpack(receive(t, c)))
				if len(m.Answer) != 1 {
					t.Fatalf("%s", m.String())
				}
			}
		}
		busy := 0
		for _, reader := range k.listener.udp {
			if reader.prompt.count.queries[0].Load() > 0 {
				busy++
			}
		}
		if busy < 2 { // by chance once in 10^59
			t.Errorf("%s: %d of 4 readers had a client", address, busy)
		}
		if threads := k.listener.Readers(); len(threads) != 4 || threads[0] == threads[1] {
			t.Errorf("%s: threads %v", address, threads)
		}
		if s := k.Stats(); s.Queries["udp"] != 3*clients || s.Responses[0] != 3*clients {
			t.Errorf("%s: %+v", address, s)
		}
		if all := k.hits(t); len(all) != clients {
			t.Errorf("%s: %d hits", address, len(all))
		}
	}
}

// An address with several sockets is not shared with another server, and is not
// taken from one.
func TestReadersKeepOthersOut(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{readers: 2})
	if other, err := k.Listen(k.listener.Addr(), false); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second listener: %v, %v", other, err)
	}
	alone, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(t, err)
	defer alone.Close()
	if l, err := k.Listen(alone.LocalAddr().(*net.UDPAddr).AddrPort(), false); err == nil {
		t.Errorf("listens on %s beside another", l.Addr())
	}
}
