package resolver

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/blocklist"
	"sinkhole/hits"
	"sinkhole/resolver/upstream"
	"sinkhole/resolver/wire"
)

// option is one EDNS option of any form.
func option(code uint16, data string) dns.EDNS0 {
	return &dns.EDNS0_LOCAL{Code: code, Data: []byte(data)}
}

// everyOption is each option by which a forwarder tells who asks.
var everyOption = []dns.EDNS0{
	option(wire.OptionECS, "\x00\x01\x20\x00\x0a\x01\x02\x03"),
	option(wire.OptionMAC, "\x00\x00\x5e\x00\x53\x23"),
	option(wire.OptionMACText, "AABeAFMj"),
	option(wire.OptionCPE, "lobby-7"),
	option(wire.OptionUmbrella, "ODNS\x01\x00\x00\x10\x0a\x01\x02\x04\x00\x40\x01\x02\x03\x04\x05\x06\x07\x08"),
}

// withOptions is a query with options as they are given, ID 4711.
func withOptions(t testing.TB, name string, typ uint16, options ...dns.EDNS0) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, typ)
	m.Id = 4711
	m.SetEdns0(1232, false).IsEdns0().Option = options
	msg, err := m.Pack()
	check(t, err)
	return msg
}

func packOptions(options ...dns.EDNS0) (packed []byte) {
	for _, o := range options {
		data := o.(*dns.EDNS0_LOCAL).Data
		packed = binary.BigEndian.AppendUint16(packed, o.Option())
		packed = append(binary.BigEndian.AppendUint16(packed, uint16(len(data))), data...)
	}
	return packed
}

const identityMAC = "\x00\x00\x5e\x00\x53\x23"

