package resolver

import (
	"testing"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// So it is where the reader itself asked.
func TestFlushBesideExchangesOfTheReader(t *testing.T) {
	t.Parallel()
	z, release := heldZone(t, "a.example.")
	k := newRig(t, rigOptions{servers: []string{z.addr}, timeout: patience})
	c := dialUDP(t, k)
	send(t, c, queryOf(t, "a.example.", dns.TypeA))
	eventually(t, "a client waits", func() bool { return k.Stats().Waiting == 1 })
	k.cache.FlushName([]byte("\x01a\x07example\x00"), false)
	release()
	if reply := receive(t, c); wire.Flags(reply)&wire.RCodeMask != 0 {
		t.Errorf("%x", reply)
	}
	if n := k.cache.Len(); n != 0 {
		t.Errorf("%d entries are kept", n)
	}
}
