package wire_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// reply is an upstream's reply with sections in presentation form.
type reply struct {
	question           string // name and type; "" for none
	rcode              int
	answer, ns, extra  []string
	change             func(*dns.Msg)
	doNotCompressNames bool
}

func (p reply) pack(tb testing.TB) []byte {
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Response: true, RecursionAvailable: true, Rcode: p.rcode}, Compress: !p.doNotCompressNames}
	if name, typ, ok := strings.Cut(p.question, " "); ok {
		m.Question = []dns.Question{{Name: name, Qtype: dns.StringToType[typ], Qclass: dns.ClassINET}}
	}
	m.Answer, m.Ns, m.Extra = rrs(tb, p.answer...), rrs(tb, p.ns...), rrs(tb, p.extra...)
	if p.change != nil {
		p.change(m)
	}
	return pack(tb, m)
}

func TestReplyTriggersAndStrays(t *testing.T) {
	const soa = "example. 300 SOA ns. mail. 1 2 3 4 60"
	for name, tc := range map[string]struct {
		reply
		names  []string // kind and name
		addrs  []string
		strays []string // what Scrub removes: owners and types
	}{
		"addresses": {
			reply: reply{question: "a.example. A", answer: []string{"a.example. A 192.0.2.1", "a.example. A 192.0.2.2"}},
			addrs: []string{"192.0.2.1", "192.0.2.2"},
		},
		"mapped address": {
			reply: reply{question: "a.example. AAAA", answer: []string{"a.example. AAAA ::ffff:192.0.2.1", "a.example. AAAA 2001:db8::1"}},
			addrs: []string{"192.0.2.1", "2001:db8::1"},
		},
		"chain in another spelling": {
			reply: reply{question: "A.example. A", answer: []string{"a.eXample. CNAME B.example.", "b.Example. CNAME c.example.", "C.example. A 192.0.2.1"}},
			names: []string{"alias b.example.", "alias c.example."},
			addrs: []string{"192.0.2.1"},
		},
		"chain out of order": {
			reply: reply{question: "a.example. A", answer: []string{"c.example. A 192.0.2.1", "b.example. CNAME c.example.", "a.example. CNAME b.example."}},
			names: []string{"alias b.example.", "alias c.example."},
			addrs: []string{"192.0.2.1"},
		},
		"chain with a loop": {
			reply: reply{question: "a.example. A", answer: []string{"a.example. CNAME b.example.", "b.example. CNAME a.example."}},
			names: []string{"alias b.example.", "alias a.example."},
		},
		"two CNAMEs of one name": {
			reply: reply{question: "a.example. A", answer: []string{"a.example. CNAME b.example.", "a.example. CNAME c.example.", "c.example. A 192.0.2.1"}},
			names: []string{"alias b.example.", "alias c.example."},
			addrs: []string{"192.0.2.1"},
		},
		"DNAME": {
			reply: reply{question: "www.a.example. A", answer: []string{"a.example. DNAME b.example.", "www.a.example. CNAME www.b.example.", "www.b.example. A 192.0.2.1"}},
			names: []string{"alias b.example.", "alias www.b.example."},
			addrs: []string{"192.0.2.1"},
		},
		"DNAME of another name": {
			reply:  reply{question: "a.example. A", answer: []string{"a.example. A 192.0.2.1", "b.example. DNAME evil.test.", "xa.example. DNAME evil.test."}},
			names:  []string{"alias evil.test.", "alias evil.test."},
			addrs:  []string{"192.0.2.1"},
			strays: []string{"b.example. DNAME", "xa.example. DNAME"},
		},
		"signatures": {
			reply: reply{question: "www.a.example. A", answer: []string{
				"a.example. DNAME b.example.", "a.example. RRSIG DNAME 8 2 60 20300101000000 20200101000000 1 example. AAAA",
				"www.a.example. CNAME www.b.example.", "www.b.example. A 192.0.2.1", "www.b.example. RRSIG A 8 3 60 20300101000000 20200101000000 1 example. AAAA"}},
			names: []string{"alias b.example.", "alias www.b.example."},
			addrs: []string{"192.0.2.1"},
		},
		"HTTPS": {
			reply: reply{question: "a.example. HTTPS", answer: []string{
				`a.example. HTTPS 1 Pool.example. alpn=h2 ipv4hint=192.0.2.1,192.0.2.2 ech=AAAA ipv6hint=2001:db8::1`, `a.example. HTTPS 2 .  ipv4hint=192.0.2.3`},
				extra: []string{"pool.example. A 192.0.2.4"}},
			names: []string{"target pool.example."},
			addrs: []string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.3", "192.0.2.4"},
		},
		"SVCB alias, followed in the additional section": {
			reply: reply{question: "_dns.a.example. SVCB", answer: []string{"_dns.a.example. SVCB 0 b.example."},
				extra: []string{"b.example. SVCB 1 c.example. ipv4hint=192.0.2.1", "c.example. AAAA 2001:db8::1"}},
			names: []string{"target b.example.", "target c.example."},
			addrs: []string{"192.0.2.1", "2001:db8::1"},
		},
		"CNAME, then HTTPS": {
			reply: reply{question: "a.example. HTTPS", answer: []string{"a.example. CNAME b.example.", "b.example. HTTPS 0 c.example."}},
			names: []string{"alias b.example.", "target c.example."},
		},
		"poison in the answer": {
			reply:  reply{question: "a.example. A", answer: []string{"bank.test. A 203.0.113.1", "a.example. CNAME b.example.", "b.example. A 192.0.2.1", "x.test. CNAME y.test."}},
			names:  []string{"alias b.example.", "alias y.test."},
			addrs:  []string{"203.0.113.1", "192.0.2.1"},
			strays: []string{"bank.test. A", "x.test. CNAME"},
		},
		"poison in authority and additional section": {
			reply: reply{question: "a.example. A", answer: []string{"a.example. A 192.0.2.1"},
				ns:    []string{"bank.test. NS ns.a.example.", "example. NS ns.example.", "example. A 203.0.113.9"},
				extra: []string{"bank.test. A 203.0.113.1", "ns.a.example. A 203.0.113.2", "ns.example. A 192.0.2.53"}},
			addrs:  []string{"192.0.2.1", "203.0.113.1", "203.0.113.2", "192.0.2.53"},
			strays: []string{"bank.test. NS", "example. A", "bank.test. A", "ns.a.example. A"},
		},
		"another class": {
			reply:  reply{question: "a.example. A", answer: []string{"a.example. CH A 192.0.2.1", "a.example. CH CNAME b.example."}},
			names:  []string{"alias b.example."},
			strays: []string{"a.example. A", "a.example. CNAME"},
		},
		"service discovery": {
			reply: reply{question: "_x._tcp.example. PTR", answer: []string{"_x._tcp.example. PTR one._x._tcp.example."},
				extra: []string{"one._x._tcp.example. SRV 0 0 80 host.example.", `one._x._tcp.example. TXT "a"`, "host.example. A 192.0.2.1"}},
			addrs: []string{"192.0.2.1"},
		},
		"mail": {
			reply: reply{question: "example. MX", answer: []string{"example. MX 10 mx.example."}, extra: []string{"mx.example. A 192.0.2.1", "mx2.example. A 192.0.2.2"}},
			addrs: []string{"192.0.2.1", "192.0.2.2"}, strays: []string{"mx2.example. A"},
		},
		"proofs": {
			reply: reply{question: "a.example. A", rcode: dns.RcodeNameError, ns: []string{
				soa, "example. RRSIG SOA 8 1 60 20300101000000 20200101000000 1 example. AAAA", "0.example. NSEC b.example. A",
				"hash.example. NSEC3 1 0 0 - 00000000000000000000000000000000 A"}},
		},
		"no question": {reply: reply{rcode: dns.RcodeFormatError}},
	} {
		t.Run(name, func(t *testing.T) {
			msg := tc.pack(t)
			var r wire.Reply
			if err := r.Parse(msg); err != nil {
				t.Fatal(err)
			}
			compare(t, &r, msg, factsOf(t, unpack(t, msg)))
			var names []string
			kinds := r.NameKinds
			for rest := r.Names; len(rest) > 0; kinds = kinds[1:] {
				n := wire.NameLen(rest)
				text, _, err := dns.UnpackDomainName(rest[:n], 0)
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, map[byte]string{wire.KindAlias: "alias ", wire.KindTarget: "target "}[kinds[0]]+text)
				rest = rest[n:]
			}
			if !slices.Equal(names, tc.names) {
				t.Errorf("names %v, want %v", names, tc.names)
			}
			var addrs []string
			for _, a := range r.Addrs {
				addrs = append(addrs, a.String())
			}
			if !slices.Equal(addrs, tc.addrs) {
				t.Errorf("addresses %v, want %v", addrs, tc.addrs)
			}
			if r.Strays != len(tc.strays) {
				t.Errorf("%d strays, want %v", r.Strays, tc.strays)
			}
			scrubbed, err := r.Scrub(msg)
			if err != nil {
				t.Fatal(err)
			}
			before, after := unpack(t, msg), unpack(t, scrubbed)
			left := slices.Concat(texts(after.Answer), texts(after.Ns), texts(after.Extra))
			var removed []string
			for _, record := range slices.Concat(before.Answer, before.Ns, before.Extra) {
				if !slices.Contains(left, record.String()) {
					removed = append(removed, record.Header().Name+" "+dns.TypeToString[record.Header().Rrtype])
				}
			}
			if !slices.Equal(removed, tc.strays) {
				t.Errorf("removed %v, want %v", removed, tc.strays)
			}
		})
	}
}

