package cache_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"

	"sinkhole/resolver/cache"
)

const second = int64(1e9)

// name makes a wire name out of one label and "example.".
func name(label string) []byte {
	n := append([]byte{byte(len(label))}, label...)
	return append(n, "\x07example\x00"...)
}

func key(label string) []byte { return cache.AppendKey(nil, name(label), 1, 1, false, false) }

func entry(label string, size int, expires int64) *cache.Entry {
	return &cache.Entry{
		Key: key(label), Packed: make([]byte, size), TTLs: []uint16{30}, QuestionEnd: 25,
		Names: name("alias"), NameKinds: []byte{0}, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		Stored: second, Expires: expires,
	}
}

func TestAppendKeyTellsQuestionsApart(t *testing.T) {
	base := cache.AppendKey(nil, name("a"), 1, 1, false, false)
	for what, other := range map[string][]byte{
		"name":  cache.AppendKey(nil, name("b"), 1, 1, false, false),
		"type":  cache.AppendKey(nil, name("a"), 28, 1, false, false),
		"class": cache.AppendKey(nil, name("a"), 1, 3, false, false),
		"DO":    cache.AppendKey(nil, name("a"), 1, 1, true, false),
		"CD":    cache.AppendKey(nil, name("a"), 1, 1, false, true),
	} {
		if slices.Equal(base, other) {
			t.Errorf("%s does not change the key", what)
		}
	}
	do, cd := cache.AppendKey(nil, name("a"), 1, 1, true, false), cache.AppendKey(nil, name("a"), 1, 1, false, true)
	if slices.Equal(do, cd) {
		t.Error("DO and CD make the same key")
	}
	long := make([]byte, 255)
	if n := len(cache.AppendKey(nil, long, 1, 1, true, true)); n != cache.MaxKey {
		t.Errorf("the longest key has %d octets, MaxKey says %d", n, cache.MaxKey)
	}
}

func TestGetGivesWhatWasPut(t *testing.T) {
	c := cache.New(cache.Options{Memory: 1 << 20})
	e := entry("a", 100, 10*second)
	e.RCode = 3
	e.Packed[99] = 7
	e.Clean.Store(5)
	c.Put(e)
	// The caller's buffers are its own again.
	clear(e.Packed)
	clear(e.Key)
	clear(e.Names)
	e.TTLs[0], e.Addrs[0] = 0, netip.Addr{}

	got := c.Get(key("a"), 2*second)
	if got == nil {
		t.Fatal("not found")
	}
	want := entry("a", 100, 10*second)
	if len(got.Packed) != 100 || got.Packed[99] != 7 || !slices.Equal(got.Names, want.Names) ||
		!slices.Equal(got.NameKinds, want.NameKinds) || !slices.Equal(got.TTLs, want.TTLs) ||
		!slices.Equal(got.Addrs, want.Addrs) || !slices.Equal(got.Key, want.Key) {
		t.Errorf("got %+v", got)
	}
	if got.RCode != 3 || got.QuestionEnd != 25 || got.Stored != second || got.Expires != 10*second || got.Clean.Load() != 5 {
		t.Errorf("got rcode %d, question end %d, stored %d, expires %d, clean %d",
			got.RCode, got.QuestionEnd, got.Stored, got.Expires, got.Clean.Load())
	}
	if c.Get(key("b"), 2*second) != nil {
		t.Error("found what was never put")
	}
	got.Clean.Store(6)
	if c.Get(key("a"), 2*second).Clean.Load() != 6 {
		t.Error("Clean is not shared")
	}
}

func TestPutReplaces(t *testing.T) {
	c := cache.New(cache.Options{Memory: 1 << 20})
	c.Put(entry("a", 5000, 10*second))
	large := c.Stats().Bytes
	c.Put(entry("a", 100, 10*second))
	if got := c.Get(key("a"), second); len(got.Packed) != 100 {
		t.Errorf("got the old answer of %d octets", len(got.Packed))
	}
	s := c.Stats()
	if s.Entries != 1 || s.Bytes >= large || s.Evictions != 0 {
		t.Errorf("after replacing: %+v; before %d bytes", s, large)
	}
}

