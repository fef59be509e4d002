//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"sinkhole/resolver/mmsg"
)

// workload is what a server is asked: one query after the other, as often as wanted.
type workload func(query []byte) int

// packedQuery is a query for an A record, its ID 0.
func packedQuery(t *testing.T, name string) []byte {
	t.Helper()
	q, err := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// asking asks for names in turn.
func asking(t *testing.T, names []string) workload {
	queries := make([][]byte, len(names))
	for i, name := range names {
		queries[i] = packedQuery(t, name)
	}
	next := -1
	return func(query []byte) int {
		next = (next + 1) % len(queries)
		return copy(query, queries[next])
	}
}

// askingAnew asks for a name that nobody asked for before.
func askingAnew(t *testing.T) workload {
	const digits, at = "0000000000", 12 + 1
	form := packedQuery(t, digits+".unheard.example")
	n := int(time.Now().UnixNano() % 1e9)
	return func(query []byte) int {
		n++
		size := copy(query, form)
		for i, rest := len(digits)-1, n; i >= 0; i-- {
			query[at+i] = byte('0' + rest%10)
			rest /= 10
		}
		return size
	}
}

// mixing is 90 parts of the first load, 8 of the second, 2 of the third.
func mixing(cached, missing, blocked workload) workload {
	n := 0
	return func(query []byte) int {
		switch n++; {
		case n%50 == 0:
			return blocked(query)
		case n%25 < 2:
			return missing(query)
		}
		return cached(query)
	}
}

// pressed is what came of asking as fast as answers come.
type pressed struct {
	answered, lost, failed int
	rate                   float64 // answers a second
}

const (
	loadSockets = 10
	loadWindow  = 10 // queries of one socket that wait for an answer
	loadBatch   = 16
)

// loadSocket is one of the sockets that ask.
type loadSocket struct {
	fd      int
	waiting int
	id      uint16
	heard   time.Time
}

// press asks as fast as answers come, for a time or, if it is not 0, a number of
// queries, at one address or, divided by commas, at several by turns. It is one thread
// that never sleeps.
func press(t *testing.T, addrs string, next workload, span time.Duration, count int) (p pressed) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var sockets [loadSockets]loadSocket
	begin := time.Now()
	all := strings.Split(addrs, ",")
	for i := range sockets {
		sockets[i] = loadSocket{fd: dialRaw(t, all[i%len(all)]), heard: begin}
		defer unix.Close(sockets[i].fd)
	}
	out, in := newLoadBatch(), newLoadBatch()
	sent := 0
	for now := begin; now.Sub(begin) < span && (count == 0 || p.answered+p.lost < count); now = time.Now() {
		for i := range sockets {
			s := &sockets[i]
			p.receive(s, in, now)
			if due := loadWindow - s.waiting; due >= loadWindow/4 && (count == 0 || sent < count) {
				sent += s.send(out, next, min(due, loadBatch))
			}
		}
	}
	p.rate = float64(p.answered) / time.Since(begin).Seconds()
	return p
}

func (p *pressed) receive(s *loadSocket, in *loadMemory, now time.Time) {
	if s.waiting == 0 {
		return
	}
	n, errno := mmsg.Receive(s.fd, in.headers[:])
	if errno != 0 {
		const patience = time.Second
		if now.Sub(s.heard) > patience {
			p.lost += s.waiting
			s.waiting, s.heard = 0, now
		}
		return
	}
	for i := range n {
		if in.queries[i][3]&0xf != 0 {
			p.failed++
		}
	}
	p.answered += n
	s.waiting = max(s.waiting-n, 0)
	s.heard = now
}

func (s *loadSocket) send(out *loadMemory, next workload, n int) int {
	for i := range n {
		size := next(out.queries[i][:])
		binary.BigEndian.PutUint16(out.queries[i][:], s.id)
		s.id++
		out.parts[i].SetLen(size)
	}
	n, errno := mmsg.Send(s.fd, out.headers[:n])
	if errno != 0 {
		return 0
	}
	s.waiting += n
	return n
}

// loadMemory is what a batch of datagrams is read to or sent from.
type loadMemory struct {
	headers [loadBatch]mmsg.Header
	parts   [loadBatch]unix.Iovec
	queries [loadBatch][2048]byte
}

func newLoadBatch() *loadMemory {
	m := new(loadMemory)
	for i := range m.headers {
		m.parts[i].Base = &m.queries[i][0]
		m.parts[i].SetLen(len(m.queries[i]))
		m.headers[i].Msg.Iov = &m.parts[i]
		m.headers[i].Msg.SetIovlen(1)
	}
	return m
}

// processorTime is what all threads of a process have used.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	all, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var sum time.Duration
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		used, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(used, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}

