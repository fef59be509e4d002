package upstream

import (
	"bytes"
	"testing"

	"github.com/miekg/dns"
)

func packed(tb testing.TB, m *dns.Msg) []byte {
	tb.Helper()
	b, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestWithoutOPT(t *testing.T) {
	var m dns.Msg
	m.SetQuestion("www.example.com.", dns.TypeA)
	plain := packed(t, &m)
	m.SetEdns0(1232, true)
	q, err := parseQuery(packed(t, &m))
	if err != nil {
		t.Fatal(err)
	}
	if q.udpSize() != 1232 {
		t.Errorf("got UDP size %d, want 1232", q.udpSize())
	}
	q = q.clone().withoutOPT()
	if !bytes.Equal(q.msg, plain) || q.udpSize() != minUDPSize {
		t.Errorf("got %x with UDP size %d, want %x with %d", q.msg, q.udpSize(), plain, minUDPSize)
	}
}

// FuzzQuery: whatever the library reads with OPT as the last record is found to
// be so, and what is left without it is the same query.
func FuzzQuery(f *testing.F) {
	var m dns.Msg
	m.SetQuestion("wWw.example.com.", dns.TypeA)
	f.Add(packed(f, &m))
	m.SetEdns0(1232, true)
	f.Add(packed(f, &m))
	m.Extra = append(m.Extra, &dns.TXT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"a"}})
	f.Add(packed(f, &m))
	f.Fuzz(func(t *testing.T, msg []byte) {
		q, err := parseQuery(msg)
		if err != nil {
			return
		}
		if q.end > len(msg) || q.opt > len(msg)-11 {
			t.Fatalf("question ends at %d, OPT begins at %d of %d octets", q.end, q.opt, len(msg))
		}
		q.udpSize()
		var whole dns.Msg
		if whole.Unpack(msg) != nil || whole.Truncated || q.opt == 0 {
			return
		}
		n := len(whole.Extra)
		if n == 0 || whole.Extra[n-1].Header().Rrtype != dns.TypeOPT {
			t.Fatalf("OPT found at %d, but the library sees none at the end: %v", q.opt, &whole)
		}
		var rest dns.Msg
		if err := rest.Unpack(q.clone().withoutOPT().msg); err != nil {
			t.Fatalf("without OPT: %v", err)
		}
		whole.Extra = whole.Extra[:n-1]
		whole.Rcode &= 0x0f // the other bits stood in the OPT
		if rest.String() != whole.String() {
			t.Fatalf("without OPT:\n%v\nwant\n%v", &rest, &whole)
		}
	})
}

// FuzzJudge compares the check of a reply with one on the library's message.
func FuzzJudge(f *testing.F) {
	var m dns.Msg
	m.SetQuestion("wWw.example.com.", dns.TypeA)
	m.Id = 0x1234
	query := packed(f, &m)
	m.Response = true
	f.Add(packed(f, &m))
	rr, err := dns.NewRR("wWw.example.com. 60 IN CNAME example.com.")
	if err != nil {
		f.Fatal(err)
	}
	m.Answer = append(m.Answer, rr)
	m.SetEdns0(1232, false)
	m.Compress = true
	f.Add(packed(f, &m))
	m.Truncated = true
	f.Add(packed(f, &m))
	f.Add([]byte{0x12, 0x34, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0})
	q, err := parseQuery(query)
	if err != nil {
		f.Fatal(err)
	}
	var asked dns.Msg
	if err := asked.Unpack(query); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		verdict := q.judge(msg)
		var reply dns.Msg
		// The library reads a message that ends early, between two records.
		read := reply.Unpack(msg) == nil && counts(msg) == [4]int{len(reply.Question), len(reply.Answer), len(reply.Ns), len(reply.Extra)}
		fits := reply.Id == asked.Id && reply.Response && reply.Opcode == asked.Opcode &&
			len(reply.Question) == 1 && reply.Question[0] == asked.Question[0]
		switch {
		case verdict == accepted:
			whole := q.complete(msg)
			if !bytes.Equal(whole[headerLen:q.end], q.question()) || questions(whole) != 1 {
				t.Fatalf("accepted with another question: %x", msg)
			}
			if read && !fits && !isBareError(msg) {
				t.Fatalf("accepted, but the library reads %v", &reply)
			}
		case read && fits && bytes.HasPrefix(msg[headerLen:], q.question()):
			t.Fatalf("judged %d, but it answers the query: %v", verdict, &reply)
		}
	})
}

func counts(msg []byte) (n [4]int) {
	for i := range n {
		n[i] = int(msg[4+2*i])<<8 | int(msg[5+2*i])
	}
	return n
}
