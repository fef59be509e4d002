package cache_test

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"sinkhole/resolver/cache"
)

// Whatever is put, expires and is pushed out: TryGet finds what Get finds.
func TestTryGetFindsWhatGetFinds(t *testing.T) {
	for _, memory := range []int64{0, 32 << 10, 64 << 10, 1 << 20} {
		c := cache.New(cache.Options{Memory: memory, Shards: 2})
		r := rand.New(rand.NewPCG(1, uint64(memory)))
		e := entry("", 100, 0)
		hits := 0
		for i := range 20_000 {
			now := int64(i) * second
			k := binary.BigEndian.AppendUint64(nil, r.Uint64N(2000))
			if r.IntN(2) == 0 {
				e.Key, e.Stored, e.Expires = k, now, now+int64(1+r.IntN(2000))*second
				c.Put(e)
			}
			found := c.TryGet(k, now)
			if found != c.Get(k, now) {
				t.Fatalf("memory %d, look-up %d: another entry than Get has", memory, i)
			}
			if found != nil {
				hits++
			}
		}
		if memory > 0 && hits == 0 {
			t.Errorf("memory %d: no look-up found anything", memory)
		}
		c.Flush()
		if c.TryGet(e.Key, e.Stored) != nil {
			t.Error("an entry is found after a flush")
		}
	}
}

// Entries that were asked for are not those that go, however they were asked for.
func TestTryGetIsUse(t *testing.T) {
	c := cache.New(cache.Options{Memory: 64 << 10, Shards: 1})
	e := entry("", 100, 1000*second)
	put := func(n uint64) {
		e.Key = binary.BigEndian.AppendUint64(nil, n)
		c.Put(e)
	}
	used := binary.BigEndian.AppendUint64(nil, 0)
	put(0)
	for n := uint64(1); n < 5000; n++ {
		put(n)
		if n%8 == 0 && c.TryGet(used, second) == nil {
			t.Fatalf("what is asked for was pushed out by the %dth entry", n)
		}
	}
	if c.TryGet(binary.BigEndian.AppendUint64(nil, 1), second) != nil {
		t.Error("what nobody asked for is still there")
	}
}

// What has expired is found by Stale alone, for as long as it was agreed; a failure and
// an answer of one question do not take each other's place.
func TestStale(t *testing.T) {
	c := cache.New(cache.Options{Memory: 1 << 20, Stale: 10 * time.Second})
	e := entry("a", 100, 5*second)
	c.Put(e)
	failed := entry("a", 0, 5*second)
	failed.Key, failed.Packed, failed.EDE = cache.FailureKey(nil, e.Key), nil, 22
	c.Put(failed)
	for at, want := range map[int64]bool{1: true, 4: true, 5: true, 14: true, 15: false} {
		now := at * second
		if got := c.Stale(e.Key, now); (got != nil) != want || got != nil && len(got.Packed) != 100 {
			t.Errorf("after %d s: %v", at, got)
		}
		if got := c.TryGet(e.Key, now); (got != nil) != (at < 5) {
			t.Errorf("after %d s TryGet gives %v", at, got)
		}
		if got := c.TryGet(failed.Key, now); (got != nil) != (at < 5) || got != nil && got.EDE != 22 {
			t.Errorf("after %d s, the failure: %v", at, got)
		}
	}
	if c.Get(e.Key, 14*second) != nil || c.Stale(e.Key, 14*second) == nil {
		t.Error("a look-up dropped what may still be given")
	}
	if c.Get(e.Key, 15*second) != nil || c.Stats().Entries != 1 {
		t.Errorf("%+v: expected that the answer is dropped, since it is too old", c.Stats())
	}
}

func TestTryGetBesideChanges(t *testing.T) {
	c := cache.New(cache.Options{Memory: 256 << 10, Shards: 2})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 0))
			for i := range 20_000 {
				k := binary.BigEndian.AppendUint64(nil, r.Uint64N(3000))
				switch e := c.TryGet(k, second); {
				case e == nil:
					n := entry("", 100, 10*second)
					n.Key = k
					c.Put(n)
				case !slices.Equal(e.Key, k):
					t.Errorf("asked for %q, got %q", k, e.Key)
				}
				if i%5000 == 2500 {
					c.Flush()
				}
			}
		})
	}
	wg.Wait()
	if s := c.Stats(); s.Bytes > 256<<10 || s.Entries == 0 {
		t.Errorf("%+v", s)
	}
}