func TestReadIdentity(t *testing.T) {
	forwarder := netip.MustParseAddr("192.0.2.53")
	mac := [6]byte([]byte(identityMAC))
	addr := netip.MustParseAddr("10.1.2.3")
	umbrella := func(fields string) dns.EDNS0 { return option(20292, "ODNS\x01\x00"+fields) }
	device := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	for _, tt := range []struct {
		what    string
		options []dns.EDNS0
		want    hits.Identity // but Forwarder
	}{
		{"nothing", nil, hits.Identity{}},
		{"options of others", []dns.EDNS0{option(10, "12345678"), option(12, "\x00\x00"), option(65002, identityMAC)}, hits.Identity{}},

		{"ECS, an address", []dns.EDNS0{option(8, "\x00\x01\x20\x00\x0a\x01\x02\x03")}, hits.Identity{Source: 8, Addr: addr, Subnet: netip.PrefixFrom(addr, 32)}},
		{"ECS, a subnet", []dns.EDNS0{option(8, "\x00\x01\x18\x00\x0a\x01\x02")}, hits.Identity{Source: 8, Subnet: netip.MustParsePrefix("10.1.2.0/24")}},
		{"ECS of 31 bits", []dns.EDNS0{option(8, "\x00\x01\x1f\x00\x0a\x01\x02\x03")}, hits.Identity{Source: 8, Subnet: netip.MustParsePrefix("10.1.2.2/31")}},
		{"ECS, IPv6", []dns.EDNS0{option(8, "\x00\x02\x80\x00\x20\x01\x0d\xb8"+strings.Repeat("\x00", 11)+"\x07")},
			hits.Identity{Source: 8, Addr: netip.MustParseAddr("2001:db8::7"), Subnet: netip.MustParsePrefix("2001:db8::7/128")}},
		{"ECS, IPv4 in IPv6", []dns.EDNS0{option(8, "\x00\x02\x80\x00"+strings.Repeat("\x00", 10)+"\xff\xff\x0a\x01\x02\x03")}, hits.Identity{Source: 8, Addr: addr, Subnet: netip.PrefixFrom(addr, 32)}},
		{"ECS of length 0", []dns.EDNS0{option(8, "\x00\x01\x00\x00")}, hits.Identity{}},
		{"ECS, empty", []dns.EDNS0{option(8, "")}, hits.Identity{}},
		{"ECS, cut short", []dns.EDNS0{option(8, "\x00\x01\x20\x00\x0a\x01\x02")}, hits.Identity{}},
		{"ECS, too long", []dns.EDNS0{option(8, "\x00\x01\x18\x00\x0a\x01\x02\x03")}, hits.Identity{}},
		{"ECS of 33 bits", []dns.EDNS0{option(8, "\x00\x01\x21\x00\x0a\x01\x02\x03\x00")}, hits.Identity{}},
		{"ECS of 255 bits", []dns.EDNS0{option(8, "\x00\x02\xff\x00"+strings.Repeat("\x01", 32))}, hits.Identity{}},
		{"ECS, family 3", []dns.EDNS0{option(8, "\x00\x03\x08\x00\x0a")}, hits.Identity{}},
		{"ECS, the second can be read", []dns.EDNS0{option(8, "\x00"), option(8, "\x00\x01\x20\x00\x0a\x01\x02\x03")}, hits.Identity{Source: 8, Addr: addr, Subnet: netip.PrefixFrom(addr, 32)}},
		{"ECS, the first counts", []dns.EDNS0{option(8, "\x00\x01\x20\x00\x0a\x01\x02\x03"), option(8, "\x00\x01\x20\x00\x0a\x01\x02\x09")}, hits.Identity{Source: 8, Addr: addr, Subnet: netip.PrefixFrom(addr, 32)}},
		{"no machine's address", []dns.EDNS0{option(8, "\x00\x01\x20\x00\x00\x00\x00\x00")}, hits.Identity{Source: 8, Subnet: netip.MustParsePrefix("0.0.0.0/32")}},
		{"a loopback address of another machine", []dns.EDNS0{option(8, "\x00\x01\x20\x00\x7f\x00\x00\x01")}, hits.Identity{Source: 8, Subnet: netip.MustParsePrefix("127.0.0.1/32")}},
		{"a multicast address", []dns.EDNS0{umbrella("\x00\x10\xe0\x00\x00\x01")}, hits.Identity{}},

		{"MAC", []dns.EDNS0{option(65001, identityMAC)}, hits.Identity{Source: 65001, MAC: mac}},
		{"MAC of 5 octets", []dns.EDNS0{option(65001, identityMAC[:5])}, hits.Identity{}},
		{"MAC of 7 octets", []dns.EDNS0{option(65001, identityMAC+"\x00")}, hits.Identity{}},
		{"MAC, empty", []dns.EDNS0{option(65001, "")}, hits.Identity{}},
		{"MAC, zero", []dns.EDNS0{option(65001, "\x00\x00\x00\x00\x00\x00")}, hits.Identity{}},
		{"MAC, broadcast", []dns.EDNS0{option(65001, "\xff\xff\xff\xff\xff\xff")}, hits.Identity{}},
		{"MAC in base64", []dns.EDNS0{option(65073, "AABeAFMj")}, hits.Identity{Source: 65073, MAC: mac}},
		{"MAC in hexadecimal", []dns.EDNS0{option(65073, "00:00:5E:00:53:23")}, hits.Identity{Source: 65073, MAC: mac}},
		{"MAC in lower case", []dns.EDNS0{option(65073, "00:00:5e:00:53:23")}, hits.Identity{Source: 65073, MAC: mac}},
		{"MAC with dashes", []dns.EDNS0{option(65073, "00-00-5e-00-53-23")}, hits.Identity{}},
		{"MAC without a digit", []dns.EDNS0{option(65073, "00:00:5e:00:53:2")}, hits.Identity{}},
		{"MAC, no digits", []dns.EDNS0{option(65073, "00:00:5e:00:53:2g")}, hits.Identity{}},
		{"MAC, base64 with a line end", []dns.EDNS0{option(65073, "AABeAFM\n")}, hits.Identity{}},
		{"MAC, padded base64", []dns.EDNS0{option(65073, "AABeAA==")}, hits.Identity{}},
		{"MAC, raw before text", []dns.EDNS0{option(65073, "AABeAFMk"), option(65001, identityMAC)}, hits.Identity{Source: 65001, MAC: mac}},

		{"CPE id", []dns.EDNS0{option(65074, "lobby")}, hits.Identity{Source: 65074, CPELen: 5, CPE: [hits.MaxCPE]byte{'l', 'o', 'b', 'b', 'y'}}},
		{"CPE id, empty", []dns.EDNS0{option(65074, "")}, hits.Identity{}},
		{"CPE id, too long", []dns.EDNS0{option(65074, strings.Repeat("x", 1000))}, hits.Identity{Source: 65074, CPELen: hits.MaxCPE, CPE: [hits.MaxCPE]byte([]byte(strings.Repeat("x", hits.MaxCPE)))}},

		{"Umbrella", []dns.EDNS0{umbrella("\x00\x08\x00\x00\x00\x11\x00\x10\x0a\x01\x02\x03\x00\x40\x01\x02\x03\x04\x05\x06\x07\x08\x00\x04\x00\x00\x00\x12")},
			hits.Identity{Source: 20292, Addr: addr, Org: 17, Asset: 18, HasDevice: true, Device: device}},
		{"Umbrella, IPv6", []dns.EDNS0{umbrella("\x00\x20\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x07")}, hits.Identity{Source: 20292, Addr: netip.MustParseAddr("2001:db8::7")}},
		{"Umbrella, organisation alone", []dns.EDNS0{umbrella("\x00\x08\x00\x00\x00\x11")}, hits.Identity{Source: 20292, Org: 17}},
		{"Umbrella, another magic", []dns.EDNS0{option(20292, "ODNX\x01\x00\x00\x10\x0a\x01\x02\x03")}, hits.Identity{}},
		{"Umbrella, version 2", []dns.EDNS0{option(20292, "ODNS\x02\x00\x00\x10\x0a\x01\x02\x03")}, hits.Identity{}},
		{"Umbrella, head alone", []dns.EDNS0{umbrella("")}, hits.Identity{}},
		{"Umbrella, a field cut short", []dns.EDNS0{umbrella("\x00\x08\x00\x00\x00\x11\x00\x10\x0a\x01\x02")}, hits.Identity{Source: 20292, Org: 17}},
		{"Umbrella, half a type", []dns.EDNS0{umbrella("\x00\x08\x00\x00\x00\x11\x00")}, hits.Identity{Source: 20292, Org: 17}},
		{"Umbrella, an unknown field ends it", []dns.EDNS0{umbrella("\x00\x08\x00\x00\x00\x11\x00\x80\x00\x10\x0a\x01\x02\x03")}, hits.Identity{Source: 20292, Org: 17}},
		{"ECS before Umbrella", []dns.EDNS0{umbrella("\x00\x10\x0a\x01\x02\x09"), option(8, "\x00\x01\x20\x00\x0a\x01\x02\x03")},
			hits.Identity{Source: 8, Addr: addr, Subnet: netip.MustParsePrefix("10.1.2.3/32")}},
		{"Umbrella's address before a subnet", []dns.EDNS0{umbrella("\x00\x10\x0a\x01\x02\x03"), option(8, "\x00\x01\x18\x00\x0a\x01\x02")},
			hits.Identity{Source: 20292, Addr: addr, Subnet: netip.MustParsePrefix("10.1.2.0/24")}},
	} {
		got := hits.Identity{MAC: [6]byte{9}, CPE: [hits.MaxCPE]byte{60: 1}} // of a query before
		tt.want.Forwarder = forwarder
		if ok := readIdentity(&got, forwarder, packOptions(tt.options...), nil); ok != (tt.want.Source != 0) || got != tt.want {
			t.Errorf("%s: %v\n%+v, want\n%+v", tt.what, ok, got, tt.want)
		}
	}
}

