package upstream_test

import (
	"crypto/tls"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"sinkhole/resolver/upstream"
)

// names answers for the addresses of peerName, by way of an alias; for others
// there is no such name.
func names(addrs ...string) onUDP {
	return func(query []byte, send func([]byte), _ netip.AddrPort) {
		m := reply(query)
		q := m.Question[0]
		if q.Name != peerName+"." {
			m.Rcode = dns.RcodeNameError
			send(pack(m))
			return
		}
		const alias = "alias.example."
		m.Answer = append(m.Answer, &dns.CNAME{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 60}, Target: alias})
		for _, a := range addrs {
			addr := netip.MustParseAddr(a)
			switch {
			case addr.Is4() && q.Qtype == dns.TypeA:
				m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: alias, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300}, A: net.IP(addr.AsSlice())})
			case addr.Is6() && q.Qtype == dns.TypeAAAA:
				m.Answer = append(m.Answer, &dns.AAAA{Hdr: dns.RR_Header{Name: alias, Rrtype: dns.TypeAAAA, Class: dns.ClassINET, Ttl: 300}, AAAA: net.IP(addr.AsSlice())})
			}
		}
		send(pack(m))
	}
}

func portOf(addr net.Addr) string {
	_, port, _ := net.SplitHostPort(addr.String())
	return port
}

func TestServersByName(t *testing.T) {
	a := newAuthority(t)
	overTLS := startTLS(t, a.config(peerName), honestTLS)
	overHTTPS := startHTTPS(t, a.config(peerName), honestHTTPS)
	overQUIC := startQUIC(t, a.config(peerName), honestQUIC)
	for _, server := range []string{
		"tls://dns.example:" + portOf(overTLS.Addr()), "https://DNS.example:" + portOf(overHTTPS.Listener.Addr()) + "/dns-query", "quic://dns.example.:" + portOf(overQUIC.Addr()),
	} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			p := startPeer(t, "127.0.0.1", names("127.0.0.1"), nil)
			f := forwarder(t, upstream.Options{Servers: []string{server}, Bootstrap: []string{p.String()}, Timeout: 5 * time.Second, RootCAs: a.roots()})
			if n := p.overUDP.Load(); n != 0 {
				t.Errorf("%d look-ups before anybody asked", n)
			}
			var asking sync.WaitGroup
			for range 20 {
				asking.Go(func() {
					if got, reply := exchange(t, f, "www.example.com."); got != truth || reply.Server.String() != server {
						t.Errorf("got %q from %s, want %q", got, reply.Server, truth)
					}
				})
			}
			asking.Wait()
			if n := p.overUDP.Load(); n != 2 {
				t.Errorf("got %d look-ups, want one for each family", n)
			}
		})
	}
}

// The servers of the system find the name where there is no bootstrap, but never
// we ourselves.
func TestServersByNameOfTheSystem(t *testing.T) {
	a := newAuthority(t)
	secure := startTLS(t, a.config(peerName), honestTLS)
	p := startPeer(t, "127.0.0.1", names("127.0.0.1"), nil)
	path := filepath.Join(t.TempDir(), "resolv.conf")
	writeFile(t, path, nameserver(p))
	o := upstream.Options{Servers: []string{"tls://dns.example:" + portOf(secure.Addr())}, ResolvConf: path, Timeout: 5 * time.Second, RootCAs: a.roots()}
	if got, _ := exchange(t, forwarder(t, o), "www.example.com."); got != truth {
		t.Errorf("got %q, want %q", got, truth)
	}

	o.Own = func() []netip.AddrPort { return []netip.AddrPort{p.addr} }
	_, err := forwarder(t, o).Exchange(t.Context(), newQuery(t, "www.example.com."))
	if err == nil || !strings.Contains(err.Error(), "names this resolver itself") || !strings.Contains(err.Error(), "no address of dns.example was found") {
		t.Errorf("got error %v", err)
	}
}

