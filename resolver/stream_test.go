package resolver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/hits"
	"sinkhole/resolver/wire"
)

// testCertificate is for dns.example, made anew.
func testCertificate(t testing.TB) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"dns.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	packed, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	check(t, err)
	leaf, err := x509.ParseCertificate(packed)
	check(t, err)
	return &tls.Certificate{Certificate: [][]byte{packed}, PrivateKey: key, Leaf: leaf}
}

// serveTLS adds a listener of DNS over TLS to a rig.
func serveTLS(t testing.TB, k *rig) (l *Listener, trusted *x509.CertPool) {
	t.Helper()
	certificate := testCertificate(t)
	trusted = x509.NewCertPool()
	trusted.AddCert(certificate.Leaf)
	l, err := k.ListenTLS(netip.MustParseAddrPort("127.0.0.1:0"), false, nil, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil })
	check(t, err)
	l.Serve()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		check(t, l.Shutdown(ctx))
	})
	return l, trusted
}

// dialTLS connects over TLS to a listener of its own.
func dialTLS(t testing.TB, k *rig) net.Conn {
	t.Helper()
	l, trusted := serveTLS(t, k)
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: trusted, ServerName: "dns.example", NextProtos: []string{"dot"}})
	check(t, err)
	check(t, c.SetDeadline(time.Now().Add(patience)))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// withOption is a query with an EDNS option.
func withOption(t testing.TB, name string, o dns.EDNS0) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, dns.TypeA)
	m.Id = 4711
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, o)
	packed, err := m.Pack()
	check(t, err)
	return packed
}

// options are those of the answer to a query.
func options(t testing.TB, c net.Conn, query []byte) (packed []byte, all []dns.EDNS0) {
	t.Helper()
	send(t, c, query)
	packed = receive(t, c)
	var m dns.Msg
	check(t, m.Unpack(packed))
	if m.IsEdns0() == nil {
		t.Fatalf("no OPT in %v", m.String())
	}
	return packed, m.IsEdns0().Option
}

// A query that waits for an upstream holds up none that came after it.
func TestStreamAnswersOutOfOrder(t *testing.T) {
	t.Parallel()
	for _, encrypted := range []bool{false, true} {
		k, _, release := heldRig(t)
		t.Cleanup(release)
		c := net.Conn(dialTCP(t, k))
		if encrypted {
			c = dialTLS(t, k)
		}
		held := queryOf(t, "good.example.", dns.TypeA)
		wire.SetID(held, 1)
		send(t, c, held)
		refused := header(2, wire.RD) // no question
		send(t, c, refused)
		if reply := receive(t, c); wire.ID(reply) != 2 {
			t.Errorf("encrypted %v: %d is answered first, expected 2", encrypted, wire.ID(reply))
		}
		release()
		if reply := receive(t, c); wire.ID(reply) != 1 || wire.Flags(reply)&wire.RCodeMask != 0 {
			t.Errorf("encrypted %v: %x, expected the answer to 1", encrypted, reply)
		}
	}
}

// One connection has so many queries wait, and no more is read until one is answered.
func TestStreamPipelineIsBounded(t *testing.T) {
	t.Parallel()
	k, _, release := heldRig(t)
	t.Cleanup(release)
	before := k.Stats().Waiting
	c := dialTCP(t, k)
	const n = maxPipelined + 50
	for i := range n {
		msg := queryOf(t, "good.example.", dns.TypeA)
		wire.SetID(msg, uint16(i))
		send(t, c, msg)
	}
	eventually(t, "the connection has its queries wait", func() bool { return k.Stats().Waiting == before+maxPipelined })
	other := dialTCP(t, k)
	send(t, other, header(2, wire.RD))
	receive(t, other)
	if waiting := k.Stats().Waiting; waiting != before+maxPipelined {
		t.Errorf("%d queries wait, expected %d", waiting-before, maxPipelined)
	}
	release()
	seen := map[uint16]bool{}
	for range n {
		seen[wire.ID(receive(t, c))] = true
	}
	if len(seen) != n {
		t.Errorf("%d queries answered, expected %d", len(seen), n)
	}
}

