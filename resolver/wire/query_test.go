package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

func ask(name string, typ uint16, change ...func(*dns.Msg)) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, typ)
	m.Id = 4711
	for _, f := range change {
		f(m)
	}
	return m
}

func withOPT(options ...dns.EDNS0) func(*dns.Msg) {
	return func(m *dns.Msg) { m.SetEdns0(1232, true).IsEdns0().Option = options }
}

var longest = strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("b", 61) + "."

func TestQueryParse(t *testing.T) {
	for name, m := range map[string]*dns.Msg{
		"plain":         ask("WwW.Example.", dns.TypeA),
		"root":          ask(".", dns.TypeNS),
		"longest name":  ask(longest, dns.TypeA),
		"octets":        ask(`\000\255A\.b.Example.`, dns.TypeHTTPS),
		"class":         ask("version.bind.", dns.TypeTXT, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
		"not recursive": ask("a.example.", dns.TypeA, func(m *dns.Msg) { m.RecursionDesired = false }),
		"AD and CD":     ask("a.example.", dns.TypeA, func(m *dns.Msg) { m.AuthenticatedData, m.CheckingDisabled = true, true }),
		"EDNS":          ask("a.example.", dns.TypeA, withOPT()),
		"EDNS version":  ask("a.example.", dns.TypeA, withOPT(), func(m *dns.Msg) { m.IsEdns0().SetVersion(1) }),
		"options": ask("a.example.", dns.TypeA, withOPT(
			&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"}, &dns.EDNS0_PADDING{Padding: make([]byte, 30)},
			&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 23, Address: []byte{192, 0, 2, 0}},
			&dns.EDNS0_LOCAL{Code: 65001, Data: []byte{0, 0, 0x5e, 0, 0x53, 1}}, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})),
	} {
		t.Run(name, func(t *testing.T) {
			msg := pack(t, m)
			var q wire.Query
			if err := q.Parse(msg); err != nil {
				t.Fatal(err)
			}
			sameQuery(t, &q, msg)
		})
	}
}

func TestQueryParseLeavesTheUncommon(t *testing.T) {
	raw := func(m *dns.Msg, change func([]byte) []byte) []byte { return change(pack(t, m)) }
	plain, edns := ask("a.example.", dns.TypeA), ask("a.example.", dns.TypeA, withOPT())
	for name, msg := range map[string][]byte{
		"empty":                 {},
		"header cut short":      make([]byte, 11),
		"header alone":          {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0},
		"no question":           {0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"two questions":         pack(t, ask("a.example.", dns.TypeA, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) })),
		"reply":                 pack(t, ask("a.example.", dns.TypeA, func(m *dns.Msg) { m.Response = true })),
		"update":                pack(t, ask("a.example.", dns.TypeSOA, func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate })),
		"truncated":             pack(t, ask("a.example.", dns.TypeA, func(m *dns.Msg) { m.Truncated = true })),
		"reserved flag":         pack(t, ask("a.example.", dns.TypeA, func(m *dns.Msg) { m.Zero = true })),
		"rcode":                 pack(t, ask("a.example.", dns.TypeA, func(m *dns.Msg) { m.Rcode = dns.RcodeRefused })),
		"answer record":         pack(t, ask("a.example.", dns.TypeA, func(m *dns.Msg) { m.Answer = rrs(t, "a.example. A 192.0.2.1") })),
		"authority (IXFR)":      pack(t, ask("a.example.", dns.TypeIXFR, func(m *dns.Msg) { m.Ns = rrs(t, "a.example. SOA . . 1 2 3 4 5") })),
		"additional, no OPT":    pack(t, ask("a.example.", dns.TypeA, func(m *dns.Msg) { m.Extra = rrs(t, "a.example. A 192.0.2.1") })),
		"two OPT":               pack(t, ask("a.example.", dns.TypeA, withOPT(), func(m *dns.Msg) { m.Extra = append(m.Extra, m.Extra[0]) })),
		"extended rcode":        raw(edns, func(b []byte) []byte { b[len(b)-6] = 1; return b }),
		"trailing octet":        raw(plain, func(b []byte) []byte { return append(b, 0) }),
		"trailing, after OPT":   raw(edns, func(b []byte) []byte { return append(b, 0) }),
		"question cut short":    raw(plain, func(b []byte) []byte { return b[:len(b)-1] }),
		"OPT cut short":         raw(edns, func(b []byte) []byte { return b[:len(b)-1] }),
		"OPT counted, missing":  raw(plain, func(b []byte) []byte { b[11] = 1; return b }),
		"OPT not of the root":   append(raw(plain, func(b []byte) []byte { b[11] = 1; return b }), 1, 'a', 0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0),
		"compressed name":       {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 12, 0, 1, 0, 1},
		"reserved label":        {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 1, 0, 1},
		"label cut short":       {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 5, 'a'},
		"name too long":         slices.Concat([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte("\x03abc"), 64), []byte{0, 0, 1, 0, 1}),
		"option cut short":      raw(edns, func(b []byte) []byte { b[len(b)-1] = 3; return append(b, 0, 10, 0) }),
		"subnet with host bits": pack(t, ask("a.example.", dns.TypeA, withOPT(&dns.EDNS0_LOCAL{Code: 8, Data: []byte{0, 1, 23, 0, 192, 0, 3}}))),
		"subnet too short":      pack(t, ask("a.example.", dns.TypeA, withOPT(&dns.EDNS0_LOCAL{Code: 8, Data: []byte{0, 1, 24, 0, 192, 0}}))),
		"subnet with scope":     pack(t, ask("a.example.", dns.TypeA, withOPT(&dns.EDNS0_LOCAL{Code: 8, Data: []byte{0, 1, 8, 8, 10}}))),
		"subnet family":         pack(t, ask("a.example.", dns.TypeA, withOPT(&dns.EDNS0_LOCAL{Code: 8, Data: []byte{0, 3, 8, 0, 10}}))),
		"cookie of 9":           pack(t, ask("a.example.", dns.TypeA, withOPT(&dns.EDNS0_LOCAL{Code: 10, Data: make([]byte, 9)}))),
		"keepalive of a server": pack(t, ask("a.example.", dns.TypeA, withOPT(&dns.EDNS0_TCP_KEEPALIVE{Code: 11, Timeout: 9}))),
		"too long for DNS":      make([]byte, wire.MaxMessage+1),
	} {
		t.Run(name, func(t *testing.T) {
			var q wire.Query
			if err := q.Parse(msg); !errors.Is(err, wire.ErrUncommon) {
				t.Errorf("got %v\n%s", err, hex.Dump(msg))
			}
		})
	}
}

