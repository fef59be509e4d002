package wire_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

func parsed(tb testing.TB, m *dns.Msg) *wire.Query {
	tb.Helper()
	var q wire.Query
	if err := q.Parse(pack(tb, m)); err != nil {
		tb.Fatal(err)
	}
	return &q
}

func TestAppendResponse(t *testing.T) {
	for name, m := range map[string]*dns.Msg{
		"RD":        ask("WwW.Example.", dns.TypeA),
		"no RD, CD": ask(".", dns.TypeNS, func(m *dns.Msg) { m.RecursionDesired, m.CheckingDisabled = false, true }),
		"AD":        ask(longest, dns.TypeTXT, func(m *dns.Msg) { m.AuthenticatedData = true }),
	} {
		t.Run(name, func(t *testing.T) {
			got := unpack(t, parsed(t, m).AppendResponse(nil, 0xFF0|wire.RCodeRefused, wire.TC))
			if got.Id != m.Id || !got.Response || !got.RecursionAvailable || !got.Truncated || got.Authoritative ||
				got.AuthenticatedData || got.RecursionDesired != m.RecursionDesired || got.CheckingDisabled != m.CheckingDisabled ||
				got.Rcode != dns.RcodeRefused || !slices.Equal(got.Question, m.Question) {
				t.Errorf("got\n%v\nto\n%v", got, m)
			}
		})
	}
	q := parsed(t, ask("a.example.", dns.TypeSOA))
	q.Opcode = dns.OpcodeNotify
	if got := unpack(t, q.AppendResponse(nil, wire.RCodeNotImp, 0)); got.Opcode != dns.OpcodeNotify || got.Rcode != dns.RcodeNotImplemented {
		t.Errorf("got %v", got)
	}
}

func TestAppendedRecords(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for name, tc := range map[string]struct {
		appended func([]byte) []byte
		want     string
	}{
		"A":           {func(b []byte) []byte { return wire.AppendA(b, 60, v4) }, "WwW.Example. 60 IN A 192.0.2.1"},
		"mapped A":    {func(b []byte) []byte { return wire.AppendA(b, 60, netip.AddrFrom16(v4.As16())) }, "WwW.Example. 60 IN A 192.0.2.1"},
		"AAAA":        {func(b []byte) []byte { return wire.AppendAAAA(b, 1<<31-1, v6) }, "WwW.Example. 2147483647 IN AAAA 2001:db8::1"},
		"SOA":         {func(b []byte) []byte { return wire.AppendSOA(b, 77) }, "WwW.Example. 77 IN SOA . . 1 3600 600 86400 77"},
		"HINFO":       {func(b []byte) []byte { return wire.AppendHINFO8482(b, 5) }, `WwW.Example. 5 IN HINFO "RFC8482" ""`},
		"RR":          {func(b []byte) []byte { return wire.AppendRR(b, dns.TypeTXT, dns.ClassCHAOS, 0, []byte("\x02hi")) }, `WwW.Example. 0 CH TXT "hi"`},
		"RR, no data": {func(b []byte) []byte { return wire.AppendRR(b, 65400, 1, 9, nil) }, `WwW.Example. 9 CLASS1 TYPE65400 \# 0`},
	} {
		t.Run(name, func(t *testing.T) {
			msg := tc.appended(parsed(t, ask("WwW.Example.", dns.TypeA)).AppendResponse(make([]byte, 0, 512), 0, 0))
			wire.SetCounts(msg, 1, 0, 0)
			got := unpack(t, msg)
			if len(got.Answer) != 1 || strings.Join(strings.Fields(got.Answer[0].String()), " ") != tc.want {
				t.Errorf("got %v, want %s", got.Answer, tc.want)
			}
			if an, ns, ar := wire.Counts(msg); an != 1 || ns != 0 || ar != 0 {
				t.Errorf("counts %d %d %d", an, ns, ar)
			}
		})
	}
}

func TestAppendOPT(t *testing.T) {
	for name, tc := range map[string]struct {
		do    bool
		rcode uint16
		ede   *wire.EDE
	}{
		"bare":      {false, 0, nil},
		"DO":        {true, wire.RCodeNXDomain, nil},
		"BADVERS":   {false, wire.RCodeBadVers, nil},
		"all bits":  {false, 0xFFF, nil},
		"EDE":       {true, 0, &wire.EDE{Code: 4}},
		"EDE, text": {false, 0, &wire.EDE{Code: 15, Text: "Lumma Stealer"}},
	} {
		t.Run(name, func(t *testing.T) {
			msg := parsed(t, ask("a.example.", dns.TypeA)).AppendResponse(nil, tc.rcode, 0)
			msg = wire.AppendOPT(msg, 1232, tc.do, tc.rcode, tc.ede)
			wire.SetCounts(msg, 0, 0, 1)
			got := unpack(t, msg)
			opt := got.IsEdns0()
			if got.Rcode != int(tc.rcode) || opt == nil || opt.UDPSize() != 1232 || opt.Do() != tc.do || opt.Version() != 0 {
				t.Fatalf("got\n%v", got)
			}
			if tc.ede == nil {
				if len(opt.Option) != 0 {
					t.Errorf("options %v", opt.Option)
				}
				return
			}
			if ede, ok := opt.Option[0].(*dns.EDNS0_EDE); !ok || ede.InfoCode != tc.ede.Code || ede.ExtraText != tc.ede.Text || len(opt.Option) != 1 {
				t.Errorf("options %v, want %v", opt.Option, tc.ede)
			}
		})
	}
}

