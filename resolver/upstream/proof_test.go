package upstream_test

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/upstream"
)

// baker is a server that gives cookies (RFC 7873). Its answer can be changed.
type baker struct {
	*peer
	secret   atomic.Value // string: the server's part in hex
	requires atomic.Bool  // it answers BADCOOKIE to all but its own
	stale    atomic.Bool  // it gives none any more
	without  atomic.Int64 // queries without its cookie, but for those of introductions
	before   atomic.Pointer[func(q *dns.Msg, send func(*dns.Msg))]
}

const firstPart, secondPart = "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"

func startBaker(t testing.TB) *baker {
	b := &baker{}
	b.secret.Store(firstPart)
	b.peer = startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		b.serve(query, func(m *dns.Msg) { send(pack(m)) }, true)
	}, func(query []byte, conn net.Conn) {
		b.serve(query, func(m *dns.Msg) { conn.Write(framed(pack(m))) }, false)
	})
	return b
}

func cookieIn(m *dns.Msg) *dns.EDNS0_COOKIE {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				return c
			}
		}
	}
	return nil
}

func isProbe(m *dns.Msg) bool {
	return strings.HasPrefix(strings.ToLower(m.Question[0].Name), "sinkhole-loop-probe-")
}

func (b *baker) serve(query []byte, send func(*dns.Msg), overUDP bool) {
	var q dns.Msg
	if q.Unpack(query) != nil {
		return
	}
	if before := b.before.Load(); before != nil && overUDP && !isProbe(&q) {
		(*before)(&q, send)
	}
	var m dns.Msg
	if m.Unpack(answer(query, truth)) != nil {
		return
	}
	secret := b.secret.Load().(string)
	c := cookieIn(&q)
	ours := c != nil && len(c.Cookie) > 16 && c.Cookie[16:] == secret
	if !ours && !isProbe(&q) {
		b.without.Add(1)
	}
	if c != nil && !b.stale.Load() {
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: c.Cookie[:16] + secret})
		if b.requires.Load() && !ours && overUDP {
			m.Rcode, m.Answer = dns.RcodeBadCookie, nil
		}
	}
	send(&m)
}

// introducing makes a Forwarder that gets to know its servers, and waits until it knows
// what is said of the first.
func introducing(t testing.TB, known func(s upstream.ServerStats) bool, servers ...string) *upstream.Forwarder {
	t.Helper()
	f := forwarder(t, upstream.Options{Servers: servers, FindLoops: true, Timeout: 2 * time.Second})
	_, _ = f.Exchange(t.Context(), newQuery(t, "www.example.com."))
	for end := time.Now().Add(10 * time.Second); !known(f.Stats()[0]); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not known within 10 s: %+v", f.Stats()[0])
		}
	}
	return f
}

func knowsCookies(s upstream.ServerStats) bool { return s.Cookies }
func knowsCase(s upstream.ServerStats) bool    { return s.KeepsCase }

// lying sends forged replies before the true one, made of the query.
func lying(b *baker, forge func(q *dns.Msg, m *dns.Msg)) {
	before := func(q *dns.Msg, send func(*dns.Msg)) {
		var m dns.Msg
		if m.Unpack(answer(pack(q), lie)) != nil {
			return
		}
		forge(q, &m)
		send(&m)
	}
	b.before.Store(&before)
}

// Once a server has given a cookie every query has it, and a reply without it, or with
// another client's, is not believed although port, ID and question are right.
func TestCookies(t *testing.T) {
	t.Parallel()
	forgeries := map[string]func(q, m *dns.Msg){
		"without a cookie":   func(_, _ *dns.Msg) {},
		"without an OPT":     func(_, m *dns.Msg) { m.Extra = nil },
		"another client's":   func(_, m *dns.Msg) { give(m, "0102030405060708"+firstPart) },
		"BADCOOKIE, another": func(_, m *dns.Msg) { give(m, "0102030405060708"+firstPart); m.Rcode = dns.RcodeBadCookie },
		"FORMERR":            func(_, m *dns.Msg) { m.Extra, m.Rcode, m.Answer = nil, dns.RcodeFormatError, nil },
	}
	for what, forge := range forgeries {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := startBaker(t)
			f := introducing(t, knowsCookies, b.String())
			before := b.without.Load()
			lying(b, forge)
			for range 5 {
				if got, _ := exchange(t, f, "www.example.com."); got != truth {
					t.Errorf("got %q, want %q", got, truth)
				}
			}
			if n := b.without.Load() - before; n != 0 {
				t.Errorf("%d queries without the cookie", n)
			}
			if s := f.Stats()[0]; !s.Cookies || !s.Healthy {
				t.Errorf("%+v", s)
			}
		})
	}
}

