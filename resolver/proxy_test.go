package resolver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/hits"
	"sinkhole/resolver/wire"
)

const (
	kindTCP4, kindUDP4, kindTCP6, kindUDP6 = 0x11, 0x12, 0x21, 0x22
)

// proxyHeader is one of version 2.
func proxyHeader(command, kind byte, source, destination string, tlvs ...byte) []byte {
	var addresses []byte
	if source != "" {
		s, d := netip.MustParseAddrPort(source), netip.MustParseAddrPort(destination)
		addresses = append(s.Addr().AsSlice(), d.Addr().AsSlice()...)
		addresses = binary.BigEndian.AppendUint16(addresses, s.Port())
		addresses = binary.BigEndian.AppendUint16(addresses, d.Port())
	}
	addresses = append(addresses, tlvs...)
	h := append([]byte(proxySignature), command, kind)
	return append(binary.BigEndian.AppendUint16(h, uint16(len(addresses))), addresses...)
}

func TestParseProxy(t *testing.T) {
	t.Parallel()
	const source, destination = "198.51.100.7:40111", "192.0.2.53:53"
	const source6, destination6 = "[2001:db8::7]:40111", "[2001:db8::53]:53"
	good := proxyHeader(0x21, kindUDP4, source, destination)
	for name, test := range map[string]struct {
		header   []byte
		source   string // "": it speaks for itself
		datagram bool
		fault    bool
	}{
		"UDP over IPv4":             {header: good, source: source, datagram: true},
		"TCP over IPv4":             {header: proxyHeader(0x21, kindTCP4, source, destination), source: source},
		"UDP over IPv6":             {header: proxyHeader(0x21, kindUDP6, source6, destination6), source: source6, datagram: true},
		"TCP over IPv6":             {header: proxyHeader(0x21, kindTCP6, source6, destination6), source: source6},
		"IPv4 in IPv6":              {header: proxyHeader(0x21, kindUDP6, "[::ffff:198.51.100.7]:9", "[::ffff:192.0.2.53]:53"), source: "198.51.100.7:9", datagram: true},
		"with TLVs":                 {header: proxyHeader(0x21, kindUDP4, source, destination, 0xE0, 0, 3, 1, 2, 3), source: source, datagram: true},
		"LOCAL":                     {header: proxyHeader(0x20, 0, "", "")},
		"LOCAL with what it is not": {header: proxyHeader(0x20, kindUDP4, source, destination)},
		"version 1 in binary":       {header: proxyHeader(0x11, kindUDP4, source, destination), fault: true},
		"an unknown command":        {header: proxyHeader(0x22, kindUDP4, source, destination), fault: true},
		"AF_UNSPEC":                 {header: proxyHeader(0x21, 0, "", ""), fault: true},
		"AF_UNIX":                   {header: proxyHeader(0x21, 0x31, "", "", make([]byte, 216)...), fault: true},
		"an unknown protocol":       {header: proxyHeader(0x21, 0x13, source, destination), fault: true},
		"no addresses":              {header: proxyHeader(0x21, kindUDP4, "", ""), fault: true},
		"IPv6 of IPv4's length":     {header: proxyHeader(0x21, kindUDP6, source, destination), fault: true},
		"cut off":                   {header: good[:len(good)-1], fault: true},
		"the signature alone":       {header: good[:12], fault: true},
		"nothing":                   {fault: true},
		"another signature":         {header: append([]byte{0}, good[1:]...), fault: true},
		"nobody's source":           {header: proxyHeader(0x21, kindUDP4, "0.0.0.0:1", destination), fault: true},
		"a multicast source":        {header: proxyHeader(0x21, kindUDP6, "[ff02::1]:1", destination6), fault: true},
		"too much behind it":        {header: proxyHeader(0x21, kindUDP4, source, destination, make([]byte, maxProxyHead)...), fault: true},
	} {
		p, err := parseProxy(append(bytes.Clone(test.header), "rest"...))
		if strings.HasPrefix(name, "cut off") || len(test.header) < proxyHead {
			p, err = parseProxy(test.header)
		}
		if (err != nil) != test.fault || test.fault && p.source.IsValid() {
			t.Errorf("%s: %+v, %v", name, p, err)
			continue
		}
		if want, _ := netip.ParseAddrPort(test.source); !test.fault && (p.source != want || p.datagram != test.datagram || p.length != len(test.header) || p.version != hits.ProxyV2) {
			t.Errorf("%s: %+v, expected %s", name, p, test.source)
		}
	}
}