func TestAppendReply(t *testing.T) {
	up := ask("wWw.eXample.", dns.TypeA, func(m *dns.Msg) {
		m.Id, m.Response, m.Authoritative, m.AuthenticatedData, m.Zero, m.Rcode = 1, true, true, true, true, dns.RcodeNameError
		m.RecursionDesired = false
		m.Answer = rrs(t, "wWw.eXample. 60 CNAME b.example.", "b.example. 60 A 192.0.2.1")
		m.Compress = true
	})
	for name, tc := range map[string]struct {
		client *dns.Msg
		ad     bool
	}{
		"plain": {ask("WWW.example.", dns.TypeA), false},
		"AD":    {ask("WWW.example.", dns.TypeA, func(m *dns.Msg) { m.AuthenticatedData = true }), true},
		"DO":    {ask("WWW.example.", dns.TypeA, withOPT()), true},
		"CD":    {ask("WWW.example.", dns.TypeA, func(m *dns.Msg) { m.CheckingDisabled, m.RecursionDesired = true, false }), false},
	} {
		t.Run(name, func(t *testing.T) {
			packed := pack(t, up)
			before := slices.Clone(packed)
			got := unpack(t, parsed(t, tc.client).AppendReply(make([]byte, 0, 512), packed))
			if !slices.Equal(packed, before) {
				t.Error("the cached message was changed")
			}
			if got.Id != tc.client.Id || !got.Response || got.Authoritative || got.Zero || !got.RecursionAvailable || got.Rcode != dns.RcodeNameError ||
				got.AuthenticatedData != tc.ad || got.CheckingDisabled != tc.client.CheckingDisabled || got.RecursionDesired != tc.client.RecursionDesired {
				t.Errorf("got\n%v", got)
			}
			if !slices.Equal(got.Question, tc.client.Question) || got.Answer[0].Header().Name != "WWW.example." || len(got.Answer) != 2 {
				t.Errorf("got\n%v", got)
			}
		})
	}
}

func TestTruncate(t *testing.T) {
	q := parsed(t, ask("a.example.", dns.TypeA, withOPT()))
	msg := q.AppendResponse(nil, 0, 0)
	end := len(msg)
	for range 50 {
		msg = wire.AppendA(msg, 60, netip.MustParseAddr("192.0.2.1"))
	}
	wire.SetCounts(msg, 50, 0, 0)
	msg = wire.AppendOPT(wire.Truncate(msg, end), 1232, false, 0, nil)
	wire.SetCounts(msg, 0, 0, 1)
	got := unpack(t, msg)
	if !got.Truncated || len(got.Answer) != 0 || len(got.Question) != 1 || got.IsEdns0() == nil {
		t.Errorf("got\n%v", got)
	}
}

func TestPayloadLimit(t *testing.T) {
	for _, tc := range []struct {
		client uint16
		ours   int
		want   int
	}{{0, 1232, 512}, {100, 1232, 512}, {512, 1232, 512}, {900, 1232, 900}, {4096, 1232, 1232}, {4096, 0, 512}} {
		q := wire.Query{EDNS: tc.client != 0, UDPSize: tc.client}
		if got := q.PayloadLimit(tc.ours); got != tc.want {
			t.Errorf("client %d, ours %d: got %d, want %d", tc.client, tc.ours, got, tc.want)
		}
	}
}

func TestQuestionEqual(t *testing.T) {
	query := pack(t, ask("wWw.eXample.", dns.TypeA, withOPT()))
	reply := func(change ...func(*dns.Msg)) []byte {
		return pack(t, ask("wWw.eXample.", dns.TypeA, append(change, func(m *dns.Msg) { m.Response = true })...))
	}
	if !wire.QuestionEqual(reply(), query) {
		t.Error("the same question differs")
	}
	if !wire.QuestionEqual(reply(func(m *dns.Msg) { m.Answer = rrs(t, "www.example. A 192.0.2.1") }), query) {
		t.Error("the same question with an answer differs")
	}
	for name, msg := range map[string][]byte{
		"spelling":      reply(func(m *dns.Msg) { m.Question[0].Name = "www.eXample." }),
		"name":          reply(func(m *dns.Msg) { m.Question[0].Name = "xWw.eXample." }),
		"type":          reply(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA }),
		"class":         reply(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
		"no question":   reply(func(m *dns.Msg) { m.Question = nil }),
		"two questions": reply(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }),
		"cut short":     reply()[:20],
		"empty":         nil,
	} {
		if wire.QuestionEqual(msg, query) {
			t.Errorf("%s: equal", name)
		}
	}
	if wire.QuestionEqual(reply(), nil) || wire.QuestionEqual(reply(), query[:15]) {
		t.Error("equal to a query without a question")
	}
}
