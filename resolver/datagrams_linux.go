package resolver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sinkhole/resolver/mmsg"
)

const (
	// maxBatch is how many datagrams one system call reads or sends.
	maxBatch = 64
	// answerRoom is the memory kept for one answer, in octets. A longer one, on
	// its way to being cut down, takes memory of its own.
	answerRoom = 2048
	// apart keeps the beginnings of datagrams from sharing the few places of a
	// processor's cache that are for addresses of one power of two.
	apart = 64
	// controlRoom holds what a dual-stack socket tells of a datagram.
	controlRoom = 128
	// sendWait bounds the wait for a full send buffer, in milliseconds.
	sendWait = 100
)

// datagrams reads the datagrams of a socket, and sends the answers to them, many
// with one system call. What takes and answers is for one goroutine, which keeps
// its thread.
//
// The thread waits in ppoll(2) and not in the runtime's poller: the kernel wakes it at
// once, where a goroutine would be found when others have had their time. Nothing watches
// the socket while nobody waits: whoever does, be it an epoll descriptor, is called for each
// datagram that comes, and for each that is sent.
type datagrams struct {
	using    sync.RWMutex // shared by all that use the descriptors, for as long as they do
	socket   int
	wake     int // an eventfd, which ends the wait of the reader
	closed   bool
	epoll    int         // watches wake and the waiters' ports
	closing  atomic.Bool // close waits for the reader
	waiters  *waiters
	local    netip.AddrPort
	wildcard bool
	unsent   func(answers int) // is told of what the socket did not take
	held     bool              // the reader holds using
	started  func(thread int)  // is told of the reader's thread before it first waits; then nil
	ended    atomic.Bool
	idle     atomic.Bool   // the reader waits, and all that was read is answered
	rounds   atomic.Uint64 // of receive

	received time.Time // of the batch
	next, n  int       // the datagram that is next, and how many the batch has
	in       [maxBatch]mmsg.Header
	parts    [maxBatch]unix.Iovec
	queries  [maxBatch][maxQuery + apart]byte
	names    [maxBatch]unix.RawSockaddrInet6
	controls [maxBatch][controlRoom]byte
	polled   [2]unix.PollFd // socket and epoll
	events   [maxBatch]unix.EpollEvent
	zones    map[uint32]string // names of the interfaces of link-local clients

	queued      int // answers that are not sent yet
	out         [maxBatch]mmsg.Header
	answerParts [maxBatch]unix.Iovec
	answers     [maxBatch][answerRoom + apart]byte
	senders     [maxBatch]sender // of answers to what was read earlier
}

// sender is where a datagram came from, as the kernel tells it and takes it back.
type sender struct {
	name    unix.RawSockaddrInet6
	length  uint32 // of name
	control [controlRoom]byte
	told    int // octets of control; 0 where the socket has one address
}

// newDatagrams takes the socket of c, which it closes.
func newDatagrams(c *net.UDPConn, started func(thread int), unsent func(answers int)) (*datagrams, error) {
	d := &datagrams{local: unmap(c.LocalAddr().(*net.UDPAddr).AddrPort()), started: started, unsent: unsent, zones: map[uint32]string{}}
	d.wildcard = d.local.Addr().IsUnspecified()
	var err error
	d.socket, err = duplicate(c)
	if closing := c.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, fmt.Errorf("taking over the socket: %w", err)
	}
	if err := d.open(); err != nil {
		return nil, errors.Join(err, unix.Close(d.socket))
	}
	return d, nil
}

