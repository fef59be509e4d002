package main

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// pump asks for each name once over UDP, at a bounded rate, and gives
// the answers' addresses by name (nil: no address). A query without an answer
// fails the test: nothing is asked twice.
func pump(t testing.TB, addr string, names []string) map[string]net.IP {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const (
		window = 128
		rate   = 8000 // a second: below merge_above, so that each hit has a line of its own
	)
	begin := time.Now()
	answers := make(map[string]net.IP, len(names))
	b := make([]byte, 4096)
	receive := func() {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("%d of %d names answered: %v", len(answers), len(names), err)
		}
		var m dns.Msg
		if err := m.Unpack(b[:n]); err != nil {
			t.Fatal(err)
		}
		answers[m.Question[0].Name] = addressOf(&m)
	}
	for i, name := range names {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / rate)))
		m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
		m.Id = uint16(i)
		packed, err := m.Pack()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		binary.BigEndian.PutUint16(packed, uint16(i))
		if _, err := c.Write(packed); err != nil {
			t.Fatal(err)
		}
		if i >= window {
			receive()
		}
	}
	for len(answers) < len(names) {
		receive()
	}
	return answers
}

func addressOf(m *dns.Msg) net.IP {
	for _, rr := range m.Answer {
		if a, ok := rr.(*dns.A); ok {
			return a.A
		}
	}
	return nil
}
