package cache_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"sinkhole/resolver/cache"
)

// An entry is due once: when it was asked for twice since it was stored, and the last
// tenth of its life, 2 s at least, has begun.
func TestDue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		what    string
		expires int64   // stored at 1 s
		asked   []int64 // at these seconds
		due     int     // index of the one that is told so; -1: none
	}{
		{"popular, at the end", 101, []int64{2, 3, 92, 93}, 2},
		{"popular, a moment before", 101, []int64{2, 3, 90, 91}, 3},
		{"the second time is at the end", 101, []int64{2, 92, 93, 94}, 1},
		{"only asked at the end", 101, []int64{92, 93, 94}, 1},
		{"not popular", 101, []int64{95}, -1},
		{"asked early alone", 101, []int64{2, 3, 4, 5, 6}, -1},
		{"short: the last 2 s", 11, []int64{2, 3, 8, 9, 10}, 3},
		{"too short", 10, []int64{2, 3, 8, 9}, -1},
		{"expired", 101, []int64{2, 3, 101, 102}, -1},
	} {
		c := cache.New(cache.Options{Memory: 1 << 20})
		c.Put(entry("a", 100, test.expires*second))
		e := c.Get(key("a"), second)
		found := -1
		for i, at := range test.asked {
			if !e.Due(at * second) {
				continue
			}
			if found >= 0 {
				t.Errorf("%s: due twice", test.what)
			}
			found = i
		}
		if found != test.due {
			t.Errorf("%s: due at %d, expected %d", test.what, found, test.due)
		}
	}
}

// Whoever asks at the same time, one of them is told.
func TestDueIsToldToOne(t *testing.T) {
	t.Parallel()
	for range 200 {
		c := cache.New(cache.Options{Memory: 1 << 20})
		c.Put(entry("a", 100, 101*second))
		e := c.Get(key("a"), second)
		var told atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 4 {
					if e.Due(99 * second) {
						told.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if told.Load() != 1 {
			t.Fatalf("told %d times", told.Load())
		}
	}
}
