package resolver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// A listed name, a name that the upstream knows, and a large answer.
const (
	trapList = "bad.example\n"
	trapZone = "good.example. A 192.0.2.1\n"
)

func trapRig(t *testing.T) *rig {
	t.Helper()
	zone := trapZone + strings.Repeat("huge.example. TXT \""+strings.Repeat("x", 250)+"\"\n", 1)
	for i := range 200 {
		zone += "huge.example. TXT \"" + strings.Repeat("y", 200) + string(rune('a'+i%26)) + string(rune('a'+i/26)) + "\"\n"
	}
	return newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), servers: []string{newZone(t, zone).addr}})
}

// dialUDP gives a socket whose peer is the listener.
func dialUDP(t testing.TB, k *rig) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(k.listener.Addr()))
	check(t, err)
	t.Cleanup(func() { c.Close() })
	check(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

// rawConn gives access to the socket of a client.
func rawConn(t testing.TB, c *net.UDPConn) syscall.RawConn {
	t.Helper()
	raw, err := c.SyscallConn()
	check(t, err)
	return raw
}

func dialTCP(t testing.TB, k *rig) *net.TCPConn {
	t.Helper()
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(k.listener.Addr()))
	check(t, err)
	t.Cleanup(func() { c.Close() })
	check(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

func send(t testing.TB, c net.Conn, msg []byte) {
	t.Helper()
	if _, isUDP := c.(*net.UDPConn); !isUDP {
		msg = append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
	}
	_, err := c.Write(msg)
	check(t, err)
}

func receive(t testing.TB, c net.Conn) []byte {
	t.Helper()
	if _, isUDP := c.(*net.UDPConn); !isUDP {
		msg, err := readTCP(c)
		check(t, err)
		return msg
	}
	buffer := make([]byte, 65535)
	n, err := c.Read(buffer)
	check(t, err)
	return buffer[:n]
}

// silent stops the resolver, which answers all that it has read, and fails if
// something came to c.
func silent(t *testing.T, k *rig, c *net.UDPConn) {
	t.Helper()
	k.stop()
	check(t, c.SetDeadline(time.Now().Add(10*time.Millisecond)))
	buffer := make([]byte, 65535)
	if n, err := c.Read(buffer); err == nil {
		t.Errorf("a reply %x, expected none", buffer[:n])
	}
}

func queryOf(t testing.TB, name string, typ uint16) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, typ)
	m.Id = 4711
	msg, err := m.Pack()
	check(t, err)
	return msg
}

// header is a message header with the given flags and counts.
func header(id, flags uint16, counts ...uint16) []byte {
	msg := binary.BigEndian.AppendUint16(nil, id)
	msg = binary.BigEndian.AppendUint16(msg, flags)
	for i := range 4 {
		n := uint16(0)
		if i < len(counts) {
			n = counts[i]
		}
		msg = binary.BigEndian.AppendUint16(msg, n)
	}
	return msg
}

// eachTransport runs a test over UDP and over TCP.
func eachTransport(t *testing.T, k *rig, test func(t *testing.T, c net.Conn)) {
	t.Run("tls", func(t *testing.T) { test(t, dialTLS(t, k)) })
	t.Run("udp", func(t *testing.T) { test(t, dialUDP(t, k)) })
	t.Run("tcp", func(t *testing.T) { test(t, dialTCP(t, k)) })
}

// rejects sends msg, and wants a reply with its ID and the given code that
// carries no record. The connection must go on.
func rejects(t *testing.T, c net.Conn, msg []byte, rcode uint16) {
	t.Helper()
	send(t, c, msg)
	reply := receive(t, c)
	if len(reply) < wire.HeaderLen || wire.ID(reply) != wire.ID(msg) || wire.Flags(reply)&wire.QR == 0 || wire.Flags(reply)&wire.RCodeMask != rcode {
		t.Errorf("reply %x, expected ID %d and response code %d", reply, wire.ID(msg), rcode)
	}
	if an, ns, _ := wire.Counts(reply); an != 0 || ns != 0 {
		t.Errorf("the reply has records: %x", reply)
	}
	serves(t, c)
}