// The client that asks is told for how long a connection is kept, over TCP and TLS only
// (RFC 7828), and less when places are scarce.
func TestKeepalive(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	query := withOption(t, "bad.example.", &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE})
	for name, c := range map[string]net.Conn{"tcp": dialTCP(t, k), "tls": dialTLS(t, k)} {
		_, got := options(t, c, query)
		if len(got) != 2 {
			t.Errorf("%s: options %v, expected an extended error and keepalive", name, got)
			continue
		}
		if o, ok := got[1].(*dns.EDNS0_TCP_KEEPALIVE); !ok || time.Duration(o.Timeout)*100*time.Millisecond != tcpIdleWait {
			t.Errorf("%s: option %v, expected keepalive of %v", name, got[1], tcpIdleWait)
		}
	}
	if _, got := options(t, dialUDP(t, k), query); len(got) != 1 {
		t.Errorf("udp: options %v, expected an extended error alone", got)
	}
	crowded := newRig(t, rigOptions{idle: true})
	crowded.connections.limit = 1
	crowded.listener.Serve()
	if _, got := options(t, dialTCP(t, crowded), withOption(t, "localhost.", &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE})); len(got) != 1 ||
		got[0].(*dns.EDNS0_TCP_KEEPALIVE).Timeout != uint16(tcpBusyWait/(100*time.Millisecond)) {
		t.Errorf("with places scarce: options %v, expected keepalive of %v", got, tcpBusyWait)
	}
}

// Answers are padded where the query was, and only where that hides something (RFC 8467).
func TestPadding(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	padded := withOption(t, "bad.example.", &dns.EDNS0_PADDING{Padding: make([]byte, 50)})
	for _, test := range []struct {
		name  string
		c     net.Conn
		query []byte
		want  bool
	}{
		{"tls", dialTLS(t, k), padded, true},
		{"tls, a query without padding", dialTLS(t, k), withOption(t, "bad.example.", &dns.EDNS0_NSID{Code: dns.EDNS0NSID}), false},
		{"tls, an answer of 40 KiB", dialTLS(t, k), largeQuery(t, padded), true},
		{"tcp", dialTCP(t, k), padded, false},
		{"udp", dialUDP(t, k), padded, false},
	} {
		packed, got := options(t, test.c, test.query)
		_, has := lastOption(got).(*dns.EDNS0_PADDING)
		if has != test.want || has && len(packed)%paddingBlock != 0 {
			t.Errorf("%s: %d octets with options %v, expected padding: %v", test.name, len(packed), got, test.want)
		}
	}
}

