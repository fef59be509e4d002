//go:build !race

package resolver

import (
	"testing"

	"github.com/miekg/dns"
)

// From the socket and back, listed and cached names allocate nothing. What is
// handed to the library, one datagram of many here, does.
func TestBatchDoesNotAllocate(t *testing.T) {
	const queries, runs = 200, 20
	k := newRig(t, rigOptions{
		specs: specsOf(list(t, "stealers", trapList)), idle: true, still: true, queue: 2 * queries * runs,
		forward: answering(nil, "good.example. A 192.0.2.1"),
	})
	cachedNames(t, k)
	c := dialUDP(t, k)
	raiseBuffer(rawConn(t, c))
	listed, cached, miss := queryOf(t, "bad.example.", dns.TypeA), queryOf(t, "good.example.", dns.TypeA), queryOf(t, "unknown.example.", dns.TypeA)
	message, answer := make([]byte, maxQuery), make([]byte, 512)
	n := testing.AllocsPerRun(runs, func() {
		for i := range queries {
			if i%2 == 0 {
				send(t, c, listed)
			} else {
				send(t, c, cached)
			}
		}
		send(t, c, miss)
		if n, _, err := k.listener.udp[0].ReadFrom(message); err != nil || n != len(miss) {
			t.Fatalf("%d octets for the library, %v: expected the miss", n, err)
		}
		for range queries / 2 { // those of earlier batches are sent
			if _, err := c.Read(answer); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n > 10 {
		t.Errorf("%v allocations for %d queries and one miss, expected a few for the miss", n, queries)
	}
}