// serves wants the sinkhole's answer over c.
func serves(t testing.TB, c net.Conn) {
	t.Helper()
	send(t, c, queryOf(t, "bad.example.", dns.TypeA))
	var m dns.Msg
	check(t, m.Unpack(receive(t, c)))
	if m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 || m.Id != 4711 {
		t.Errorf("%v, expected the sinkhole's answer", m.String())
	}
}

func TestQuestionCountZero(t *testing.T) {
	t.Parallel()
	eachTransport(t, trapRig(t), func(t *testing.T, c net.Conn) {
		rejects(t, c, header(1, wire.RD), wire.RCodeFormErr)
	})
}

func TestQuestionCountTwo(t *testing.T) {
	t.Parallel()
	eachTransport(t, trapRig(t), func(t *testing.T, c net.Conn) {
		question := queryOf(t, "bad.example.", dns.TypeA)[wire.HeaderLen:]
		msg := slices.Concat(header(2, wire.RD, 2), question, question)
		rejects(t, c, msg, wire.RCodeFormErr)
	})
}

// The library hands over such messages with what they lack as zeros, or without
// a question at all.
func TestQuestionCutShort(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	eachTransport(t, k, func(t *testing.T, c net.Conn) {
		whole := queryOf(t, "bad.example.", dns.TypeA)
		for _, cut := range []int{wire.HeaderLen, len(whole) - 1, len(whole) - 2, len(whole) - 3, len(whole) - 4, len(whole) - 5} {
			rejects(t, c, whole[:cut], wire.RCodeFormErr)
		}
	})
	if n := k.Stats().Panics; n != 0 {
		t.Errorf("%d queries met a fault in the server", n)
	}
}

func TestUnknownOpcode(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	eachTransport(t, k, func(t *testing.T, c net.Conn) {
		for opcode := uint16(1); opcode < 16; opcode++ { // NOTIFY is 4, UPDATE 5
			msg := queryOf(t, "bad.example.", dns.TypeSOA)
			wire.SetFlags(msg, opcode<<wire.OpcodeShift)
			rejects(t, c, msg, wire.RCodeNotImp)
		}
	})
	// Half of the queries are those of rejects that want an answer.
	if s := k.Stats(); s.Responses[wire.RCodeNotImp] != 45 || s.Responses[wire.RCodeNoError] != 45 || s.Queries["udp"] != 30 || s.Queries["tcp"] != 30 || s.Queries["dot"] != 30 {
		t.Errorf("%+v: expected each query and response to be counted", s)
	}
}

func TestTwoOPTRecords(t *testing.T) {
	t.Parallel()
	eachTransport(t, trapRig(t), func(t *testing.T, c net.Conn) {
		msg := queryOf(t, "bad.example.", dns.TypeA)
		wire.SetCounts(msg, 0, 0, 2)
		msg = wire.AppendOPT(wire.AppendOPT(msg, 1232, false, 0, nil), 1232, false, 0, nil)
		rejects(t, c, msg, wire.RCodeFormErr)
	})
}

func TestOPTOfAnotherName(t *testing.T) {
	t.Parallel()
	eachTransport(t, trapRig(t), func(t *testing.T, c net.Conn) {
		msg := queryOf(t, "bad.example.", dns.TypeA)
		wire.SetCounts(msg, 0, 0, 1)
		opt := wire.AppendOPT(nil, 1232, false, 0, nil)
		msg = append(append(msg, 0xC0, wire.HeaderLen), opt[1:]...)
		rejects(t, c, msg, wire.RCodeFormErr)
	})
}

func TestPointerLoopInQuery(t *testing.T) {
	t.Parallel()
	eachTransport(t, trapRig(t), func(t *testing.T, c net.Conn) {
		for _, name := range [][]byte{
			{0xC0, 12},           // to itself
			{1, 'a', 0xC0, 12},   // to its own beginning
			{0xC0, 14, 0xC0, 12}, // to each other
			{0xC0, 0xFF},         // beyond the message
			{0xFF, 0xFF},
			{0x40, 1}, // a reserved label type
			{63, 'a'}, // longer than the message
			{},
		} {
			rejects(t, c, slices.Concat(header(3, wire.RD, 1), name, []byte{0, 1, 0, 1}), wire.RCodeFormErr)
		}
	})
}

