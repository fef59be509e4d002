package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// drillPatience is for one exchange on a crowded machine.
const drillPatience = 10 * time.Second

// stage is where a drill is played.
type stage struct {
	resolver string
	scanned  netip.Addr // where scanners look
	port     uint16     // of the landing
}

// play asks for all names of an actor, and does its deed at what the last one led to.
func (s *stage) play(a *actor) error {
	at, name := s.scanned, ""
	for _, name = range a.names {
		found, err := tryPorts(a, func() (netip.Addr, error) { return s.ask(a, name) })
		if err != nil {
			return fmt.Errorf("%s asks for %s: %w", a.source, name, err)
		}
		at = found
	}
	if a.deed == nothing {
		return nil
	}
	if _, err := tryPorts(a, func() (netip.Addr, error) { return at, s.visit(a, name, at) }); err != nil {
		return fmt.Errorf("%s %s at %s: %w", a.source, a.deed, at, err)
	}
	return nil
}

// tryPorts goes on to the next port of a subscriber's block while another program has it.
func tryPorts(a *actor, do func() (netip.Addr, error)) (addr netip.Addr, err error) {
	for range 20 {
		if addr, err = do(); a.ports == nil || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return addr, err
}

func (s *stage) ask(a *actor, name string) (addr netip.Addr, err error) {
	port := 0
	if a.asker == a.source {
		port = a.ports.take()
	}
	c := dns.Client{Timeout: drillPatience}
	c.Dialer = &net.Dialer{Timeout: drillPatience, LocalAddr: &net.UDPAddr{IP: a.asker.AsSlice(), Port: port}}
	if a.tcp {
		c.Net, c.Dialer.LocalAddr = "tcp", &net.TCPAddr{IP: a.asker.AsSlice(), Port: port}
	}
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
	if a.deaf {
		conn, err := c.Dial(s.resolver)
		if err != nil {
			return addr, err
		}
		defer conn.Close()
		return addr, conn.WriteMsg(m)
	}
	r, _, err := c.Exchange(m, s.resolver)
	if err != nil {
		return addr, err
	}
	for _, rr := range r.Answer {
		if found, ok := rr.(*dns.A); ok {
			addr, _ = netip.AddrFromSlice(found.A.To4())
			return addr, nil
		}
	}
	return addr, fmt.Errorf("no address in %s", r)
}

// visit does an actor's deed, and waits until the landing is done with it.
func (s *stage) visit(a *actor, name string, at netip.Addr) error {
	d := net.Dialer{Timeout: drillPatience, LocalAddr: &net.TCPAddr{IP: a.source.AsSlice(), Port: a.ports.take()}}
	c, err := d.Dial("tcp", netip.AddrPortFrom(at, s.port).String())
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(drillPatience))
	switch a.deed {
	case greets:
		_ = tls.Client(c, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake() // closed after the ClientHello
		return nil
	case calls:
		if name == "" {
			name = at.String()
		}
		_, err = fmt.Fprintf(c, "GET /gate HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", name)
	case streams:
		_, err = io.WriteString(c, "\x00\x01beacon")
	}
	if err != nil {
		return err
	}
	_ = c.(*net.TCPConn).CloseWrite()
	_, err = io.Copy(io.Discard, c)
	return err
}
