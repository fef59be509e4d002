//go:build !linux

package resolver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// datagrams reads the datagrams of a socket, and sends the answers to them. What
// takes and answers is for one goroutine.
type datagrams struct {
	conn     *net.UDPConn
	local    netip.AddrPort
	wildcard bool
	started  func(thread int)  // is told before the reader first waits, of no thread; then nil
	unsent   func(answers int) // is told of what the socket did not take
	query    [maxQuery]byte
	buffer   [2048]byte
	oob      []byte
	from     peer        // of the last datagram
	idle     atomic.Bool // never told here
	length   int         // of query
}

// newDatagrams takes c over, which it closes where it fails.
func newDatagrams(c *net.UDPConn, started func(thread int), unsent func(answers int)) (*datagrams, error) {
	d := &datagrams{conn: c, local: unmap(c.LocalAddr().(*net.UDPAddr).AddrPort()), started: started, unsent: unsent}
	d.idle.Store(true)
	_ = c.SetReadBuffer(1 << 20) // as far as the system permits
	if d.wildcard = d.local.Addr().IsUnspecified(); !d.wildcard {
		return d, nil
	}
	// A dual-stack socket needs both, and has both.
	err6 := ipv6.NewPacketConn(c).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	err4 := ipv4.NewPacketConn(c).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	if err6 != nil && err4 != nil {
		c.Close()
		return nil, fmt.Errorf("asking for the destination of datagrams: %w", errors.Join(err6, err4))
	}
	d.oob = make([]byte, len(ipv4.NewControlMessage(ipv4.FlagDst|ipv4.FlagInterface))+len(ipv6.NewControlMessage(ipv6.FlagDst|ipv6.FlagInterface)))
	return d, nil
}

// maxBatch is how many datagrams are read at a time.
const maxBatch = 1

// batch is how many datagrams were read together, and which of them take gave last.
func (d *datagrams) batch() (n, last int) { return 1, 0 }

// datagram is the last one, and where it came from.
func (d *datagrams) datagram(int) (from netip.Addr, msg []byte) {
	return d.from.remote.Addr(), d.query[:d.length]
}

// take waits for a datagram and fills from. The datagram is good until the next
// call.
func (d *datagrams) take(from *peer) ([]byte, time.Time, error) {
	if d.started != nil {
		d.started(0)
		d.started = nil
	}
	n, oobn, _, remote, err := d.conn.ReadMsgUDPAddrPort(d.query[:], d.oob)
	if err != nil {
		return nil, time.Time{}, err
	}
	*from = peer{remote: unmap(remote), local: d.local}
	if d.wildcard {
		from.destination(d.oob[:oobn])
	}
	d.from, d.length = *from, n
	return d.query[:n], time.Now(), nil
}

// interrupt ends the wait of the reader, and every later one.
func (d *datagrams) interrupt() { _ = d.conn.SetReadDeadline(time.Unix(1, 0)) }

// close ends the reading.
func (d *datagrams) close() error { return d.conn.Close() }

// Control lets fn use the socket, as [syscall.RawConn] does.
func (d *datagrams) Control(fn func(fd uintptr)) error {
	raw, err := d.conn.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(fn)
}

// send sends an answer on its own, for any goroutine.
func (d *datagrams) send(msg []byte, to *peer) error {
	_, _, err := d.conn.WriteMsgUDPAddrPort(msg, to.oob, to.other())
	return err
}

// room is the memory for an answer, of length 0.
func (d *datagrams) room() []byte { return d.buffer[:0] }

// answer sends the answer to the datagram that take gave last.
func (d *datagrams) answer(msg []byte) {
	if d.send(msg, &d.from) != nil {
		d.unsent(1)
	}
}

// settle does nothing: answers are sent at once.
func (d *datagrams) settle() {}

// keepControl does nothing: each datagram has a control message of its own.
func (d *datagrams) keepControl(*peer) {}

// destination takes the address that was asked from the control message.
func (p *peer) destination(oob []byte) {
	var six ipv6.ControlMessage
	if err := six.Parse(oob); err == nil && six.Dst != nil {
		p.setLocalIP(six.Dst)
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
		p.setLocalIP(four.Dst)
	}
	if p.local.Addr().Is4() && !p.local.Addr().IsUnspecified() {
		p.oob = (&ipv4.ControlMessage{Src: p.local.Addr().AsSlice()}).Marshal()
	}
}

func (p *peer) setLocalIP(ip net.IP) {
	if addr, ok := netip.AddrFromSlice(ip); ok {
		p.setLocal(addr.Unmap())
	}
}
