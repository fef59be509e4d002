package hits

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
)

// Veil hides who asked from what is written: of every field that names a client, or what
// asks for it, as little is left as it was made for. Nil hides nothing. Its methods are
// safe for concurrent use.
type Veil struct {
	key []byte // nil: addresses are truncated
}

// Lengths to which addresses are truncated: a client among 256, or a site among
// 65,536.
const (
	veilIPv4 = 24
	veilIPv6 = 48
)

// Truncated leaves the network of an address, /24 or /48, and nothing else that names a client.
func Truncated() *Veil { return new(Veil) }

// Pseudonymous puts a pseudonym in the place of each name: the same for the same name and
// key, and not to be undone, nor made by trying all addresses, without the key.
func Pseudonymous(key []byte) *Veil { return &Veil{key: append([]byte{}, key...)} }

// pseudonymNetwork is of pseudonyms of addresses: locally assigned (RFC 4193), so that
// whatever takes an address takes them, and nothing is reached by them.
func pseudonymNetwork() [6]byte { return [6]byte{0xfd, 0x73, 0x6b, 0x68, 0x6f, 0x6c} }

// Addr is what is written in the place of an address. Neighbours get pseudonyms that tell
// nothing of it: a network of which one machine is known would otherwise give away the others.
func (v *Veil) Addr(a netip.Addr) netip.Addr {
	if v == nil || !a.IsValid() {
		return a
	}
	a = a.Unmap().WithZone("")
	if v.key == nil {
		return v.prefix(netip.PrefixFrom(a, a.BitLen())).Addr()
	}
	network, sum := pseudonymNetwork(), v.sum("address", a.AsSlice())
	var b [16]byte
	copy(b[copy(b[:], network[:]):], sum)
	return netip.AddrFrom16(b)
}

// Written is what is written in the place of an address or a network that a person wrote, such
// as one that is searched for. A pseudonym stays.
func (v *Veil) Written(text string) string {
	if v == nil {
		return text
	}
	p, err := netip.ParsePrefix(text)
	if a, addrErr := netip.ParseAddr(text); addrErr == nil {
		p, err = netip.PrefixFrom(a.WithZone(""), a.BitLen()), nil
	}
	network := pseudonymNetwork()
	switch {
	case err != nil:
		return "hidden"
	case v.key != nil && bytes.HasPrefix(p.Addr().AsSlice(), network[:]):
		return text
	case p.IsSingleIP():
		return v.Addr(p.Addr()).String()
	}
	return v.prefix(p).String()
}

// prefix is a network that is wide enough not to name a client.
func (v *Veil) prefix(p netip.Prefix) netip.Prefix {
	if !p.IsValid() {
		return p
	}
	bits := veilIPv6
	if p.Addr().Is4() {
		bits = veilIPv4
	}
	return netip.PrefixFrom(p.Addr(), min(p.Bits(), bits)).Masked()
}

// sum is a keyed hash of a name of some kind.
func (v *Veil) sum(kind string, name []byte) []byte {
	mac := hmac.New(sha256.New, v.key)
	mac.Write([]byte(kind))
	mac.Write([]byte{0})
	mac.Write(name)
	return mac.Sum(nil)
}

func (v *Veil) addrPort(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(v.Addr(a.Addr()), a.Port())
}

// hide makes veiled, and identity for it, of h.
func (v *Veil) hide(veiled *Hit, identity *Identity, h *Hit) {
	veiled.set(h)
	veiled.Client, veiled.Peer = v.addrPort(h.Client), v.addrPort(h.Peer)
	if h.Trigger == TriggerClientIP {
		veiled.Matched = v.Addr(h.Matched)
	}
	if h.Identity != nil {
		*identity = v.identity(h.Identity)
		veiled.Identity = identity
	}
}

// identity leaves of what a forwarder says who it is and what it rests on, and the
// organisation.
func (v *Veil) identity(i *Identity) Identity {
	kept := Identity{Forwarder: v.Addr(i.Forwarder), Addr: v.Addr(i.Addr), Source: i.Source, Org: i.Org}
	if v.key == nil {
		kept.Subnet = v.prefix(i.Subnet)
		return kept
	}
	if i.HasMAC() {
		copy(kept.MAC[:], v.sum("mac", i.MAC[:]))
		kept.MAC[0] = kept.MAC[0]&^0x03 | 0x02 // locally administered, of one machine
	}
	if i.HasDevice {
		kept.HasDevice = true
		copy(kept.Device[:], v.sum("device", i.Device[:]))
	}
	if i.CPELen > 0 {
		kept.CPELen = 32
		hex.Encode(kept.CPE[:], v.sum("cpe", i.CPE[:i.CPELen])[:16])
	}
	return kept
}

// indicator hides the client where a rule is about it.
func (v *Veil) indicator(i *Indicator, client netip.Addr) {
	p, err := netip.ParsePrefix(i.Name)
	if a, single := netip.ParseAddr(i.Name); single == nil {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	switch {
	case err != nil || !p.Contains(client.Unmap().WithZone("")) || v.prefix(p) == p.Masked():
	case v.key != nil && p.IsSingleIP():
		i.Name = v.Addr(p.Addr()).String()
	default:
		i.Name = v.prefix(p).String()
	}
}
