package cache_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"sinkhole/resolver/cache"
)

func answer(name string, qtype uint16, do bool) *cache.Entry {
	return &cache.Entry{
		Key: cache.AppendKey(nil, wireOf(name), qtype, 1, do, false), Packed: make([]byte, 60),
		Stored: second, Expires: 100 * second,
	}
}

// A flush of a name takes all types and flags, failures, and what has expired; with
// below the names below it too; and nothing of other names. What it takes is found by
// no look-up.
func TestFlushName(t *testing.T) {
	t.Parallel()
	fill := func() (c *cache.Cache, keys map[string][][]byte) {
		c, keys = cache.New(cache.Options{Memory: 4 << 20, Shards: 4, Stale: time.Hour}), map[string][][]byte{}
		put := func(name string, e *cache.Entry) {
			c.Put(e)
			keys[name] = append(keys[name], e.Key)
			if c.TryGet(e.Key, second) == nil {
				t.Fatalf("%s is not kept", name)
			}
		}
		for _, name := range []string{"a.example", "www.a.example", "x.www.a.example", "ba.example", "example", "b.example"} {
			put(name, answer(name, 1, false))
			put(name, answer(name, 28, true))
			failed := answer(name, 1, false)
			failed.Key, failed.EDE = cache.FailureKey(nil, failed.Key), 22
			put(name, failed)
			expired := answer(name, 16, false)
			expired.Expires = 2 * second
			put(name, expired)
		}
		for i := range 3000 { // more than a step of a scan
			c.Put(answer(fmt.Sprint(i, ".other"), 1, false))
		}
		return c, keys
	}
	for _, test := range []struct {
		below bool
		gone  map[string]bool
	}{
		{false, map[string]bool{"a.example": true}},
		{true, map[string]bool{"a.example": true, "www.a.example": true, "x.www.a.example": true}},
	} {
		c, keys := fill()
		before := c.Stats()
		if found := len(c.Entries(wireOf("a.example"))); found != 4 {
			t.Errorf("%d entries of the name, expected 4", found)
		}
		n := c.FlushName(wireOf("a.example"), test.below)
		if want := 4 * len(test.gone); n != want || before.Entries-c.Len() != want || c.Stats().Flushed != uint64(want) {
			t.Errorf("below %v: %d flushed, %d entries fewer, expected %d", test.below, n, before.Entries-c.Len(), want)
		}
		if c.Stats().Bytes >= before.Bytes {
			t.Error("no memory is free after a flush")
		}
		for name, all := range keys {
			for _, k := range all {
				kept := c.TryGet(k, second) != nil && c.Get(k, second) != nil && c.Stale(k, second) != nil && c.Has(k, second)
				lost := c.TryGet(k, second) == nil && c.Get(k, second) == nil && c.Stale(k, second) == nil && !c.Has(k, second)
				if test.gone[name] != lost || test.gone[name] == kept {
					t.Errorf("below %v: %s, gone %v, kept %v", test.below, name, lost, kept)
				}
			}
		}
		if n := c.Flush(); n != before.Entries-4*len(test.gone) || c.Len() != 0 || c.Stats().Bytes != 0 {
			t.Errorf("%d flushed, %+v left", n, c.Stats())
		}
	}
}

// What was asked for before a flush is not kept after it, whatever was flushed.
func TestPutSince(t *testing.T) {
	t.Parallel()
	for what, flush := range map[string]func(*cache.Cache){
		"all":     func(c *cache.Cache) { c.Flush() },
		"a name":  func(c *cache.Cache) { c.FlushName(wireOf("a.example"), false) },
		"nothing": func(*cache.Cache) {},
	} {
		c := cache.New(cache.Options{Memory: 1 << 20})
		e := answer("a.example", 1, false)
		asked := c.Generation()
		flush(c)
		c.PutSince(e, asked)
		if kept := c.TryGet(e.Key, second) != nil; kept != (what == "nothing") {
			t.Errorf("flush of %s: kept %v", what, kept)
		}
		c.PutSince(e, c.Generation())
		if c.TryGet(e.Key, second) == nil {
			t.Errorf("flush of %s: what was asked for since is not kept", what)
		}
	}
}

// However puts and flushes meet: what was asked for before the last flush began is not
// there when it has ended.
func TestPutBesideFlush(t *testing.T) {
	t.Parallel()
	c := cache.New(cache.Options{Memory: 1 << 20, Shards: 2})
	for range 200 {
		asked := c.Generation()
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 50 {
					c.PutSince(answer(fmt.Sprintf("%d-%d.example", g, i), 1, false), asked)
				}
			})
		}
		wg.Go(func() { c.FlushName(wireOf("example"), true) })
		wg.Wait()
		if n := c.Len(); n != 0 {
			t.Fatalf("%d entries after the flush", n)
		}
	}
}

func TestRestore(t *testing.T) {
	t.Parallel()
	c := cache.New(cache.Options{Memory: 1 << 20, Stale: 10 * time.Second})
	old, fresh := answer("a.example", 1, false), answer("a.example", 1, false)
	fresh.Stored = 50 * second
	if !c.Restore(old, 0, 60*second) || c.TryGet(old.Key, 60*second) == nil {
		t.Error("not restored")
	}
	c.Put(fresh)
	if c.Restore(old, 0, 60*second) || c.TryGet(old.Key, 60*second).Stored != fresh.Stored {
		t.Error("an older answer took the place of a newer one")
	}
	ended := answer("b.example", 1, false)
	if !c.Restore(ended, 0, 109*second) || c.Stale(ended.Key, 109*second) == nil {
		t.Error("what may still be given stale is not restored")
	}
	if c.Restore(answer("c.example", 1, false), 0, 110*second) {
		t.Error("what is of no use is restored")
	}
	c.Flush()
	if c.Restore(old, 0, 60*second) {
		t.Error("restored after a flush")
	}
}
