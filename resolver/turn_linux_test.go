package resolver

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"sinkhole/blocklist"
	"sinkhole/hits"
	"sinkhole/resolver/cache"
)

// Idle readers come round when they are asked to; one that hangs in a query does not,
// and does again when it hangs no more.
func TestTurn(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	journal, err := hits.Open(hits.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { check(t, journal.Close(context.Background())) })
	var hangs atomic.Bool
	hanging, on := make(chan struct{}, 64), make(chan struct{})
	r := New(Options{
		Settings: *sinkSettings(), Journal: journal, Cache: cache.New(cache.Options{Memory: 1 << 20}), Readers: 2,
		TTL: TTLBounds{Max: time.Hour, Negative: time.Hour}, Logger: zap.NewNop(),
		Policy: func() *blocklist.Policy {
			if hangs.Load() {
				hanging <- struct{}{}
				<-on
			}
			return k.lists.Policy()
		},
	})
	l, err := r.Listen(netip.MustParseAddrPort("127.0.0.1:0"), false)
	check(t, err)
	l.Serve()
	t.Cleanup(func() { check(t, l.Shutdown(context.Background())) })
	turn := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		return l.Turn(ctx)
	}
	for range 3 {
		check(t, turn(patience))
	}
	hangs.Store(true)
	c := dialUDP(t, &rig{listener: l})
	send(t, c, queryOf(t, "bad.example.", 1))
	<-hanging
	if err := turn(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v while a reader hangs, expected that it has not come round", err)
	}
	hangs.Store(false)
	close(on)
	check(t, turn(patience))
	receive(t, c)
	serves(t, c)
}