func give(m *dns.Msg, cookie string) {
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie})
}

// A server that has another secret tells so, and gets its new cookie at once; without UDP
// it would be TCP.
func TestBadCookie(t *testing.T) {
	t.Parallel()
	b := startBaker(t)
	b.requires.Store(false)
	f := introducing(t, knowsCookies, b.String())
	b.requires.Store(true)
	b.secret.Store(secondPart)
	if got, reply := exchange(t, f, "www.example.com."); got != truth || reply.Transport != "udp" {
		t.Errorf("got %q over %s", got, reply.Transport)
	}
	before := b.overUDP.Load()
	if got, _ := exchange(t, f, "www.example.com."); got != truth || b.overUDP.Load() != before+1 {
		t.Errorf("got %q with %d packets, want one: the new cookie is known", got, b.overUDP.Load()-before)
	}
	// It never likes a cookie: TCP answers.
	stubborn := func(q *dns.Msg, send func(*dns.Msg)) {
		b.secret.Store(hex.EncodeToString([]byte(time.Now().Format("15:04:05.000000000"))[:16]))
	}
	b.before.Store(&stubborn)
	if got, reply := exchange(t, f, "www.example.com."); got != truth || reply.Transport != "tcp" {
		t.Errorf("got %q over %s, want TCP", got, reply.Transport)
	}
}

// A server that gives cookies no more is asked over TCP once, and then as before.
func TestCookiesEnd(t *testing.T) {
	t.Parallel()
	b := startBaker(t)
	f := introducing(t, knowsCookies, b.String())
	b.stale.Store(true)
	if got, reply := exchange(t, f, "www.example.com."); got != truth || reply.Transport != "tcp" {
		t.Errorf("got %q over %s, want TCP", got, reply.Transport)
	}
	if got, reply := exchange(t, f, "www.example.com."); got != truth || reply.Transport != "udp" || f.Stats()[0].Cookies {
		t.Errorf("got %q over %s, cookies %v", got, reply.Transport, f.Stats()[0].Cookies)
	}
}

// A server that chokes on cookies, or knows none, is asked without, by clients always.
func TestServersWithoutCookies(t *testing.T) {
	t.Parallel()
	for what, choke := range map[string]func(query []byte, send func([]byte)){
		"knows none":      func(q []byte, send func([]byte)) { send(answer(q, truth)) },
		"FORMERR":         func(q []byte, send func([]byte)) { send(failing(q, dns.RcodeFormatError)) },
		"a bare FORMERR":  func(q []byte, send func([]byte)) { send([]byte{q[0], q[1], 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0}) },
		"silence":         func([]byte, func([]byte)) {},
		"a broken cookie": func(q []byte, send func([]byte)) { m := reply(q); give(m, "0102"); send(pack(m)) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var probes, cookies atomic.Int64
			p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
				var q dns.Msg
				if q.Unpack(query) != nil {
					return
				}
				if isProbe(&q) {
					defer probes.Add(1)
				}
				if cookieIn(&q) == nil {
					send(answer(query, truth))
					return
				}
				if !isProbe(&q) {
					cookies.Add(1)
				}
				choke(query, send)
			}, nil)
			f := forwarder(t, upstream.Options{Servers: []string{p.String()}, FindLoops: true, Timeout: time.Second})
			for end := time.Now().Add(10 * time.Second); probes.Load() < 2; {
				if time.Now().After(end) {
					t.Fatal("no two probes")
				}
				if got, reply := exchange(t, f, "www.example.com."); got != truth || reply.RTT > 400*time.Millisecond {
					t.Fatalf("got %q after %v", got, reply.RTT)
				}
			}
			exchange(t, f, "www.example.com.")
			if s := f.Stats()[0]; s.Cookies || cookies.Load() > 0 || !s.Healthy {
				t.Errorf("%d cookies of clients, %+v", cookies.Load(), s)
			}
		})
	}
}

