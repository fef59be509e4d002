package inventory

import (
	"net/netip"
	"time"

	"sinkhole/hits"
)

// SubscriberOf is who had an address, or a block of its ports, at a time; shared where several
// had it and it is not known which of them it was. It is asked once for each line, in the order
// of the journal.
type SubscriberOf func(c hits.Client) (subscriber string, shared bool)

// findSubscriber asks who had the address of a line.
func (f *feeder) findSubscriber(l *line) {
	if f.subscriber == nil || l.forwarder {
		return
	}
	addr, err := netip.ParseAddr(string(l.address))
	if err != nil {
		return
	}
	f.ports = f.ports[:0]
	for _, p := range l.ports {
		f.ports = append(f.ports, uint16(min(p, 1<<16-1)))
	}
	if len(f.ports) == 0 && l.port != 0 {
		f.ports = append(f.ports, uint16(min(l.port, 1<<16-1)))
	}
	l.subscriber, l.shared = f.subscriber(hits.Client{
		Addr: addr, Ports: f.ports, MorePorts: l.morePorts, MAC: string(l.mac), At: time.Unix(0, l.time),
	})
}
