package blocklist

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"sinkhole/blocklist/format"
)

// rpzExport writes a response policy zone that decides about every name and
// address as the lists together do, exceptions included. Owners are relative, so
// that it can be loaded under any name.
//
// A wildcard in DNS ends where the zone has a longer name (RFC 4592 section
// 2.2.1), as it does in BIND; in our lists it does not. So each name in the zone
// that stands below a wildcard says itself what it and those below it get.
type rpzExport struct {
	*exporter
	filled map[string]struct{} // names in between that were written
}

const (
	// zoneRoom is what the zone's own name may take of the 255 octets of a name.
	zoneRoom = 32
	// maxFilled bounds what is remembered of names in between: after that some are
	// written twice, which a zone may.
	maxFilled = 1 << 16
)

func (x *rpzExport) write() error {
	x.filled = map[string]struct{}{}
	now := x.options.Now
	err := x.printf("; what is in force at %s\n$TTL %d\n@ SOA localhost. hostmaster.localhost. %d 3600 600 604800 60\n@ NS localhost.\n",
		now.UTC().Format("2006-01-02T15:04:05Z"), x.ttl(), uint32(now.Unix()))
	if err != nil {
		return err
	}
	if err := x.printf("%s", x.marks(";", format.QName, format.ClientIP, format.ResponseIP)); err != nil {
		return err
	}
	if err := x.eachName(x.name); err != nil {
		return err
	}
	if err := x.eachPrefix(&x.policy.clients, true, x.prefix("rpz-client-ip")); err != nil {
		return err
	}
	return x.eachPrefix(&x.policy.answers, false, x.prefix("rpz-ip"))
}

func (x *rpzExport) ttl() uint32 { return uint32(x.options.TTL.Seconds()) }

// name writes a name unless the wildcard above says the same.
func (x *rpzExport) name(name []byte) error {
	if format.IsPolicyWord(name) {
		x.leaveOut("names that end in a word of RPZ's own")
		return nil
	}
	above := x.above(name)
	if !x.differs(name, above) {
		return nil
	}
	if err := x.node(name); err != nil || above.decision == None {
		return err
	}
	return x.fill(name[1+name[0]:])
}

func (x *rpzExport) differs(name []byte, above ruling) bool {
	return !x.alike(x.at(name), above) || !x.alike(x.below(name), above)
}

// fill writes the names between one that was written and the wildcard that
// covers it.
func (x *rpzExport) fill(name []byte) error {
	for ; name[0] != 0; name = name[1+name[0]:] {
		above := x.above(name)
		if above.decision == None || x.differs(name, above) {
			return nil // it, or one above it, is written for itself
		}
		if _, done := x.filled[string(name)]; done {
			return nil
		}
		if len(x.filled) < maxFilled {
			x.filled[string(name)] = struct{}{}
		}
		if err := x.node(name); err != nil {
			return err
		}
	}
	return nil
}

// node writes what a name and those below it get.
func (x *rpzExport) node(name []byte) error {
	if len(name)+len("\x01*")+zoneRoom > 255 {
		x.leaveOut("names that are too long for a zone")
		return nil
	}
	if name[0] == 0 {
		return x.records("*", x.below(name))
	}
	text := format.Text(name)
	if err := x.records(text, x.at(name)); err != nil {
		return err
	}
	return x.records("*."+text, x.below(name))
}

// alike tells whether two rulings are written alike.
func (x *rpzExport) alike(a, b ruling) bool {
	if a.decision != b.decision || a.action != b.action {
		return false
	}
	switch {
	case a.decision != Enforce:
		return true
	case a.action == format.LocalData:
		return a.rule == b.rule
	case a.action == format.Sinkhole:
		first, second := x.policy.ListOf(a.rule), x.policy.ListOf(b.rule)
		return first.IPv4 == second.IPv4 && first.IPv6 == second.IPv6
	}
	return true
}

