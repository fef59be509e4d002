package resolver

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/hits"
	"sinkhole/resolver/upstream"
	"sinkhole/resolver/wire"
)

func newPrompt(k *rig) *prompt {
	return &prompt{handler: k.handler(hits.UDP, 1)}
}

// The reader answers what takes no waiting, in the same bytes as the library's
// path, and hands over the rest.
func TestPromptEqualsTheLibrary(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{
		specs: specsOf(
			list(t, "stealers", trapList+"198.51.100.0/24\n"),
			list(t, "zone", "$ORIGIN zone.\n@ 300 SOA localhost. root.localhost. 1 3600 600 86400 300\nlocal.example A 192.0.2.1\ndropped.example CNAME rpz-drop.\n")),
		forward: answering(nil, "good.example. 300 A 192.0.2.1"),
	})
	cachedNames(t, k)
	k.forward = func(context.Context, []byte) (upstream.Reply, error) {
		return upstream.Reply{}, &upstream.Error{Kind: upstream.NoReply}
	}
	p := newPrompt(k)
	for _, c := range []struct {
		name    string
		typ     uint16
		handled bool
		edit    func(*dns.Msg)
	}{
		{"bad.example.", dns.TypeA, true, nil},
		{"BaD.exAmple.", dns.TypeAAAA, true, nil},
		{"sub.bad.example.", dns.TypeHTTPS, true, nil},
		{"bad.example.", dns.TypeANY, true, nil},
		{"good.example.", dns.TypeA, true, nil},
		{"evil.example.", dns.TypeA, true, nil},
		{"dropped.example.", dns.TypeA, true, nil},
		{"local.example.", dns.TypeA, false, nil},
		{"unknown.example.", dns.TypeA, false, nil},
		{"unknown.example.", dns.TypeAXFR, true, nil},
		{"unknown.example.", dns.TypeA, true, func(m *dns.Msg) { m.RecursionDesired = false }},
		{"unknown.example.", dns.TypeA, true, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }},
		{"bad.example.", dns.TypeA, false, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }},
		{"bad.example.", dns.TypeA, true, func(m *dns.Msg) { m.SetEdns0(4096, true) }},
		{"bad.example.", dns.TypeA, true, func(m *dns.Msg) { m.SetEdns0(1232, false).IsEdns0().SetVersion(1) }},
	} {
		m := new(dns.Msg).SetQuestion(c.name, c.typ)
		if c.edit != nil {
			c.edit(m)
		}
		query, err := m.Pack()
		check(t, err)
		got, handled := p.answer(query, &fuzzPeer, time.Now(), make([]byte, 0, 4096))
		if handled != c.handled {
			t.Errorf("%s %s: handled %v, want %v", c.name, dns.TypeToString[c.typ], handled, c.handled)
		}
		if !handled {
			continue
		}
		other := queryOf(t, "good.example.", dns.TypeA)
		p.look(2, func(i int) (netip.Addr, []byte) { return fuzzPeer.remote.Addr(), [][]byte{other, query}[i] })
		if again, _ := p.answerSeen(p.ahead.at(1), query, &fuzzPeer, time.Now(), make([]byte, 0, 4096)); !bytes.Equal(again, got) {
			t.Errorf("%s %s: after a look at a batch\n%x, without\n%x", c.name, dns.TypeToString[c.typ], again, got)
		}
		w := &writer{transport: hits.UDP}
		serve(p.handler, w, query)
		if want := bytes.Join(w.replies, nil); !bytes.Equal(got, want) {
			t.Errorf("%s %s: the reader answers\n%x, the library's path\n%x", c.name, dns.TypeToString[c.typ], got, want)
		}
	}
}

// A flood of misses with silent upstreams costs a bounded number of goroutines;
// what is beyond is told SERVFAIL, and listed names are answered all the while.
func TestFloodOfMissesIsBounded(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	p := newPrompt(k)
	before := runtime.NumGoroutine()
	p.handed.Store(maxHanded)
	miss, err := new(dns.Msg).SetQuestion("unknown.example.", dns.TypeA).Pack()
	check(t, err)
	if answer, handled := p.answer(miss, &fuzzPeer, time.Now(), make([]byte, 0, 4096)); !handled || wire.Flags(answer)&wire.RCodeMask != wire.RCodeServFail {
		t.Errorf("a miss too many: %x, want SERVFAIL", answer)
	}
	odd, err := (&dns.Msg{MsgHdr: dns.MsgHdr{Opcode: dns.OpcodeNotify}}).SetQuestion("unknown.example.", dns.TypeA).Pack()
	check(t, err)
	odd[2] |= 4 << 3
	if answer, handled := p.answer(odd, &fuzzPeer, time.Now(), make([]byte, 0, 4096)); !handled || answer != nil {
		t.Errorf("an uncommon message too many: %x, want none", answer)
	}
	listed, err := new(dns.Msg).SetQuestion("bad.example.", dns.TypeA).Pack()
	check(t, err)
	if answer, handled := p.answer(listed, &fuzzPeer, time.Now(), make([]byte, 0, 4096)); !handled || wire.Flags(answer)&wire.RCodeMask != 0 {
		t.Errorf("a listed name: %x, want the sinkhole's answer", answer)
	}
	if n := k.Stats().Shed; n != 2 {
		t.Errorf("%d shed, want 2", n)
	}
	if n := runtime.NumGoroutine(); n > before+50 {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}

// What the library is done with is taken back, however it ended.
func TestHandedIsTakenBack(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	h := k.listener.udp[0].prompt.handler
	c := dialUDP(t, k)
	notify := new(dns.Msg).SetQuestion("bad.example.", dns.TypeA)
	notify.Opcode = dns.OpcodeNotify
	two := new(dns.Msg).SetQuestion("bad.example.", dns.TypeA)
	two.Question = append(two.Question, two.Question[0])
	response := new(dns.Msg).SetQuestion("bad.example.", dns.TypeA)
	response.Response = true
	for _, m := range []*dns.Msg{notify, two, response, new(dns.Msg).SetQuestion("good.example.", dns.TypeA)} {
		query, err := m.Pack()
		check(t, err)
		send(t, c, query)
		send(t, c, query[:len(query)-3]) // cut short
	}
	served(t, c)
	eventually(t, "nothing is with the library", func() bool { return h.handed.Load() == 0 })
}

// served waits for the answer to one more query, past those that came before.
func served(t *testing.T, c net.Conn) {
	t.Helper()
	query := queryOf(t, "bad.example.", dns.TypeA)
	wire.SetID(query, 9)
	send(t, c, query)
	buffer := make([]byte, 4096)
	check(t, c.SetReadDeadline(time.Now().Add(patience)))
	for {
		n, err := c.Read(buffer)
		check(t, err)
		if n >= wire.HeaderLen && wire.ID(buffer) == 9 {
			return
		}
	}
}

func cachedNames(t testing.TB, k *rig) {
	t.Helper()
	respondAt(t, k, "good.example.", time.Now())
	k.forward = answering(nil, "evil.example. A 198.51.100.1")
	respondAt(t, k, "evil.example.", time.Now())
	k.forward = nil // all else is a fault of the test
}