// FuzzIdentity: whatever options hold, reading them ends, and agrees with other
// readers about a client subnet and a MAC address.
func FuzzIdentity(f *testing.F) {
	f.Add(packOptions(everyOption[0].(*dns.EDNS0_LOCAL)))
	for _, o := range everyOption {
		f.Add(packOptions(o))
	}
	f.Add(packOptions(option(8, "\x00\x02\x38\x00\x20\x01\x0d\xb8\x00\x00\x01"), option(65073, "00:00:5e:00:53:23")))
	f.Fuzz(func(t *testing.T, options []byte) {
		before := slices.Clone(options)
		var id hits.Identity
		forwarder := netip.MustParseAddr("192.0.2.53")
		ok := readIdentity(&id, forwarder, options, nil)
		if !bytes.Equal(before, options) {
			t.Error("the options were changed")
		}
		if ok != (id.Source != 0) || id.Forwarder != forwarder || id.Tells() && !ok || id.Addr.IsLoopback() || id.Addr.Is4In6() {
			t.Errorf("%v %+v", ok, id)
		}
		if !bytes.Equal(id.CPE[id.CPELen:], make([]byte, hits.MaxCPE-int(id.CPELen))) {
			t.Errorf("octets behind the CPE id: %+v", id)
		}
		subnet, whole := librarySubnet(options)
		if whole && id.Subnet != subnet {
			t.Errorf("subnet %v, the library says %v", id.Subnet, subnet)
		}
		for rest := options; ; {
			code, data, next, more := wire.NextOption(rest)
			if !more {
				break
			}
			rest = next
			if mac, err := net.ParseMAC(string(data)); code == wire.OptionMACText && err == nil && len(data) == 17 && data[2] == ':' && len(mac) == 6 && !id.HasMAC() &&
				hex.EncodeToString(mac) != "000000000000" && hex.EncodeToString(mac) != "ffffffffffff" {
				t.Errorf("MAC %s was not read", mac)
			}
		}
	})
}

