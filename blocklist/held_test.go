package blocklist

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sinkhole/blocklist/feed"
	"sinkhole/blocklist/guard"
)

func openStore(t testing.TB, dir string) *feed.Store {
	t.Helper()
	store, err := feed.OpenStore(dir, feed.StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func names(from, to int) string {
	var text strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&text, "n%d.example\n", i)
	}
	return text.String()
}

// TestShrunkListIsHeld loses more than it may, is looked at, and let in.
func TestShrunkListIsHeld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "list")
	write(t, path, names(0, 100))
	o := Options{Configuration: specsOf(spec("feed", path)), Store: openStore(t, filepath.Join(dir, "store"))}
	o.HoldShrunk, o.ShrinkLimit = true, 50
	l := open(t, o)

	write(t, path, names(50, 100)) // half is allowed
	if u, err := l.Reload(); err != nil || len(u.Held) != 0 || u.Removed != 50 {
		t.Fatalf("update %+v, %v", u, err)
	}
	write(t, path, names(95, 107))
	u, err := l.Reload()
	if err != nil || u.Held["feed"] != "shrank from 50 to 12 entries, guard.shrink_limit is 50%" || u.Added+u.Removed != 0 {
		t.Fatalf("update %+v, %v", u, err)
	}
	expect(t, l, "n80.example", "enforce sinkhole feed:31")
	expect(t, l, "n106.example", "none")
	if s := status(t, l, "feed"); s.State != StateHeld || s.HeldReason == "" || s.Entries != 50 {
		t.Errorf("status %+v", s)
	}
	d := l.Diff("feed")
	if d == nil || d.Held == "" || d.Added != 7 || d.Removed != 45 || !slices.Equal(d.AddedEntries, strings.Fields(names(100, 107))) {
		t.Fatalf("diff %+v", d)
	}

	if _, err := approveHeld(l, "feed"); err != nil {
		t.Fatal(err)
	}
	expect(t, l, "n106.example", "enforce sinkhole feed:12")
	expect(t, l, "n80.example", "none")
	if s := status(t, l, "feed"); s.State != StateOK || s.HeldReason != "" {
		t.Errorf("status %+v", s)
	}
	all, err := l.Approvals("feed")
	if err != nil || len(all) != 1 || all[0].User != "ann" || all[0].Version != d.Version || all[0].Time.IsZero() {
		t.Errorf("approvals %+v, %v", all, err)
	}
	if _, _, err := l.ApproveHeld("ann", "feed", d.Version); err == nil || !strings.Contains(err.Error(), "nothing of the list feed is held") {
		t.Errorf("approved again: %v", err)
	}

	// Everything gone is a loss too, though nothing is malformed.
	write(t, path, "# nothing\n")
	if u, err := l.Reload(); err != nil || u.Held["feed"] == "" {
		t.Errorf("update %+v, %v", u, err)
	}
}

// TestGuardInLists refuses and holds entries, and lets in what is approved, also
// after a restart.
func TestGuardInLists(t *testing.T) {
	dir := t.TempDir()
	path, popular := filepath.Join(dir, "list"), filepath.Join(dir, "popular")
	write(t, path, "evil.example\ngithub.io\npopular.example\nevil.github.io\n10.1.2.3\n")
	write(t, popular, "www.popular.example\n")
	o := Options{Configuration: protecting(spec("feed", path))}
	o.Guard.Hold = []string{popular}
	store := filepath.Join(dir, "store")
	run := func(fn func(l *Lists)) {
		s := openStore(t, store)
		o.Store = s
		l, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		fn(l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	run(func(l *Lists) {
		s := status(t, l, "feed")
		if s.State != StateOK || s.Entries != 5 || s.Kept != 2 || s.Held != 1 || s.Rules != 2 {
			t.Errorf("status %+v", s)
		}
		if f := s.GuardRefused[0]; f.Line != 2 || f.Kind != string(guard.PublicSuffix) || !strings.HasPrefix(f.String(), path+":2: \"github.io\": ") {
			t.Errorf("refused %s", &f)
		}
		if f := s.GuardHeld[0]; f.Line != 3 || f.Text != "popular.example" {
			t.Errorf("held %s", &f)
		}
		expect(t, l, "x.popular.example", "none")
		expect(t, l, "evil.github.io", "enforce sinkhole feed:4")
		if _, err := l.Approve("ann", "feed", "unknown.example"); err == nil || !strings.Contains(err.Error(), `keeps no entry "unknown.example" out`) {
			t.Errorf("approved an unknown entry: %v", err)
		}
		if _, err := l.Approve("ann", "nothing", "unknown.example"); err == nil {
			t.Error("approved for an unknown list")
		}
		if _, err := l.Approve("ann", "feed", "Popular.Example.", "10.1.2.3/32"); err != nil {
			t.Fatal(err)
		}
		expect(t, l, "x.popular.example", "enforce sinkhole feed:3")
		expect(t, l, "github.io", "none")
	})
	run(func(l *Lists) {
		expect(t, l, "x.popular.example", "enforce sinkhole feed:3")
		if s := status(t, l, "feed"); s.Kept != 1 || s.Held != 0 {
			t.Errorf("status %+v", s)
		}
	})
	write(t, filepath.Join(dir, "own"), "\x00")
	o.Guard.Files = []string{filepath.Join(dir, "missing")}
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a guard without its file: %v", err)
	}
}

// TestAllRefusedIsHeld is good content that is followed by one of which nothing
// is left over.
func TestAllRefusedIsHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, "evil.example\n")
	l := open(t, Options{Configuration: protecting(spec("feed", path))})
	write(t, path, "github.io\nco.uk\n")
	if u, err := l.Reload(); err != nil || !strings.Contains(u.Held["feed"], "none is left over") {
		t.Errorf("update %+v, %v", u, err)
	}
	expect(t, l, "evil.example", "enforce sinkhole feed:1")
}

