package resolver

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"sinkhole/hits"
	"sinkhole/resolver/wire"
)

// Every trap of the table has its tests: those named, or those that come with a part that
// is not built. A test of a trap stands in the table.
func TestTrapsHaveTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/traps.md")
	check(t, err)
	tests := testsOf(t)
	named := regexp.MustCompile(`^([a-z]+)\.(Test\w+)(?:/([\w-]+))?$`)
	listed := map[string]bool{}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| trap") || strings.HasPrefix(line, "| **") {
			continue
		}
		rows++
		trap, cell := strings.TrimSpace(cells[0]), strings.TrimSpace(cells[2])
		if cell == "" {
			t.Errorf("%s: no test", trap)
		}
		for alternative := range strings.SplitSeq(cell, ";") {
			part, names, later := strings.Cut(strings.TrimSpace(alternative), ":")
			if !later {
				part, names = "", part
			} else if !strings.HasPrefix(part, "with the part ") {
				t.Errorf("%s: %q, expected: with the part NAME", trap, part)
			}
			for name := range strings.SplitSeq(names, ",") {
				m := named.FindStringSubmatch(strings.TrimSpace(name))
				if m == nil {
					t.Errorf("%s: %q, expected PACKAGE.TEST", trap, name)
					continue
				}
				listed[m[1]+"."+m[2]] = true
				built := tests[m[1]+"."+m[2]]
				if !built && !later {
					t.Errorf("%s: there is no %s in package %s", trap, m[2], m[1])
				}
				if built && later {
					t.Logf("%s: %s is there, so that the mark %q can go", trap, m[2], part)
				}
				if m[3] != "" {
					if _, err := os.Stat(filepath.Join("testdata/scenarios", m[3]+".txtar")); err != nil {
						t.Errorf("%s: %v", trap, err)
					}
				}
			}
		}
	}
	if rows < 30 {
		t.Errorf("%d traps were read", rows)
	}
	for test := range tests {
		if strings.Contains(test, ".TestTrap") && test != "resolver.TestTrapsHaveTests" && !listed[test] {
			t.Errorf("%s is of no trap in the table", test)
		}
	}
}

// testsOf are the tests of all packages, as PACKAGE.TEST.
func testsOf(t *testing.T) map[string]bool {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	all := map[string]bool{}
	check(t, filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			dir, err := filepath.Abs(filepath.Dir(path))
			check(t, err)
			all[filepath.Base(dir)+"."+string(m[1])] = true
		}
		return err
	}))
	return all
}

// oddMessages are what a check of a transport has to do with: opcodes, counts, flags,
// types, classes and shapes beside the usual.
func oddMessages(t *testing.T) map[string][]byte {
	t.Helper()
	query := func(name string, change func(m *dns.Msg)) []byte {
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		m.Id = 4711
		change(m)
		msg, err := m.Pack()
		check(t, err)
		return msg
	}
	with := func(flags uint16) []byte {
		msg := queryOf(t, "bad.example.", dns.TypeA)
		wire.SetFlags(msg, flags)
		return msg
	}
	question := queryOf(t, "bad.example.", dns.TypeA)[wire.HeaderLen:]
	update := new(dns.Msg).SetUpdate("bad.example.")
	update.Id = 4711
	update.Insert([]dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "x.bad.example.", Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(192, 0, 2, 1)}})
	updating, err := update.Pack()
	check(t, err)
	nothing := func(*dns.Msg) {}
	all := map[string][]byte{
		"listed":        query("bad.example.", nothing),
		"forwarded":     query("good.example.", nothing),
		"forwarded, DO": query("good.example.", func(m *dns.Msg) { m.SetEdns0(1232, true) }),
		"no RD":         query("good.example.", func(m *dns.Msg) { m.RecursionDesired = false }),
		"all flags":     with(wire.RD | wire.RA | wire.TC | wire.AA | wire.AD | wire.CD | zFlag),
		"no name":       query("nothing.good.example.", nothing),
		"AXFR":          query("good.example.", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR }),
		"IXFR":          query("good.example.", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeIXFR }),
		"MAILB":         query("good.example.", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeMAILB }),
		"ANY":           query("bad.example.", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeANY }),
		"class CH": query("version.bind.", func(m *dns.Msg) {
			m.Question[0] = dns.Question{Name: "version.bind.", Qtype: dns.TypeTXT, Qclass: dns.ClassCHAOS}
		}),
		"class ANY":      query("bad.example.", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassANY }),
		"class 0":        query("bad.example.", func(m *dns.Msg) { m.Question[0].Qclass = 0 }),
		"EDNS 1":         query("bad.example.", func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }),
		"UPDATE":         updating,
		"NOTIFY":         with(4 << wire.OpcodeShift),
		"opcode 15":      with(15<<wire.OpcodeShift | wire.TC),
		"no question":    header(4711, wire.RD),
		"two questions":  slices.Concat(header(4711, wire.RD, 2), question, question),
		"answer section": slices.Concat(header(4711, wire.RD, 1, 1), question),
		"two OPTs":       wire.AppendOPT(wire.AppendOPT(slices.Concat(header(4711, wire.RD, 1, 0, 0, 2), question), 1232, false, 0, nil), 1232, false, 0, nil),
		"cut short":      queryOf(t, "bad.example.", dns.TypeA)[:20],
		"pointer loop":   slices.Concat(header(4711, wire.RD, 1), []byte{0xC0, 12, 0, 1, 0, 1}),
		"octets behind":  append(queryOf(t, "bad.example.", dns.TypeA), 1, 2, 3),
		"unknown option": query("bad.example.", func(m *dns.Msg) {
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: 100}}
		}),
		"name that stays":  query("localhost.", nothing),
		"resolver.arpa":    query("_dns.resolver.arpa.", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeSVCB }),
		"query with a SIG": query("bad.example.", func(m *dns.Msg) { m.SetTsig("key.example.", dns.HmacSHA256, 300, time.Now().Unix()) }),
	}
	return all
}

