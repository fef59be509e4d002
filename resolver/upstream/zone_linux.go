package upstream

import (
	"net"
	"strconv"
)

// zoneIndex is the number of the interface that an IPv6 zone names; 0 without
// one.
func zoneIndex(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(n)
}
