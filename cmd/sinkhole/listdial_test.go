package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"sinkhole/resolver/upstream"
)

// zone answers from what names have; any other name does not exist.
func zone(names map[string]string) exchange {
	return func(_ context.Context, query []byte) (upstream.Reply, error) {
		m := new(dns.Msg)
		if err := m.Unpack(query); err != nil {
			return upstream.Reply{}, err
		}
		r := new(dns.Msg).SetReply(m)
		r.RecursionAvailable = true
		q := m.Question[0]
		addr, found := names[q.Name]
		switch {
		case !found:
			r.Rcode = dns.RcodeNameError
		case q.Qtype == dns.TypeA:
			r.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(addr)}}
		}
		packed, err := r.Pack()
		return upstream.Reply{Msg: packed}, err
	}
}

func TestListDialer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	d := newListDialer(zone(map[string]string{"lists.example.": "127.0.0.1"}))
	d.system = newListDialer(zone(map[string]string{"inside.example.": "127.0.0.1"})).own
	for host, there := range map[string]bool{"lists.example": true, "inside.example": true, "127.0.0.1": true, "nowhere.example": false} {
		c, err := d.dial(t.Context(), "tcp", net.JoinHostPort(host, port))
		if there != (err == nil) {
			t.Errorf("%s: %v", host, err)
		}
		if err == nil {
			c.Close()
		}
	}
	addrs, err := d.lookup(t.Context(), "lists.example")
	if err != nil || len(addrs) != 1 || addrs[0].Unmap() != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("found %v, %v", addrs, err)
	}
}

// A forwarder without an answer does not hold up what is given up.
func TestListDialerEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{}, 8)
	d := newListDialer(func(ctx context.Context, _ []byte) (upstream.Reply, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return upstream.Reply{}, ctx.Err()
	})
	go func() {
		<-asked
		cancel()
	}()
	if c, err := d.dial(ctx, "tcp", "lists.example:80"); err == nil {
		c.Close()
		t.Error("a connection to nowhere")
	} else if ctx.Err() == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("ended with %v", err)
	}
}