// duplicate gives the socket of c a second descriptor.
func duplicate(c *net.UDPConn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := raw.Control(func(first uintptr) { fd, err = unix.FcntlInt(first, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(controlErr, err)
}

func (d *datagrams) open() (err error) {
	if d.wildcard {
		if err := askDestination(d.socket, d.local.Addr()); err != nil {
			return err
		}
	}
	if d.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("making an event descriptor: %w", err)
	}
	if d.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return errors.Join(fmt.Errorf("making an epoll descriptor: %w", err), unix.Close(d.wake))
	}
	if err := d.watch(d.wake); err != nil {
		return errors.Join(fmt.Errorf("waiting for datagrams: %w", err), unix.Close(d.wake), unix.Close(d.epoll))
	}
	d.prepare()
	return nil
}

// watch has the reader wait for a descriptor beside its socket.
func (d *datagrams) watch(fd int) error {
	return d.use(func() error {
		return unix.EpollCtl(d.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	})
}

// prepare makes the headers point at the memory of their datagrams.
func (d *datagrams) prepare() {
	for i := range maxBatch {
		d.parts[i].Base = &d.queries[i][0]
		d.parts[i].SetLen(maxQuery)
		h := &d.in[i].Msg
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&d.names[i])), unix.SizeofSockaddrInet6
		h.Iov = &d.parts[i]
		h.SetIovlen(1)
		if d.wildcard {
			h.Control = &d.controls[i][0]
			h.SetControllen(controlRoom)
		}
	}
}

// askDestination has the kernel tell the address that each datagram was sent to.
func askDestination(fd int, local netip.Addr) (err error) {
	if local.Is6() {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	} else {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	if err != nil {
		return fmt.Errorf("asking for the destination of datagrams: %w", err)
	}
	return nil
}

// Control lets fn use the socket, as [syscall.RawConn] does.
func (d *datagrams) Control(fn func(fd uintptr)) error {
	d.using.RLock()
	defer d.using.RUnlock()
	if d.closed {
		return net.ErrClosed
	}
	fn(uintptr(d.socket))
	return nil
}

// interrupt ends the wait of the reader, and every later one.
func (d *datagrams) interrupt() {
	d.ended.Store(true)
	d.rouse()
}

// close ends the reading, and gives back the descriptors when nobody uses them.
func (d *datagrams) close() error {
	if d.closing.Swap(true) {
		return net.ErrClosed
	}
	d.interrupt()
	d.using.Lock()
	defer d.using.Unlock()
	d.closed = true
	return errors.Join(unix.Close(d.socket), unix.Close(d.wake), unix.Close(d.epoll))
}

// send sends an answer on its own, for any goroutine.
func (d *datagrams) send(msg []byte, to *peer) (err error) {
	closed := d.Control(func(fd uintptr) {
		_, err = unix.SendmsgN(int(fd), msg, to.oob, d.sockaddr(to.other()), unix.MSG_DONTWAIT)
	})
	return errors.Join(closed, err)
}

// sockaddr is an address as the socket knows it.
func (d *datagrams) sockaddr(a netip.AddrPort) unix.Sockaddr {
	if d.local.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: d.index(a.Addr().Zone())}
}

// take gives the next datagram and fills from, but for its control message. Before
// it waits for more it sends what was queued. The datagram is good until the next
// call.
func (d *datagrams) take(from *peer) ([]byte, time.Time, error) {
	if d.next == d.n {
		if err := d.refill(); err != nil {
			return nil, time.Time{}, err
		}
	}
	i := d.next
	d.next++
	*from = peer{remote: d.source(i), local: d.local}
	if d.wildcard {
		from.destination(d.control(i))
	}
	return d.queries[i][:d.in[i].Len], d.received, nil
}

// batch is how many datagrams were read together, and which of them take gave last.
func (d *datagrams) batch() (n, last int) { return d.n, d.next - 1 }

// datagram is one of the batch, and where it came from.
func (d *datagrams) datagram(i int) (from netip.Addr, msg []byte) {
	return d.source(i).Addr(), d.queries[i][:d.in[i].Len]
}

// refill sends what is queued, and waits for datagrams.
func (d *datagrams) refill() error {
	if d.started != nil {
		runtime.LockOSThread() // until the goroutine ends
		d.started(unix.Gettid())
		d.started = nil
	}
	for i := range d.n {
		h := &d.in[i].Msg
		h.Namelen = unix.SizeofSockaddrInet6
		if d.wildcard {
			h.SetControllen(controlRoom)
		}
	}
	d.next, d.n = 0, 0
	return d.use(func() error {
		d.flush()
		return d.receive()
	})
}