// records writes what an owner gets.
func (x *rpzExport) records(owner string, r ruling) error {
	if r.decision == None {
		return nil
	}
	x.done.Entries++
	switch r.action {
	case format.Sinkhole:
		return x.sinkhole(owner, r)
	case format.LocalData:
		return x.localData(owner, r)
	case format.Refused:
		x.leaveOut("the action refused, written as nxdomain")
	}
	return x.printf("%s CNAME %s\n", owner, rpzTarget(r.action))
}

func rpzTarget(a format.Action) string {
	switch a {
	case format.PassThru:
		return "rpz-passthru."
	case format.Drop:
		return "rpz-drop."
	case format.TCPOnly:
		return "rpz-tcp-only."
	case format.NoData:
		return "*."
	}
	return "."
}

// sinkhole writes the sinkhole addresses; where there is none, no data.
func (x *rpzExport) sinkhole(owner string, r ruling) error {
	list, addresses := x.policy.ListOf(r.rule), 0
	for _, sink := range []struct {
		kind      string
		list, own Sink
	}{{"A", list.IPv4, x.options.IPv4}, {"AAAA", list.IPv6, x.options.IPv6}} {
		if sink.list.Mode != SinkInherit {
			sink.own = sink.list
		}
		if sink.own.Mode != SinkAddress {
			continue
		}
		addresses++
		if err := x.printf("%s %s %s\n", owner, sink.kind, sink.own.Addr); err != nil {
			return err
		}
	}
	if addresses > 0 {
		return nil
	}
	return x.printf("%s CNAME *.\n", owner)
}

func (x *rpzExport) localData(owner string, r ruling) (err error) {
	x.policy.LocalData(r.rule, func(rr []byte) {
		if err == nil {
			err = x.printf("%s %s\n", owner, recordText(rr))
		}
	})
	return err
}

// recordText is a record whose owner is the root without its owner. Types of
// which a file needs no more are written as RFC 3597 has it.
func recordText(rr []byte) string {
	const head = 1 + 2 + 2 + 4 + 2
	if len(rr) < head {
		return fmt.Sprintf("%q", rr)
	}
	kind, ttl, data := binary.BigEndian.Uint16(rr[1:]), binary.BigEndian.Uint32(rr[5:]), rr[head:]
	const typeA, typeCNAME, typeAAAA = 1, 5, 28
	switch kind {
	case typeA, typeAAAA:
		if addr, ok := netip.AddrFromSlice(data); ok {
			return fmt.Sprintf("%d %s %s", ttl, map[bool]string{true: "A", false: "AAAA"}[addr.Is4()], addr)
		}
	case typeCNAME:
		return fmt.Sprintf("%d CNAME %s", ttl, absolute(data))
	}
	return fmt.Sprintf("%d TYPE%d \\# %d %s", ttl, kind, len(data), hex.EncodeToString(data))
}

func absolute(name []byte) string {
	if len(name) == 1 {
		return "."
	}
	return format.Text(name) + "."
}

func (x *rpzExport) prefix(trigger string) func(netip.Prefix, ruling, ruling) error {
	return func(prefix netip.Prefix, by, without ruling) error {
		switch {
		case x.alike(by, without):
			return nil
		case prefix.Bits() == 0:
			x.leaveOut("prefixes of all addresses")
			return nil
		}
		return x.records(rpzPrefix(prefix)+"."+trigger, by)
	}
}

// rpzPrefix is a prefix as an owner has it: its length, then the address
// backwards, "zz" for the longest run of zeros.
func rpzPrefix(p netip.Prefix) string {
	separator, text := ".", p.Addr().String()
	if p.Addr().Is6() {
		separator = ":"
		text = strings.Trim(strings.Replace(text, "::", ":zz:", 1), ":")
	}
	labels := []string{strconv.Itoa(p.Bits())}
	parts := strings.Split(text, separator)
	for i := len(parts) - 1; i >= 0; i-- {
		labels = append(labels, parts[i])
	}
	return strings.Join(labels, ".")
}