func TestReplyLifetime(t *testing.T) {
	const soa = "example. 300 SOA ns. mail. 1 2 3 4 60"
	for name, tc := range map[string]struct {
		reply
		negative bool
		ttl      uint32
	}{
		"answer":               {reply{question: "a.example. A", answer: []string{"a.example. 30 A 192.0.2.1", "a.example. 20 A 192.0.2.2"}, ns: []string{"example. 5 NS ns.example."}}, false, 20},
		"chain":                {reply{question: "a.example. A", answer: []string{"a.example. 7 CNAME b.example.", "b.example. 20 A 192.0.2.2"}}, false, 7},
		"TTL 2^31":             {reply{question: "a.example. A", answer: []string{"a.example. 2147483648 A 192.0.2.1"}}, false, 0},
		"NXDOMAIN":             {reply{question: "a.example. A", rcode: dns.RcodeNameError, ns: []string{soa}}, true, 60},
		"SOA with smaller TTL": {reply{question: "a.example. A", rcode: dns.RcodeNameError, ns: []string{"example. 30 SOA ns. mail. 1 2 3 4 60"}}, true, 30},
		"NODATA":               {reply{question: "a.example. A", ns: []string{soa}}, true, 60},
		"NODATA, chain":        {reply{question: "a.example. A", answer: []string{"a.example. 7 CNAME b.example."}, ns: []string{soa}}, true, 7},
		"NODATA, other type":   {reply{question: "a.example. A", answer: []string{"a.example. 90 AAAA 2001:db8::1"}, ns: []string{soa}}, true, 60},
		"NXDOMAIN, chain":      {reply{question: "a.example. A", rcode: dns.RcodeNameError, answer: []string{"a.example. 90 CNAME b.example."}, ns: []string{soa}}, true, 60},
		"no SOA":               {reply{question: "a.example. A", rcode: dns.RcodeNameError}, true, 0},
		"SOA of another zone":  {reply{question: "a.example. A", rcode: dns.RcodeNameError, ns: []string{"test. 300 SOA ns. mail. 1 2 3 4 60"}}, true, 0},
		"SOA of a target's zone": {reply{question: "a.example. A", answer: []string{"a.example. 90 CNAME b.test."},
			ns: []string{"test. 300 SOA ns. mail. 1 2 3 4 60"}}, true, 60},
		"referral":          {reply{question: "a.example. A", ns: []string{"example. 300 NS ns.example."}}, true, 0},
		"SERVFAIL":          {reply{question: "a.example. A", rcode: dns.RcodeServerFailure, answer: []string{"a.example. 30 A 192.0.2.1"}}, false, 0},
		"truncated":         {reply{question: "a.example. A", answer: []string{"a.example. 30 A 192.0.2.1"}, change: func(m *dns.Msg) { m.Truncated = true }}, false, 0},
		"CNAME asked for":   {reply{question: "a.example. CNAME", answer: []string{"a.example. 30 CNAME b.example."}}, false, 30},
		"ANY":               {reply{question: "a.example. ANY", answer: []string{"a.example. 30 TXT x"}}, false, 30},
		"only a stray A":    {reply{question: "a.example. A", answer: []string{"b.example. 30 A 192.0.2.1"}, ns: []string{soa}}, true, 30},
		"extended rcode":    {reply{question: "a.example. A", rcode: dns.RcodeBadVers, change: func(m *dns.Msg) { m.SetEdns0(1232, false) }}, false, 0},
		"BADKEY, not 0x001": {reply{question: "a.example. A", rcode: dns.RcodeBadKey, change: func(m *dns.Msg) { m.SetEdns0(1232, false) }}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var r wire.Reply
			if err := r.Parse(tc.pack(t)); err != nil {
				t.Fatal(err)
			}
			if int(r.RCode) != tc.rcode || r.Negative != tc.negative || r.TTL() != tc.ttl {
				t.Errorf("rcode %d, negative %v, %d s; want %d, %v, %d s", r.RCode, r.Negative, r.TTL(), tc.rcode, tc.negative, tc.ttl)
			}
		})
	}
}

