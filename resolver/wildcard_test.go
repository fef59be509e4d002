package resolver

import (
	"encoding/json"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/blocklist"
)

// A connected client takes an answer only from the address that it asked.
func TestWildcardAnswersFromTheAddressAsked(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		listen    string
		dualStack bool
		asked     []string
	}{
		{"0.0.0.0:0", false, []string{"127.0.0.1", "127.0.0.2"}},
		{"[::]:0", true, []string{"127.0.0.1", "127.0.0.2", "::1"}},
		{"[::]:0", false, []string{"::1"}},
	} {
		t.Run(test.listen, func(t *testing.T) {
			if probe, err := net.ListenPacket("udp", test.listen); err != nil {
				t.Skipf("this machine has no such sockets: %v", err)
			} else {
				probe.Close()
			}
			settings := sinkSettings()
			settings.IPv4 = blocklist.Sink{Mode: blocklist.SinkAuto}
			k := newRig(t, rigOptions{settings: settings, listen: test.listen, dualStack: test.dualStack, specs: specsOf(list(t, "stealers", trapList)),
				forward: answering(nil, "good.example. 0 A 127.0.0.1")})
			for _, addr := range test.asked {
				for _, network := range []string{"udp", "tcp"} {
					askAt(t, k, network, netip.MustParseAddr(addr))
				}
			}
			compareServers(t, k, test.asked)
		})
	}
}

func askAt(t *testing.T, k *rig, network string, addr netip.Addr) {
	t.Helper()
	c, err := net.Dial(network, netip.AddrPortFrom(addr, k.listener.Addr().Port()).String())
	check(t, err)
	defer c.Close()
	check(t, c.SetDeadline(time.Now().Add(patience)))
	send(t, c, queryOf(t, "good.example.", dns.TypeA)) // answered by the library
	receive(t, c)
	send(t, c, queryOf(t, "bad.example.", dns.TypeA))
	var m dns.Msg
	check(t, m.Unpack(receive(t, c)))
	want := addr.String()
	if addr.Is6() {
		want = "127.0.0.1"
	}
	if a, ok := m.Answer[0].(*dns.A); !ok || a.A.String() != want {
		t.Errorf("%s to %s: %v, expected the address %s", network, addr, m.Answer, want)
	}
}

// compareServers holds the journal to the addresses that were asked, over UDP
// and TCP each.
func compareServers(t *testing.T, k *rig, asked []string) {
	t.Helper()
	counts := map[string]int{}
	for _, r := range k.hits(t) {
		counts[fieldOf(r.Raw, "server.ip")+" "+fieldOf(r.Raw, "sinkhole.transport")]++
		if !json.Valid(r.Raw) || r.Server.Port != k.listener.Addr().Port() {
			t.Errorf("%s: expected the port %d", r.Raw, k.listener.Addr().Port())
		}
	}
	for _, addr := range asked {
		for _, network := range []string{"udp", "tcp"} {
			if counts[addr+" "+network] != 1 {
				t.Errorf("%d hits at %s over %s, expected 1: %v", counts[addr+" "+network], addr, network, counts)
			}
		}
	}
}
