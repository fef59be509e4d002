package names

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// keaParser reads a lease file of Kea (memfile), IPv4 or IPv6: a line for each change, the last
// one of an address is in effect. A lease that was deleted has a lifetime of 0.
type keaParser struct{ header *header }

// What a lease is, in the column state.
const (
	keaDeclined  = 1
	keaReclaimed = 2
)

// keaForever is the lifetime of a lease without an end.
const keaForever = 1<<32 - 1

// keaAddress is the type of an address in a file for IPv6, and keaTemporary of one for a while;
// delegated prefixes have another.
const (
	keaAddress   = "0"
	keaTemporary = "1"
)

func (p *keaParser) line(c *content, line []byte) error {
	if len(line) == 0 {
		return nil
	}
	if p.header == nil {
		var err error
		p.header, err = parseHeader(string(line))
		return err
	}
	row, err := p.header.row(string(line))
	if err != nil {
		return err
	}
	if t := row.get("lease_type"); t != "" && t != keaAddress && t != keaTemporary {
		return nil
	}
	a, err := netip.ParseAddr(row.get("address"))
	if err != nil {
		return fmt.Errorf("found the address %q, expected an IP address", row.get("address"))
	}
	var n [3]int64
	for i, column := range [...]string{"valid_lifetime", "expire", "state"} {
		if n[i], err = strconv.ParseInt(row.get(column), 10, 64); err != nil || n[i] < 0 {
			return fmt.Errorf("found %s %q, expected a number", column, row.get(column))
		}
	}
	lifetime, expire, state := n[0], n[1], n[2]
	l := lease{held: held{from: seconds(expire - lifetime), until: seconds(expire), mac: parseMAC(row.get("hwaddr")), name: hostName(keaText(row.get("hostname")))}}
	if l.mac == (mac{}) {
		l.mac = macOfHexDUID(row.get("duid"))
	}
	switch {
	case lifetime == 0 || state == keaDeclined:
		l.gone = true
	case state == keaReclaimed && expire > c.now/1e9:
		l.gone = true
	case lifetime == keaForever:
		l.until = never
	}
	c.lease(a, l)
	return nil
}

// keaText undoes how Kea writes what would divide fields.
func keaText(s string) string {
	return strings.NewReplacer("&#x2c", ",", "&#x26", "&").Replace(s)
}
