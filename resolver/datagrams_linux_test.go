package resolver

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv6"

	"sinkhole/resolver/wire"
)

// Datagrams that are read together are each answered by what they are: listed and
// cached names, what the library has to answer, what nobody answers, an answer
// longer than its room.
func TestBatch(t *testing.T) {
	t.Parallel()
	long := []string{}
	for range 20 {
		long = append(long, `good.example. 300 TXT "`+strings.Repeat("x", 200)+`"`)
	}
	k := newRig(t, rigOptions{
		specs: specsOf(list(t, "stealers", trapList)), idle: true,
		forward: answering(nil, long...),
	})
	respondAt(t, k, "good.example.", time.Now()) // cached, and too long for a datagram
	c := dialUDP(t, k)
	const rounds = 3 * maxBatch
	want := map[uint16]uint16{} // flags by ID
	add := func(msg []byte, flags uint16) {
		id := uint16(len(want))
		wire.SetID(msg, id)
		send(t, c, msg)
		want[id] = flags
	}
	for range rounds / 4 {
		add(queryOf(t, "bad.example.", dns.TypeA), 0)
		add(queryOf(t, "good.example.", dns.TypeA), 0)
		notify := queryOf(t, "other.example.", dns.TypeA)
		wire.SetFlags(notify, 5<<wire.OpcodeShift)
		add(notify, wire.RCodeNotImp)
		send(t, c, []byte("no message"))
		response := queryOf(t, "bad.example.", dns.TypeA)
		wire.SetFlags(response, wire.QR)
		send(t, c, response)
	}
	k.listener.Serve()
	check(t, c.SetReadDeadline(time.Now().Add(patience)))
	for range len(want) {
		answer := receive(t, c)
		id := wire.ID(answer)
		flags, asked := want[id]
		if !asked || wire.Flags(answer)&wire.RCodeMask != flags {
			t.Errorf("the answer %x, expected one of code %d to the query %d", answer, flags, id)
		}
		delete(want, id)
	}
	if n := k.Stats().Unsent; n != 0 {
		t.Errorf("%d answers not sent", n)
	}
}

// The interface binds only what no route can lead to.
func TestSourceOfAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		asked     string
		ifIndex   int
		wantIndex int
	}{
		{"2001:db8::53", 3, 0},
		{"fe80::53", 3, 3},
	} {
		p := &peer{local: netip.MustParseAddrPort("[::]:53")}
		// What asks for a source reads like what tells a destination.
		control := (&ipv6.ControlMessage{Src: net.ParseIP(test.asked), IfIndex: test.ifIndex}).Marshal()
		p.destination(control)
		var source ipv6.ControlMessage
		check(t, source.Parse(control))
		if p.local.String() != "["+test.asked+"]:53" || source.Dst.String() != test.asked || source.IfIndex != test.wantIndex {
			t.Errorf("asked at %s on interface %d: answered from %v on %d as %v, expected the interface %d",
				test.asked, test.ifIndex, source.Dst, source.IfIndex, p.local, test.wantIndex)
		}
	}
}
