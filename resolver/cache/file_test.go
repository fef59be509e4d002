package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sinkhole/resolver/cache"
)

// saved writes a file of what a cache has.
func saved(t testing.TB, c *cache.Cache) *cache.File {
	t.Helper()
	f := &cache.File{Path: filepath.Join(t.TempDir(), "deep", "cache")}
	if _, err := f.Save(t.Context(), c, 0); err != nil {
		t.Fatal(err)
	}
	return f
}

func loaded(f *cache.File) (all []cache.Saved, err error) {
	err = f.Load(func(s cache.Saved) bool {
		s.Key, s.Packed = slices.Clone(s.Key), slices.Clone(s.Packed)
		all = append(all, s)
		return true
	})
	return all, err
}

// lasting is an answer that has not expired.
func lasting(name string, size int, left time.Duration) *cache.Entry {
	e := answer(name, 1, false)
	now := time.Now()
	e.Packed = bytes.Repeat([]byte{byte(size)}, size)
	e.Stored, e.Expires = now.Add(-time.Hour).UnixNano(), now.Add(left).UnixNano()
	return e
}

// What is written is read: answers that may still be given, none of failures.
func TestFileHasWhatTheCacheHad(t *testing.T) {
	t.Parallel()
	c := cache.New(cache.Options{Memory: 16 << 20, Shards: 4, Stale: time.Minute})
	want := map[string]*cache.Entry{}
	for i := range 2000 {
		e := lasting(fmt.Sprint(i, ".example"), i, time.Hour)
		want[string(e.Key)] = e
		c.Put(e)
	}
	stale, over := lasting("stale.example", 60, -time.Second), lasting("over.example", 60, -2*time.Minute)
	want[string(stale.Key)] = stale
	c.Put(stale)
	c.Put(over)
	for name, code := range map[string]uint16{"failed.example": 22, "servfail.example": 0} {
		failed := lasting(name, 60, time.Second)
		failed.Key, failed.EDE = cache.FailureKey(nil, failed.Key), code
		c.Put(failed)
	}

	f := saved(t, c)
	all, err := loaded(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		e := want[string(s.Key)]
		if e == nil || !bytes.Equal(s.Packed, e.Packed) || s.Stored != e.Stored || s.Expires != e.Expires {
			t.Errorf("%q is not as it was put", s.Key)
		}
		delete(want, string(s.Key))
	}
	if len(want) > 0 {
		t.Errorf("%d answers are not in the file", len(want))
	}
	info, err := os.Stat(f.Path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v (%v), expected 0600", info.Mode(), err)
	}
	if left, _ := filepath.Glob(f.Path + "*"); len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
}

