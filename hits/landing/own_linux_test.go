package landing

import (
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sinkhole/hits"
)

// In a network of its own, where a route makes a prefix local as the README says, wildcard
// listeners have its connections, and each is joined to the hit whose address it went to;
// through nftables' rules too.
func TestRoutedPrefixIsJoined(t *testing.T) {
	inOwnNetwork(t, routed)
}

const routedRules = `
table ip6 sinkhole {
	chain local {
		type nat hook output priority -100;
		ip6 daddr 2001:db8:5::/64 tcp dport 80 dnat to [2001:db8:5::1]:8099
		ip6 daddr 2001:db8:5::/64 tcp dport != 8099 dnat to :8099
	}
}
`

func routed(t *testing.T) {
	rules := t.TempDir() + "/rules.nft"
	write(t, rules, routedRules)
	for _, words := range []string{"ip link set lo up", "ip -6 route add local 2001:db8:5::/64 dev lo", "ip route add local 203.0.113.0/24 dev lo", "nft -f " + rules} {
		command := strings.Fields(words)
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", words, err, out)
		}
	}
	r := newRig(t, func(l *Landing) {
		l.ledger.index.own = ownPrefixes
		l.o.Marks = func(netip.Addr) (bool, bool, bool) { return false, false, true }
	})
	if _, err := r.Listen(netip.MustParseAddrPort("[::]:8099")); err != nil {
		t.Fatal(err)
	}
	last := r.listeners[len(r.listeners)-1]
	r.serving.Go(func() { r.accept(last) })
	destinations := []string{"[2001:db8:5::1d:ea]:8099", "[2001:db8:5:0:ffff::7]:4444", "203.0.113.9:8099", "[2001:db8:5::5:5]:80"}
	for i, to := range destinations {
		r.hit("192.0.2.53", string(rune('a'+i))+".bad.example", func(h *hits.Hit) {
			h.Forwarder, h.Sink = true, netip.MustParseAddrPort(to).Addr()
		})
	}
	eventually(t, "all hits are indexed", func() bool { return int(r.Stats().Indexed) == 2*len(destinations) }) // by name, by address
	for _, to := range destinations {
		c, err := net.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(c, "beacon")
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
		c.Close()
	}
	var found []string
	for _, x := range r.close() {
		found = append(found, x.Sinkhole.Joined+" "+x.DNS.Question.Name+" "+netip.AddrPortFrom(x.Destination.IP, x.Destination.Port).String())
	}
	check(t, "connections", found, "[query-address a.bad.example [2001:db8:5::1d:ea]:8099 query-address b.bad.example [2001:db8:5:0:ffff::7]:4444 query-address c.bad.example 203.0.113.9:8099 query-address d.bad.example [2001:db8:5::5:5]:80]")
}