func TestResponsesAreIgnored(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	c := dialUDP(t, k)
	for _, msg := range [][]byte{queryOf(t, "bad.example.", dns.TypeA), header(5, 0), queryOf(t, "bad.example.", dns.TypeA)[:14]} {
		wire.SetFlags(msg, wire.QR)
		send(t, c, msg)
		wire.SetFlags(msg, wire.QR|5<<wire.OpcodeShift)
		send(t, c, msg)
	}
	serves(t, c)
	silent(t, k, c)
	if s := k.Stats(); s.Queries["udp"] != 1 {
		t.Errorf("%d queries counted, expected 1", s.Queries["udp"])
	}
	if n := len(k.hits(t)); n != 1 {
		t.Errorf("%d hits, expected 1", n)
	}
}

// Whatever we answer, an answer to it would be a loop between two resolvers.
func TestOurAnswersAreIgnored(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	c := dialUDP(t, k)
	notify := queryOf(t, "bad.example.", dns.TypeA)
	wire.SetFlags(notify, 4<<wire.OpcodeShift)
	var replies [][]byte
	for _, msg := range [][]byte{header(6, 0), notify, queryOf(t, "bad.example.", dns.TypeA), queryOf(t, "good.example.", dns.TypeA), queryOf(t, "good.example.", dns.TypeAXFR)} {
		send(t, c, msg)
		replies = append(replies, receive(t, c))
	}
	for _, reply := range replies {
		send(t, c, reply)
	}
	serves(t, c)
	silent(t, k, c)
}

func TestShortDatagramsAreIgnored(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	c := dialUDP(t, k)
	whole := queryOf(t, "bad.example.", dns.TypeA)
	for n := range wire.HeaderLen {
		send(t, c, whole[:n])
	}
	serves(t, c)
	silent(t, k, c)
	if s := k.Stats(); s.Malformed != wire.HeaderLen || s.Queries["udp"] != 1 {
		t.Errorf("%d malformed, %d queries, expected %d and 1", s.Malformed, s.Queries["udp"], wire.HeaderLen)
	}
}

// Strangers learn no more from such than that they may not ask.
func TestGarbageFromStrangers(t *testing.T) {
	t.Parallel()
	settings := sinkSettings()
	settings.Allow = nil
	k := newRig(t, rigOptions{settings: settings})
	c := dialUDP(t, k)
	for _, msg := range [][]byte{header(7, wire.RD), header(7, 5<<wire.OpcodeShift, 9, 9, 9, 9), append(header(7, 0, 1), 0xC0, 12), queryOf(t, "bad.example.", dns.TypeA)} {
		send(t, c, msg)
		reply := receive(t, c)
		if wire.ID(reply) != wire.ID(msg) || wire.Flags(reply)&(wire.QR|wire.RCodeMask) != wire.QR|wire.RCodeRefused || len(reply) > len(msg) {
			t.Errorf("%x to %x, expected REFUSED that is no longer", reply, msg)
		}
	}
	answer := header(7, wire.QR, 1)
	send(t, c, answer)
	send(t, c, answer[:5])
	silent(t, k, c)
	if s := k.Stats(); s.Refused != 4 || s.Ignored != 2 || s.Queries["udp"] != 0 {
		t.Errorf("%+v, expected 4 refused, 2 ignored and no query", s)
	}
}

func TestTCPMessageOf64KiB(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	c := dialTCP(t, k)
	msg := queryOf(t, "bad.example.", dns.TypeA)
	// Padding behind the message is no part of it.
	send(t, c, append(slices.Clone(msg), make([]byte, 65535-len(msg))...))
	if reply := receive(t, c); wire.Flags(reply)&wire.RCodeMask != 0 {
		t.Errorf("reply %x, expected an answer", reply[:12])
	}
	// 16,000 options are no query that anyone sends.
	wire.SetCounts(msg, 0, 0, 1)
	msg = wire.AppendOPT(msg, 1232, false, 0, nil)
	options := 65535 - len(msg)
	options -= options % 4
	binary.BigEndian.PutUint16(msg[len(msg)-2:], uint16(options))
	msg = append(msg, bytes.Repeat([]byte{0xFD, 0xE9, 0, 0}, options/4)...)
	rejects(t, c, msg, wire.RCodeFormErr)
}