// A file that is not whole, or that others may have written, is not used at all.
func TestFileIsUsedWhole(t *testing.T) {
	t.Parallel()
	c := cache.New(cache.Options{Memory: 1 << 20})
	for i := range 20 {
		c.Put(lasting(fmt.Sprint(i, ".example"), 60, time.Hour))
	}
	f := saved(t, c)
	whole, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	for what, data := range map[string][]byte{
		"empty":         {},
		"of text":       []byte("this is something else, and longer than the least that a file of answers has in it\n"),
		"cut short":     whole[:len(whole)-1],
		"longer":        append(slices.Clone(whole), 0),
		"of a version":  append([]byte("sinkhole cache 2\n"), whole[17:]...),
		"beginning cut": whole[:20],
	} {
		if err := os.WriteFile(f.Path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if all, err := loaded(f); err == nil || len(all) > 0 || errors.Is(err, cache.ErrForeign) != (what == "of text") {
			t.Errorf("%s: %d answers, error %v", what, len(all), err)
		}
	}
	for at := range whole {
		damaged := slices.Clone(whole)
		damaged[at] ^= 1
		if err := os.WriteFile(f.Path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if all, err := loaded(f); err == nil || len(all) > 0 {
			t.Fatalf("octet %d changed: %d answers, error %v", at, len(all), err)
		}
	}
	if err := errors.Join(os.WriteFile(f.Path, whole, 0o600), os.Chmod(f.Path, 0o620)); err != nil {
		t.Fatal(err)
	}
	if all, err := loaded(f); err == nil || len(all) > 0 {
		t.Errorf("others can write to it: %d answers, error %v", len(all), err)
	}
	if err := errors.Join(os.Remove(f.Path), os.Mkdir(f.Path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := loaded(f); err == nil {
		t.Error("a directory is read")
	}
}

// A path that was written by mistake costs nobody a file.
func TestFileOfOthers(t *testing.T) {
	t.Parallel()
	c := cache.New(cache.Options{Memory: 1 << 20})
	c.Put(lasting("a.example", 60, time.Hour))
	dir := t.TempDir()
	f, text := &cache.File{Path: filepath.Join(dir, "list.txt")}, []byte("s.example\n")
	for _, path := range []string{f.Path, f.Path + ".new"} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Save(t.Context(), c, 0); !errors.Is(err, cache.ErrForeign) {
			t.Errorf("%s: %v", path, err)
		}
		if err := f.Remove(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if now, err := os.ReadFile(path); !bytes.Equal(now, text) {
			t.Errorf("%s is %q (%v)", path, now, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	target := filepath.Join(dir, "target")
	if err := errors.Join(os.WriteFile(target, []byte("sinkhole cache 1\n"), 0o600), os.Symlink(target, f.Path)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Save(t.Context(), c, 0); !errors.Is(err, cache.ErrForeign) {
		t.Errorf("a link: %v", err)
	}
	// What is empty, of another version, or a draft left over is replaced.
	for _, left := range []string{"", "sinkhole", "sinkhole cache 0\n..."} {
		f := &cache.File{Path: filepath.Join(t.TempDir(), "cache")}
		if err := errors.Join(os.WriteFile(f.Path, []byte(left), 0o644), os.WriteFile(f.Path+".new", []byte(left), 0o644)); err != nil {
			t.Fatal(err)
		}
		if n, err := f.Save(t.Context(), c, 0); n != 1 || err != nil {
			t.Errorf("%q: %v", left, err)
		}
		if info, err := os.Stat(f.Path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%q: %v, %v", left, info, err)
		}
	}
}

// A write that fails, is ended or meets a flush leaves the file as it was.
func TestFileIsReplacedWhole(t *testing.T) {
	t.Parallel()
	c := cache.New(cache.Options{Memory: 16 << 20})
	for i := range 40 {
		c.Put(lasting(fmt.Sprint(i, ".example"), 60_000, time.Hour))
	}
	f := saved(t, c)
	before, _ := os.ReadFile(f.Path)
	c.Put(lasting("another.example", 60, time.Hour))

	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := f.Save(ended, c, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	// A step is written, then there is a pause in which the cache is flushed.
	paused, resume := context.WithCancel(t.Context())
	result := make(chan error)
	go func() {
		_, err := f.Save(paused, c, time.Hour)
		result <- err
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if info, err := os.Stat(f.Path + ".new"); err == nil && info.Size() > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is written")
		}
	}
	resume()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("ended in a pause: %v", err)
	}
	if after, _ := os.ReadFile(f.Path); !bytes.Equal(before, after) {
		t.Error("the file is not as it was")
	}
	if _, err := os.Stat(f.Path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a draft is left: %v", err)
	}
	if err := f.Remove(); err != nil {
		t.Error(err)
	}
	if err := f.Remove(); err != nil {
		t.Errorf("nothing is there: %v", err)
	}
	if _, err := loaded(f); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// What was flushed while a file was written does not get into it.
func TestFileBesideFlush(t *testing.T) {
	t.Parallel()
	c := cache.New(cache.Options{Memory: 16 << 20})
	for i := range 60 {
		c.Put(lasting(fmt.Sprint(i, ".example"), 60_000, time.Hour))
	}
	f := &cache.File{Path: filepath.Join(t.TempDir(), "cache")}
	result := make(chan error)
	go func() {
		_, err := f.Save(t.Context(), c, 100*time.Millisecond)
		result <- err
	}()
	for {
		if info, err := os.Stat(f.Path + ".new"); err == nil && info.Size() > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	c.FlushName(wireOf("1.example"), false)
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, cache.ErrFlushed) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(f.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the file has what was flushed")
	}
}

// Whatever follows the magic, and has the right digest: it is read without a fault,
// and records are within bounds.
func FuzzLoad(f *testing.F) {
	c := cache.New(cache.Options{Memory: 1 << 20})
	for i := range 3 {
		c.Put(lasting(fmt.Sprint(i, ".example"), 60, time.Hour))
	}
	whole, err := os.ReadFile(saved(f, c).Path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole[17 : len(whole)-32])
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add(append([]byte{0, 0, 0, 18}, make([]byte, 18)...))
	f.Fuzz(func(t *testing.T, body []byte) {
		octets := 0
		err := cache.LoadBody(body, func(s cache.Saved) bool {
			octets += len(s.Key) + len(s.Packed) + 22
			if len(s.Key) > cache.MaxKey || len(s.Packed) > 1<<16+cache.MaxKey {
				t.Fatalf("a key of %d octets, a message of %d", len(s.Key), len(s.Packed))
			}
			return true
		})
		if err == nil && octets+4 > len(body) || octets > len(body) {
			t.Errorf("%d octets out of %d", octets, len(body))
		}
	})
}
