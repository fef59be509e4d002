package wire_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// denial is a packed reply that denies a name, as an upstream sends it.
func denial(tb testing.TB, name string, compress bool, records ...string) []byte {
	tb.Helper()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
	m.Response, m.AuthenticatedData, m.Rcode, m.Compress = true, true, dns.RcodeNameError, compress
	m.Ns = rrs(tb, records...)
	return pack(tb, m)
}

func queryFor(tb testing.TB, name string, typ uint16) *wire.Query {
	tb.Helper()
	var q wire.Query
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), typ)
	m.SetEdns0(1232, true)
	if err := q.Parse(pack(tb, m)); err != nil {
		tb.Fatal(err)
	}
	return &q
}

// The answer to a name below is what the library makes of the records and that name.
func TestAppendBelow(t *testing.T) {
	t.Parallel()
	soa := "example. 900 IN SOA ns.example. root.gone.example. 1 3600 600 86400 60"
	for _, records := range [][]string{
		{soa},
		{"gone.example. 900 IN SOA ns.elsewhere.test. root.elsewhere.test. 1 3600 600 86400 60"},
		{soa, "example. 60 IN RRSIG SOA 8 1 900 20300101000000 20200101000000 1 example. AAAA", "elsewhere.example. 5 IN NSEC here.example. A RRSIG NSEC"},
		{"gone.example. 60 IN NS ns.gone.example.", "gone.example. 60 IN MX 5 mx.gone.example.", "_x._y.gone.example. 60 IN SRV 1 2 3 srv.gone.example.",
			"gone.example. 60 IN NAPTR 1 2 \"a\" \"bcd\" \"\" n.gone.example.", "gone.example. 60 IN TXT \"gone\"", "gone.example. 60 IN A 192.0.2.1"},
		{},
	} {
		for _, compress := range []bool{true, false} {
			packed := denial(t, "gone.example.", compress, records...)
			for _, name := range []string{"gone.example.", "a.gone.example.", "Very.Long." + strings.Repeat("x.", 100) + "Gone.example."} {
				q := queryFor(t, name, dns.TypeTXT)
				msg, ok := q.AppendBelow(nil, packed, 12+14+4, 30)
				if !ok {
					t.Errorf("%s: not made of %q", name, records)
					continue
				}
				m := unpack(t, msg)
				want := new(dns.Msg)
				want.Id, want.Response, want.RecursionDesired, want.RecursionAvailable, want.AuthenticatedData = q.ID, true, true, true, true
				want.Rcode = dns.RcodeNameError
				want.Question = []dns.Question{{Name: name, Qtype: dns.TypeTXT, Qclass: dns.ClassINET}}
				want.Ns = rrs(t, records...)
				for _, rr := range want.Ns {
					rr.Header().Ttl -= min(rr.Header().Ttl, 30)
				}
				if got, want := strings.ToLower(m.String()), strings.ToLower(want.String()); got != want {
					t.Errorf("%s:\n%s\nexpected\n%s", name, got, want)
				}
				if m.Question[0].Name != name {
					t.Errorf("the question is spelled %s", m.Question[0].Name)
				}
			}
		}
	}
}

// What no pointer can reach is not made.
func TestAppendBelowIsBounded(t *testing.T) {
	t.Parallel()
	packed := denial(t, "gone.example.", false, slices.Repeat([]string{"gone.example. 60 IN TXT \"" + strings.Repeat("x", 200) + "\""}, 70)...)
	if len(packed) > 0x3fff {
		t.Fatalf("%d octets", len(packed))
	}
	if _, ok := queryFor(t, "gone.example.", dns.TypeA).AppendBelow(nil, packed, 30, 0); !ok {
		t.Error("not made")
	}
	if _, ok := queryFor(t, strings.Repeat("x.", 110)+"gone.example.", dns.TypeA).AppendBelow(nil, append(packed, make([]byte, 0x3fff-len(packed))...), 30, 0); ok {
		t.Error("made although it is too long")
	}
	if _, ok := queryFor(t, "example.", dns.TypeA).AppendBelow(nil, packed, 30, 0); ok {
		t.Error("made for a name above")
	}
}

