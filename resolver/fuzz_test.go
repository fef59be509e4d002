package resolver

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/hits"
	"sinkhole/resolver/upstream"
	"sinkhole/resolver/wire"
)

// writer takes the one reply to a query.
type writer struct {
	dns.ResponseWriter
	transport hits.Transport
	replies   [][]byte
}

var fuzzClient = netip.MustParseAddrPort("127.0.0.1:40000")

func (w *writer) RemoteAddr() net.Addr {
	if w.transport == hits.UDP {
		return &peer{remote: fuzzClient, local: fuzzClient}
	}
	return net.TCPAddrFromAddrPort(fuzzClient)
}

func (w *writer) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(fuzzClient) }

func (w *writer) Write(b []byte) (int, error) {
	w.replies = append(w.replies, slices.Clone(b))
	return len(b), nil
}

func (w *writer) WriteMsg(m *dns.Msg) error {
	msg, err := m.Pack()
	w.replies = append(w.replies, msg)
	return err
}

// serve does with a message what the library's server does with it, and tells
// whether it came as far as the handler.
func serve(h *handler, w *writer, msg []byte) (handled bool) {
	if len(msg) < wire.HeaderLen {
		return false
	}
	word := func(i int) uint16 { return binary.BigEndian.Uint16(msg[2*i:]) }
	if h.accept(dns.Header{Id: word(0), Bits: word(1), Qdcount: word(2), Ancount: word(3), Nscount: word(4), Arcount: word(5)}) != dns.MsgAccept {
		return false
	}
	m := new(dns.Msg)
	if m.Unpack(msg) != nil {
		return false
	}
	h.ServeDNS(w, m)
	return true
}

// FuzzExchange sends any message from a client, and lets the upstream reply
// anything. Whatever comes is answered once at most, and then with the query's
// ID and question to the letter, in a form that the library reads, and within
// what the client takes; nothing ends in a fault.
func FuzzExchange(f *testing.F) {
	settings := sinkSettings()
	settings.Forwarders = settings.Allow // what they say of their clients is read
	k := newRig(f, rigOptions{
		settings: settings,
		specs: specsOf(
			list(f, "stealers", "bad.example\n198.51.100.0/24\n2001:db8::/32\n"),
			list(f, "zone", "$ORIGIN zone.\n@ 300 SOA localhost. root.localhost. 1 3600 600 86400 300\n@ 300 NS localhost.\n"+
				"local.example A 192.0.2.1\n*.wild.example CNAME *.target.example.\nalias.example CNAME good.example.\n")),
		forward: func(_ context.Context, query []byte) (upstream.Reply, error) { return upstream.Reply{}, nil },
	})
	seedExchanges(f)
	handlers := []*handler{k.handler(hits.UDP, 1), k.handler(hits.TCP, 1)}
	reader := prompt{handler: handlers[0]}
	f.Fuzz(func(t *testing.T, query, reply []byte, overTCP bool) {
		k.cache.Flush()
		readable := true // by the library, which knows the data of more types than we do
		k.forward = func(_ context.Context, asked []byte) (upstream.Reply, error) {
			msg := upstreamReply(asked, reply)
			readable = readable && new(dns.Msg).Unpack(msg) == nil
			return upstream.Reply{Msg: msg}, nil
		}
		h := handlers[0]
		if overTCP {
			h = handlers[1]
		}
		first := exchange(t, k, h, query, &readable)
		k.forward = func(context.Context, []byte) (upstream.Reply, error) {
			return upstream.Reply{}, &upstream.Error{Kind: upstream.NoReply}
		}
		again := exchange(t, k, h, query, &readable) // from the cache, if it was kept
		now := time.Now()
		quick, handled := reader.answer(query, &fuzzPeer, now, make([]byte, 0, 4096))
		if handled && !overTCP && (len(quick) != len(again) || quick != nil && wire.Flags(quick) != wire.Flags(again)) {
			t.Errorf("the reader answers %x, the library's path %x", quick, again)
		}
		batch := [][]byte{reply, query, query}
		reader.look(len(batch), func(i int) (netip.Addr, []byte) { return fuzzPeer.remote.Addr(), batch[i] })
		inBatch, handledInBatch := reader.answerSeen(reader.ahead.at(1), query, &fuzzPeer, now, make([]byte, 0, 4096))
		if !bytes.Equal(inBatch, quick) || handledInBatch != handled {
			t.Errorf("the reader answers %x (%v), after a look at a batch %x (%v)", quick, handled, inBatch, handledInBatch)
		}
		if first != nil && again != nil && len(first) == len(again) && wire.Flags(again)&wire.RCodeMask != wire.RCodeServFail && wire.Flags(first) != wire.Flags(again) {
			t.Errorf("%x\nand from the cache %x", first, again)
		}
	})
}

// fuzzPeer is the client of every fuzzed datagram.
var fuzzPeer = peer{remote: netip.MustParseAddrPort("127.0.0.1:40000"), local: netip.MustParseAddrPort("127.0.0.1:53")}