// overPlain runs a test over UDP and over TCP.
func overPlain(t *testing.T, k *rig, test func(t *testing.T, c net.Conn)) {
	t.Run("udp", func(t *testing.T) { test(t, dialUDP(t, k)) })
	t.Run("tcp", func(t *testing.T) { test(t, dialTCP(t, k)) })
}

// Whatever is sent, UDP, TCP and the way of all other transports answer the same: no check
// is made by one alone.
func TestTrapTransportParity(t *testing.T) {
	t.Parallel()
	const rules = "bad.example\n"
	k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", rules)), servers: []string{newZone(t, trapZone).addr}})
	h := k.handler(hits.TCP, 1)
	for name, msg := range oddMessages(t) {
		t.Run(name, func(t *testing.T) {
			replies := map[string][]byte{}
			overPlain(t, k, func(t *testing.T, c net.Conn) {
				send(t, c, msg)
				replies[c.LocalAddr().Network()] = receive(t, c)
			})
			a := arrival{client: netip.MustParseAddrPort("127.0.0.1:4711"), server: k.listener.Addr(), transport: hits.TCP, queue: h.queue, received: time.Now()}
			reply, ok := h.whole(msg, a, nil)
			if !ok {
				t.Error("the client is told that it may not ask")
			}
			replies["whole"] = reply
			for way, reply := range replies {
				if !bytes.Equal(timeless(t, reply), timeless(t, replies["udp"])) {
					t.Errorf("%s: %x, and over UDP %x", way, reply, replies["udp"])
				}
			}
		})
	}
	if n := k.Stats().Panics; n != 0 {
		t.Errorf("%d queries met a fault", n)
	}
}

// timeless is a reply without what changes while one waits.
func timeless(t *testing.T, reply []byte) []byte {
	t.Helper()
	var m dns.Msg
	if len(reply) == wire.HeaderLen {
		return reply
	}
	check(t, m.Unpack(reply))
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		rr.Header().Ttl = 0
	}
	packed, err := m.Pack()
	check(t, err)
	return packed
}

// What a message costs is bounded, however much it would unpack to.
func TestTrapUnpackingIsBounded(t *testing.T) {
	k := trapRig(t)
	long := append(bytes.Repeat(append([]byte{63}, bytes.Repeat([]byte{'a'}, 63)...), 3), 0)
	bombs := map[string][]byte{}
	// Each record of 12 octets has an owner of 193, by a pointer.
	records := slices.Concat(header(1, wire.RD, 1, 0, 0, 5000), long, []byte{0, 1, 0, 1})
	for len(records)+12 <= 65535 {
		records = append(records, 0xC0, wire.HeaderLen, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0)
	}
	bombs["owners"] = records
	options := slices.Concat(header(1, wire.RD, 1, 0, 0, 1), queryOf(t, "bad.example.", dns.TypeA)[wire.HeaderLen:], []byte{0, 0, 41, 4, 208, 0, 0, 0, 0})
	n := (65535 - len(options) - 2) / 4 * 4
	options = binary.BigEndian.AppendUint16(options, uint16(n))
	bombs["options"] = append(options, bytes.Repeat([]byte{0xFD, 0xE9, 0, 0}, n/4)...)
	for name, bomb := range bombs {
		t.Run(name, func(t *testing.T) {
			c := dialTCP(t, k)
			send(t, c, bomb)
			receive(t, c)
			const times = 20
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range times {
				send(t, c, bomb)
				receive(t, c)
			}
			runtime.ReadMemStats(&after)
			if each := (after.TotalAlloc - before.TotalAlloc) / times; each > 512<<10 {
				t.Errorf("a message of %d octets costs %d", len(bomb), each)
			}
			serves(t, c)
		})
	}
}

