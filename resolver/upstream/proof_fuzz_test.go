package upstream

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"
)

// FuzzProve holds any message that comes for a query with cookie and random case to what
// the library makes of it: accepted only with the query's own client cookie, or none and
// no server part known; restored it is the same but for the case of names.
func FuzzProve(f *testing.F) {
	for _, options := range [][]dns.EDNS0{
		nil, {&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0000000000000000"}}, {&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "00000000000000000102030405060708"}},
		{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "01"}}, {&dns.EDNS0_NSID{Code: dns.EDNS0NSID}, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"}},
	} {
		m := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA)
		m.Id, m.Response = 0, true
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "www.example.com.", Rrtype: dns.TypeA, Class: dns.ClassINET}, A: []byte{192, 0, 2, 1}}}
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = options
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed, true)
		f.Add(packed, false)
	}
	f.Fuzz(func(t *testing.T, msg []byte, known bool) {
		now := time.Now()
		s := newServer(netip.MustParseAddrPort("192.0.2.1:53"), zap.NewNop())
		cookie := make([]byte, clientCookie)
		if known {
			cookie = append(cookie, []byte("server's")...)
			s.proofs.learn(cookie[:clientCookie], cookie, now)
		}
		q := newProbe([]byte("\x03www\x07example\x03com\x00"), dns.TypeA).withCase(rand.New(rand.NewPCG(1, 1))).withCookie(cookie)
		if len(msg) >= q.end { // else hardly anything gets past the question
			copy(msg[headerLen:], q.question())
		}
		before := bytes.Clone(msg)
		v := q.judgeAt(s, msg, now)
		if !bytes.Equal(msg, before) {
			t.Fatal("judging changes the message")
		}
		if v != accepted {
			return
		}
		q.restore(msg)
		if !bytes.EqualFold(msg, before) {
			t.Fatalf("restored %x to %x", before, msg)
		}
		var m dns.Msg
		if isTruncated(before) || m.Unpack(before) != nil || len(m.Question) == 0 {
			return
		}
		given := ""
		if opt := m.IsEdns0(); opt != nil {
			if opt.Hdr.Name != "." {
				return // no OPT to us, and refused later
			}
			for _, o := range opt.Option {
				if c, ok := o.(*dns.EDNS0_COOKIE); ok {
					given = c.Cookie
					break
				}
			}
		}
		if given == "" && known || given != "" && !strings.HasPrefix(given, hex.EncodeToString(q.client())) {
			t.Fatalf("accepted with the cookie %q", given)
		}
	})
}