func TestExpiredIsDroppedOnGet(t *testing.T) {
	c := cache.New(cache.Options{Memory: 1 << 20})
	c.Put(entry("a", 100, 10*second))
	if c.Get(key("a"), 10*second-1) == nil {
		t.Fatal("expired too early")
	}
	if c.Get(key("a"), 10*second) != nil {
		t.Fatal("given after it had expired")
	}
	if c.Get(key("a"), 2*second) != nil {
		t.Error("still there")
	}
	want := cache.Stats{Hits: 1, Expired: 1, Misses: 1}
	if got := c.Stats(); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
	c.Put(entry("b", 100, second)) // expires as it is stored
	if c.Len() != 0 {
		t.Error("an expired entry was kept")
	}
}

func TestLeastRecentlyAskedGoesFirst(t *testing.T) {
	const size = 4000
	c := cache.New(cache.Options{Memory: 64 << 10, Shards: 1})
	c.Put(entry("kept", size, 10*second))
	for i := range 100 {
		if c.Get(key("kept"), second) == nil {
			t.Fatalf("the entry that is asked for all the time was evicted after %d others", i)
		}
		c.Put(entry(fmt.Sprint(i), size, 10*second))
	}
	if c.Get(key("0"), second) != nil {
		t.Error("the oldest is still there")
	}
	if c.Get(key("99"), second) == nil {
		t.Error("the newest is gone")
	}
	s := c.Stats()
	if s.Evictions == 0 || s.Evictions != uint64(101-s.Entries) {
		t.Errorf("%d evictions, %d of 101 entries left", s.Evictions, s.Entries)
	}
	if s.Bytes > 64<<10 || s.Bytes < 48<<10 {
		t.Errorf("%d bytes in a full cache of %d", s.Bytes, 64<<10)
	}
}

func TestTooLargeIsNotKept(t *testing.T) {
	c := cache.New(cache.Options{Memory: 1 << 20, Shards: 1})
	c.Put(entry("small", 100, 10*second))
	c.Put(entry("large", 1<<20/8, 10*second))
	if c.Get(key("large"), second) != nil {
		t.Error("an eighth of a shard and more was kept")
	}
	if c.Get(key("small"), second) == nil {
		t.Error("it pushed another out")
	}
	if s := c.Stats(); s.Refused != 1 || s.Evictions != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestNoMemoryKeepsNothing(t *testing.T) {
	for _, memory := range []int64{0, -1} {
		c := cache.New(cache.Options{Memory: memory})
		c.Put(entry("a", 100, 10*second))
		if c.Get(key("a"), second) != nil || c.Stats().Bytes != 0 {
			t.Errorf("memory %d: something was kept", memory)
		}
	}
}

func TestFlush(t *testing.T) {
	c := cache.New(cache.Options{Memory: 4 << 20})
	for i := range 100 {
		c.Put(entry(fmt.Sprint(i), 100, 10*second))
	}
	c.Flush()
	if s := c.Stats(); s.Entries != 0 || s.Bytes != 0 {
		t.Errorf("after a flush: %+v", s)
	}
	c.Put(entry("a", 100, 10*second))
	if c.Get(key("a"), second) == nil {
		t.Error("nothing is kept after a flush")
	}
}

// TestMemoryBound fills the cache with ten times its bound, and with entries of
// one size after those of another, since maps and free lists do not shrink.
func TestMemoryBound(t *testing.T) {
	const bound = 2 << 20
	for _, tc := range []struct {
		name   string
		answer func(r *rand.Rand, late bool) (packed, ttls, addrs int)
	}{
		{"small", func(*rand.Rand, bool) (int, int, int) { return 45, 1, 1 }},
		{"mixed", func(r *rand.Rand, _ bool) (int, int, int) { n := 1 + r.IntN(12); return 40 + n*(16+r.IntN(60)), n, n }},
		{"no addresses", func(r *rand.Rand, _ bool) (int, int, int) { return 60 + r.IntN(400), 1 + r.IntN(4), 0 }},
		{"large", func(r *rand.Rand, _ bool) (int, int, int) { return 1000 + r.IntN(16000), 60, 60 }},
		{"small, then large", func(_ *rand.Rand, late bool) (int, int, int) {
			if late {
				return 4000, 1, 1
			}
			return 45, 1, 1
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			before := heap()
			c := cache.New(cache.Options{Memory: bound, Shards: 2})
			e := entry("", 0, 10*second)
			packed, ttls, addrs := make([]byte, 32000), make([]uint16, 64), make([]netip.Addr, 64)
			for put := 0; put < 10*bound; {
				p, n, a := tc.answer(r, put > 5*bound)
				e.Packed, e.TTLs, e.Addrs = packed[:p], ttls[:n], addrs[:a]
				e.Key = binary.BigEndian.AppendUint64(e.Key[:0], r.Uint64())
				c.Put(e)
				put += p + len(e.Key) + 200 // about what an entry takes beside its octets
			}
			grown := heap() - before
			s := c.Stats()
			t.Logf("bound %d, counted %d, heap grew by %d; %d entries", bound, s.Bytes, grown, s.Entries)
			if s.Bytes > bound || s.Bytes < bound*9/10 {
				t.Errorf("%d bytes counted in a full cache of %d", s.Bytes, bound)
			}
			if grown > bound*12/10 {
				t.Errorf("the heap grew by %d with a bound of %d", grown, bound)
			}
			if grown < bound*7/10 {
				t.Errorf("the heap grew by %d only: memory of %d is counted too high", grown, bound)
			}
			runtime.KeepAlive(c)
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // sweeps what the first left
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestConcurrentUse(t *testing.T) {
	c := cache.New(cache.Options{Memory: 256 << 10, Shards: 4})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 0))
			for i := range 2000 {
				label := fmt.Sprint(r.IntN(500))
				switch e := c.Get(key(label), int64(i)*second/100); {
				case e == nil:
					c.Put(entry(label, 1000, int64(5+r.IntN(20))*second))
				case !slices.Equal(e.Key, key(label)):
					t.Errorf("asked for %q, got %q", label, e.Key)
				default:
					e.Clean.Store(uint64(i))
				}
				if i%1000 == 999 {
					c.Flush()
				}
			}
		})
	}
	wg.Wait()
	s := c.Stats()
	if s.Hits+s.Misses+s.Expired != 8*2000 {
		t.Errorf("%+v do not add up to the look-ups", s)
	}
	if s.Bytes > 256<<10 {
		t.Errorf("%d bytes in a cache of %d", s.Bytes, 256<<10)
	}
}