func TestParseProxyLine(t *testing.T) {
	t.Parallel()
	for line, source := range map[string]string{
		"PROXY TCP4 198.51.100.7 192.0.2.53 40111 53\r\n":   "198.51.100.7:40111",
		"PROXY TCP6 2001:db8::7 2001:db8::53 65535 853\r\n": "[2001:db8::7]:65535",
		"PROXY UNKNOWN\r\n": "",
		"PROXY UNKNOWN ffff:f:f:f::1 ffff::2 65535 65535\r\n":  "",
		"PROXY TCP4 198.51.100.7 192.0.2.53 40111 53\n":        "fault",
		"PROXY TCP4 198.51.100.7 192.0.2.53 40111\r\n":         "fault",
		"PROXY TCP4 198.51.100.7 192.0.2.53 40111 53 x\r\n":    "fault",
		"PROXY TCP4 2001:db8::7 2001:db8::53 1 2\r\n":          "fault",
		"PROXY TCP6 198.51.100.7 192.0.2.53 1 2\r\n":           "fault",
		"PROXY TCP4 198.51.100.7 192.0.2.53 040 53\r\n":        "fault",
		"PROXY TCP4 198.51.100.7 192.0.2.53 65536 53\r\n":      "fault",
		"PROXY TCP4 198.51.100.7 192.0.2.53 -1 53\r\n":         "fault",
		"PROXY TCP6 fe80::1%eth0 fe80::2 1 53\r\n":             "fault",
		"PROXY  TCP4 198.51.100.7 192.0.2.53 1 53\r\n":         "fault",
		"PROXY UDP4 198.51.100.7 192.0.2.53 1 53\r\n":          "fault",
		"PROXY TCP4 0.0.0.0 192.0.2.53 1 53\r\n":               "fault",
		"PROXY\r\n":                                            "fault",
		"\r\n":                                                 "fault",
		"proxy TCP4 198.51.100.7 192.0.2.53 40111 53\r\n":      "fault",
		"PROXY UNKNOWN " + strings.Repeat("x", 100) + "\r\n":   "fault",
		"PROXY TCP4 198.51.100.7 192.0.2.53 40111 53\r\nx\r\n": "fault",
	} {
		p, err := parseProxyLine(line)
		if (err != nil) != (source == "fault") || err == nil && p.source.IsValid() != (source != "") || p.source.IsValid() && p.source.String() != source {
			t.Errorf("%q: %+v, %v; expected %q", line, p, err, source)
		}
	}
}

// What a stream begins with is read as the same octets at once are, and nothing behind it.
func FuzzProxy(f *testing.F) {
	f.Add(proxyHeader(0x21, kindUDP4, "198.51.100.7:40111", "192.0.2.53:53", 1, 0, 0))
	f.Add(proxyHeader(0x21, kindTCP6, "[2001:db8::7]:40111", "[2001:db8::53]:53"))
	f.Add(proxyHeader(0x20, 0, "", ""))
	f.Add([]byte("PROXY TCP4 198.51.100.7 192.0.2.53 40111 53\r\nrest"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseProxy(b)
		if err == nil && (p.length < proxyHead || p.length > len(b)) || err != nil && p.source.IsValid() {
			t.Fatalf("%+v, %v", p, err)
		}
		if err == nil && p.source.IsValid() {
			kind := byte(kindTCP4)
			if !p.source.Addr().Is4() || !p.destination.Addr().Is4() {
				return // one of both may have been IPv4 in IPv6
			}
			if p.datagram {
				kind = kindUDP4
			}
			if again, err := parseProxy(proxyHeader(0x21, kind, p.source.String(), p.destination.String())); err != nil || again.source != p.source || again.destination != p.destination || again.datagram != p.datagram {
				t.Fatalf("%+v, %v; expected %+v", again, err, p)
			}
		}
		in := bufio.NewReaderSize(bytes.NewReader(b), streamBuffer)
		read, readErr := readProxy(in)
		rest, _ := io.ReadAll(in)
		if len(b) > 0 && b[0] != 'P' && (readErr == nil) != (err == nil) || len(b) > 0 && b[0] != 'P' && err == nil && read != p {
			t.Fatalf("%+v, %v; at once %+v, %v", read, readErr, p, err)
		}
		if readErr == nil && len(rest) != len(b)-read.length {
			t.Fatalf("%d octets left of %d behind %d", len(rest), len(b), read.length)
		}
	})
}