func TestAppendBelowDoesNotAllocate(t *testing.T) {
	packed := denial(t, "gone.example.", true, "example. 900 IN SOA ns.example. root.example. 1 3600 600 86400 60")
	q, room := queryFor(t, "www.gone.example.", dns.TypeA), make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := q.AppendBelow(room, packed, 30, 1); !ok {
			t.Error("not made")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzAppendBelow: of whatever reply Parse takes, the answer to a longer name has the
// same records, as the library reads them.
func FuzzAppendBelow(f *testing.F) {
	f.Add(denial(f, "gone.example.", true, "example. 900 IN SOA ns.example. root.gone.example. 1 3600 600 86400 60"), "www")
	f.Add(denial(f, "gone.example.", true, "gone.example. 60 IN MX 5 mx.gone.example.", "gone.example. 60 IN NAPTR 1 2 \"a\" \"b\" \"\" n.gone.example."), "a")
	f.Add(denial(f, ".", true, ". 900 IN SOA ns.example. root.example. 1 3600 600 86400 60"), "tld")
	f.Fuzz(func(t *testing.T, packed []byte, label string) {
		var r wire.Reply
		if len(label) == 0 || len(label) > 63 || r.Parse(packed) != nil || r.QuestionEnd <= 16 {
			return
		}
		name := append(append([]byte{byte(len(label))}, label...), packed[12:r.QuestionEnd-4]...)
		packed = r.Strip(packed)
		var q wire.Query
		if !q.SetName(name) {
			return
		}
		q.Type, q.Class, q.RD = dns.TypeA, dns.ClassINET, true
		before := new(dns.Msg)
		if before.Unpack(packed) != nil {
			return
		}
		msg, ok := q.AppendBelow(nil, packed, r.QuestionEnd, 0)
		if !ok {
			if len(packed)+1+len(label) <= 0x3fff {
				t.Fatalf("not made of %x", packed)
			}
			return
		}
		after := unpack(t, msg)
		if len(before.Answer) != len(after.Answer) || len(before.Ns) != len(after.Ns) || len(before.Extra) != len(after.Extra) {
			t.Fatalf("other records\n%v\n%v", before, after)
		}
		was := slices.Concat(before.Answer, before.Ns, before.Extra)
		for i, rr := range slices.Concat(after.Answer, after.Ns, after.Extra) {
			if ttl := was[i].Header().Ttl; ttl > 1<<31-1 {
				was[i].Header().Ttl = 0
			}
			if rr.String() != was[i].String() {
				t.Fatalf("%v\nwas\n%v", rr, was[i])
			}
		}
		if err := r.Parse(msg); err != nil {
			t.Fatalf("cannot be read: %v", err)
		}
	})
}

func TestSOAOfRoot(t *testing.T) {
	t.Parallel()
	root, zone := ". 900 IN SOA a.root. b.root. 1 2 3 4 5", "example. 900 IN SOA ns.example. root.example. 1 2 3 4 5"
	for _, test := range []struct {
		records []string
		root    bool
	}{
		{[]string{root}, true},
		{[]string{zone}, false},
		{[]string{". 60 IN NSEC aaa. NS SOA", root}, true},
		{[]string{"a.example. 60 IN NSEC b.example. A", zone}, false},
		{[]string{"gone.example. 900 IN SOA ns.example. root.example. 1 2 3 4 5"}, false},
		{nil, true},
	} {
		for _, compress := range []bool{true, false} {
			packed := denial(t, "gone.example.", compress, test.records...)
			if found := wire.SOAOfRoot(packed, 30); found != test.root {
				t.Errorf("%q: %v", test.records, found)
			}
			for n := wire.HeaderLen; n < len(packed); n++ {
				wire.SOAOfRoot(packed[:n], 30) // no fault
			}
		}
	}
	// The owner is a pointer to the root label of the question.
	packed := denial(t, "gone.example.", true, root)
	packed = slices.Concat(packed[:30], []byte{0xC0, 12 + 13}, packed[31:])
	if !wire.SOAOfRoot(packed, 30) {
		t.Error("not seen to be the root's")
	}
}