// The addresses are tried in turn; what was found serves on without a bootstrap.
func TestAddressesInTurn(t *testing.T) {
	a := newAuthority(t)
	for name, addrs := range map[string][]string{
		"refused first":      {"127.0.0.2", "127.0.0.3", "127.0.0.1"},
		"IPv6 refused first": {"::1", "127.0.0.1"},
		"another server":     {"127.0.0.4", "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secure := startTLS(t, a.config(peerName), func(p *tlsPeer, conn *tls.Conn, _ int64) { conn.Write(framed(answer(p.next(conn), truth))) })
			if name == "another server" {
				startTLSAt(t, "127.0.0.4:"+portOf(secure.Addr()), a.config("other.example"), honestTLS)
			}
			var mute atomic.Bool
			find := names(addrs...)
			p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), from netip.AddrPort) {
				if !mute.Load() {
					find(query, send, from)
				}
			}, nil)
			f := forwarder(t, upstream.Options{
				Servers: []string{"tls://dns.example:" + portOf(secure.Addr())}, Bootstrap: []string{p.String()}, Timeout: 5 * time.Second, RootCAs: a.roots(),
			})
			exchange(t, f, "www.example.com.")
			mute.Store(true)
			for range 3 { // each over a connection of its own
				if got, _ := exchange(t, f, "www.example.com."); got != truth {
					t.Errorf("got %q, want %q", got, truth)
				}
			}
			if s := f.Stats()[0]; !s.Healthy || s.Replies != 4 {
				t.Errorf("want four replies: %+v", s)
			}
		})
	}
}

// An address that swallows packets costs a moment, and only once.
func TestSilentAddressIsPassedBy(t *testing.T) {
	a := newAuthority(t)
	secure := startTLS(t, a.config(peerName), func(p *tlsPeer, conn *tls.Conn, _ int64) { conn.Write(framed(answer(p.next(conn), truth))) })
	hung, err := net.Listen("tcp", "127.0.0.2:"+portOf(secure.Addr())) // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	p := startPeer(t, "127.0.0.1", names("127.0.0.2", "127.0.0.1"), nil)
	within(t, 700*time.Millisecond, func() {
		f := forwarder(t, upstream.Options{
			Servers: []string{"tls://dns.example:" + portOf(secure.Addr())}, Bootstrap: []string{p.String()}, Timeout: 5 * time.Second, RootCAs: a.roots(),
		})
		for range 3 {
			exchange(t, f, "www.example.com.")
		}
	})
}

// Nothing but the exchange fails where addresses cannot be found, and the next
// exchange looks again.
func TestBootstrapFails(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	secure := startTLS(t, a.config(peerName), honestTLS)
	for name, test := range map[string]struct {
		bad  onUDP
		want string
	}{
		"no such name": {rcode(dns.RcodeNameError), "RCODE 3"},
		"refused":      {rcode(dns.RcodeRefused), "RCODE 5"},
		"no address":   {names(), "it has none"},
		"no machine":   {names("0.0.0.0", "224.0.0.1", "::"), "it has none"},
		"silent":       {func([]byte, func([]byte), netip.AddrPort) {}, "look up dns.example: no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var good atomic.Bool
			p := startPeer(t, "127.0.0.1", func(query []byte, send func([]byte), from netip.AddrPort) {
				if good.Load() {
					names("127.0.0.1")(query, send, from)
				} else {
					test.bad(query, send, from)
				}
			}, nil)
			core, logs := observer.New(zap.WarnLevel)
			f := forwarder(t, upstream.Options{
				Servers: []string{"tls://dns.example:" + portOf(secure.Addr())}, Bootstrap: []string{p.String()}, Timeout: 500 * time.Millisecond, RootCAs: a.roots(), Logger: zap.New(core),
			})
			_, err := f.Exchange(t.Context(), newQuery(t, "www.example.com."))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q in it", err, test.want)
			}
			good.Store(true)
			eventually(t, "the server answers", func() bool {
				_, err := f.Exchange(t.Context(), newQuery(t, "www.example.com."))
				return err == nil
			})
			if n := logs.FilterMessageSnippet("addresses of upstream server not found").Len(); n != 1 {
				t.Errorf("got %d warnings, want one", n)
			}
		})
	}
}

func TestBootstrapIsPlain(t *testing.T) {
	for _, bootstrap := range []string{"tls://192.0.2.1#dns.example", "dns.example", "https://dns.example/dns-query"} {
		_, err := upstream.New(upstream.Options{Servers: []string{"tls://dns.example"}, Bootstrap: []string{bootstrap}, Timeout: time.Second})
		if err == nil || !strings.Contains(err.Error(), bootstrap) {
			t.Errorf("%s: got error %v", bootstrap, err)
		}
	}
}
