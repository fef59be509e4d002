package upstream

import (
	"net"
	"net/netip"
	"slices"
)

// splitOwn parts the addresses that one of our listeners answers at from the
// others.
func splitOwn(addrs, listeners []netip.AddrPort) (others, ours []netip.AddrPort) {
	for _, addr := range addrs {
		if slices.ContainsFunc(listeners, func(l netip.AddrPort) bool { return answersAt(l, addr) }) {
			ours = append(ours, addr)
		} else {
			others = append(others, addr)
		}
	}
	return others, ours
}

// answersAt is true if a datagram to addr arrives at listener.
func answersAt(listener, addr netip.AddrPort) bool {
	if listener.Port() != addr.Port() {
		return false
	}
	switch at := listener.Addr().Unmap(); {
	case !at.IsUnspecified():
		return at.WithZone("") == addr.Addr().WithZone("")
	case at.Is4():
		return addr.Addr().Is4() && isLocal(addr.Addr())
	default: // a socket on [::] has IPv4 too
		return isLocal(addr.Addr())
	}
}

// isLocal is true for an address of this machine. All of 127.0.0.0/8 is, though
// the interface names only one address of it.
func isLocal(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(interfaces, func(a net.Addr) bool {
		prefix, ok := a.(*net.IPNet)
		if !ok {
			return false
		}
		local, ok := netip.AddrFromSlice(prefix.IP)
		return ok && local.Unmap() == addr.WithZone("")
	})
}