func TestTCPLengthThatLies(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), idle: true})
	k.listener.dns[0].ReadTimeout = 100 * time.Millisecond
	k.listener.Serve()
	whole := queryOf(t, "bad.example.", dns.TypeA)
	t.Run("more than ever comes", func(t *testing.T) {
		c := dialTCP(t, k)
		_, err := c.Write(append([]byte{0xFF, 0xFF}, whole...))
		check(t, err)
		if _, err := readTCP(c); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v, expected that the connection is closed without a reply", err)
		}
	})
	t.Run("more than comes", func(t *testing.T) {
		c := dialTCP(t, k)
		_, err := c.Write(append([]byte{0xFF, 0xFF}, whole...))
		check(t, err)
		check(t, c.CloseWrite())
		if _, err := readTCP(c); !errors.Is(err, io.EOF) {
			t.Errorf("%v, expected that the connection is closed without a reply", err)
		}
	})
	t.Run("less than comes", func(t *testing.T) {
		c := dialTCP(t, k)
		_, err := c.Write(append([]byte{0, wire.HeaderLen}, whole...))
		check(t, err)
		if reply := receive(t, c); wire.Flags(reply)&wire.RCodeMask != wire.RCodeFormErr {
			t.Errorf("reply %x, expected FORMERR", reply)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		c := dialTCP(t, k)
		_, err := c.Write([]byte{0, 0, 0, 1, 7})
		check(t, err)
		serves(t, c)
	})
}

func TestTCPOneByteAtATime(t *testing.T) {
	t.Parallel()
	c := dialTCP(t, trapRig(t))
	check(t, c.SetNoDelay(true))
	msg := queryOf(t, "bad.example.", dns.TypeA)
	for _, b := range append([]byte{0, byte(len(msg))}, msg...) {
		_, err := c.Write([]byte{b})
		check(t, err)
	}
	if reply := receive(t, c); wire.Flags(reply)&wire.RCodeMask != 0 {
		t.Errorf("reply %x, expected an answer", reply)
	}
}

// A client that asks and never reads is let go, and harms nobody meanwhile.
func TestTCPSlowReader(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	warm := dialTCP(t, k)
	send(t, warm, queryOf(t, "huge.example.", dns.TypeTXT))
	if n := len(receive(t, warm)); n < 40_000 {
		t.Fatalf("an answer of %d octets, expected a large one", n)
	}
	check(t, warm.Close())
	c := dialTCP(t, k)
	check(t, c.SetReadBuffer(4096))
	query := queryOf(t, "huge.example.", dns.TypeTXT)
	framed := append([]byte{0, byte(len(query))}, query...)
	_, err := c.Write(bytes.Repeat(framed, 500))
	check(t, err)
	serves(t, dialUDP(t, k))
	eventually(t, "the connection is closed", func() bool { return k.connections.n.Load() == 0 })
	eventually(t, "the answer is counted as unsent", func() bool { return k.Stats().Unsent > 0 })
}

func TestTCPManyQueriesOnOneConnection(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	c := dialTCP(t, k)
	const n = 500
	go func() { // pipelined
		for i := range n {
			name := "bad.example."
			if i%2 == 1 {
				name = "good.example."
			}
			msg := queryOf(t, name, dns.TypeA)
			wire.SetID(msg, uint16(i))
			send(t, c, msg)
		}
	}()
	seen := map[uint16]bool{}
	for range n {
		reply := receive(t, c)
		if wire.Flags(reply)&wire.RCodeMask != 0 {
			t.Fatalf("reply %x", reply)
		}
		seen[wire.ID(reply)] = true
	}
	if len(seen) != n {
		t.Errorf("%d queries answered, expected %d", len(seen), n)
	}
	if got := len(k.hits(t)); got != n/2 {
		t.Errorf("%d hits, expected %d", got, n/2)
	}
}