// TestImage starts from the compiled copy where nothing has changed, and from the
// list where anything has.
func TestImage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "list.csv")
	var text strings.Builder
	text.WriteString("indicator,family,reference,first_seen,expires,action\n")
	for i := range 9000 {
		fmt.Fprintf(&text, "n%d.example,Family %d,https://reports.example/long/enough/to/lie/on/disk/%d,2026-01-02,2030-01-01T00:00:00Z,%s\n", i, i%7, i, [...]string{"", "nxdomain"}[i%2])
	}
	text.WriteString("192.0.2.1,Other,,,,\ngithub.io,,,,,\nbad!,,,,,\n")
	write(t, path, text.String())
	store := filepath.Join(dir, "store")
	o := Options{Configuration: protecting(spec("feed", path)), Watch: true, Program: "one"}
	var said []string
	run := func(fromImage bool) {
		t.Helper()
		s := openStore(t, store)
		o.Store = s
		l, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if got := everything(l.Policy()); said == nil {
			said = got
		} else if !slices.Equal(got, said) {
			t.Errorf("%d rules are not those of the list, %d", len(got), len(said))
		}
		if s := status(t, l, "feed"); s.Entries != 9002 || s.Malformed != 1 || s.Kept != 1 || len(s.Faults) != 1 || s.State != StateOK || s.Version == "" {
			t.Errorf("status %+v", s)
		}
		if got := len(l.LastUpdate().Compiled) == 1; got != fromImage {
			t.Errorf("taken from the compiled copy: %t, expected %t", got, fromImage)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	run(false) // there is none yet
	run(true)
	run(true)
	o.Program = "two"
	run(false)
	run(true)
	image := filepath.Join(imageDir(t, store), imageFile)
	whole, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 20, len(whole) / 3, len(whole) / 2, len(whole) - 1} {
		broken := slices.Clone(whole)
		broken[at] ^= 0x40
		write(t, image, string(broken))
		run(false)
	}
	write(t, image, string(whole[:len(whole)/2]))
	run(false)
}

// TestLastGoodAcrossRestart serves what a list had when it can no longer be read,
// and holds what has shrunk meanwhile.
func TestLastGoodAcrossRestart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "list")
	write(t, path, names(0, 100))
	store := filepath.Join(dir, "store")
	o := Options{Configuration: specsOf(spec("feed", path)), Watch: true}
	o.HoldShrunk, o.ShrinkLimit = true, 50
	run := func(fn func(l *Lists)) {
		s := openStore(t, store)
		o.Store = s
		l, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		fn(l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	run(func(l *Lists) { expect(t, l, "n1.example", "enforce sinkhole feed:2") })
	remove(t, path)
	run(func(l *Lists) {
		expect(t, l, "n1.example", "enforce sinkhole feed:2")
		if s := status(t, l, "feed"); s.State != StateStale || s.Entries != 100 || !strings.Contains(s.Error, "no such file") {
			t.Errorf("status %+v", s)
		}
	})
	write(t, path, names(0, 2))
	run(func(l *Lists) {
		expect(t, l, "n50.example", "enforce sinkhole feed:51")
		if s := status(t, l, "feed"); s.State != StateHeld || s.Entries != 100 {
			t.Errorf("status %+v", s)
		}
		if _, err := approveHeld(l, "feed"); err != nil {
			t.Fatal(err)
		}
		expect(t, l, "n50.example", "none")
	})
	run(func(l *Lists) {
		expect(t, l, "n50.example", "none")
		expect(t, l, "n1.example", "enforce sinkhole feed:2")
	})
}

// imageDir is the directory of the only list of a store.
func imageDir(t testing.TB, store string) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(store, "*", imageFile))
	if err != nil || len(all) != 1 {
		t.Fatalf("compiled copies %q, %v", all, err)
	}
	return filepath.Dir(all[0])
}