// balancedRig has 127.0.0.1 as a balancer, and serves clients of 198.51.100.0/24 and
// 127.0.0.2 alone.
func balancedRig(t testing.TB) *rig {
	t.Helper()
	settings := sinkSettings()
	settings.Allow = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("127.0.0.2/32")}
	z := newZone(t, trapZone)
	return newRig(t, rigOptions{
		settings: settings, specs: specsOf(list(t, "stealers", trapList)), servers: []string{z.addr},
		balancers: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	})
}

func code(reply []byte) uint16 { return wire.Flags(reply) & wire.RCodeMask }

// A datagram of a balancer is of whom its header names: that one must be allowed, is in
// the hit, and gets the answer by the balancer, whatever the way of its query.
func TestProxiedDatagrams(t *testing.T) {
	t.Parallel()
	k := balancedRig(t)
	c := dialUDP(t, k)
	via := func(source, name string) []byte {
		return append(proxyHeader(0x21, kindUDP4, source, "192.0.2.53:53"), queryOf(t, name, dns.TypeA)...)
	}
	for _, test := range []struct {
		msg  []byte
		want uint16
	}{
		{via("198.51.100.7:40111", "bad.example."), wire.RCodeNoError},
		{via("203.0.113.9:40111", "bad.example."), wire.RCodeRefused},
		{via("198.51.100.8:40111", "good.example."), wire.RCodeNoError},                                                                        // waits for the upstream
		{append(proxyHeader(0x21, kindUDP4, "198.51.100.9:1", "192.0.2.53:53"), header(4711, wire.RD)...), wire.RCodeFormErr},                  // for the library
		{append(proxyHeader(0x20, 0, "", ""), queryOf(t, "bad.example.", dns.TypeA)...), wire.RCodeRefused},                                    // the balancer itself, which is not allowed
		{append(proxyHeader(0x21, kindTCP4, "198.51.100.10:5", "192.0.2.53:53"), queryOf(t, "bad.example.", dns.TypeA)...), wire.RCodeNoError}, // it came to the balancer over TCP
	} {
		send(t, c, test.msg)
		if reply := receive(t, c); wire.ID(reply) != 4711 || code(reply) != test.want {
			t.Errorf("%x: %x, expected response code %d", test.msg, reply, test.want)
		}
	}
	bare := queryOf(t, "bad.example.", dns.TypeA)
	send(t, c, bare)
	send(t, c, append([]byte("PROXY TCP4 198.51.100.7 192.0.2.53 40111 53\r\n"), bare...))
	send(t, c, via("198.51.100.7:1", "bad.example.")[:20])
	eventually(t, "what has no header is counted", func() bool { return k.Stats().Unproxied == 3 })
	stranger := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	direct, err := stranger.Dial("udp", k.listener.Addr().String())
	check(t, err)
	defer direct.Close()
	check(t, direct.SetDeadline(time.Now().Add(patience)))
	send(t, direct, via("198.51.100.7:40111", "bad.example.")) // no balancer: its header is garbage
	send(t, direct, bare)
	for len(bare) > 0 {
		if reply := receive(t, direct); code(reply) == wire.RCodeNoError {
			bare = nil
		}
	}
	found := k.hits(t)
	if len(found) != 3 {
		t.Fatalf("%d hits, expected 3", len(found))
	}
	for i, want := range []struct {
		client, server, proxy string
	}{{"198.51.100.7:40111", "192.0.2.53:53", "v2"}, {"198.51.100.10:5", "192.0.2.53:53", "v2"}, {direct.LocalAddr().String(), k.listener.Addr().String(), "none"}} {
		r := found[i]
		client, server := netip.AddrPortFrom(r.Client.IP, r.Client.Port), netip.AddrPortFrom(r.Server.IP, r.Server.Port)
		if client.String() != want.client || server.String() != want.server || r.Sinkhole.Peer.Proxy != want.proxy || r.Sinkhole.SourceProven {
			t.Errorf("hit %d: %s to %s by %+v, proven %v; expected %+v", i, client, server, r.Sinkhole.Peer, r.Sinkhole.SourceProven, want)
		}
	}
}

