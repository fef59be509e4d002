package upstream

import (
	"net"
	"net/netip"
	"testing"
)

func TestAnswersAt(t *testing.T) {
	tests := []struct {
		listener, addr string
		want           bool
	}{
		{"127.0.0.1:53", "127.0.0.1:53", true},
		{"127.0.0.1:53", "127.0.0.1:5300", false},
		{"127.0.0.1:53", "127.0.0.53:53", false},
		{"0.0.0.0:53", "127.0.0.53:53", true}, // systemd-resolved's, but ours if we hold the wildcard
		{"0.0.0.0:53", "[::1]:53", false},
		{"0.0.0.0:53", "203.0.113.1:53", false},
		{"[::]:53", "127.0.0.53:53", true},
		{"[::]:53", "[::1]:53", true},
		{"[::]:53", "[2001:db8::1]:53", false},
		{"[::ffff:127.0.0.1]:53", "127.0.0.1:53", true},
		{"[fe80::1%2]:53", "[fe80::1%eth0]:53", true},
	}
	for _, test := range tests {
		if got := answersAt(netip.MustParseAddrPort(test.listener), netip.MustParseAddrPort(test.addr)); got != test.want {
			t.Errorf("%s at %s: got %v, want %v", test.addr, test.listener, got, test.want)
		}
	}
}

func TestInterfaceAddressesAreLocal(t *testing.T) {
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		addr, _ := netip.AddrFromSlice(i.(*net.IPNet).IP)
		if addr = addr.Unmap(); !isLocal(addr) || !isLocal(addr.WithZone("eth0")) && addr.Is6() {
			t.Errorf("%s is not taken for local", addr)
		}
	}
}