// TestBareProcess is a process of its own that does the least that the job takes:
// SINKHOLE_BARE is "ADDR", to answer each query with one address, or
// "ADDR UPSTREAM", to forward each and send the reply back.
func TestBareProcess(t *testing.T) {
	words := strings.Fields(os.Getenv("SINKHOLE_BARE"))
	if len(words) == 0 {
		t.Skip("skipped: it is run by TestComparedPeers, as a process of its own")
	}
	runtime.LockOSThread()
	b := newBare(t, words[0])
	if len(words) == 1 {
		b.answer()
	}
	b.forward(dialRaw(t, words[1]))
}

const bareBatch = 64

type bare struct {
	epoll, socket int
	headers, out  [bareBatch]mmsg.Header
	parts, send   [bareBatch]unix.Iovec
	names         [bareBatch]unix.RawSockaddrInet4
	queries       [bareBatch][2048]byte
}

func newBare(t *testing.T, addr string) *bare {
	t.Helper()
	at := netip.MustParseAddrPort(addr)
	b := new(bare)
	var err error
	if b.socket, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	_ = unix.SetsockoptInt(b.socket, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	if err := unix.Bind(b.socket, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	for i := range b.headers {
		b.parts[i].Base = &b.queries[i][0]
		b.parts[i].SetLen(len(b.queries[i]))
		m := &b.headers[i].Msg
		m.Iov, m.Name = &b.parts[i], (*byte)(unsafe.Pointer(&b.names[i]))
		m.SetIovlen(1)
	}
	if b.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	b.watch(b.socket)
	return b
}

func (b *bare) watch(fd int) {
	_ = unix.EpollCtl(b.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// receive reads what is there at one of the sockets, waiting for it if named.
func (b *bare) receive(fd int, named bool) int {
	for i := range b.headers {
		b.headers[i].Msg.Namelen = 0
		if named {
			b.headers[i].Msg.Namelen = unix.SizeofSockaddrInet4
		}
	}
	n, _ := mmsg.Receive(fd, b.headers[:])
	return n
}

func (b *bare) wait() {
	var events [2]unix.EpollEvent
	_, _ = unix.EpollWait(b.epoll, events[:], -1)
}

// deliver sends the first n of out.
func (b *bare) deliver(fd, n int) {
	for at := 0; at < n; {
		sent, errno := mmsg.Send(fd, b.out[at:n])
		if errno != 0 {
			sent = 1
		}
		at += sent
	}
}

func (b *bare) answer() {
	record := []byte{0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 198, 51, 100, 7}
	for { // until it is killed
		n := b.receive(b.socket, true)
		if n == 0 {
			b.wait()
		}
		for i := range n {
			q := b.queries[i][:]
			size := 12
			for q[size] != 0 {
				size += 1 + int(q[size])
			}
			size += 5
			q[2], q[3], q[7] = 0x81, 0x80, 1
			clear(q[8:12]) // an OPT record is left out
			size += copy(q[size:], record)
			b.send[i] = unix.Iovec{Base: &q[0]}
			b.send[i].SetLen(size)
			b.out[i].Msg = b.headers[i].Msg
			b.out[i].Msg.Iov = &b.send[i]
		}
		b.deliver(b.socket, n)
	}
}

func (b *bare) forward(upstream int) {
	b.watch(upstream)
	type client struct {
		name unix.RawSockaddrInet4
		id   uint16
	}
	var clients [1 << 16]client
	last := uint16(0)
	for { // until it is killed
		replies := b.receive(upstream, false)
		for i := range replies {
			q := b.queries[i][:]
			c := &clients[binary.BigEndian.Uint16(q)]
			binary.BigEndian.PutUint16(q, c.id)
			b.put(i, &c.name)
		}
		b.deliver(b.socket, replies)
		queries := b.receive(b.socket, true)
		for i := range queries {
			q := b.queries[i][:]
			last++
			clients[last] = client{b.names[i], binary.BigEndian.Uint16(q)}
			binary.BigEndian.PutUint16(q, last)
			b.put(i, nil)
		}
		b.deliver(upstream, queries)
		if replies+queries == 0 {
			b.wait()
		}
	}
}

// put makes datagram i, as it was read, one to be sent.
func (b *bare) put(i int, to *unix.RawSockaddrInet4) {
	b.send[i] = unix.Iovec{Base: &b.queries[i][0]}
	b.send[i].SetLen(int(b.headers[i].Len))
	m := &b.out[i].Msg
	*m = unix.Msghdr{Iov: &b.send[i]}
	m.SetIovlen(1)
	if to != nil {
		m.Name, m.Namelen = (*byte)(unsafe.Pointer(to)), unix.SizeofSockaddrInet4
	}
}
