package landing

import (
	"io"
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"
)

// In a network of its own, where nftables sends all ports but the listener's to it as the
// README says, a record has the port that the client connected to.
func TestRedirectedPortsAreRecorded(t *testing.T) {
	inOwnNetwork(t, redirected)
}

const redirectRules = `
table ip sinkhole {
	chain landing {
		type nat hook prerouting priority dstnat;
		ip daddr 127.0.0.1 tcp dport != 8099 dnat to :8099
	}
	chain local {
		type nat hook output priority -100;
		ip daddr 127.0.0.1 tcp dport != 8099 dnat to :8099
	}
}
table ip6 sinkhole {
	chain local {
		type nat hook output priority -100;
		ip6 daddr ::1 tcp dport != 8099 dnat to :8099
	}
}
`

func redirected(t *testing.T) {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("ip: %v\n%s", err, out)
	}
	rules := t.TempDir() + "/rules.nft"
	write(t, rules, redirectRules)
	if out, err := exec.Command("nft", "-f", rules).CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	r := newRig(t, nil)
	for _, listener := range []string{"127.0.0.1:8099", "[::1]:8099"} {
		if _, err := r.Listen(netip.MustParseAddrPort(listener)); err != nil {
			t.Fatal(err)
		}
		last := r.listeners[len(r.listeners)-1]
		r.serving.Go(func() { r.accept(last) })
		for _, port := range []uint16{25, 4444} {
			to := netip.AddrPortFrom(netip.MustParseAddrPort(listener).Addr(), port)
			c, err := net.Dial("tcp", to.String())
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.WriteString(c, "beacon")
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
	}
	var found []netip.AddrPort
	for _, x := range r.close() {
		found = append(found, netip.AddrPortFrom(x.Destination.IP, x.Destination.Port))
	}
	check(t, "destinations", found, "[127.0.0.1:25 127.0.0.1:4444 [::1]:25 [::1]:4444]")
}