func lastOption(all []dns.EDNS0) dns.EDNS0 {
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// largeQuery is a query for what has a large answer.
func largeQuery(t testing.TB, packed []byte) []byte {
	var m dns.Msg
	check(t, m.Unpack(packed))
	m.Question[0] = dns.Question{Name: "huge.example.", Qtype: dns.TypeTXT, Qclass: dns.ClassINET}
	packed, err := m.Pack()
	check(t, err)
	return packed
}

// A hit over TLS says so, and that its source is proven.
func TestHitOverTLS(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	c := dialTLS(t, k)
	serves(t, c)
	if n := k.Stats().Queries["dot"]; n != 1 {
		t.Errorf("%d queries counted, expected 1", n)
	}
	found := k.hits(t)
	if len(found) != 1 || found[0].Sinkhole.Transport != hits.DoT.String() || !found[0].Sinkhole.SourceProven || found[0].Network.Transport != "tcp" {
		t.Errorf("%+v", found)
	}
}

// What is no TLS, or ends within it, costs the service nothing.
func TestTLSGarbage(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	l, trusted := serveTLS(t, k)
	for what, sent := range map[string][]byte{
		"DNS in the clear":         append([]byte{0, 29}, queryOf(t, "bad.example.", dns.TypeA)...),
		"HTTP":                     []byte("GET / HTTP/1.1\r\nHost: dns.example\r\n\r\n"),
		"a record that lies":       {22, 3, 1, 255, 255, 1, 0, 0, 4},
		"a hello that is cut off":  {22, 3, 1, 0, 100, 1, 0, 0, 96, 3, 3},
		"nothing":                  nil,
		"zeros, much more of them": make([]byte, 100_000),
	} {
		c, err := net.Dial("tcp", l.Addr().String())
		check(t, err)
		_, _ = c.Write(sent)
		_ = c.(*net.TCPConn).CloseWrite() // it may have been closed already
		check(t, c.SetReadDeadline(time.Now().Add(patience)))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection stays open", what)
		}
		check(t, c.Close())
	}
	for what, config := range map[string]*tls.Config{
		"no server name":      {InsecureSkipVerify: true},
		"a wrong server name": {InsecureSkipVerify: true, ServerName: "other.example"},
		"no ALPN":             {RootCAs: trusted, ServerName: "dns.example"},
	} {
		c, err := tls.Dial("tcp", l.Addr().String(), config)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		check(t, c.SetDeadline(time.Now().Add(patience)))
		serves(t, c)
		check(t, c.Close())
	}
	if _, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: trusted, ServerName: "dns.example", NextProtos: []string{"h2"}}); err == nil {
		t.Error("a client that speaks HTTP alone was let in (RFC 7301 section 3.2)")
	}
	serves(t, dialUDP(t, k))
	eventually(t, "every place is free", func() bool { return k.connections.n.Load() == 0 })
	if n := k.Stats().Handshakes; n == 0 {
		t.Error("no failed handshake was counted")
	}
}

// A handshake that never comes to its end has its time, and no more.
func TestTLSHalfOpen(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	l, _ := serveTLS(t, k)
	var all []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", l.Addr().String())
		check(t, err)
		defer c.Close()
		all = append(all, c)
	}
	eventually(t, "all are accepted", func() bool { return k.connections.n.Load() == int64(len(all)) })
	serves(t, dialTLS(t, k))
	serves(t, dialUDP(t, k))
	for _, c := range all {
		check(t, c.SetReadDeadline(time.Now().Add(tcpReadWait+patience)))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("a connection without a handshake stays open")
		}
	}
}

// What is ready goes out before the connection waits for room.
func TestStreamReadyAnswerBehindFullPipeline(t *testing.T) {
	t.Parallel()
	k, _, release := heldRig(t)
	t.Cleanup(release)
	c := dialTCP(t, k)
	var all []byte
	add := func(msg []byte, id uint16) {
		wire.SetID(msg, id)
		all = append(binary.BigEndian.AppendUint16(all, uint16(len(msg))), msg...)
	}
	for i := range maxPipelined {
		add(queryOf(t, "good.example.", dns.TypeA), uint16(i))
	}
	add(header(0, wire.RD), 60000)
	add(queryOf(t, "good.example.", dns.TypeA), 60001)
	_, err := c.Write(all)
	check(t, err)
	if reply := receive(t, c); wire.ID(reply) != 60000 {
		t.Errorf("%d is answered first, expected 60000", wire.ID(reply))
	}
}

// Thousands of idle connections take no more places than there are, and no service.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), idle: true})
	k.connections.limit, k.connections.ofClient = 200, 200
	k.listener.Serve()
	udp := dialUDP(t, k)
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for i := range 10_000 {
		c, err := net.Dial("tcp", k.listener.Addr().String())
		check(t, err)
		if open = append(open, c); len(open) == 500 { // what was turned away holds nothing here
			_ = open[0].Close()
			open = open[1:]
		}
		if i%500 == 0 {
			serves(t, udp)
		}
	}
	serves(t, udp)
	eventually(t, "no more are open than may be", func() bool { return k.connections.n.Load() <= 200 })
	if s := k.Stats(); s.Crowded == 0 {
		t.Errorf("none of 10,000 was turned away: %+v", s)
	}
}
