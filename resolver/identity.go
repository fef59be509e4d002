package resolver

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"sinkhole/hits"
	"sinkhole/resolver/wire"
)

// identify takes from the options of a query who asks, if a forwarder that is
// believed says so. It copies what it keeps.
func (r *Resolver) identify(q *request, options []byte) {
	if q.OptionCodes.Identity == 0 {
		return
	}
	if s := r.settings.Load(); s.believes(q.client.Addr()) {
		q.identified = readIdentity(&q.identity, q.client.Addr(), options, s.Disbelieved)
	}
}

// codes are those of the options of an OPT record.
func codes(opt *dns.OPT) (c wire.Codes) {
	for _, o := range opt.Option {
		subnet, isSubnet := o.(*dns.EDNS0_SUBNET)
		c.Add(o.Option(), isSubnet && subnet.SourceNetmask == 0)
	}
	return c
}

// asker is the address of who asks, as far as that is known: what groups, lists
// that speak of clients, and hits go by. The client check is of the client, who is
// the forwarder.
func (q *request) asker() netip.Addr {
	if q.identified && q.identity.Addr.IsValid() {
		return q.identity.Addr
	}
	return q.client.Addr()
}

// attribute says in a hit who asked, and what is known of that.
func (r *Resolver) attribute(h *hits.Hit, q *request) {
	s := r.settings.Load()
	h.Fingerprint = hits.Fingerprint{RD: q.RD, AD: q.AD, CD: q.CD, EDNS: q.EDNS, DO: q.DO, UDPSize: q.UDPSize, Options: q.OptionCodes.Hash}
	if q.balancer.IsValid() {
		h.Peer, h.Relayed, h.Proxy = q.balancer, true, q.proxy
	}
	asker := q.asker()
	h.Expected = s.expects(asker)
	if !q.identified {
		h.Forwarder = s.believes(asker)
		if !h.Forwarder {
			h.Claimed = q.OptionCodes.Identity
		}
		return
	}
	h.Identity = &q.identity
	if asker == q.client.Addr() {
		h.Forwarder = !q.identity.Tells() || q.identity.Addr.IsValid()
		return
	}
	if !h.Relayed {
		h.Peer, h.Relayed = q.client, true
	}
	h.Client = netip.AddrPortFrom(asker, 0)
	h.SourceProven = false
	h.Forwarder = s.believes(asker) // one before the one that told us
}

// readIdentity reads the options by which forwarders tell who asks, the first of
// each code that can be read, and reports whether there is any. What cannot be read
// is passed over: it is the forwarder's fault, not its client's. So is what is
// disbelieved.
func readIdentity(id *hits.Identity, forwarder netip.Addr, options []byte, disbelieved []uint16) bool {
	*id = hits.Identity{Forwarder: forwarder}
	var r identityReader
	for {
		code, data, rest, ok := wire.NextOption(options)
		if !ok {
			break
		}
		if !slices.Contains(disbelieved, code) {
			r.take(id, code, data)
		}
		options = rest
	}
	if id.Subnet.IsSingleIP() {
		id.Addr = credible(id.Subnet.Addr(), forwarder)
	}
	r.wholeECS = id.Addr.IsValid()
	if !r.wholeECS {
		id.Addr = credible(r.umbrella.addr, forwarder)
	}
	id.Source = r.source(id)
	return id.Source != 0
}

// identityReader knows which options were read.
type identityReader struct {
	mac, macText, wholeECS bool
	umbrella               umbrella
}

func (r *identityReader) take(id *hits.Identity, code uint16, data []byte) {
	switch {
	case code == wire.OptionECS && !id.Subnet.IsValid():
		id.Subnet = subnetOf(data)
	case code == wire.OptionMAC && !r.mac:
		r.mac = setMAC(id, data)
	case code == wire.OptionMACText && !r.mac && !r.macText:
		r.macText = setMACText(id, data)
	case code == wire.OptionCPE && id.CPELen == 0:
		id.CPELen = uint8(copy(id.CPE[:], data))
	case code == wire.OptionUmbrella && !r.umbrella.read:
		r.umbrella = readUmbrella(data)
		id.HasDevice, id.Device, id.Org, id.Asset = r.umbrella.hasDevice, r.umbrella.device, r.umbrella.org, r.umbrella.asset
	}
}

