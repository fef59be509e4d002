package upstream_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/upstream"
)

// peer is an upstream server on loopback, UDP and TCP on one port. Its handlers
// speak octets, so that they can lie.
type peer struct {
	t    testing.TB
	addr netip.AddrPort
	udp  *net.UDPConn
	tcp  net.Listener

	overUDP, overTCP atomic.Int64 // queries received
}

// onUDP gets each datagram and may send any number of datagrams back.
type onUDP func(query []byte, send func([]byte), client netip.AddrPort)

// onTCP gets each query with its connection, which is closed when it returns.
type onTCP func(query []byte, conn net.Conn)

// startPeer serves until the test ends; a nil onUDP is silence, a nil onTCP
// refuses connections.
func startPeer(t testing.TB, host string, udp onUDP, tcp onTCP) *peer {
	t.Helper()
	p := &peer{t: t}
	p.listen(host, tcp != nil)
	go p.serveUDP(udp)
	if tcp != nil {
		go p.serveTCP(tcp)
	}
	return p
}

func (p *peer) listen(host string, tcp bool) {
	var err error
	for range 20 { // the port may be taken on TCP
		if p.udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)}); err != nil {
			break
		}
		p.addr = p.udp.LocalAddr().(*net.UDPAddr).AddrPort()
		p.addr = netip.AddrPortFrom(p.addr.Addr().Unmap(), p.addr.Port())
		if !tcp {
			p.t.Cleanup(func() { p.udp.Close() })
			return
		}
		if p.tcp, err = net.Listen("tcp", p.addr.String()); err == nil {
			p.t.Cleanup(func() { p.udp.Close(); p.tcp.Close() })
			return
		}
		p.udp.Close()
	}
	p.t.Fatalf("listen on %s: %v", host, err)
}

func (p *peer) serveUDP(handle onUDP) {
	buf := make([]byte, 65536)
	for {
		n, from, err := p.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		p.overUDP.Add(1)
		if handle != nil {
			handle(append([]byte(nil), buf[:n]...), func(msg []byte) { p.udp.WriteToUDPAddrPort(msg, from) }, from)
		}
	}
}

func (p *peer) serveTCP(handle onTCP) {
	for {
		conn, err := p.tcp.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			var length [2]byte
			if _, err := io.ReadFull(conn, length[:]); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(length[:]))
			if _, err := io.ReadFull(conn, query); err != nil {
				return
			}
			p.overTCP.Add(1)
			handle(query, conn)
		}()
	}
}

// deadServer is the address of a port on which nothing listens.
func deadServer(t testing.TB) string {
	t.Helper()
	p := &peer{t: t}
	p.listen("127.0.0.1", false)
	p.udp.Close()
	return p.addr.String()
}

func (p *peer) String() string { return p.addr.String() }

const (
	truth = "192.0.2.1"
	lie   = "203.0.113.66"
)

func honest(query []byte, send func([]byte), _ netip.AddrPort) { send(answer(query, truth)) }

func honestTCP(query []byte, conn net.Conn) { conn.Write(framed(answer(query, truth))) }

func rcode(code int) onUDP {
	return func(query []byte, send func([]byte), _ netip.AddrPort) { send(failing(query, code)) }
}

func truncate(query []byte, send func([]byte), _ netip.AddrPort) {
	msg := answer(query, lie)
	msg[2] |= 0x02
	send(msg)
}

// newQuery packs a query for the name with an OPT record and ID 4711.
func newQuery(t testing.TB, name string) []byte {
	t.Helper()
	var m dns.Msg
	m.SetQuestion(name, dns.TypeA)
	m.Id = 4711
	m.SetEdns0(1232, false)
	return pack(&m)
}

// answer packs a reply with one address; "" is NODATA.
func answer(query []byte, address string) []byte {
	m := reply(query)
	if address != "" {
		m.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60},
			A:   net.ParseIP(address),
		}}
	}
	return pack(m)
}

func failing(query []byte, rcode int) []byte {
	m := reply(query)
	m.Rcode = rcode
	return pack(m)
}

func reply(query []byte) *dns.Msg {
	var q, m dns.Msg
	if err := q.Unpack(query); err != nil {
		panic(err) // ours
	}
	m.SetReply(&q)
	m.RecursionAvailable = true
	if o := q.IsEdns0(); o != nil {
		m.SetEdns0(1232, false)
	}
	return &m
}

func pack(m *dns.Msg) []byte {
	b, err := m.Pack()
	if err != nil {
		panic(err) // ours
	}
	return b
}

func framed(msg []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
}

// newForwarder is closed when the test ends.
func newForwarder(t testing.TB, timeout time.Duration, servers ...string) *upstream.Forwarder {
	t.Helper()
	return forwarder(t, upstream.Options{Servers: servers, Timeout: timeout})
}

func forwarder(t testing.TB, o upstream.Options) *upstream.Forwarder {
	t.Helper()
	f, err := upstream.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// exchange asks for the name and returns the address in the answer.
func exchange(t testing.TB, f *upstream.Forwarder, name string) (string, upstream.Reply) {
	t.Helper()
	reply, err := f.Exchange(context.Background(), newQuery(t, name))
	if err != nil {
		t.Fatalf("exchange: %v", err)
	}
	return address(t, reply.Msg), reply
}

func address(t testing.TB, msg []byte) string {
	t.Helper()
	var m dns.Msg
	if err := m.Unpack(msg); err != nil {
		t.Fatalf("reply does not unpack: %v", err)
	}
	if m.Id != 4711 {
		t.Errorf("reply has ID %d, want that of the query, 4711", m.Id)
	}
	if len(m.Answer) == 0 {
		return ""
	}
	return m.Answer[0].(*dns.A).A.String()
}

func newTXT(name string) dns.RR {
	return &dns.TXT{
		Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60},
		Txt: []string{"two hundred octets are not needed to fill sixty-four kilobytes"},
	}
}

// within tries up to five times to be done in time: a busy machine may need
// more than one attempt, a wrong bound fails all of them.
func within(t *testing.T, bound time.Duration, try func()) {
	t.Helper()
	var took time.Duration
	for range 5 {
		start := time.Now()
		try()
		if took = time.Since(start); took <= bound {
			return
		}
	}
	t.Errorf("took %v in the last of five tries, want at most %v", took, bound)
}
