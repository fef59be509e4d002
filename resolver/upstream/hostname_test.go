package upstream

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// Addresses are looked up again before their time is over; when that fails the old
// ones stay, and it is tried again.
func TestAddressesAreRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		e, err := newEncryption(Options{Timeout: time.Second, Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		finder, err := New(Options{Timeout: time.Second}) // has nobody to ask
		if err != nil {
			t.Fatal(err)
		}
		e.finder = finder
		h := &hostname{name: "dns.example", port: 853, encryption: e, log: zap.New(core)}
		looked := func() time.Time {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.looked
		}
		known := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		for ttl, again := range map[time.Duration]time.Duration{
			0: 45 * time.Second, time.Hour: 45 * time.Minute, 30 * 24 * time.Hour: 18 * time.Hour,
		} {
			h.found(known, ttl, nil)
			start := looked()
			time.Sleep(again - time.Second)
			synctest.Wait()
			if !looked().Equal(start) {
				t.Errorf("TTL %v: looked up again after %v, want %v", ttl, looked().Sub(start), again)
			}
			for i := range 3 {
				time.Sleep(time.Second)
				synctest.Wait()
				if want := again + time.Duration(i)*lookAgain; looked().Sub(start) != want {
					t.Errorf("TTL %v: look-up %d after %v, want %v", ttl, i+1, looked().Sub(start), want)
				}
				if addrs, err := h.addresses(t.Context()); err != nil || len(addrs) != 1 || addrs[0] != netip.MustParseAddrPort("192.0.2.1:853") {
					t.Errorf("TTL %v: got %v, error %v, want the address found before", ttl, addrs, err)
				}
				time.Sleep(lookAgain - time.Second)
			}
		}
		if n := logs.FilterMessageSnippet("not found").Len(); n != 3 {
			t.Errorf("got %d warnings, want one for each time that it fails anew", n)
		}
		e.close()
		time.Sleep(24 * time.Hour)
	})
}