// Names go out in random case once the server has kept it twice; the answer has the
// caller's spelling, and a reply in another one is not believed.
func TestRandomCase(t *testing.T) {
	t.Parallel()
	b := startBaker(t)
	b.stale.Store(true)
	var mu sync.Mutex
	spelled := map[string]bool{}
	note := func(q *dns.Msg, _ func(*dns.Msg)) {
		mu.Lock()
		spelled[q.Question[0].Name] = true
		mu.Unlock()
	}
	b.before.Store(&note)
	f := introducing(t, knowsCase, b.String())
	const name = "www.a-long-name.with-many-letters.example.com."
	query := newQuery(t, name)
	for range 20 {
		reply, err := f.Exchange(t.Context(), query)
		if err != nil || !bytes.Equal(reply.Msg[12:12+len(name)+1], query[12:12+len(name)+1]) {
			t.Fatalf("got %x (%v)", reply.Msg, err)
		}
		if got := address(t, reply.Msg); got != truth {
			t.Fatalf("got %q", got)
		}
	}
	if mu.Lock(); len(spelled) < 15 {
		t.Errorf("%d spellings of 20 queries", len(spelled))
	}
	mu.Unlock()
	// Whoever has a spelling of his own keeps it.
	mixed := newQuery(t, "WwW.eXample.com.")
	if reply, err := f.Exchange(t.Context(), mixed); err != nil || !bytes.Equal(reply.Msg[12:29], mixed[12:29]) {
		t.Errorf("got %x (%v)", reply.Msg, err)
	}
}

// A server that loses the case is found out when it does, asked again without, and gets
// no random case from then on.
func TestCaseLost(t *testing.T) {
	t.Parallel()
	var loses atomic.Bool
	p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		m := answer(query, truth)
		if loses.Load() {
			copy(m[12:], bytes.ToLower(m[12:12+bytes.IndexByte(m[12:], 0)]))
		}
		send(m)
	}, nil)
	f := introducing(t, knowsCase, p.String())
	loses.Store(true)
	before := p.overUDP.Load()
	if got, _ := exchange(t, f, "www.a-long-name.with-many-letters.example.com."); got != truth || p.overUDP.Load() != before+2 {
		t.Errorf("got %q with %d packets, want two", got, p.overUDP.Load()-before)
	}
	before = p.overUDP.Load()
	if got, _ := exchange(t, f, "www.a-long-name.with-many-letters.example.com."); got != truth || p.overUDP.Load() != before+1 || f.Stats()[0].KeepsCase {
		t.Errorf("got %q with %d packets, want one: %+v", got, p.overUDP.Load()-before, f.Stats()[0])
	}
	if s := f.Stats()[0]; s.Mismatched != 0 || s.Suspected != 0 {
		t.Errorf("the server is suspected: %+v", s)
	}
}

// One that never keeps it gets it never from clients.
func TestCaseNeverKept(t *testing.T) {
	t.Parallel()
	var mixed, probes atomic.Int64
	p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		var q dns.Msg
		if q.Unpack(query) != nil {
			return
		}
		m := answer(query, truth)
		name := m[12 : 12+bytes.IndexByte(m[12:], 0)]
		if isProbe(&q) {
			defer probes.Add(1)
		} else if !bytes.Equal(name, bytes.ToLower(name)) {
			mixed.Add(1)
		}
		copy(name, bytes.ToLower(name))
		send(m)
	}, nil)
	f := forwarder(t, upstream.Options{Servers: []string{p.String()}, FindLoops: true, Timeout: time.Second})
	for end := time.Now().Add(10 * time.Second); probes.Load() < 2; {
		exchange(t, f, "www.example.com.")
		if time.Now().After(end) {
			t.Fatal("no two probes")
		}
	}
	exchange(t, f, "www.example.com.")
	if mixed.Load() > 0 || f.Stats()[0].KeepsCase {
		t.Errorf("%d queries of clients in random case", mixed.Load())
	}
}

// Owners that a server spells out, as it was asked for them, come back as we know them.
func TestCaseOfOwners(t *testing.T) {
	t.Parallel()
	p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), _ netip.AddrPort) {
		m := reply(query)
		name := m.Question[0].Name
		zone := name[strings.Index(name, ".")+1:]
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(truth)}}
		m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 60}, Ns: "NS.Other.Example."}}
		m.Compress = false
		send(pack(m))
	}, nil)
	f := introducing(t, knowsCase, p.String())
	for range 10 {
		_, got := exchange(t, f, "www.a-long-name.with-many-letters.example.com.")
		var m dns.Msg
		if err := m.Unpack(got.Msg); err != nil || m.Answer[0].Header().Name != "www.a-long-name.with-many-letters.example.com." || m.Ns[0].Header().Name != "a-long-name.with-many-letters.example.com." || m.Ns[0].(*dns.NS).Ns != "NS.Other.Example." {
			t.Fatalf("%v: %v", err, &m)
		}
	}
}