// Connections of balancers begin with a header of either version, before TLS too.
func TestProxiedStreams(t *testing.T) {
	t.Parallel()
	k := balancedRig(t)
	encrypted, _ := serveTLS(t, k)
	v1 := []byte("PROXY TCP4 198.51.100.7 192.0.2.53 40111 53\r\n")
	dial := func(l *Listener, header []byte) net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		check(t, err)
		t.Cleanup(func() { _ = c.Close() })
		check(t, c.SetDeadline(time.Now().Add(patience)))
		_, err = c.Write(header)
		check(t, err)
		if l == encrypted {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		}
		return c
	}
	for _, l := range []*Listener{k.listener, encrypted} {
		for _, test := range []struct {
			header []byte
			want   uint16
		}{
			{v1, wire.RCodeNoError},
			{proxyHeader(0x21, kindTCP4, "198.51.100.7:40111", "192.0.2.53:53", 0xE0, 0, 0), wire.RCodeNoError},
			{proxyHeader(0x21, kindUDP4, "198.51.100.7:40111", "192.0.2.53:53"), wire.RCodeNoError},
			{proxyHeader(0x21, kindTCP6, "[2001:db8::9]:40111", "[2001:db8::53]:53"), wire.RCodeRefused},
			{[]byte("PROXY UNKNOWN\r\n"), wire.RCodeRefused},
		} {
			c := dial(l, test.header)
			for range 2 {
				send(t, c, queryOf(t, "bad.example.", dns.TypeA))
				if reply := receive(t, c); code(reply) != test.want {
					t.Errorf("%q: %x, expected response code %d", test.header, reply, test.want)
				}
				if test.want == wire.RCodeRefused {
					break
				}
			}
		}
	}
	for _, begin := range [][]byte{append([]byte{0, 29}, queryOf(t, "bad.example.", dns.TypeA)...), []byte("PROXY TCP4 nonsense\r\n"), bytes.Repeat([]byte("P"), 5000), v1[:20]} {
		c, err := net.Dial("tcp", k.listener.Addr().String())
		check(t, err)
		_, _ = c.Write(begin)
		_ = c.(*net.TCPConn).CloseWrite() // it may have been closed already
		check(t, c.SetReadDeadline(time.Now().Add(patience)))
		if n, err := io.Copy(io.Discard, c); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: %d octets, %v; expected that the connection is closed", begin, n, err)
		}
		check(t, c.Close())
	}
	if n := k.Stats().Unproxied; n != 4 {
		t.Errorf("%d connections without a header counted, expected 4", n)
	}
	proven := 0
	all := k.hits(t)
	for _, r := range all {
		if r.Client.IP.String() != "198.51.100.7" || r.Client.Port != 40111 || r.Sinkhole.Peer.IP.String() != "127.0.0.1" {
			t.Errorf("%+v by %+v", r.Client, r.Sinkhole.Peer)
		}
		if r.Sinkhole.SourceProven {
			proven++
		}
	}
	if len(all) != 12 || proven != 8 {
		t.Errorf("%d hits, of %d of them the source is proven; expected 12 and 8", len(all), proven)
	}
}