// librarySubnet is the one client subnet that the library finds; whole is false
// where it cannot read the options, or the one does not count by our rules (a
// wrong length is forgiven there).
func librarySubnet(options []byte) (p netip.Prefix, whole bool) {
	msg := slices.Concat([]byte{0, 0, 41, 4, 0xd0, 0, 0, 0, 0}, binary.BigEndian.AppendUint16(nil, uint16(len(options))), options)
	rr, _, err := dns.UnpackRR(msg, 0)
	if err != nil || len(options) > 65535 {
		return p, false
	}
	n := 0
	for _, o := range rr.(*dns.OPT).Option {
		subnet, isSubnet := o.(*dns.EDNS0_SUBNET)
		if !isSubnet {
			continue
		}
		if n++; subnet.SourceNetmask == 0 {
			continue
		}
		addr, _ := netip.AddrFromSlice(subnet.Address)
		if subnet.Family == 1 {
			addr = addr.Unmap()
		}
		p = netip.PrefixFrom(addr, int(subnet.SourceNetmask)).Masked()
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
	}
	for rest := options; n == 1; {
		code, data, next, more := wire.NextOption(rest)
		if !more {
			break
		}
		rest = next
		if code == wire.OptionECS && len(data) != 4+(int(data[2])+7)/8 {
			return p, false
		}
	}
	return p, n <= 1
}

// forwarderRig believes 127.0.0.0/8.
func forwarderRig(t testing.TB, o rigOptions) *rig {
	o.settings = sinkSettings()
	o.settings.Forwarders = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	return newRig(t, o)
}