// upstreamReply puts the question that was asked into a reply, which may say
// anything else.
func upstreamReply(asked, reply []byte) []byte {
	if len(reply) < wire.HeaderLen {
		return reply
	}
	reply = slices.Clone(reply)
	n := wire.NameLen(asked[wire.HeaderLen:])
	binary.BigEndian.PutUint16(reply[4:], 1)
	wire.SetFlags(reply, wire.Flags(reply)&^wire.OpcodeMask|wire.QR)
	return slices.Concat(reply[:wire.HeaderLen], asked[wire.HeaderLen:wire.HeaderLen+n+4], reply[wire.HeaderLen:])
}

// exchange holds the one reply to a message to what must be true of each. It is
// readable unless the upstream's is not.
func exchange(t *testing.T, k *rig, h *handler, query []byte, readable *bool) []byte {
	t.Helper()
	w := &writer{transport: h.transport}
	handled := serve(h, w, query)
	if n := k.Stats().Panics; n != 0 {
		t.Fatalf("a fault in the server at %x", query)
	}
	if !handled || len(w.replies) == 0 {
		if len(w.replies) > 0 || handled {
			t.Fatalf("%d replies, handled: %v", len(w.replies), handled)
		}
		return nil
	}
	reply := w.replies[0]
	var asked, m dns.Msg
	check(t, asked.Unpack(query))
	if err := m.Unpack(reply); err != nil || len(w.replies) > 1 {
		if len(w.replies) == 1 && !*readable && wire.ID(reply) == asked.Id && wire.Flags(reply)&wire.QR != 0 {
			return reply
		}
		t.Fatalf("%x\n%d replies; %x: %v", query, len(w.replies), reply, err)
	}
	if m.Id != asked.Id || !m.Response || !m.RecursionAvailable || m.Authoritative || m.Zero || m.RecursionDesired != asked.RecursionDesired {
		t.Fatalf("%v\nto %v", &m, &asked)
	}
	compareQuestion(t, &asked, &m)
	compareLimits(t, &asked, &m, reply, h.transport)
	return reply
}

func compareQuestion(t *testing.T, asked, m *dns.Msg) {
	t.Helper()
	if len(m.Question) == 0 && m.Rcode == dns.RcodeFormatError {
		return
	}
	if len(m.Question) != 1 || m.Question[0] != asked.Question[0] {
		t.Fatalf("question %v, expected %v", m.Question, asked.Question)
	}
	if m.CheckingDisabled != asked.CheckingDisabled {
		t.Fatalf("CD differs: %v to %v", m, asked)
	}
}

func compareLimits(t *testing.T, asked, m *dns.Msg, reply []byte, transport hits.Transport) {
	t.Helper()
	limit, opt := 512, asked.IsEdns0()
	switch {
	case transport == hits.TCP:
		limit = 65535
	case opt != nil:
		limit = max(limit, min(int(opt.UDPSize()), maxUDPSize))
	}
	if len(reply) > limit {
		t.Fatalf("%d octets, expected at most %d", len(reply), limit)
	}
	got := m.IsEdns0()
	if m.Rcode == dns.RcodeFormatError {
		return
	}
	if (got != nil) != (opt != nil) || got != nil && (got.Do() != opt.Do() || got.Version() != 0) {
		t.Fatalf("OPT %v, expected that of %v", got, opt)
	}
	if m.AuthenticatedData && !asked.AuthenticatedData && (opt == nil || !opt.Do()) {
		t.Fatalf("AD for a client that did not ask for it: %v", m)
	}
}

func seedExchanges(f *testing.F) {
	answers := func(records ...string) []byte {
		m := new(dns.Msg)
		m.Response, m.AuthenticatedData = true, true
		for _, text := range records {
			rr, err := dns.NewRR(text)
			check(f, err)
			m.Answer = append(m.Answer, rr)
		}
		msg, err := m.Pack()
		check(f, err)
		return msg
	}
	negative := header(0, wire.QR|wire.RCodeNXDomain)
	for _, name := range []string{"bad.example.", "GOOD.example.", "local.example.", "a.wild.example.", "alias.example.", "."} {
		for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeANY, dns.TypeTXT, dns.TypeAXFR} {
			m := new(dns.Msg).SetQuestion(name, typ)
			for _, edns := range []bool{false, true} {
				if edns {
					m.SetEdns0(1232, true)
				}
				m.AuthenticatedData = edns
				query, err := m.Pack()
				check(f, err)
				f.Add(query, answers("good.example. A 192.0.2.1"), false)
				f.Add(query, answers("good.example. A 198.51.100.1"), true)
				f.Add(query, answers("good.example. CNAME bad.example.", "bad.example. AAAA 2001:db8::1"), false)
				f.Add(query, answers("good.example. HTTPS 1 bad.example. ipv4hint=198.51.100.1"), true)
				f.Add(query, negative, false)
			}
		}
	}
	f.Add(header(1, wire.RD, 1), negative, false)
	f.Add(bytes.Repeat([]byte{0xC0, 0x0C}, 20), []byte{}, true)
}