// raw is a reply to a.example. A with sections in octets; NAME below is a
// pointer to the question's name.
func raw(an, ns, ar int, records ...string) []byte {
	msg := []byte("\x00\x00\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01")
	wire.SetCounts(msg, uint16(an), uint16(ns), uint16(ar))
	return append(msg, strings.Join(records, "")...)
}

const (
	pointer   = "\xC0\x0C"
	fixed     = "\x00\x01\x00\x01\x00\x00\x00\x3C" // A IN 60
	fixedName = "\x00\x05\x00\x01\x00\x00\x00\x3C" // CNAME IN 60
	addr      = "\x00\x04\xC0\x00\x02\x01"
	bareOPT   = "\x00\x00\x29\x04\xD0\x00\x00\x00\x00\x00\x00"
)

func TestReplyRefusesTheMalformed(t *testing.T) {
	good := raw(1, 0, 1, pointer+fixed+addr, bareOPT)
	var r wire.Reply
	if err := r.Parse(good); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	at := func(off int) string { return string([]byte{0xC0 | byte(off>>8), byte(off)}) }
	questionEnd := len(raw(0, 0, 0))
	change := func(f func(b []byte)) []byte { b := slices.Clone(good); f(b); return b }
	for name, tc := range map[string]struct {
		msg  []byte
		want string
	}{
		"empty":                  {nil, "shorter than its header"},
		"header cut short":       {good[:11], "shorter than its header"},
		"too long":               {make([]byte, wire.MaxMessage+1), "longer than 65535"},
		"query":                  {change(func(b []byte) { b[2] &^= 0x80 }), "no reply"},
		"other opcode":           {change(func(b []byte) { b[2] |= 5 << 3 }), "no reply"},
		"two questions":          {change(func(b []byte) { b[5] = 2 }), "more than one question"},
		"question missing":       {good[:12], "ends inside a name"},
		"question cut":           {good[:questionEnd-1], "ends inside a record"},
		"trailing octet":         {append(slices.Clone(good), 0), "octets follow"},
		"record cut short":       {good[:questionEnd+9], "the message can hold"},
		"data cut short":         {raw(1, 0, 0, pointer+fixed+"\x00\x05\xC0\x00\x02\x01"), "ends inside a record"},
		"counts a lie":           {raw(5000, 0, 0, pointer+fixed+addr), "counts more"},
		"one record short":       {raw(2, 0, 0, pointer+fixed+addr+strings.Repeat("\x00", 10)), "ends inside a record"},
		"A of five octets":       {raw(1, 0, 0, pointer+fixed+"\x00\x05\xC0\x00\x02\x01\x01"), "does not fit"},
		"A without data":         {raw(1, 0, 0, pointer+fixed+"\x00\x00"), "does not fit"},
		"AAAA of four":           {raw(1, 0, 0, pointer+"\x00\x1C\x00\x01\x00\x00\x00\x3C"+addr), "does not fit"},
		"octets after name":      {raw(1, 0, 0, pointer+fixedName+"\x00\x03\xC0\x0C\x00"), "does not fit"},
		"name over the end":      {raw(2, 0, 0, pointer+fixedName+"\x00\x01\x01", "a\x00"+fixed+addr), "does not fit"},
		"pointer to itself":      {raw(1, 0, 0, at(questionEnd)+fixed+addr), "earlier name"},
		"pointer forwards":       {raw(2, 0, 0, at(questionEnd+16)+fixed+addr, "\x01b\x00"+fixed+addr), "earlier name"},
		"pointer loop":           {raw(1, 0, 0, pointer+fixedName+"\x00\x04\x01b"+at(questionEnd+12)), "earlier name"},
		"pointer to header":      {raw(1, 0, 0, at(4)+fixed+addr), "earlier name"},
		"pointer past end":       {raw(1, 0, 0, at(0x3FFF)+fixed+addr), "earlier name"},
		"pointer into a label":   {raw(1, 0, 0, at(13)+fixed+addr), "earlier name"},
		"pointer into a TTL":     {raw(2, 0, 0, pointer+fixed+addr, at(questionEnd+6)+fixed+addr), "earlier name"},
		"pointer into an OPT":    {raw(0, 0, 2, bareOPT, at(questionEnd)+fixed+addr), "earlier name"},
		"pointer into a TXT":     {raw(2, 0, 0, pointer+"\x00\x10\x00\x01\x00\x00\x00\x3C\x00\x03\x01b\x00", at(questionEnd+12)+fixed+addr), "earlier name"},
		"pointer cut short":      {raw(1, 0, 0, "\x01bcdefghijk\xC0"), "reserved type"},
		"reserved label":         {raw(1, 0, 0, "\x80"+fixed+addr), "reserved type"},
		"name of 256 octets":     {raw(1, 0, 0, strings.Repeat("\x01b", 123)+pointer+fixed+addr), "longer than 255"},
		"OPT in the answer":      {raw(1, 0, 0, bareOPT), "OPT record"},
		"OPT in authority":       {raw(0, 1, 0, bareOPT), "OPT record"},
		"two OPT":                {raw(0, 0, 2, bareOPT, bareOPT), "OPT record"},
		"OPT of another name":    {raw(0, 0, 1, pointer+bareOPT[1:]), "OPT record"},
		"OPT option cut short":   {raw(0, 0, 1, bareOPT[:10]+"\x03\x00\x0F\x00"), "OPT record"},
		"SOA without numbers":    {raw(0, 1, 0, pointer+"\x00\x06\x00\x01\x00\x00\x00\x3C\x00\x02\x00\x00"), "does not fit"},
		"NAPTR cut short":        {raw(1, 0, 0, pointer+"\x00\x23\x00\x01\x00\x00\x00\x3C\x00\x05\x00\x01\x00\x01\x09"), "does not fit"},
		"SVCB too short":         {raw(1, 0, 0, pointer+"\x00\x41\x00\x01\x00\x00\x00\x3C\x00\x02\x00\x01"), "ends inside a name"},
		"SVCB target compressed": {raw(1, 0, 0, pointer+"\x00\x41\x00\x01\x00\x00\x00\x3C\x00\x04\x00\x01"+pointer), "is compressed"},
		"SVCB parameters":        {raw(1, 0, 0, pointer+"\x00\x41\x00\x01\x00\x00\x00\x3C\x00\x09\x00\x01\x00\x00\x04\x00\x05\xC0\x00"), "SVCB"},
		"SVCB hint of 3 octets":  {raw(1, 0, 0, pointer+"\x00\x41\x00\x01\x00\x00\x00\x3C\x00\x0A\x00\x01\x00\x00\x04\x00\x03\xC0\x00\x02"), "SVCB"},
		"SVCB keys out of order": {raw(1, 0, 0, pointer+"\x00\x41\x00\x01\x00\x00\x00\x3C\x00\x0B\x00\x01\x00\x00\x02\x00\x00\x00\x02\x00\x00"), "SVCB"},
	} {
		t.Run(name, func(t *testing.T) {
			err := r.Parse(tc.msg)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "malformed reply at octet ") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	// Every prefix of a reply is an error, never a panic.
	for n := range good {
		if r.Parse(good[:n]) == nil {
			t.Errorf("the first %d octets are accepted", n)
		}
	}
	if err := r.Parse(good); err != nil {
		t.Errorf("the good one after all those: %v", err)
	}
}

func TestReplyLongestChain(t *testing.T) {
	chain := func(names int) (answer []string) {
		for i := 1; i < names; i++ {
			answer = append(answer, fmt.Sprintf("n%d.example. CNAME n%d.example.", i, i+1))
		}
		return append(answer, fmt.Sprintf("n%d.example. A 192.0.2.1", names))
	}
	for names, strays := range map[int]int{wire.MaxChain: 0, wire.MaxChain + 1: 1, wire.MaxChain + 5: 5} {
		var r wire.Reply
		if err := r.Parse(reply{question: "n1.example. A", answer: chain(names)}.pack(t)); err != nil {
			t.Fatal(err)
		}
		if r.Strays != strays {
			t.Errorf("a chain of %d names leaves %d strays, want %d", names, r.Strays, strays)
		}
	}
}

func TestReplyTriggersAreBounded(t *testing.T) {
	for n, ok := range map[int]bool{wire.MaxTriggers: true, wire.MaxTriggers + 1: false} {
		msg := raw(n, 0, 0, strings.Repeat(pointer+fixedName+"\x00\x02"+pointer, n))
		var r wire.Reply
		if err := r.Parse(msg); (err == nil) != ok {
			t.Errorf("%d CNAME records: %v", n, err)
		}
	}
}

// TestCompressionBombs has messages of the greatest length built to make parsers
// work hardest (CVE-2024-8508, CVE-2026-44390): each must be done, or refused,
// in a time that leaves no doubt that the work is linear.
func TestCompressionBombs(t *testing.T) {
	const limit = wire.MaxMessage
	// A name of 120 labels that is 120 pointers deep: each label stands alone, in
	// the data of a NS record, and points to the one before.
	deep := raw(0, 0, 0)
	deepest, count := 12, 0
	for range 118 {
		deep = append(deep, "\xC0\x0C\x00\x02\x00\x01\x00\x00\x00\x3C\x00\x04\x01x"...)
		deep = append(deep, 0xC0|byte(deepest>>8), byte(deepest))
		deepest = len(deep) - 4
		count++
	}
	fill := func(base []byte, n int, record string) []byte {
		base = slices.Clone(base)
		for len(base)+len(record) <= limit {
			base = append(base, record...)
			n++
		}
		wire.SetCounts(base, uint16(n), 0, 0)
		return base
	}
	to := string([]byte{0xC0 | byte(deepest>>8), byte(deepest)})
	out := fill(deep, count, to+fixed+addr)
	authority := slices.Clone(out)
	wire.SetCounts(authority, 0, binary.BigEndian.Uint16(out[6:]), 0)
	additional := slices.Clone(out)
	wire.SetCounts(additional, 0, 0, binary.BigEndian.Uint16(out[6:]))

	// A name of 255 octets, and thousands of pointers to it.
	long := raw(0, 0, 0, strings.Repeat("\x3F"+strings.Repeat("b", 63), 3)+"\x33"+strings.Repeat("b", 51)+pointer+fixed+addr)
	toLong := string([]byte{0xC0, wire.HeaderLen + 15})

	for name, msg := range map[string][]byte{
		"long owners":       fill(long, 1, toLong+fixed+addr),
		"long NS":           fill(long, 1, toLong+"\x00\x02\x00\x01\x00\x00\x00\x3C\x00\x02"+toLong),
		"long CNAME":        fill(long, 1, pointer+fixedName+"\x00\x02"+toLong),
		"long DNAME":        fill(long, 1, "\xC0\x0E"+"\x00\x27\x00\x01\x00\x00\x00\x3C\x00\x02"+toLong),
		"owners":            out,
		"authority":         authority,
		"additional":        additional,
		"NS":                fill(deep, count, to+"\x00\x02\x00\x01\x00\x00\x00\x3C\x00\x02"+to),
		"CNAME":             fill(deep, count, to+fixedName+"\x00\x02"+to),
		"DNAME":             fill(deep, count, to+"\x00\x27\x00\x01\x00\x00\x00\x3C\x00\x02"+to),
		"SOA":               fill(deep, count, to+"\x00\x06\x00\x01\x00\x00\x00\x3C\x00\x18"+to+to+strings.Repeat("\x00", 20)),
		"strays to rebuild": fill(raw(0, 0, 0, "\x3F"+strings.Repeat("b", 63)+"\x00"+fixed+addr), 1, "\xC0\x1B"+fixed+addr),
		"hints":             raw(1, 0, 0, pointer+"\x00\x41\x00\x01\x00\x00\x00\x3C\xFF\x07\x00\x01\x00\x00\x04\xFF\x00"+strings.Repeat("\xC0\x00\x02\x01", 0xFF00/4)),
	} {
		t.Run(name, func(t *testing.T) {
			var r wire.Reply
			took := time.Hour // the least: other work on the machine does not count
			for range 3 {
				start := time.Now()
				if err := r.Parse(msg); err == nil {
					if out, err := r.Scrub(slices.Clone(msg)); err == nil && len(out) > limit {
						t.Errorf("%d octets become %d", len(msg), len(out))
					}
				} else if !strings.Contains(err.Error(), "names to judge") && !strings.Contains(err.Error(), "more compression pointers") {
					t.Error(err)
				}
				took = min(took, time.Since(start))
			}
			t.Logf("%d octets: %v, %d records, %d octets of names, %d addresses", len(msg), took, len(r.TTLs), len(r.Names), len(r.Addrs))
			if took > 500*time.Millisecond { // 10 ms, ten times that under the race detector; comparing all with all takes seconds
				t.Errorf("%d octets took %v", len(msg), took)
			}
			if len(r.Names) > (wire.MaxTriggers+1)*wire.MaxName || len(r.Addrs) > limit/4 {
				t.Errorf("expanded to %d octets of names and %d addresses", len(r.Names), len(r.Addrs))
			}
		})
	}
}

func TestScrubRefusesToGrow(t *testing.T) {
	// A stray record whose long name thousands of others share.
	stray := raw(0, 0, 0, strings.Repeat("\x3F"+strings.Repeat("b", 63), 3)+"\x04test\x00"+fixed+addr)
	record := pointer + "\x00\x02\x00\x01\x00\x00\x00\x3C\x00\x02" + string([]byte{0xC0, wire.HeaderLen + 15})
	for _, tc := range []struct {
		sharing int
		fits    bool
	}{{300, true}, {1000, false}} {
		msg := append(slices.Clone(stray), strings.Repeat(record, tc.sharing)...)
		wire.SetCounts(msg, uint16(1+tc.sharing), 0, 0)
		var r wire.Reply
		if err := r.Parse(msg); err != nil {
			t.Fatal(err)
		}
		out, err := r.Scrub(msg)
		if (err == nil) != tc.fits {
			t.Errorf("%d records that share a name: %v", tc.sharing, err)
		}
		if err == nil && len(unpack(t, out).Answer) != tc.sharing {
			t.Errorf("%d of %d records left", len(unpack(t, out).Answer), tc.sharing)
		}
	}
}

func TestStripInPlace(t *testing.T) {
	msg := raw(1, 0, 1, pointer+fixed+addr, bareOPT)
	var r wire.Reply
	if err := r.Parse(msg); err != nil {
		t.Fatal(err)
	}
	got := r.Strip(msg)
	if &got[0] != &msg[0] {
		t.Error("an OPT record at the end was not cut off in place")
	}
	if want := raw(1, 0, 0, pointer+fixed+addr); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if again := r.Strip(got); !bytes.Equal(again, got) {
		t.Error("a second Strip changed the message")
	}
}

func TestReplyIsReusable(t *testing.T) {
	full := reply{question: "a.example. A", answer: []string{"a.example. CNAME b.example.", "c.example. A 192.0.2.1"},
		change: func(m *dns.Msg) {
			m.Authoritative, m.AuthenticatedData = true, true
			m.SetEdns0(1232, true).IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: 9, ExtraText: "x"}}
		}}.pack(t)
	empty := reply{question: "b.example. A"}.pack(t)
	var used, fresh wire.Reply
	for _, msg := range [][]byte{full, empty} {
		if err := used.Parse(msg); err != nil {
			t.Fatal(err)
		}
	}
	if err := fresh.Parse(empty); err != nil {
		t.Fatal(err)
	}
	compare(t, &used, empty, factsOf(t, unpack(t, empty)))
	if used.HasEDE || used.EDEText != nil || used.UDPSize != 0 || used.DO || used.OPTOffset != 0 || used.QuestionEnd != fresh.QuestionEnd {
		t.Errorf("left over from the reply before: %+v", visible(&used))
	}
}