// Whatever brings a query, its hit is of the client that is told: the reader alone
// and in a batch, the library with datagrams and connections, whole messages.
func TestEveryPathTellsWhoAsked(t *testing.T) {
	t.Parallel()
	k := forwarderRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), forward: answering(nil, "good.example. A 192.0.2.1")})
	common := withOptions(t, "bad.example.", dns.TypeA, everyOption...)
	// What the byte path leaves to the library: an answer record in a query.
	m := new(dns.Msg)
	check(t, m.Unpack(common))
	m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: "x.", Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(192, 0, 2, 9)})
	uncommon, err := m.Pack()
	check(t, err)

	udp, tcp := k.handler(hits.UDP, 1), k.handler(hits.TCP, 1)
	reader, room, now := prompt{handler: udp}, make([]byte, 0, 4096), time.Now()
	paths := 0
	answered := func(what string, answer []byte) {
		t.Helper()
		if paths++; len(answer) == 0 || wire.Flags(answer)&wire.RCodeMask != 0 {
			t.Errorf("%s: answer %x", what, answer)
		}
	}
	answer, _ := reader.answer(common, &fuzzPeer, now, room)
	answered("reader", answer)
	reader.look(2, func(int) (netip.Addr, []byte) { return fuzzPeer.remote.Addr(), common })
	answer, _ = reader.answerSeen(reader.ahead.at(1), common, &fuzzPeer, now, room)
	answered("reader, of a batch", answer)
	for _, h := range []*handler{udp, tcp} {
		w := &writer{transport: h.transport}
		serve(h, w, common)
		answered("library", bytes.Join(w.replies, nil))
		w = &writer{transport: h.transport}
		serve(h, w, uncommon)
		answered("library, uncommon", bytes.Join(w.replies, nil))
	}
	for _, msg := range [][]byte{common, uncommon} {
		answer, _ = tcp.whole(msg, arrival{client: fuzzClient, server: fuzzClient, transport: hits.TCP, queue: tcp.queue, received: now}, room)
		answered("whole", answer)
	}
	found := k.hits(t)
	if len(found) != paths {
		t.Fatalf("%d hits, expected %d", len(found), paths)
	}
	for i, r := range found {
		id := &r.Sinkhole.Identity
		if r.Client.IP.String() != "10.1.2.3" || r.Client.Port != 0 || r.Client.MAC != "00-00-5E-00-53-23" || r.Sinkhole.Peer.IP != fuzzClient.Addr() || r.Sinkhole.Peer.Port != 40000 ||
			!id.Trusted || id.CPE != "lobby-7" || id.Device != "0102030405060708" || id.Source != "edns65001" || r.Sinkhole.ECS.Subnet.String() != "10.1.2.3/32" || r.Sinkhole.SourceProven {
			t.Errorf("%s", r.Raw)
		}
		if r.Sinkhole.Fingerprint != found[0].Sinkhole.Fingerprint {
			t.Errorf("path %d: fingerprint %s, of another %s", i, r.Sinkhole.Fingerprint, found[0].Sinkhole.Fingerprint)
		}
	}
}

// A reader is used for one client after the other: nothing of one is the next one's.
func TestNothingIsLeftOfTheClientBefore(t *testing.T) {
	t.Parallel()
	k := forwarderRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	reader := newPrompt(k)
	for _, msg := range [][]byte{
		withOptions(t, "bad.example.", dns.TypeA, everyOption...), queryOf(t, "bad.example.", dns.TypeA),
		withOptions(t, "bad.example.", dns.TypeA), withOptions(t, "bad.example.", dns.TypeA, option(65001, "\x00")),
	} {
		reader.answer(msg, &fuzzPeer, time.Now(), make([]byte, 0, 512))
	}
	for i, r := range k.hits(t) {
		if told := i == 0; r.Sinkhole.Identity.Trusted != told || r.Sinkhole.Forwarder == told || (r.Client.MAC != "") != told || (r.Client.IP == fuzzPeer.remote.Addr()) == told {
			t.Errorf("%d: %s", i, r.Raw)
		}
	}
}

