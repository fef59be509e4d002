package resolver

import (
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// The vectors of RFC 9018, appendix A.
func TestServerCookie(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		secret, client, address, server string
		now                             int64
	}{
		{"e5e973e5a6b2a43f48e7dc849e37bfcf", "2464c4abcf10c957", "198.51.100.100", "010000005cf79f111f8130c3eee29480", 1559731985},
		{"dd3bdf9344b678b185a6f5cb60fca715", "22681ab97d52c298", "2001:db8:220:1:59de:d0f4:8769:82b8", "010000005cf7c57926556bd0934c72f8", 1559741817},
	} {
		s := &settings{cookieSecrets: []CookieSecret{CookieSecret(unhex(t, test.secret))}}
		q := &request{}
		q.received, q.client = time.Unix(test.now, 0), netip.AddrPortFrom(netip.MustParseAddr(test.address), 53)
		q.cookie = cookie{sent: true, client: [8]byte(unhex(t, test.client))}
		dst := s.appendCookie(wire.AppendOPT(nil, 1232, false, 0, nil), 0, q)
		got := dst[len(dst)-24:]
		if hex.EncodeToString(got) != test.client+test.server {
			t.Errorf("%x, expected %s%s", got, test.client, test.server)
		}
		for age, want := range map[time.Duration]bool{0: true, time.Hour: true, time.Hour + time.Second: false, -5 * time.Minute: true, -6 * time.Minute: false} {
			if _, ours := s.verify(got, q.client.Addr(), q.received.Add(age)); ours != want {
				t.Errorf("after %v: ours %v, expected %v", age, ours, want)
			}
		}
		if _, ours := s.verify(got, netip.MustParseAddr("192.0.2.1"), q.received); ours {
			t.Error("a cookie of another address is believed")
		}
		rolled := &settings{cookieSecrets: []CookieSecret{{1}, s.cookieSecrets[0]}}
		if _, ours := rolled.verify(got, q.client.Addr(), q.received); !ours {
			t.Error("a cookie of the secret before is not believed")
		}
		forged := append([]byte(nil), got...)
		forged[23] ^= 1
		if _, ours := s.verify(forged, q.client.Addr(), q.received); ours {
			t.Error("a forged cookie is believed")
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	check(t, err)
	return b
}

// cookieOf is the cookie of an answer to a query.
func cookieOf(t testing.TB, c net.Conn, name, sent string) string {
	t.Helper()
	_, all := options(t, c, withOption(t, name, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: sent}))
	for _, o := range all {
		if found, ok := o.(*dns.EDNS0_COOKIE); ok {
			return found.Cookie
		}
	}
	return ""
}

// A client gets a cookie for its own, keeps it while it is good, and with it its hits have
// a proven source; with any other they have not. So it is for a name that is listed, cached
// or asked for upstream.
func TestCookies(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	for _, name := range []string{"bad.example.", "good.example.", "good.example.", "localhost."} {
		c := dialUDP(t, k)
		const own = "0102030405060708"
		first := cookieOf(t, c, name, own)
		if len(first) != 48 || first[:16] != own {
			t.Fatalf("%s: cookie %q, expected %s and 16 octets more", name, first, own)
		}
		if again := cookieOf(t, c, name, first); again != first {
			t.Errorf("%s: cookie %q, expected the same as before, %q", name, again, first)
		}
		if other := cookieOf(t, c, name, "1112131415161718"+first[16:]); other == first || len(other) != 48 {
			t.Errorf("%s: cookie %q for another client cookie", name, other)
		}
	}
	if n := k.Stats().BadCookies; n != 4 {
		t.Errorf("%d cookies that are not ours, expected 4", n)
	}
	var proven []bool
	for _, r := range k.hits(t) {
		proven = append(proven, r.Sinkhole.SourceProven)
	}
	if len(proven) != 3 || proven[0] || !proven[1] || proven[2] {
		t.Errorf("proven sources %v, expected that of the second hit", proven)
	}
}

// A query without a question gets the cookie that it asks for (RFC 7873 section 5.4); one
// without a cookie is malformed.
func TestCookieWithoutQuestion(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	eachTransport(t, k, func(t *testing.T, c net.Conn) {
		alone := header(4711, wire.RD, 0, 0, 0, 1)
		opt := wire.AppendOption(wire.AppendOPT(nil, 1232, false, 0, nil), 0, wire.OptionCookie, []byte("01234567"))
		send(t, c, append(alone, opt...))
		var m dns.Msg
		check(t, m.Unpack(receive(t, c)))
		if m.Rcode != dns.RcodeSuccess || m.Id != 4711 || len(m.Question) != 0 || m.IsEdns0() == nil || len(m.IsEdns0().Option) != 1 {
			t.Errorf("%v", m.String())
		}
		rejects(t, c, append(header(4711, wire.RD, 0, 0, 0, 1), wire.AppendOPT(nil, 1232, false, 0, nil)...), wire.RCodeFormErr)
	})
}
