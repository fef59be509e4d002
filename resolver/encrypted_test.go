package resolver

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// allWays is a session that every transport must answer alike.
func allWays(t testing.TB) map[string][]byte {
	unusual := func(name string, change func(*dns.Msg)) []byte {
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		m.Id = 0
		change(m)
		msg, err := m.Pack()
		check(t, err)
		return msg
	}
	as := func(opcode int) func(*dns.Msg) { return func(m *dns.Msg) { m.Opcode = opcode } }
	two := unusual("good.example.", func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) })
	return map[string][]byte{
		"listed":    unusual("Bad.example.", func(*dns.Msg) {}),
		"clean":     unusual("good.example.", func(m *dns.Msg) { m.SetEdns0(4096, true) }),
		"absent":    unusual("none.example.", func(*dns.Msg) {}),
		"UPDATE":    unusual("good.example.", as(dns.OpcodeUpdate)),
		"IQUERY":    unusual("good.example.", as(dns.OpcodeIQuery)),
		"QDCOUNT 0": header(0, wire.RD, 0),
		"QDCOUNT 2": two,
		"AXFR":      unusual("good.example.", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR }),
		"class CH":  unusual("bad.example.", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
		"cut short": unusual("good.example.", func(*dns.Msg) {})[:20],
		"oversized": slices.Concat(unusual("good.example.", func(*dns.Msg) {}), make([]byte, maxQuery-100)),
		"loop":      slices.Concat(header(0, wire.RD, 1), []byte{0xC0, 12, 0, 1, 0, 1}),
	}
}

// steady is an answer without its TTLs, which count down.
func steady(msg []byte) string {
	var m dns.Msg
	if m.Unpack(msg) != nil {
		return string(msg)
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		rr.Header().Ttl = 0
	}
	return m.String()
}

// Every transport makes the same checks and gives the same answers as UDP, and records
// the same hits.
func TestEveryTransportAnswersAlike(t *testing.T) {
	t.Parallel()
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), servers: []string{newZone(t, trapZone).addr}})
	ways := k.ways(t, "127.0.0.1")
	for what, msg := range allWays(t) {
		want, err := ways["udp"](msg)
		check(t, err)
		for way, ask := range ways {
			got, err := ask(msg)
			if err != nil {
				t.Errorf("%s over %s: %v", what, way, err)
				continue
			}
			if steady(got) != steady(want) {
				t.Errorf("%s over %s:\n%s\nexpected, as over UDP:\n%s", what, way, steady(got), steady(want))
			}
		}
	}
	stats := k.Stats()
	if stats.Panics > 0 {
		t.Error("a query met a fault in the server")
	}
	each := uint64(len(allWays(t)))
	for transport, n := range map[string]uint64{"udp": 2 * each, "tcp": each, "dot": each, "doh": 3 * each, "doh3": 2 * each, "doq": each} {
		if stats.Queries[transport] != n {
			t.Errorf("%d queries counted over %s, expected %d", stats.Queries[transport], transport, n)
		}
	}
	found := map[string]int{}
	var first string
	for _, r := range k.hits(t) {
		transport := fieldOf(r.Raw, "sinkhole.transport")
		found[transport]++
		if proven := fieldOf(r.Raw, "sinkhole.source_proven"); proven != map[bool]string{true: "false", false: "true"}[transport == "udp"] {
			t.Errorf("over %s source_proven is %s", transport, proven)
		}
		said := strings.Join([]string{fieldOf(r.Raw, "client.ip"), fieldOf(r.Raw, "dns.question.name"), fieldOf(r.Raw, "event.action"),
			fieldOf(r.Raw, "threat.indicator.name"), fieldOf(r.Raw, "server.ip"), fieldOf(r.Raw, "sinkhole.lists.name")}, " ")
		if first == "" {
			first = said
		}
		if said != first || fieldOf(r.Raw, "client.port") == "" {
			t.Errorf("over %s: %s, expected %s\n%s", transport, said, first, r.Raw)
		}
	}
	if want := map[string]int{"udp": 2, "tcp": 1, "dot": 1, "doh": 3, "doh3": 2, "doq": 1}; !maps.Equal(found, want) {
		t.Errorf("hits %v, expected %v", found, want)
	}
}

// A stranger is refused on every transport, whatever it sends, and makes no hit.
func TestStrangersAreRefusedOverEveryTransport(t *testing.T) {
	t.Parallel()
	settings := sinkSettings()
	settings.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	k := newEncryptedRig(t, rigOptions{settings: settings, specs: specsOf(list(t, "stealers", trapList))})
	for what, msg := range allWays(t) {
		ways := k.ways(t, "127.0.0.9")
		want, err := ways["udp"](msg)
		check(t, err)
		if wire.Flags(want)&wire.RCodeMask != wire.RCodeRefused {
			t.Fatalf("%s: %x", what, want)
		}
		for way, ask := range ways {
			if got, err := ask(msg); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s over %s: %x %v, expected %x", what, way, got, err, want)
			}
		}
	}
	if all := k.hits(t); len(all) > 0 {
		t.Errorf("%d hits of strangers", len(all))
	}
}

// Where strangers get nothing, they have no connection either.
func TestStrangersHaveNoConnectionWhereDropped(t *testing.T) {
	t.Parallel()
	settings := sinkSettings()
	settings.Allow, settings.DropOthers = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, true
	k := newEncryptedRig(t, rigOptions{settings: settings, specs: specsOf(list(t, "stealers", trapList))})
	msg := allWays(t)["listed"]
	for way, ask := range k.ways(t, "127.0.0.9") {
		if strings.HasPrefix(way, "doh") {
			if got, err := ask(msg); err == nil {
				t.Errorf("over %s: %x", way, got)
			}
		}
	}
	c := k.quicDialer(t, "127.0.0.9")
	if _, err := c.Dial(t.Context(), k.quic.quic.socket.LocalAddr(), k.tlsClient("doq"), nil); err == nil {
		t.Error("a stranger has a DNS over QUIC connection")
	}
	if k.Stats().Ignored == 0 {
		t.Error("nobody was ignored")
	}
	// One that had a connection before it became a stranger.
	known, h2 := k.doq(t, "127.0.0.1"), k.ways(t, "127.0.0.1")["doh post"]
	if _, err := exchangeDoQ(known, framed(msg), true); err != nil {
		t.Error(err)
	}
	if _, err := h2(msg); err != nil {
		t.Error(err)
	}
	settings.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
	k.Configure(*settings)
	if got, err := exchangeDoQ(known, framed(msg), true); err == nil {
		t.Errorf("over QUIC: %x", got)
	}
	if got, err := h2(msg); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("over HTTP/2: %x %v, expected status 403", got, err)
	}
}