// use calls fn, of the reader, while the descriptors cannot be closed.
func (d *datagrams) use(fn func() error) error {
	if d.held {
		return fn()
	}
	d.using.RLock()
	defer d.using.RUnlock()
	if d.closed {
		return net.ErrClosed
	}
	d.held = true
	defer func() { d.held = false }()
	return fn()
}

// receive waits for datagrams and fills the batch. Meanwhile it does what the
// waiters need: replies come first, so that what came earlier is answered earlier.
func (d *datagrams) receive() error {
	for {
		d.rounds.Add(1)
		d.flush()
		d.waiters.flush()
		busy, ended := d.waiters.busy(), d.ended.Load()
		switch {
		case d.closing.Load():
			d.idle.Store(true)
			return net.ErrClosed
		case d.waiters.handsBack():
			return errHandedBack
		case ended && !busy:
			d.idle.Store(true)
			return os.ErrDeadlineExceeded
		}
		if busy {
			if d.heed(ended) || ended && !d.waiters.busy() {
				continue
			}
			d.flush()
		}
		if ended {
			if err := d.wait(ended); err != nil {
				return err
			}
			continue
		}
		n, errno := mmsg.Receive(d.socket, d.in[:])
		switch {
		case errno == 0 && n > 0:
			d.n, d.received = n, time.Now()
			return nil
		case errno == unix.EAGAIN:
			d.waiters.flush()
			if d.waiters.handsBack() {
				continue
			}
			if err := d.wait(ended); err != nil {
				return err
			}
		case errno != unix.EINTR:
			return os.NewSyscallError("recvmmsg", errno)
		}
	}
}

// wait waits until there is something to do. Once reading has ended the socket is left
// alone.
func (d *datagrams) wait(ended bool) error {
	d.polled = [2]unix.PollFd{{Fd: int32(d.socket), Events: unix.POLLIN}, {Fd: int32(d.epoll), Events: unix.POLLIN}}
	if ended {
		d.polled[0].Fd = -1 // passed over
	}
	var leisure *unix.Timespec
	if left := d.waiters.leisure(time.Now(), ended); left >= 0 {
		t := unix.NsecToTimespec(left.Nanoseconds())
		leisure = &t
	}
	d.idle.Store(true)
	n, err := unix.Ppoll(d.polled[:], leisure, nil)
	d.idle.Store(false)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return os.NewSyscallError("ppoll", err)
	}
	if n > 0 && d.polled[1].Revents != 0 && !d.waiters.busy() {
		d.heed(ended) // an interrupt; who is busy heeds before it reads
	}
	return nil
}

// heed takes the replies that are there and gives up what was waited for long enough. It
// tells whether it was roused: what it is roused for has to be looked at before it waits.
func (d *datagrams) heed(ended bool) (roused bool) {
	n, _ := unix.EpollWait(d.epoll, d.events[:], 0)
	now := time.Now()
	for i := range max(n, 0) {
		if fd := int(d.events[i].Fd); fd != d.wake {
			d.waiters.receive(fd, now)
			continue
		}
		var count [8]byte
		_, _ = unix.Read(d.wake, count[:])
		roused = true
	}
	d.waiters.expire(now, ended)
	return roused
}

// room is the memory for the next answer, of length 0.
func (d *datagrams) room() []byte { return d.answers[d.queued][:0] }

// answer queues an answer to the datagram that take gave last. It keeps the memory
// of the answer until that is sent.
func (d *datagrams) answer(msg []byte) {
	asked := &d.in[d.next-1].Msg
	i := d.queued
	d.queued++
	d.answerParts[i].Base = &msg[0]
	d.answerParts[i].SetLen(len(msg))
	h := &d.out[i].Msg
	h.Name, h.Namelen = asked.Name, asked.Namelen
	h.Iov = &d.answerParts[i]
	h.SetIovlen(1)
	// What told the address that was asked also sends the answer from there.
	h.Control, h.Controllen = asked.Control, asked.Controllen
	d.full()
}

// asker copies where the datagram that take gave last came from.
func (d *datagrams) asker(s *sender) {
	asked := &d.in[d.next-1].Msg
	s.name, s.length, s.told = d.names[d.next-1], asked.Namelen, 0
	if d.wildcard {
		s.told = copy(s.control[:], d.control(d.next-1))
	}
}