func TestGetDoesNotAllocate(t *testing.T) {
	c := cache.New(cache.Options{Memory: 1 << 20})
	c.Put(entry("a", 100, 10*second))
	qname, other := name("a"), name("b")
	var buf [cache.MaxKey]byte
	if n := testing.AllocsPerRun(100, func() {
		if c.Get(cache.AppendKey(buf[:0], qname, 1, 1, false, false), second) == nil {
			t.Error("miss")
		}
		if c.Get(cache.AppendKey(buf[:0], other, 1, 1, false, false), second) != nil {
			t.Error("hit")
		}
	}); n != 0 {
		t.Errorf("a hit and a miss allocate %v times", n)
	}
}

func BenchmarkGet(b *testing.B) {
	const names = 10_000
	for _, bc := range []struct {
		name  string
		label string
	}{{"hit", ""}, {"miss", "x"}} {
		b.Run(bc.name, func(b *testing.B) {
			c := cache.New(cache.Options{Memory: 64 << 20})
			keys := make([][]byte, names)
			for i := range keys {
				c.Put(entry(fmt.Sprint(i), 100, 10*second))
				keys[i] = key(bc.label + fmt.Sprint(i))
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := rand.IntN(names); pb.Next(); i++ {
					c.Get(keys[i%names], second)
				}
			})
		})
	}
}

func BenchmarkPut(b *testing.B) {
	c := cache.New(cache.Options{Memory: 4 << 20})
	e := entry("a", 100, 10*second)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e.Key = binary.BigEndian.AppendUint64(e.Key[:0], uint64(i))
		c.Put(e)
	}
}

// To look whether something is there is no use of it.
func TestHas(t *testing.T) {
	c := cache.New(cache.Options{Memory: 1 << 20})
	c.Put(entry("a", 100, 10*second))
	for label, want := range map[string]bool{"a": true, "b": false} {
		if got := c.Has(key(label), 2*second); got != want {
			t.Errorf("%s: %v, expected %v", label, got, want)
		}
	}
	if c.Has(key("a"), 10*second) {
		t.Error("an expired entry is there")
	}
	if s := c.Stats(); s.Hits+s.Misses+s.Expired != 0 || s.Entries != 1 {
		t.Errorf("it was counted: %+v", s)
	}
}
