package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// maxQuery is the largest query that is read, in octets. What is longer is cut
// there, and then not well formed unless the rest was padding behind the
// message. It bounds what the library's form of a query can cost.
const maxQuery = 4096

// maxReadFailures is how many reads in a row may fail until the socket is given
// up.
const maxReadFailures = 1000

// packetConn is the seam between the socket and the DNS library: the library
// reads from it and writes to it and keeps the rest. It makes the client check
// and answers what takes no waiting; on a wildcard bind it knows the address
// that was asked and sends the answer from there.
type packetConn struct {
	*net.UDPConn
	resolver *Resolver
	prompt   *prompt
	local    netip.AddrPort
	wildcard bool
	oob      []byte // of the one reader
	from     peer   // of the datagram being read
}

// peer is where a datagram came from, and the address it was sent to.
type peer struct {
	remote netip.AddrPort // IPv4-mapped addresses as IPv4
	local  netip.AddrPort
	to     netip.AddrPort // remote as the socket knows it
	oob    []byte         // control message that sends the answer from local; nil: the socket's own address
}

func (p *peer) Network() string { return "udp" }
func (p *peer) String() string  { return p.remote.String() }

func newPacketConn(c *net.UDPConn, r *Resolver) (*packetConn, error) {
	p := &packetConn{UDPConn: c, resolver: r, local: unmap(c.LocalAddr().(*net.UDPAddr).AddrPort())}
	if p.wildcard = p.local.Addr().IsUnspecified(); !p.wildcard {
		return p, nil
	}
	// A dual-stack socket needs both, and has both.
	err6 := ipv6.NewPacketConn(c).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	err4 := ipv4.NewPacketConn(c).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	if err6 != nil && err4 != nil {
		return nil, fmt.Errorf("asking for the destination of datagrams: %w", errors.Join(err6, err4))
	}
	p.oob = make([]byte, len(ipv4.NewControlMessage(ipv4.FlagDst|ipv4.FlagInterface))+len(ipv6.NewControlMessage(ipv6.FlagDst|ipv6.FlagInterface)))
	return p, nil
}

// ReadFrom reads until a query of a client that may ask is for the library.
func (p *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	failures := 0
	for {
		n, oobn, _, from, err := p.ReadMsgUDPAddrPort(b, p.oob)
		if err != nil {
			if failures++; passing(err) && failures < maxReadFailures {
				continue
			}
			return 0, nil, err
		}
		failures = 0
		p.from = peer{remote: unmap(from), local: p.local, to: from}
		if p.wildcard {
			p.from.destination(p.oob[:oobn], p.local.Port())
		}
		reply, ok := p.resolver.admits(p.from.remote, b[:n])
		handled := !ok
		if ok {
			reply, handled = p.prompt.answer(b[:n], &p.from)
		}
		if !handled {
			p.prompt.handed.Add(1)
			handed := p.from
			return n, &handed, nil
		}
		if reply != nil {
			if _, err := p.WriteTo(reply, &p.from); err != nil {
				p.resolver.count.unsent.Add(1)
			}
		}
	}
}

// WriteTo sends an answer to a *peer of ReadFrom.
func (p *packetConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to := addr.(*peer)
	n, _, err := p.WriteMsgUDPAddrPort(b, to.oob, to.to)
	return n, err
}

// destination takes the address that was asked from the control message.
func (p *peer) destination(oob []byte, port uint16) {
	var six ipv6.ControlMessage
	if err := six.Parse(oob); err == nil && six.Dst != nil {
		p.setLocal(six.Dst, port)
		if local := p.local.Addr(); local.Is6() {
			source := ipv6.ControlMessage{Src: six.Dst}
			if local.IsLinkLocalUnicast() { // any other is routed: the way back may be another
				source.IfIndex = six.IfIndex
			}
			p.oob = source.Marshal()
			return
		}
	}
	var four ipv4.ControlMessage
	if err := four.Parse(oob); err == nil && four.Dst != nil {
		p.setLocal(four.Dst, port)
	}
	if p.local.Addr().Is4() && !p.local.Addr().IsUnspecified() {
		p.oob = (&ipv4.ControlMessage{Src: p.local.Addr().AsSlice()}).Marshal()
	}
}

func (p *peer) setLocal(ip net.IP, port uint16) {
	if addr, ok := netip.AddrFromSlice(ip); ok {
		p.local = netip.AddrPortFrom(addr.Unmap(), port)
	}
}

// passing tells whether a read error concerns one datagram and not the socket,
// such as the ICMP error that an earlier answer met.
func passing(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout() && !errors.Is(err, net.ErrClosed)
}

// drain waits until the kernel holds no more queries of this socket, for half of
// the time that ctx has left at most: what comes faster than it is answered
// must not keep the rest of a shutdown from its time.
func (p *packetConn) drain(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, time.Now().Add(time.Until(deadline)/2))
		defer cancel()
	}
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for p.waiting() > 0 {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}
