package main

import (
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// testUpstream answers every name. The address of a.b.c.d.ip.example is a.b.c.d;
// those of fail.example get SERVFAIL, any other name has 198.18.0.1.
type testUpstream struct {
	netip.AddrPort
	asked *atomic.Int64
}

func startUpstream(t testing.TB) testUpstream {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := testUpstream{AddrPort: c.LocalAddr().(*net.UDPAddr).AddrPort(), asked: new(atomic.Int64)}
	started := make(chan struct{})
	s := &dns.Server{PacketConn: c, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(u.answer)}
	go func() { _ = s.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = s.Shutdown() })
	return u
}

func (u testUpstream) answer(w dns.ResponseWriter, m *dns.Msg) {
	if !strings.HasPrefix(strings.ToLower(m.Question[0].Name), "sinkhole-loop-probe-") { // to see whether we lead back
		u.asked.Add(1)
	}
	r := new(dns.Msg).SetReply(m)
	r.RecursionAvailable = true
	q := m.Question[0]
	if q.Qtype == dns.TypeA {
		addr := net.IPv4(198, 18, 0, 1)
		if text, found := strings.CutSuffix(strings.ToLower(q.Name), ".ip.example."); found {
			addr = net.ParseIP(text)
		}
		r.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300}, A: addr}}
	}
	if strings.HasSuffix(strings.ToLower(q.Name), ".fail.example.") {
		r.Rcode, r.Answer = dns.RcodeServerFailure, nil
	}
	_ = w.WriteMsg(r)
}