// A client that may not ask gets nothing of what others asked for, over either transport.
func TestTrapStrangersGetNothingFromTheCache(t *testing.T) {
	t.Parallel()
	settings := sinkSettings()
	settings.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.8/32")}
	k := newRig(t, rigOptions{settings: settings, servers: []string{newZone(t, trapZone).addr}})
	friend, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 8)}, net.UDPAddrFromAddrPort(k.listener.Addr()))
	check(t, err)
	t.Cleanup(func() { friend.Close() })
	check(t, friend.SetDeadline(time.Now().Add(patience)))
	send(t, friend, queryOf(t, "good.example.", dns.TypeA))
	var m dns.Msg
	check(t, m.Unpack(receive(t, friend)))
	if len(m.Answer) != 1 || cached(t, k, "good.example.") == nil {
		t.Fatalf("%v, expected an answer that is kept", &m)
	}
	overPlain(t, k, func(t *testing.T, c net.Conn) {
		send(t, c, queryOf(t, "good.example.", dns.TypeA))
		var m dns.Msg
		check(t, m.Unpack(receive(t, c)))
		if m.Rcode != dns.RcodeRefused || len(m.Answer) != 0 {
			t.Errorf("%v, expected REFUSED", &m)
		}
	})
}

// An answer that a validating upstream gives up stays SERVFAIL, whatever stands in it: no
// rule on addresses makes a good answer of it, and nothing was found.
func TestTrapBogusAnswersStay(t *testing.T) {
	t.Parallel()
	zone := ";! bogus.example A rcode=SERVFAIL\nbogus.example. A 192.0.2.66\n"
	k := newRig(t, rigOptions{specs: specsOf(list(t, "addresses", "192.0.2.66\n")), servers: []string{newZone(t, zone).addr}})
	overPlain(t, k, func(t *testing.T, c net.Conn) {
		for _, do := range []bool{false, true} {
			q := new(dns.Msg).SetQuestion("bogus.example.", dns.TypeA)
			q.SetEdns0(1232, do)
			msg, err := q.Pack()
			check(t, err)
			send(t, c, msg)
			var m dns.Msg
			check(t, m.Unpack(receive(t, c)))
			if m.Rcode != dns.RcodeServerFailure || len(m.Answer) != 0 {
				t.Errorf("%v, expected SERVFAIL", &m)
			}
		}
	})
	if n := len(k.hits(t)); n != 0 {
		t.Errorf("%d hits", n)
	}
}

// Nobody can have our answers cut into fragments, by an ICMP message that he made up, of
// which he could then replace the second.
func TestTrapFragments(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		k := newRig(t, rigOptions{listen: listen})
		for _, p := range k.listener.udp {
			level, option, want := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE
			if k.listener.Addr().Addr().Is6() {
				level, option, want = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE
			}
			check(t, p.datagrams.Control(func(fd uintptr) {
				if got, err := unix.GetsockoptInt(int(fd), level, option); err != nil || got != want {
					t.Errorf("%s: path MTU discovery is %d, error %v, expected %d", listen, got, err, want)
				}
			}))
		}
	}
	// What upstreams are told, too: no more than goes through in one piece.
	sizes := make(chan uint16, 1)
	k := newRig(t, rigOptions{servers: []string{startPeer(t, func(m *dns.Msg) { sizes <- m.IsEdns0().UDPSize() })}})
	c := dialUDP(t, k)
	send(t, c, queryOf(t, "good.example.", dns.TypeA))
	if got := <-sizes; got > maxUDPSize {
		t.Errorf("an upstream is told to send up to %d octets, expected %d", got, maxUDPSize)
	}
	receive(t, c)
}

// startPeer is an upstream that shows each query and answers NXDOMAIN.
func startPeer(t *testing.T, show func(*dns.Msg)) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(t, err)
	s := &dns.Server{PacketConn: c, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		show(m)
		_ = w.WriteMsg(new(dns.Msg).SetRcode(m, dns.RcodeNameError))
	})}
	go func() { _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = s.ShutdownContext(context.Background()) })
	return c.LocalAddr().String()
}
