package hits

import (
	"net/netip"
	"testing"
)

func TestVeilOfAddresses(t *testing.T) {
	one, other := Pseudonymous([]byte("one")), Pseudonymous([]byte("other"))
	seen := map[netip.Addr]string{}
	for text, cut := range map[string]string{
		"192.0.2.7": "192.0.2.0", "192.0.2.8": "192.0.2.0", "198.51.100.255": "198.51.100.0",
		"2001:db8:1:2:3::4": "2001:db8:1::", "fe80::1%eth0": "fe80::", "::ffff:203.0.113.9": "203.0.113.0",
	} {
		a := netip.MustParseAddr(text)
		if got := Truncated().Addr(a).String(); got != cut {
			t.Errorf("%s truncated is %s, want %s", text, got, cut)
		}
		for _, v := range []*Veil{one, other} {
			p := v.Addr(a)
			if p != v.Addr(a) || p != v.Addr(a.Unmap().WithZone("")) || !p.IsPrivate() || seen[p] != "" {
				t.Errorf("%s: pseudonym %s, seen before for %q", text, p, seen[p])
			}
			seen[p] = text
		}
	}
	var none *Veil
	if a := netip.MustParseAddr("192.0.2.7"); none.Addr(a) != a || one.Addr(netip.Addr{}).IsValid() {
		t.Error("no veil, or no address")
	}
}

// One machine has one pseudonym in each field, over lines and merged lines; another machine
// another one.
func TestVeilOfOneMachine(t *testing.T) {
	said := &Identity{Forwarder: netip.MustParseAddr("198.51.100.1"), Addr: netip.MustParseAddr("10.0.0.7"), MAC: [6]byte{0, 0, 0x5e, 0, 0x53, 0x23}, Source: 65001,
		HasDevice: true, Device: [8]byte{1, 2, 3}, Org: 17, Asset: 18, CPELen: 3, CPE: [MaxCPE]byte{'c', 'p', 'e'}}
	line := func(e *encoder, i *Identity) *Record {
		h := testHit(func(h *Hit) { h.Identity, h.Client = i, netip.AddrPortFrom(i.Addr, 0) })
		r, err := ParseRecord(e.appendHit(nil, h, testTime))
		if err != nil {
			t.Fatal(err)
		}
		if e.veiled.Evidence != nil {
			t.Error("the policy is held on to")
		}
		return r
	}
	e := newEncoder(testObserver, 0, Pseudonymous([]byte("key")))
	first, again := line(e, said), line(newEncoder(testObserver, 0, Pseudonymous([]byte("key"))), said)
	moved := *said
	moved.MAC[5]++
	moved.Device[7]++
	moved.CPE[0]++
	moved.Addr = moved.Addr.Next()
	other := line(e, &moved)
	type fields struct{ ip, mac, device, cpe string }
	of := func(r *Record) fields {
		return fields{r.Client.IP.String(), r.Client.MAC, r.Sinkhole.Identity.Device, r.Sinkhole.Identity.CPE}
	}
	a, b := of(first), of(other)
	if of(again) != a {
		t.Errorf("%+v, then %+v", a, of(again))
	}
	if a.ip == b.ip || a.mac == b.mac || a.device == b.device || a.cpe == b.cpe {
		t.Errorf("%+v, and for another machine %+v", a, b)
	}
	if first.Sinkhole.Identity.Org != 17 || first.Sinkhole.Identity.Asset != 0 || first.Network.Type != "ipv4" && first.Network.Type != "" {
		t.Errorf("%+v %s", first.Sinkhole.Identity, first.Network.Type)
	}
	cut := line(newEncoder(testObserver, 0, Truncated()), said)
	if got := of(cut); got != (fields{ip: "10.0.0.0"}) {
		t.Errorf("truncated: %+v", got)
	}
}
