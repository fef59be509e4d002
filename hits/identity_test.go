package hits

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// fullIdentity is all that a forwarder can tell.
var fullIdentity = Identity{
	Forwarder: netip.MustParseAddr("198.51.100.9"), Addr: netip.MustParseAddr("10.1.2.3"), Subnet: netip.MustParsePrefix("10.1.2.0/24"),
	MAC: [6]byte{0x00, 0x00, 0x5e, 0x00, 0x53, 0x23}, Source: 65001,
	HasDevice: true, Device: [8]byte{1, 2, 3, 4, 5, 6, 7, 0xff}, Org: 17, Asset: 18,
	CPELen: 5, CPE: [MaxCPE]byte{'c', 'p', 'e', '"', '\n'},
}

func identified(mod func(*Identity)) func(*Hit) {
	return func(h *Hit) {
		h.Peer, h.Relayed = netip.MustParseAddrPort("198.51.100.9:5353"), true
		h.Identity = &Identity{Forwarder: h.Peer.Addr()}
		mod(h.Identity)
		h.Client = h.Peer
		if h.Identity.Addr.IsValid() {
			h.Client = netip.AddrPortFrom(h.Identity.Addr, 0)
		}
	}
}

func TestLineTellsWhoAsked(t *testing.T) {
	for _, tt := range []struct {
		name          string
		mod           func(*Hit)
		with, without []string
	}{
		{"nobody else", nil,
			[]string{`"client":{"ip":"192.0.2.7","port":40111}`, `"peer":{"ip":"192.0.2.7","port":40111,"proxy":"none"}`},
			[]string{"identity", "ecs\":{\"subnet", "forwarder", "expected"}},
		{"an address", identified(func(i *Identity) {
			i.Addr, i.Subnet, i.Source = netip.MustParseAddr("10.1.2.3"), netip.MustParsePrefix("10.1.2.3/32"), 8
		}), []string{`"client":{"ip":"10.1.2.3"}`, `"peer":{"ip":"198.51.100.9","port":5353,"proxy":"none"}`,
			`"identity":{"trusted":true,"source":"edns8"}`, `"ecs":{"subnet":"10.1.2.3/32","source_prefix":32}`}, []string{`"forwarder"`}},
		{"a MAC address", identified(func(i *Identity) { i.MAC, i.Source = fullIdentity.MAC, 65073 }),
			[]string{`"client":{"ip":"198.51.100.9","port":5353,"mac":"00-00-5E-00-53-23"}`, `"source":"edns65073"`}, []string{`"forwarder"`}},
		{"a subnet is no address", identified(func(i *Identity) { i.Subnet, i.Source = netip.MustParsePrefix("10.1.2.0/24"), 8 }),
			[]string{`"client":{"ip":"198.51.100.9","port":5353}`, `"ecs":{"subnet":"10.1.2.0/24","source_prefix":24}`}, nil},
		{"ids", identified(func(i *Identity) {
			i.HasDevice, i.Device, i.Org, i.Asset, i.CPELen, i.CPE, i.Source = true, fullIdentity.Device, 17, 18, 5, fullIdentity.CPE, 20292
		}), []string{`"identity":{"trusted":true,"source":"edns20292","cpe_id":"cpe\\\"\\010","device_id":"01020304050607ff","org_id":17,"asset_id":18}`}, nil},
		{"behind a balancer too", func(h *Hit) {
			identified(func(i *Identity) { i.Addr, i.Source = netip.MustParseAddr("2001:db8::7"), 20292 })(h)
			h.Peer, h.Proxy = netip.MustParseAddrPort("203.0.113.8:999"), ProxyV2
		}, []string{`"client":{"ip":"2001:db8::7"}`, `"peer":{"ip":"203.0.113.8","port":999,"proxy":"v2"}`, `"forwarder":"198.51.100.9"`, `"type":"ipv4"`}, nil},
		{"a balancer alone", func(h *Hit) { h.Peer, h.Relayed, h.Proxy = netip.MustParseAddrPort("203.0.113.8:999"), true, ProxyV1 },
			[]string{`"client":{"ip":"192.0.2.7","port":40111}`, `"peer":{"ip":"203.0.113.8","port":999,"proxy":"v1"}`}, []string{"identity"}},
		{"a forwarder that tells nothing", func(h *Hit) { h.Forwarder = true }, []string{`"forwarder":true`}, []string{"identity"}},
		{"nobody is believed", func(h *Hit) { h.Claimed = 65001 }, []string{`"identity":{"trusted":false,"source":"edns65001"}`}, []string{`"mac"`}},
		{"expected", func(h *Hit) { h.Expected = true }, []string{`"expected":true`}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			line, _ := encodeLine(t, testHit(tt.mod), nil)
			for _, s := range tt.with {
				if !strings.Contains(line, s) {
					t.Errorf("lacks %s\n%s", s, line)
				}
			}
			for _, s := range tt.without {
				if strings.Contains(line, s) {
					t.Errorf("has %s\n%s", s, line)
				}
			}
		})
	}
}