func TestTCPQueriesOfOneConnectionAreBounded(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), idle: true})
	k.listener.tcp.queries = 2
	k.listener.Serve()
	c := dialTCP(t, k)
	serves(t, c)
	serves(t, c)
	if _, err := readTCP(c); !errors.Is(err, io.EOF) {
		t.Errorf("%v, expected that the connection is closed", err)
	}
}

func TestTCPIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), idle: true})
	server := k.listener.tcp
	if server.first != tcpReadWait || server.next != tcpIdleWait {
		t.Errorf("connections wait %v and %v, expected %v and %v", server.first, server.next, tcpReadWait, tcpIdleWait)
	}
	server.first, server.next = 50*time.Millisecond, 50*time.Millisecond
	k.listener.Serve()
	before, after := dialTCP(t, k), dialTCP(t, k)
	serves(t, after)
	for _, c := range []net.Conn{before, after} {
		if _, err := readTCP(c); !errors.Is(err, io.EOF) {
			t.Errorf("%v, expected that the connection is closed", err)
		}
	}
}

func TestTCPConnectionsOpenedAndDropped(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	for i := range 300 {
		c, err := net.Dial("tcp", k.listener.Addr().String())
		check(t, err)
		switch i % 3 {
		case 0:
			check(t, c.(*net.TCPConn).SetLinger(0)) // a reset
		case 1:
			_, _ = c.Write([]byte{0, 40, 1, 2, 3})
		}
		check(t, c.Close())
	}
	serves(t, dialTCP(t, k))
	eventually(t, "every place is free again but one", func() bool { return k.connections.n.Load() == 1 })
}

// When all places are taken, a connection that was silent for a while makes room; where
// none was, the new one is closed.
func TestTCPConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), idle: true})
	k.connections.limit = 2
	k.listener.Serve()
	silent, talking := dialTCP(t, k), dialTCP(t, k)
	serves(t, silent)
	serves(t, talking)
	third := dialTCP(t, k)
	if _, err := readTCP(third); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, expected that the connection is closed", err)
	}
	if n := k.Stats().Crowded; n != 1 {
		t.Errorf("%d connections counted as crowded out, expected 1", n)
	}
	for _, s := range k.connections.of(k.listener.tcp) {
		if s.from.client == unmap(silent.LocalAddr().(*net.TCPAddr).AddrPort()) {
			s.active.Add(-int64(2 * idlest))
		}
	}
	serves(t, dialTCP(t, k))
	serves(t, talking)
	if _, err := readTCP(silent); !errors.Is(err, io.EOF) {
		t.Errorf("%v, expected that the silent connection was closed", err)
	}
	if n := k.Stats().Evicted; n != 1 {
		t.Errorf("%d connections counted as closed for others, expected 1", n)
	}
}

// One client has no more than its part.
func TestTCPConnectionsOfOneClientAreBounded(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), idle: true})
	k.connections.ofClient = 1
	k.listener.Serve()
	serves(t, dialTCP(t, k))
	if _, err := readTCP(dialTCP(t, k)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, expected that the connection is closed", err)
	}
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: patience}
	c, err := other.Dial("tcp", k.listener.Addr().String())
	check(t, err)
	defer c.Close()
	serves(t, c)
}

// A stranger's connection is told once.
func TestTCPStrangerIsToldOnce(t *testing.T) {
	t.Parallel()
	settings := sinkSettings()
	settings.Allow = nil
	k := newRig(t, rigOptions{settings: settings, specs: specsOf(list(t, "stealers", trapList))})
	c := dialTCP(t, k)
	send(t, c, queryOf(t, "bad.example.", dns.TypeA))
	if reply := receive(t, c); wire.Flags(reply)&wire.RCodeMask != wire.RCodeRefused {
		t.Errorf("reply %x, expected REFUSED", reply)
	}
	if _, err := readTCP(c); !errors.Is(err, io.EOF) {
		t.Errorf("%v, expected that the connection is closed", err)
	}
	if n := len(k.hits(t)); n != 0 {
		t.Errorf("%d hits of a client that may not ask", n)
	}
}