// Clients of one forwarder that wait for one exchange are told apart when its answer
// is judged.
func TestWaitersAreToldApart(t *testing.T) {
	t.Parallel()
	z := newZone(t, "a.example. A 198.51.100.7\n;! a.example A hold\n")
	k := forwarderRig(t, rigOptions{specs: specsOf(list(t, "addresses", "198.51.100.0/24\n")), servers: []string{z.addr}, timeout: patience})
	z.release(func() bool { return k.Stats().Waiting == 2 })
	clients := []string{"10.1.2.3", "10.1.2.4"}
	var conns []net.Conn
	for _, client := range clients {
		o, err := subnetOption(client + "/32")
		check(t, err)
		c := dialUDP(t, k)
		send(t, c, withOptions(t, "a.example.", dns.TypeA, o, option(65074, "of "+client)))
		conns = append(conns, c)
	}
	for _, c := range conns {
		receive(t, c)
	}
	var got []string
	for _, r := range k.hits(t) {
		got = append(got, r.Client.IP.String())
		if r.Sinkhole.Identity.CPE != "of "+r.Client.IP.String() || r.Sinkhole.Trigger != "response-ip" {
			t.Errorf("%s", r.Raw)
		}
	}
	if slices.Sort(got); !slices.Equal(got, clients) {
		t.Errorf("hits of %v, expected of %v", got, clients)
	}
}

// Options say things about clients: none goes upstream, whoever sent it (CVE-2025-5994,
// CVE-2025-30192: an answer for one subnet cached for all).
func TestOptionsStayHere(t *testing.T) {
	t.Parallel()
	for _, believed := range []bool{true, false} {
		z := newZone(t, "*.example. A 192.0.2.1\n")
		o := rigOptions{servers: []string{z.addr}}
		k := newRig(t, o)
		if believed {
			k = forwarderRig(t, o)
		}
		other := []dns.EDNS0{option(10, "12345678"), option(3, ""), option(12, "\x00\x00\x00"), option(65535, "x")}
		for _, c := range []net.Conn{dialUDP(t, k), dialTCP(t, k)} {
			for i, o := range append(other, everyOption...) {
				name := "n" + string(rune('a'+i)) + c.LocalAddr().Network() + ".example."
				send(t, c, withOptions(t, name, dns.TypeA, o))
				var m dns.Msg
				check(t, m.Unpack(receive(t, c)))
				if m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 || len(m.IsEdns0().Option) != 0 && o.Option() != dns.EDNS0COOKIE {
					t.Errorf("option %d: %v", o.Option(), &m)
				}
				if asked := z.take(); len(asked) != 1 || strings.Contains(asked[0], "option") {
					t.Errorf("option %d: upstream was asked %q", o.Option(), asked)
				}
			}
		}
	}
}

// CVE-2026-41292: floods of options. A query full of them is read once, and answered.
func TestManyOptions(t *testing.T) {
	t.Parallel()
	k := forwarderRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	var options []dns.EDNS0
	for i := range 900 {
		options = append(options, option([]uint16{8, 65001, 65073, 65074, 20292}[i%5], ""))
	}
	options = append(options, everyOption[1])
	msg := withOptions(t, "bad.example.", dns.TypeA, options[5:]...)
	if len(msg) > maxQuery {
		t.Fatalf("a query of %d octets", len(msg))
	}
	reader := newPrompt(k)
	if _, handled := reader.answer(msg, &fuzzPeer, time.Now(), make([]byte, 0, 512)); handled {
		t.Error("an empty client subnet is for the library to judge")
	}
	msg = withOptions(t, "bad.example.", dns.TypeA, slices.DeleteFunc(options, func(o dns.EDNS0) bool { return o.Option() == 8 })...)
	if answer, handled := reader.answer(msg, &fuzzPeer, time.Now(), make([]byte, 0, 512)); !handled || answer == nil {
		t.Error("no answer")
	}
	if found := k.hits(t); len(found) != 1 || found[0].Client.MAC != "00-00-5E-00-53-23" {
		t.Errorf("%d hits, expected one with a MAC address", len(found))
	}
}