func TestFingerprint(t *testing.T) {
	for want, f := range map[string]Fingerprint{
		"none":                           {},
		"rd":                             {RD: true},
		"rd-edns0":                       {RD: true, EDNS: true},
		"rd-ad-cd":                       {RD: true, AD: true, CD: true},
		"edns4096-do":                    {EDNS: true, UDPSize: 4096, DO: true},
		"rd-ad-cd-edns65535-do-0000beef": {RD: true, AD: true, CD: true, EDNS: true, UDPSize: 65535, DO: true, Options: 0xbeef},
	} {
		if got := string(f.append([]byte("-"))); got != "-"+want {
			t.Errorf("%+v: %q, want %q", f, got, "-"+want)
		}
	}
}

// A line of before the fields came reads as it did, and what is not in it is not
// known.
func TestOldLineReads(t *testing.T) {
	rec, err := ParseRecord([]byte(`{"@timestamp":"2026-02-01T03:04:05.123456789Z","event":{"dataset":"sinkhole.hit","action":"sinkhole"},` +
		`"client":{"ip":"192.0.2.7","port":40111},"server":{"ip":"198.51.100.53","port":53},` +
		`"sinkhole":{"peer":{"ip":"192.0.2.7","port":40111,"proxy":"none"},"mode":"enforce","count":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	s := &rec.Sinkhole
	if rec.Client.MAC != "" || s.Forwarder || s.Expected || s.Fingerprint != "" || s.Identity != (RecordIdentity{}) || s.ECS != (RecordECS{}) || !rec.HasPort(40111) {
		t.Errorf("read as %+v", rec)
	}
	for _, f := range []Filter{{Client: netip.MustParsePrefix("192.0.2.0/24")}, {Peer: netip.MustParsePrefix("192.0.2.7/32")}, {Unexpected: true}} {
		if !f.match(rec) {
			t.Errorf("%+v leaves it out", f)
		}
	}
}

func TestFiltersByWhoAsked(t *testing.T) {
	told := identified(func(i *Identity) { i.Addr, i.MAC, i.Source = netip.MustParseAddr("10.1.2.3"), fullIdentity.MAC, 65001 })
	_, rec := encodeLine(t, testHit(func(h *Hit) {
		told(h)
		h.Expected = true
		h.Peer, h.Proxy = netip.MustParseAddrPort("203.0.113.8:999"), ProxyV2
	}), nil)
	for _, tt := range []struct {
		filter Filter
		want   bool
	}{
		{Filter{Client: netip.MustParsePrefix("10.1.2.3/32")}, true},
		{Filter{Client: netip.MustParsePrefix("198.51.100.9/32")}, false},
		{Filter{Peer: netip.MustParsePrefix("198.51.100.9/32")}, true},
		{Filter{Peer: netip.MustParsePrefix("203.0.113.0/24")}, true},
		{Filter{Peer: netip.MustParsePrefix("10.1.2.3/32")}, false},
		{Filter{MAC: "00-00-5E-00-53-23"}, true},
		{Filter{MAC: "00-00-5E-00-53-24"}, false},
		{Filter{Unexpected: true}, false},
		{Filter{Port: 999}, false},
	} {
		if got := tt.filter.match(rec); got != tt.want {
			t.Errorf("%+v: %v", tt.filter, got)
		}
	}
}

// Clients of one forwarder are told apart, whatever it is that tells them, and from
// whoever asks from such an address itself.
func TestMergingTellsIdentitiesApart(t *testing.T) {
	clients := []func(*Hit){
		nil,
		identified(func(*Identity) {}),
		identified(func(i *Identity) { i.Addr = netip.MustParseAddr("192.0.2.7") }),
		identified(func(i *Identity) { i.Addr = netip.MustParseAddr("192.0.2.8") }),
		identified(func(i *Identity) { i.MAC[5] = 1 }),
		identified(func(i *Identity) { i.MAC[5] = 2 }),
		identified(func(i *Identity) { i.CPELen = 1; i.CPE[0] = 'a' }),
		identified(func(i *Identity) { i.CPELen = 1; i.CPE[0] = 'b' }),
		identified(func(i *Identity) { i.HasDevice = true; i.Device[0] = 1 }),
		func(h *Hit) { // the same private address at another site
			identified(func(i *Identity) { i.Addr = netip.MustParseAddr("192.0.2.8") })(h)
			h.Identity.Forwarder = netip.MustParseAddr("198.51.100.10")
		},
	}
	for _, kind := range []string{MergedIndicator, MergedClient} {
		m := newMerger(0, time.Second)
		if kind == MergedClient {
			m.maxKeys = 0
		}
		for port := range uint16(3) {
			for i := range clients {
				if got := m.admit(testHit(func(h *Hit) {
					if mod := clients[i]; mod != nil {
						mod(h)
					}
					h.Peer = netip.AddrPortFrom(h.Peer.Addr(), 5000+port)
					if h.Client.Port() != 0 {
						h.Client = netip.AddrPortFrom(h.Client.Addr(), 5000+port)
					}
				}), testTime); got != admitMerged {
					t.Fatalf("admission %d", got)
				}
			}
		}
		seen, sum := map[Identity]bool{}, uint64(0)
		m.flush(testTime, true, 100, func(g *group) {
			if g.first.Identity == nil {
				seen[Identity{}] = true
			} else {
				seen[*g.first.Identity] = true
			}
			sum += g.count
			line, rec := encodeLine(t, nil, g)
			if rec.Sinkhole.Merged != kind || rec.Sinkhole.Count != 3 {
				t.Errorf("%d hits of one client: %s", rec.Sinkhole.Count, line)
			}
			if ports := len(rec.Sinkhole.Ports); ports != 3 && !g.first.told() || ports != 0 && g.first.told() {
				t.Errorf("%d ports: %s", ports, line)
			}
		})
		if len(seen) != len(clients) || sum != 3*uint64(len(clients)) || m.pending != 0 {
			t.Errorf("%s: %d clients and %d hits, want %d and %d; %d pending", kind, len(seen), sum, len(clients), 3*len(clients), m.pending)
		}
	}
}

// Beyond the bound on clients the hits of those that a forwarder tells of are lost
// and counted, and nothing is kept of them.
func TestMergedIdentitiesAreBounded(t *testing.T) {
	m := newMerger(0, time.Second)
	m.maxKeys, m.maxClients = 0, 3
	lost := 0
	for i := range byte(10) {
		if m.admit(testHit(identified(func(id *Identity) { id.MAC[5] = i + 1 })), testTime) == admitLost {
			lost++
		}
	}
	if kept := len(m.windows[0].told); lost != 7 || kept != 3 || m.pending != 3 {
		t.Errorf("%d lost, %d clients kept, %d pending", lost, kept, m.pending)
	}
}

// A line of several hits is expected where every one was.
func TestMergedExpectation(t *testing.T) {
	for _, all := range []bool{true, false} {
		m := newMerger(0, time.Second)
		m.admit(testHit(func(h *Hit) { h.Expected = true }), testTime)
		m.admit(testHit(func(h *Hit) { h.Expected = all }), testTime)
		m.flush(testTime, true, 1, func(g *group) {
			if _, rec := encodeLine(t, nil, g); rec.Sinkhole.Expected != all {
				t.Errorf("expected %v, want %v", rec.Sinkhole.Expected, all)
			}
		})
	}
}

// What a slot held before means nothing for the next hit in it.
func TestQueueCarriesIdentities(t *testing.T) {
	q := newQueue(2, newBell())
	for _, mod := range []func(*Hit){identified(func(i *Identity) { *i = fullIdentity }), nil, func(h *Hit) { h.Forwarder, h.Expected, h.Claimed = true, true, 8 }, nil} {
		want := testHit(mod)
		q.Record(want)
		got, _ := encodeLine(t, q.peek(), nil)
		if line, _ := encodeLine(t, want, nil); got != line {
			t.Errorf("got  %s\nwant %s", got, line)
		}
		q.release()
	}
}