// sameQuery holds q to the library's view of msg.
func sameQuery(tb testing.TB, q *wire.Query, msg []byte) {
	tb.Helper()
	m := unpack(tb, msg)
	check := func(what string, got, want any) {
		tb.Helper()
		if got != want {
			tb.Errorf("%s: got %v, the library says %v\n%s", what, got, want, hex.Dump(msg))
		}
	}
	check("shape", [4]int{1, 0, 0, len(m.Extra)}, [4]int{len(m.Question), len(m.Answer), len(m.Ns), min(len(m.Extra), 1)})
	if tb.Failed() {
		return
	}
	check("other flags", m.Response || m.Authoritative || m.Truncated || m.RecursionAvailable || m.Zero || m.Rcode != 0, false)
	check("ID", q.ID, m.Id)
	check("opcode", int(q.Opcode), m.Opcode)
	check("RD, AD, CD", [3]bool{q.RD, q.AD, q.CD}, [3]bool{m.RecursionDesired, m.AuthenticatedData, m.CheckingDisabled})
	asked := m.Question[0]
	check("type and class", [2]uint16{q.Type, q.Class}, [2]uint16{asked.Qtype, asked.Qclass})
	check("spelled name", string(q.SpelledName()), string(spelledName(tb, asked.Name)))
	check("name", string(q.QName()), string(wireName(tb, asked.Name)))
	opt := m.IsEdns0()
	check("EDNS", q.EDNS, opt != nil)
	if opt == nil {
		check("EDNS facts without EDNS", [6]any{q.Version, q.DO, q.UDPSize, q.OptionsAt, q.OptionsLen, q.OptionCodes}, [6]any{uint8(0), false, uint16(0), uint16(0), uint16(0), wire.Codes{}})
		return
	}
	check("version", q.Version, opt.Version())
	check("DO", q.DO, opt.Do())
	check("UDP size", q.UDPSize, opt.UDPSize())
	var codes, want []uint16
	var told wire.Codes
	for rest := msg[q.OptionsAt:][:q.OptionsLen]; len(rest) > 0; {
		code, _, next, ok := wire.NextOption(rest)
		if !ok {
			tb.Fatalf("malformed options accepted\n%s", hex.Dump(msg))
		}
		codes, rest = append(codes, code), next
	}
	for _, o := range opt.Option {
		want = append(want, o.Option())
		subnet, isSubnet := o.(*dns.EDNS0_SUBNET)
		told.Add(o.Option(), isSubnet && subnet.SourceNetmask == 0)
	}
	if !slices.Equal(codes, want) {
		tb.Errorf("options: got %v, the library says %v", codes, want)
	}
	check("what the options' codes tell", q.OptionCodes, told)
}

// FuzzQuery: whatever Parse accepts the library accepts, and understands alike;
// and what we make of it the library reads back.
func FuzzQuery(f *testing.F) {
	for _, m := range []*dns.Msg{
		ask("a.example.", dns.TypeA),
		ask("WwW.Example.", dns.TypeAAAA, withOPT()),
		ask(longest, dns.TypeTXT, withOPT(&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"})),
		ask(".", dns.TypeNS, withOPT(&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 2, SourceNetmask: 56, Address: make([]byte, 16)})),
		ask("a.example.", dns.TypeA, withOPT(&dns.EDNS0_PADDING{Padding: make([]byte, 3)}, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte{1}})),
	} {
		f.Add(pack(f, m))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var q wire.Query
		if q.Parse(msg) != nil {
			return
		}
		sameQuery(t, &q, msg)

		up := unpack(t, wire.AppendQuery(nil, &q, 1232))
		opt := up.IsEdns0()
		if up.Id != 0 || !up.RecursionDesired || up.AuthenticatedData != q.AD || up.CheckingDisabled != q.CD ||
			string(spelledName(t, up.Question[0].Name)) != string(q.QName()) || opt == nil || opt.UDPSize() != 1232 || opt.Do() != q.DO || len(opt.Option) != 0 {
			t.Errorf("query to the upstream: %v", up)
		}
		answer := q.AppendResponse(nil, wire.RCodeNXDomain, 0)
		answer = wire.AppendSOA(answer, 60)
		wire.SetCounts(answer, 0, 1, 0)
		down := unpack(t, answer)
		if down.Id != q.ID || down.Rcode != dns.RcodeNameError || !bytes.Equal(spelledName(t, down.Question[0].Name), q.SpelledName()) ||
			len(down.Ns) != 1 || down.Ns[0].Header().Name != down.Question[0].Name {
			t.Errorf("answer: %v", down)
		}
	})
}