// AdGuardHome#4651, CVE-2026-54478: behind a balancer the client is who it names, and
// what that one says of others is believed by what it is, not by what the balancer is.
func TestBehindABalancer(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	settings := sinkSettings()
	settings.Allow = append(settings.Allow, netip.MustParsePrefix("192.0.2.0/24"))
	settings.Forwarders = []netip.Prefix{netip.MustParsePrefix("192.0.2.53/32"), netip.MustParsePrefix("127.0.0.1/32")}
	k.Configure(*settings)
	h := k.handler(hits.TCP, 1)
	msg := withOptions(t, "bad.example.", dns.TypeA, everyOption[0], everyOption[1])
	for _, client := range []string{"192.0.2.53:5353", "192.0.2.7:5353"} {
		answer, ok := h.whole(msg, arrival{client: netip.MustParseAddrPort(client), balancer: fuzzClient, proxy: hits.ProxyV2, server: fuzzClient,
			transport: hits.TCP, queue: h.queue, received: time.Now()}, nil)
		if !ok || answer == nil {
			t.Error("no answer")
		}
	}
	found := k.hits(t)
	if len(found) != 2 {
		t.Fatalf("%d hits", len(found))
	}
	if r := found[0]; r.Client.IP.String() != "10.1.2.3" || r.Sinkhole.Identity.Forwarder.String() != "192.0.2.53" || r.Sinkhole.Peer != (hits.RecordPeer{IP: fuzzClient.Addr(), Port: 40000, Proxy: "v2"}) || r.Sinkhole.SourceProven {
		t.Errorf("a forwarder: %s", r.Raw)
	}
	if r := found[1]; r.Client.IP.String() != "192.0.2.7" || r.Client.Port != 5353 || r.Client.MAC != "" || r.Sinkhole.Identity.Trusted || r.Sinkhole.Peer.IP != fuzzClient.Addr() || !r.Sinkhole.SourceProven {
		t.Errorf("somebody else: %s", r.Raw)
	}
}

