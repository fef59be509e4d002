package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"

	"sinkhole/resolver/upstream"
)

// listDialer connects to the servers of lists. It looks their names up through
// our own forwarder: a machine whose resolv.conf points at this server would
// otherwise ask for a list before anything answers, and a list could block the
// server that would mend it. Where the forwarder finds nothing (a name that only
// /etc/hosts or the network of the machine knows), the system is asked.
type listDialer struct {
	own    net.Dialer
	system net.Dialer
}

// exchange sends one packed query to an upstream.
type exchange func(ctx context.Context, query []byte) (upstream.Reply, error)

func newListDialer(ask exchange) *listDialer {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go answerStream(ctx, ours, ask)
		return theirs, nil // no net.PacketConn: messages have their length before them
	}}
	return &listDialer{own: net.Dialer{Resolver: resolver}}
}

// dial connects to an address, which may have a name for its host.
func (d *listDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.own.DialContext(ctx, network, address)
	if _, notFound := errors.AsType[*net.DNSError](err); notFound && ctx.Err() == nil {
		return d.system.DialContext(ctx, network, address)
	}
	return conn, err
}

// lookup finds the addresses of a host.
func (d *listDialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs, err := d.own.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil && ctx.Err() == nil {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	return addrs, err
}

// answerStream answers the DNS messages of a stream until it is closed.
func answerStream(ctx context.Context, c net.Conn, ask exchange) {
	defer c.Close()
	for {
		var head [2]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(head[:]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		reply, err := ask(ctx, query)
		if err != nil {
			return
		}
		message := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(reply.Msg)), uint16(len(reply.Msg)))
		if _, err := c.Write(append(message, reply.Msg...)); err != nil {
			return
		}
	}
}
