package hits

import (
	"encoding/hex"
	"net/netip"
	"strconv"
)

// Proxy is how a balancer said who asks (sinkhole.peer.proxy).
type Proxy uint8

const (
	ProxyNone Proxy = iota // the socket's other end asks
	ProxyV1                // PROXY protocol, version 1
	ProxyV2
)

// String is the word that sinkhole.peer.proxy has for p.
func (p Proxy) String() string {
	switch p {
	case ProxyNone:
		return "none"
	case ProxyV1:
		return "v1"
	case ProxyV2:
		return "v2"
	}
	return "unknown"
}

// MaxCPE is the longest CPE id that is kept, in octets; what is behind is cut off.
const MaxCPE = 64

// Identity is what a forwarder that is believed says of a client. It has no
// pointers of its own and compares equal for one client; what is not told is zero.
type Identity struct {
	Forwarder netip.Addr   // who says so
	Addr      netip.Addr   // the client's whole address
	Subnet    netip.Prefix // as ECS tells it, masked; of one address too
	MAC       [6]byte
	Source    uint16 // the EDNS option that tells most

	HasDevice bool
	Device    [8]byte // Umbrella's id of the appliance
	Org       uint32  // and of who runs it
	Asset     uint32

	CPELen uint8
	CPE    [MaxCPE]byte // what is behind the first CPELen octets is zero
}

// Tells reports whether the identity tells one client, or one appliance, from
// others of its forwarder: a subnet or an organisation does not.
func (i *Identity) Tells() bool {
	return i.Addr.IsValid() || i.HasMAC() || i.CPELen > 0 || i.HasDevice
}

// HasMAC reports whether the client's MAC address is told.
func (i *Identity) HasMAC() bool { return i.MAC != [6]byte{} }

// Fingerprint is how a query was written: programs differ in it, so many of them
// behind one address hint at a forwarder, or a NAT.
type Fingerprint struct {
	RD, AD, CD, EDNS, DO bool
	UDPSize              uint16 // with EDNS
	Options              uint32 // a hash of the options' codes in their order; 0: no option
}

// append appends the text of sinkhole.fingerprint: what is set, as in
// rd-ad-edns1232-do-5f3a91c2.
func (f Fingerprint) append(dst []byte) []byte {
	start := len(dst)
	for _, part := range [...]struct {
		set  bool
		word string
	}{{f.RD, "-rd"}, {f.AD, "-ad"}, {f.CD, "-cd"}, {f.EDNS, "-edns"}} {
		if part.set {
			dst = append(dst, part.word...)
		}
	}
	if f.EDNS {
		dst = strconv.AppendUint(dst, uint64(f.UDPSize), 10)
	}
	if f.DO {
		dst = append(dst, "-do"...)
	}
	if f.Options != 0 {
		dst = append(dst, '-')
		dst = hex.AppendEncode(dst, []byte{byte(f.Options >> 24), byte(f.Options >> 16), byte(f.Options >> 8), byte(f.Options)})
	}
	if len(dst) == start {
		return append(dst, "none"...)
	}
	return append(dst[:start], dst[start+1:]...)
}

// peer is the socket's other end.
func (h *Hit) peer() netip.AddrPort {
	if h.Relayed {
		return h.Peer
	}
	return h.Client
}

// told reports whether the client's address is one that a forwarder told: the
// port, which is the forwarder's, is then none of the client's.
func (h *Hit) told() bool { return h.Identity != nil && h.Identity.Addr.IsValid() }

// addClient adds who asked.
func (l *line) addClient() {
	h := l.h
	l.object("client")
	if h.told() {
		l.addr("ip", h.Client.Addr())
	} else {
		l.addAddrPort(h.Client)
	}
	if h.Identity != nil && h.Identity.HasMAC() {
		l.mac("mac", h.Identity.MAC)
	}
	l.end('}')
}

// addPeer adds the socket's other end.
func (l *line) addPeer() {
	l.object("peer")
	l.addAddrPort(l.h.peer())
	l.token("proxy", l.h.Proxy.String())
	l.end('}')
}

// addIdentity adds what is known of the client beside its address, and whether
// that is a forwarder's.
func (l *line) addIdentity() {
	h := l.h
	switch {
	case h.Identity != nil:
		l.addBelieved(h.Identity)
	case h.Claimed != 0:
		l.object("identity")
		l.bool("trusted", false)
		l.source(h.Claimed)
		l.end('}')
	}
	if h.Forwarder {
		l.bool("forwarder", true)
	}
	expected := h.Expected
	if l.g != nil {
		expected = l.g.expected
	}
	if expected {
		l.bool("expected", true)
	}
	var room [64]byte
	l.token("fingerprint", string(h.Fingerprint.append(room[:0])))
}

func (l *line) addBelieved(i *Identity) {
	l.object("identity")
	l.bool("trusted", true)
	l.source(i.Source)
	if i.CPELen > 0 {
		l.string("cpe_id", string(appendCharacters(nil, i.CPE[:min(i.CPELen, MaxCPE)])))
	}
	if i.HasDevice {
		l.token("device_id", hex.EncodeToString(i.Device[:]))
	}
	if i.Org != 0 {
		l.uint("org_id", uint64(i.Org))
	}
	if i.Asset != 0 {
		l.uint("asset_id", uint64(i.Asset))
	}
	if i.Forwarder.IsValid() && i.Forwarder != l.h.peer().Addr() {
		l.addr("forwarder", i.Forwarder)
	}
	l.end('}')
	if i.Subnet.IsValid() {
		l.object("ecs")
		l.token("subnet", i.Subnet.String())
		l.uint("source_prefix", uint64(i.Subnet.Bits()))
		l.end('}')
	}
}

// source is the EDNS option that tells who asks.
func (l *line) source(code uint16) {
	l.token("source", "edns"+strconv.Itoa(int(code)))
}

// mac is a MAC address as ECS has it.
func (t *text) mac(key string, mac [6]byte) {
	const digits = "0123456789ABCDEF"
	t.key(key)
	for i, b := range mac {
		*t = append(*t, "\"-"[min(i, 1)], digits[b>>4], digits[b&15])
	}
	*t = append(*t, '"')
}

// appendCharacters appends octets as master files write a character string (RFC
// 1035 section 5.1), without its quotation marks.
func appendCharacters(dst, octets []byte) []byte {
	for _, b := range octets {
		switch {
		case b == '"', b == '\\':
			dst = append(dst, '\\', b)
		case b < ' ' || b > '~':
			dst = appendDecimal(dst, b)
		default:
			dst = append(dst, b)
		}
	}
	return dst
}
