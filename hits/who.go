package hits

import (
	"net/netip"
	"time"
)

// Client is a machine at a time, as far as a record, or what is made of records, tells it.
type Client struct {
	Addr       netip.Addr
	Ports      []uint16 // source ports; none where a forwarder told the address
	MorePorts  bool     // there were others
	MAC        string   // as in a record: 00-00-5E-00-53-23; "": not told
	Subscriber string   // found before; "": not known
	At         time.Time
}

// Asker is who asked.
func (r *Record) Asker() Client {
	c := Client{Addr: r.Client.IP, Ports: r.Sinkhole.Ports, MorePorts: r.Sinkhole.PortsTruncated, MAC: r.Client.MAC, At: r.Time}
	if len(c.Ports) == 0 && r.Client.Port != 0 {
		c.Ports = []uint16{r.Client.Port}
	}
	return c
}

// Who is what is known of a client beside what it asked. A name that comes from DHCP or reverse
// DNS is the client's own word.
type Who struct {
	Name       string
	Owner      string
	Site       string
	Subscriber string
	Shared     bool // several subscribers have the address, and which of them it was is not known
}

// Place is where an address is, as databases tell it.
type Place struct {
	ASN          uint32 // 0: not known
	Organization string // of the autonomous system
	Country      string // ISO 3166-1, two letters
	Sector       string
}