// source is the option that tells most; 0: none tells anything.
func (r *identityReader) source(id *hits.Identity) uint16 {
	switch {
	case r.mac:
		return wire.OptionMAC
	case r.macText:
		return wire.OptionMACText
	case r.wholeECS:
		return wire.OptionECS
	case id.Addr.IsValid(), id.HasDevice:
		return wire.OptionUmbrella
	case id.CPELen > 0:
		return wire.OptionCPE
	case id.Org != 0, id.Asset != 0:
		return wire.OptionUmbrella
	case id.Subnet.IsValid():
		return wire.OptionECS
	}
	return 0
}

// subnetOf reads a client subnet (RFC 7871 section 6); the zero Prefix where there
// is none, or one of length 0, which says nothing. Bits behind the prefix do not
// count.
func subnetOf(data []byte) netip.Prefix {
	if len(data) < 4 || data[2] == 0 {
		return netip.Prefix{}
	}
	var address [16]byte
	bits, octets := int(data[2]), data[4:]
	if len(octets) != (bits+7)/8 || len(octets) > len(address) {
		return netip.Prefix{}
	}
	copy(address[:], octets)
	switch binary.BigEndian.Uint16(data) {
	case 1:
		if bits <= 32 {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte(address[:4])), bits).Masked()
		}
	case 2:
		p := netip.PrefixFrom(netip.AddrFrom16(address), bits).Masked()
		if p.Addr().Is4In6() && bits >= 96 {
			return netip.PrefixFrom(p.Addr().Unmap(), bits-96)
		}
		return p
	}
	return netip.Prefix{}
}

// credible is an address that a client can have, else the zero Addr. A loopback
// address means something on its own machine only.
func credible(addr, forwarder netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() ||
		addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) ||
		addr.IsLoopback() && !forwarder.IsLoopback() {
		return netip.Addr{}
	}
	return addr
}

// setMAC takes six octets that are a machine's, and not all zero or broadcast.
func setMAC(id *hits.Identity, octets []byte) bool {
	if len(octets) != 6 {
		return false
	}
	mac := [6]byte(octets)
	if mac == [6]byte{} || mac == [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} {
		return false
	}
	id.MAC = mac
	return true
}

// setMACText takes eight characters of base64, or hexadecimal digits with colons
// between the octets.
func setMACText(id *hits.Identity, text []byte) bool {
	var octets [6]byte
	switch len(text) {
	case 8:
		if n, err := base64.StdEncoding.Strict().Decode(octets[:], text); n != 6 || err != nil {
			return false
		}
	case 17:
		for i := range octets {
			pair := text[3*i:]
			if i < 5 && pair[2] != ':' {
				return false
			}
			if _, err := hex.Decode(octets[i:i+1], pair[:2]); err != nil {
				return false
			}
		}
	default:
		return false
	}
	return setMAC(id, octets[:])
}

// umbrella is what Cisco Umbrella's option says.
type umbrella struct {
	read, hasDevice bool
	asset, org      uint32
	addr            netip.Addr
	device          [8]byte
}

// Types of the fields of Umbrella's option.
const (
	umbrellaAsset  = 0x04
	umbrellaOrg    = 0x08
	umbrellaIPv4   = 0x10
	umbrellaIPv6   = 0x20
	umbrellaDevice = 0x40
)

// umbrellaLength is how long the value of a field is, in octets; 0: not known.
func umbrellaLength(field uint16) int {
	switch field {
	case umbrellaAsset, umbrellaOrg, umbrellaIPv4:
		return 4
	case umbrellaDevice:
		return 8
	case umbrellaIPv6:
		return 16
	}
	return 0
}

// readUmbrella reads "ODNS", version 1, flags, and then fields: a type of two
// octets and a value whose length the type says. The first unknown type ends it.
func readUmbrella(data []byte) (u umbrella) {
	const head = 6
	if len(data) < head || string(data[:4]) != "ODNS" || data[4] != 1 {
		return u
	}
	for data = data[head:]; len(data) >= 2; {
		field := binary.BigEndian.Uint16(data)
		length := umbrellaLength(field)
		if data = data[2:]; length == 0 || len(data) < length {
			break
		}
		value := data[:length]
		data = data[length:]
		u.read = true
		switch field {
		case umbrellaAsset:
			u.asset = binary.BigEndian.Uint32(value)
		case umbrellaOrg:
			u.org = binary.BigEndian.Uint32(value)
		case umbrellaIPv4:
			u.addr = netip.AddrFrom4([4]byte(value))
		case umbrellaIPv6:
			u.addr = netip.AddrFrom16([16]byte(value))
		case umbrellaDevice:
			u.device = [8]byte(value)
			u.hasDevice = u.device != [8]byte{}
		}
	}
	return u
}