// Groups are of the client that a forwarder tells; nobody else gets another's group
// by naming one of it.
func TestGroupsGoByWhoAsked(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{
		specs:   specsOf(list(t, "stealers", trapList)),
		groups:  []blocklist.Group{{Name: "pilot", Clients: []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24")}, Mode: blocklist.GroupObserve}},
		forward: answering(nil, "bad.example. A 192.0.2.1"),
	})
	h := k.handler(hits.TCP, 1)
	settings := sinkSettings()
	for _, believed := range []bool{true, false} {
		settings.Forwarders = nil
		if believed {
			settings.Forwarders = settings.Allow
		}
		k.Configure(*settings)
		answer, _ := h.whole(withOptions(t, "bad.example.", dns.TypeA, everyOption[0]), arrival{client: fuzzClient, server: fuzzClient, transport: hits.TCP, queue: h.queue, received: time.Now()}, nil)
		var m dns.Msg
		check(t, m.Unpack(answer))
		if len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.Equal(net.IPv4(192, 0, 2, 1)) != believed {
			t.Errorf("believed %v: %v", believed, &m)
		}
	}
	if found := k.hits(t); len(found) != 2 || found[0].Sinkhole.Group != "pilot" || found[0].Sinkhole.Mode != "observe" || found[1].Sinkhole.Group != "" || found[1].Sinkhole.Mode != "enforce" {
		t.Errorf("hits: %s\n%s", found[0].Raw, found[len(found)-1].Raw)
	}
}

// Who is a forwarder changes with the settings, from the next query on.
func TestForwardersAreReconfigured(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	reader := newPrompt(k)
	msg := withOptions(t, "bad.example.", dns.TypeA, everyOption...)
	settings := sinkSettings()
	for range 2 {
		reader.answer(msg, &fuzzPeer, time.Now(), make([]byte, 0, 512))
		settings.Forwarders, settings.Expected = settings.Allow, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		k.Configure(*settings)
	}
	found := k.hits(t)
	if len(found) != 2 || found[0].Sinkhole.Identity.Trusted || found[0].Sinkhole.Expected || !found[1].Sinkhole.Identity.Trusted || !found[1].Sinkhole.Expected {
		t.Errorf("%d hits: %s\n%s", len(found), found[0].Raw, found[len(found)-1].Raw)
	}
}

// What is disbelieved is passed over, each option by itself.
func TestDisbelievedOptions(t *testing.T) {
	forwarder := netip.MustParseAddr("192.0.2.53")
	for _, o := range everyOption {
		var alone, without, only hits.Identity
		if !readIdentity(&alone, forwarder, packOptions(o), nil) {
			t.Errorf("option %d is not believed", o.Option())
		}
		if readIdentity(&without, forwarder, packOptions(o), []uint16{o.Option()}) {
			t.Errorf("option %d is believed: %+v", o.Option(), without)
		}
		var others []uint16
		for _, other := range everyOption {
			if other.Option() != o.Option() {
				others = append(others, other.Option())
			}
		}
		if readIdentity(&only, forwarder, packOptions(everyOption...), others); only != alone {
			t.Errorf("option %d: %+v, want %+v", o.Option(), only, alone)
		}
	}
}

// A real forwarder in front of us: dnsmasq tells the client's address and its own id.
// (It finds no MAC address for a client on loopback.)
func TestDnsmasqInFront(t *testing.T) {
	t.Parallel()
	program, port := tool(t, "dnsmasq"), freePort(t)
	k := forwarderRig(t, rigOptions{
		specs: specsOf(list(t, "stealers", trapList)),
		forward: func(context.Context, []byte) (upstream.Reply, error) {
			return upstream.Reply{}, &upstream.Error{Kind: upstream.NoReply}
		},
	})
	_, own, err := net.SplitHostPort(k.listener.Addr().String())
	check(t, err)
	runEngine(t, "dnsmasq", port, func(said string) bool { return strings.Contains(said, "started, version") }, program,
		"--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--pid-file=", "--user=", "--no-resolv", "--no-hosts", "--cache-size=0",
		"--listen-address=127.0.0.1", "--bind-interfaces", "--port="+port, "--server=127.0.0.1#"+own,
		"--add-mac", "--strip-mac", "--add-subnet=32,128", "--strip-subnet", "--add-cpe-id=lobby-7", "--umbrella=orgid:17,deviceid:0102030405060708")
	clients := []string{"127.0.0.21", "127.0.0.22", "127.0.0.23"}
	for i, from := range clients {
		c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:"+port)))
		check(t, err)
		defer c.Close()
		check(t, c.SetDeadline(time.Now().Add(patience)))
		if i < 2 {
			serves(t, c)
			continue
		}
		// A client that names another is not believed, since dnsmasq strips that.
		send(t, c, withOptions(t, "bad.example.", dns.TypeA, everyOption...))
		receive(t, c)
	}
	found := k.hits(t)
	if len(found) != len(clients) {
		t.Fatalf("%d hits, expected %d", len(found), len(clients))
	}
	for i, r := range found {
		id := &r.Sinkhole.Identity
		if r.Client.IP.String() != clients[i] || r.Client.MAC != "" || r.Client.Port != 0 || r.Sinkhole.Peer.IP.String() != "127.0.0.1" || !id.Trusted || id.CPE != "lobby-7" ||
			id.Org != 17 || id.Device != "0102030405060708" || r.Sinkhole.ECS.Subnet.String() != clients[i]+"/32" || r.Sinkhole.ECS.SourcePrefix != 32 {
			t.Errorf("of %s: %s", clients[i], r.Raw)
		}
	}
}