// answerTo queues an answer in the memory of room to somebody who asked earlier.
func (d *datagrams) answerTo(to *sender, msg []byte) {
	i := d.queued
	d.queued++
	d.senders[i] = *to
	d.answerParts[i].Base = &msg[0]
	d.answerParts[i].SetLen(len(msg))
	h := &d.out[i].Msg
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&d.senders[i].name)), to.length
	h.Iov = &d.answerParts[i]
	h.SetIovlen(1)
	h.Control = nil
	if to.told > 0 {
		h.Control = &d.senders[i].control[0]
	}
	h.SetControllen(to.told)
	d.full()
}

// full makes room for the next answer.
func (d *datagrams) full() {
	if d.queued == maxBatch {
		d.settle()
	}
}

// settle sends the queued answers.
func (d *datagrams) settle() {
	if d.use(func() error { d.flush(); return nil }) != nil {
		d.queued = 0
	}
}

// flush sends the queued answers. One that the socket refuses costs only itself.
func (d *datagrams) flush() {
	waited := false
	for at := 0; at < d.queued; {
		n, errno := mmsg.Send(d.socket, d.out[at:d.queued])
		switch {
		case errno == 0 && n > 0:
			at += n
		case errno == unix.EINTR:
		case errno == unix.EAGAIN && !waited:
			_, _ = unix.Ppoll([]unix.PollFd{{Fd: int32(d.socket), Events: unix.POLLOUT}}, &unix.Timespec{Nsec: sendWait * 1e6}, nil)
			waited = true
		default:
			d.unsent(1)
			at++
		}
	}
	d.queued = 0
}

// source is where datagram i came from.
func (d *datagrams) source(i int) netip.AddrPort {
	name := &d.names[i]
	if name.Family == unix.AF_INET {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), networkOrder(four.Port))
	}
	addr := netip.AddrFrom16(name.Addr).Unmap()
	if name.Scope_id != 0 && addr.Is6() {
		addr = addr.WithZone(d.zone(name.Scope_id))
	}
	return netip.AddrPortFrom(addr, networkOrder(name.Port))
}

// networkOrder is a port as it lies in a socket address.
func networkOrder(port uint16) uint16 {
	b := *(*[2]byte)(unsafe.Pointer(&port))
	return binary.BigEndian.Uint16(b[:])
}

// zone names an interface.
func (d *datagrams) zone(index uint32) string {
	name, known := d.zones[index]
	if !known {
		name = strconv.Itoa(int(index))
		if i, err := net.InterfaceByIndex(int(index)); err == nil {
			name = i.Name
		}
		d.zones[index] = name
	}
	return name
}

// index is the number of an interface; 0 without one.
func (d *datagrams) index(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	n, _ := strconv.Atoi(zone)
	return uint32(n)
}

// destination takes the address that was asked from control messages, and makes of
// them, in place, what sends an answer from there. An answer is bound to an
// interface only where the address is link-local: any other is routed, and the way
// back may be another.
func (p *peer) destination(control []byte) {
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		size := int(h.Len)
		if size < unix.CmsgLen(0) || size > len(control) {
			return
		}
		data := control[unix.CmsgLen(0):size]
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
			p.setLocal(netip.AddrFrom4(info.Addr))
			info.Ifindex, info.Spec_dst = 0, info.Addr
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
			addr := netip.AddrFrom16(info.Addr).Unmap()
			p.setLocal(addr)
			if addr.Is4() || !addr.IsLinkLocalUnicast() {
				info.Ifindex = 0
			}
		}
		control = control[min(unix.CmsgSpace(len(data)), len(control)):]
	}
}

// control is what the kernel told of datagram i.
func (d *datagrams) control(i int) []byte { return d.controls[i][:d.in[i].Msg.Controllen] }

// keepControl gives the datagram that take gave last a control message of its own,
// for an answer that comes later.
func (d *datagrams) keepControl(from *peer) {
	if d.wildcard {
		from.oob = append([]byte(nil), d.control(d.next-1)...)
	}
}
