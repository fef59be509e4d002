package upstream_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/upstream"
)

// namedPeer answers all with an address of its own.
func namedPeer(t testing.TB, address string) *peer {
	return startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) { send(answer(query, address)) }, nil)
}

// The longest zone decides, by whole labels and in any spelling; the DS records of a
// zone are those of the zone above.
func TestZones(t *testing.T) {
	rest, corp, deep, reverse := namedPeer(t, "192.0.2.1"), namedPeer(t, "192.0.2.2"), namedPeer(t, "192.0.2.3"), namedPeer(t, "192.0.2.4")
	f := forwarder(t, upstream.Options{
		Servers: []string{rest.String()}, Timeout: 5 * time.Second,
		Zones: map[string][]string{
			"Corp.Example.": {corp.String()}, "deep.corp.example": {deep.String()}, "10.in-addr.arpa": {reverse.String()}, "both.example": {rest.String()},
		},
	})
	for name, want := range map[string]string{
		"www.example.":               "192.0.2.1",
		"corp.example.":              "192.0.2.2",
		"WWW.cORP.example.":          "192.0.2.2",
		"xcorp.example.":             "192.0.2.1",
		"corp.example.net.":          "192.0.2.1",
		"deep.corp.example.":         "192.0.2.3",
		"a.b.deep.corp.example.":     "192.0.2.3",
		"notdeep.corp.example.":      "192.0.2.2",
		`a\.deep.corp.example.`:      "192.0.2.2",
		`www\.corp.example.`:         "192.0.2.1",
		"1.0.0.10.in-addr.arpa.":     "192.0.2.4",
		"1.0.0.110.in-addr.arpa.":    "192.0.2.1",
		"both.example.":              "192.0.2.1",
		"example.":                   "192.0.2.1",
		".":                          "192.0.2.1",
		"deep.corp.example.corp.":    "192.0.2.1",
		"corp.example.both.example.": "192.0.2.1",
	} {
		if got, _ := exchange(t, f, name); got != want {
			t.Errorf("%s: answered by %s, want %s", name, got, want)
		}
	}
	for name, want := range map[string]*peer{"corp.example.": rest, "deep.corp.example.": corp, "x.corp.example.": corp} {
		query := newQuery(t, name)
		binary.BigEndian.PutUint16(query[len(query)-11-4:], dns.TypeDS)
		if reply, err := f.Exchange(t.Context(), query); err != nil || reply.Server != want.addr {
			t.Errorf("%s DS: asked %v (%v), want %s", name, reply.Server, err, want)
		}
	}
	if all := f.Stats(); len(all) != 4 || all[0].Server != rest.addr || all[1].Server != reverse.addr {
		t.Errorf("want each of four servers once, the one of no zone first: %v", all)
	}
}

// What is asked of a zone goes to no other server, also where its own fail.
func TestZoneStaysWithItsServers(t *testing.T) {
	t.Parallel()
	rest := startPeer(t, "127.0.0.1", honest, honestTCP)
	for what, server := range map[string]string{
		"refused": deadServer(t), "silent": startPeer(t, "127.0.0.1", nil, nil).String(), "declining": startPeer(t, "127.0.0.1", rcode(2), nil).String(),
	} {
		f := forwarder(t, upstream.Options{Servers: []string{rest.String()}, Zones: map[string][]string{"corp.example": {server}}, Timeout: 200 * time.Millisecond})
		for range 3 {
			reply, err := f.Exchange(t.Context(), newQuery(t, "www.corp.example."))
			if err == nil && reply.Msg[3]&0xf != 2 {
				t.Errorf("%s: got %x", what, reply.Msg)
			}
		}
	}
	if n := rest.overUDP.Load() + rest.overTCP.Load(); n != 0 {
		t.Errorf("a server of all else got %d queries of the zone", n)
	}
}

// A server of zone and rest is one: with one health and one set of counters.
func TestZonesShareServers(t *testing.T) {
	p := startPeer(t, "127.0.0.1", honest, nil)
	f := forwarder(t, upstream.Options{Servers: []string{p.String()}, Zones: map[string][]string{"a.example": {p.String()}, "b.example": {p.String()}}, Timeout: time.Second})
	for _, name := range []string{"www.a.example.", "www.b.example.", "www.example."} {
		exchange(t, f, name)
	}
	if all := f.Stats(); len(all) != 1 || all[0].Replies != 3 {
		t.Errorf("got %+v", all)
	}
}

func TestZonesRefused(t *testing.T) {
	for zone, want := range map[string]string{
		".": "label", "": "label", "a..example": "label", strings.Repeat("a", 64) + ".example": "label",
		strings.Repeat(strings.Repeat("a", 63)+".", 4): "octets", `a\.b.example`: "label",
	} {
		_, err := upstream.New(upstream.Options{Zones: map[string][]string{zone: {"192.0.2.1"}}, Timeout: time.Second})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", zone)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v", zone, err)
		}
	}
	for _, zones := range []map[string][]string{{"a.example": {"nonsense"}}, {"a.example": {"192.0.2.1"}, "A.example.": {"192.0.2.1"}}} {
		if _, err := upstream.New(upstream.Options{Zones: zones, Timeout: time.Second}); err == nil {
			t.Errorf("%v was taken", zones)
		}
	}
}