// dnsdist in front, with its health checks, over UDP and TCP.
func TestDnsdistInFront(t *testing.T) {
	t.Parallel()
	program := tool(t, "dnsdist")
	settings := sinkSettings()
	k := newRig(t, rigOptions{
		settings: settings, specs: specsOf(list(t, "stealers", trapList)),
		balancers: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	})
	front := "127.0.0.1:" + freePort(t)
	path := filepath.Join(t.TempDir(), "dnsdist.conf")
	check(t, os.WriteFile(path, []byte(`
setLocal("`+front+`")
setACL({"127.0.0.0/8"})
newServer({address="`+k.listener.Addr().String()+`", useProxyProtocol=true, checkName="localhost.", mustResolve=true})
`), 0o600))
	server := exec.Command(program, "--supervised", "--disable-syslog", "-C", path)
	check(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	client := netip.MustParseAddr("127.0.0.7")
	ask := func(network string) error {
		d := net.Dialer{Timeout: patience}
		if network == "udp" {
			d.LocalAddr = &net.UDPAddr{IP: client.AsSlice()}
		} else {
			d.LocalAddr = &net.TCPAddr{IP: client.AsSlice()}
		}
		m, _, err := (&dns.Client{Net: network, Dialer: &d, Timeout: time.Second}).Exchange(new(dns.Msg).SetQuestion("bad.example.", dns.TypeA), front)
		if err == nil && (m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1) {
			return errors.New(m.String())
		}
		return err
	}
	eventually(t, "dnsdist has an answer over UDP", func() bool { return ask("udp") == nil })
	eventually(t, "dnsdist has an answer over TCP", func() bool { return ask("tcp") == nil })
	seen := map[string]bool{}
	for _, r := range k.hits(t) {
		if r.Client.IP != client || r.Sinkhole.Peer.IP.String() != "127.0.0.1" || r.Sinkhole.Peer.Proxy != "v2" || r.Server.Port != netip.MustParseAddrPort(front).Port() {
			t.Errorf("%+v by %+v", r.Client, r.Sinkhole.Peer)
		}
		if r.Sinkhole.Transport == "tcp" && r.Sinkhole.SourceProven || r.Sinkhole.Transport == "udp" && !r.Sinkhole.SourceProven {
			seen[r.Sinkhole.Transport] = true
		}
	}
	if !seen["udp"] || !seen["tcp"] {
		t.Errorf("hits over %v, expected udp, not proven, and tcp, proven", seen)
	}
}

// Balancers in front of HTTPS are held to their headers too; over QUIC there are none.
func TestProxiedHTTPS(t *testing.T) {
	t.Parallel()
	k := newEncryptedRig(t, rigOptions{
		settings: sinkSettings(), specs: specsOf(list(t, "stealers", trapList)),
		balancers: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	})
	ask := func(header []byte) (*http.Response, error) {
		transport := &http.Transport{
			TLSClientConfig: k.tlsClient(), ForceAttemptHTTP2: true,
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				c, err := net.Dial("tcp", k.https.Addr().String())
				if err == nil {
					_, err = c.Write(header)
				}
				return c, err
			},
		}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport, Timeout: patience}
		return client.Post(k.url(), dohMediaType, bytes.NewReader(queryOf(t, "bad.example.", dns.TypeA)))
	}
	r, err := ask(proxyHeader(0x21, kindTCP4, "127.0.0.9:40111", "192.0.2.53:443"))
	check(t, err)
	_ = r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Errorf("status %s", r.Status)
	}
	if r, err := ask(nil); err == nil {
		t.Errorf("status %s without a header", r.Status)
		_ = r.Body.Close()
	}
	if _, err := k.h3(t, "127.0.0.1").Post(k.url(), dohMediaType, bytes.NewReader(queryOf(t, "bad.example.", dns.TypeA))); err == nil {
		t.Error("a balancer was served over QUIC")
	}
	if n := k.Stats().Unproxied; n < 2 {
		t.Errorf("%d without a header counted, expected 2", n)
	}
	found := k.hits(t)
	if len(found) != 1 || found[0].Client.IP.String() != "127.0.0.9" || found[0].Client.Port != 40111 || found[0].Sinkhole.Peer.Proxy != "v2" ||
		found[0].Sinkhole.Peer.IP.String() != "127.0.0.1" || !found[0].Sinkhole.SourceProven {
		t.Errorf("%+v", found)
	}
}

// A cookie is for the client that a balancer names, and proves no other (CVE-2026-54478).
func TestTrapCookieThroughPROXY(t *testing.T) {
	t.Parallel()
	k := balancedRig(t)
	c := dialUDP(t, k)
	ask := func(source, cookie string) string {
		query := withOption(t, "bad.example.", &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie})
		_, all := options(t, c, append(proxyHeader(0x21, kindUDP4, source, "192.0.2.53:53"), query...))
		return all[len(all)-1].(*dns.EDNS0_COOKIE).Cookie
	}
	given := ask("198.51.100.7:1", "0102030405060708")
	if again := ask("198.51.100.7:2", given); again != given {
		t.Errorf("the client's own cookie is not believed: %s", again)
	}
	if other := ask("198.51.100.8:1", given); other == given {
		t.Error("a cookie of another client is believed")
	}
	if n := k.Stats().BadCookies; n != 1 {
		t.Errorf("%d bad cookies, expected 1", n)
	}
	var proven []bool
	for _, r := range k.hits(t) {
		proven = append(proven, r.Sinkhole.SourceProven)
	}
	if len(proven) != 3 || proven[0] || !proven[1] || proven[2] {
		t.Errorf("proven sources %v, expected that of the second hit alone", proven)
	}
}
