package inventory

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func equalViews(t *testing.T, got, want []string) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("view %d: found\n%s\nwant\n%s", i, got[i], want[i])
		}
	}
}

// Fed in pieces, by several that do not know of each other, over rotations, with batches cut
// off in the middle: all of it comes to what one reading of the whole journal gives.
func TestFedInPiecesIsTheWhole(t *testing.T) {
	for seed := range seeds(6) {
		r := rand.New(rand.NewPCG(seed, 2))
		lines := randomLines(t, r, 500)
		w := newWriter(t)
		o := options(t, w.dir)
		long := New(o)
		defer long.Close()
		for rest := lines; len(rest) > 0; {
			n := min(1+r.IntN(40), len(rest))
			w.write(rest[:n]...)
			rest = rest[n:]
			switch r.IntN(5) {
			case 0:
				w.rotate()
			case 1:
				if err := long.CatchUp(t.Context()); err != nil && !Overtaken(err) {
					t.Fatal(err)
				}
			case 2:
				feed(t, o)
			case 3:
				killed(t, o, r.IntN(n))
			}
		}
		feed(t, o)
		whole := options(t, w.dir)
		feed(t, whole)
		equalViews(t, views(t, o.Path), views(t, whole.Path))
	}
}

// killed feeds some lines that are never committed, and leaves the file as a killed process
// does.
func killed(t *testing.T, o Options, lines int) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	x := New(o)
	if err := x.open(ctx); err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	f := x.feeder
	if err := f.begin(ctx); err != nil {
		t.Fatal(err)
	}
	for range lines {
		text, err := f.cursor.Next()
		if err != nil {
			return
		}
		if err := f.read(ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.write(ctx, f.cursor.Position()); err != nil {
		t.Fatal(err)
	}
}

// Bounds of a batch decide nothing but how much memory it takes.
func TestTwoFeedOneDatabase(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	lines := randomLines(t, r, 300)
	w := newWriter(t)
	o := options(t, w.dir)
	one, two := New(o), New(o)
	defer one.Close()
	defer two.Close()
	w.write(lines[:200]...)
	if err := one.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.write(lines[200:]...)
	// One has read, and not written yet, when two writes.
	f := one.feeder
	if err := f.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := f.cursor.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.read(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	if err := two.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := one.CatchUp(t.Context()); !Overtaken(err) {
		t.Fatalf("found %v, want that another process was faster", err)
	}
	if err := one.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole := options(t, w.dir)
	feed(t, whole)
	equalViews(t, views(t, o.Path), views(t, whole.Path))
}

// What cannot be used is set aside, and made anew.
func TestUnusableInventoryIsMadeAnew(t *testing.T) {
	lines := randomLines(t, rand.New(rand.NewPCG(3, 3)), 300)
	for name, spoil := range map[string]func(t *testing.T, o Options){
		"another file": func(t *testing.T, o Options) { overwrite(t, o.Path, []byte(strings.Repeat("no database ", 1000)), 0) },
		"damaged":      func(t *testing.T, o Options) { overwrite(t, o.Path, slices.Repeat([]byte{0xa5}, 20000), 4096) },
		"another version": func(t *testing.T, o Options) {
			db, err := openDatabase(t.Context(), o.Path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.close()
			if err := db.exec(t.Context(), "PRAGMA user_version = 99"); err != nil {
				t.Fatal(err)
			}
		},
		"of another journal": func(t *testing.T, o Options) {
			db, err := openDatabase(t.Context(), o.Path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.close()
			if err := db.exec(t.Context(), "UPDATE progress SET segment = 77"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWriter(t)
			w.write(lines...)
			o := options(t, w.dir)
			feed(t, o)
			want := views(t, o.Path)
			spoil(t, o)
			w.write(randomLines(t, rand.New(rand.NewPCG(4, 4)), 1)[0])
			x := New(o)
			defer x.Close()
			if err := x.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := x.Stats().SetAside; n != 1 {
				t.Errorf("%d set aside, want 1", n)
			}
			equalViews(t, views(t, o.Path), want)
			if aside, _ := filepath.Glob(o.Path + ".aside-*Z"); len(aside) != 1 {
				t.Errorf("the old one is not there: %q", aside)
			}
		})
	}
}

func overwrite(t *testing.T, path string, data []byte, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, at); err != nil {
		t.Fatal(err)
	}
}

// A directory in which nothing can be made is an error that says so; a later attempt works.
func TestInventoryThatCannotBeWritten(t *testing.T) {
	w := newWriter(t)
	w.write(randomLines(t, rand.New(rand.NewPCG(5, 5)), 50)...)
	o := options(t, w.dir)
	blocked := filepath.Join(filepath.Dir(o.Path), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Path = filepath.Join(blocked, "inventory.db")
	x := New(o)
	defer x.Close()
	if err := x.CatchUp(t.Context()); err == nil || !strings.Contains(err.Error(), "hits.inventory") {
		t.Fatalf("found %v, want an error that names the key", err)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	if err := x.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := x.Stats(); s.Errors != 1 || s.Machines == 0 {
		t.Errorf("%+v", s)
	}
}

// A damaged line is counted and hides no other.
func TestDamagedLineIsPassedOver(t *testing.T) {
	lines := randomLines(t, rand.New(rand.NewPCG(6, 6)), 50)
	w := newWriter(t)
	w.write(lines[:20]...)
	w.write([]byte(`{"@timestamp":"2026-02-0`), []byte("\x00\x00\x00"), []byte(`{"event":{"dataset":"sinkhole.hit"}}`), []byte("{}"))
	w.write(lines[20:]...)
	o := options(t, w.dir)
	x := New(o)
	defer x.Close()
	if err := x.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := x.Stats().Damaged; n != 4 {
		t.Errorf("%d damaged, want 4", n)
	}
	clean := newWriter(t)
	clean.write(lines...)
	whole := options(t, clean.dir)
	feed(t, whole)
	equalViews(t, views(t, o.Path), views(t, whole.Path))
}

// Run feeds what comes, and ends with its context.
func TestRunFollowsTheJournal(t *testing.T) {
	lines := randomLines(t, rand.New(rand.NewPCG(7, 7)), 100)
	w := newWriter(t)
	o := options(t, w.dir)
	x := New(o)
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { x.Run(ctx); close(done) }()
	for _, part := range [][][]byte{lines[:50], lines[50:]} {
		before := x.Stats().Lines
		w.write(part...)
		for deadline := time.Now().Add(20 * time.Second); x.Stats().Lines < before+uint64(len(part)); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%+v", x.Stats())
			}
		}
	}
	end()
	<-done
	if _, err := OpenReader(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// Retention takes hits by the hour, machines that are not seen any more, and old addresses.
func TestRetention(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	lines := randomLines(t, r, 400)
	w := newWriter(t)
	w.write(lines...)
	o := options(t, w.dir)
	x := New(o)
	defer x.Close()
	if err := x.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	cut := testTime.Add(30 * time.Hour).Truncate(time.Hour)
	reader, err := OpenReader(t.Context(), o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	want, err := reader.Machines(t.Context(), Filter{Since: cut, Hours: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.feeder.prune(t.Context(), timeOf(cut.Add(time.Minute))); err != nil {
		t.Fatal(err)
	}
	got, err := reader.Machines(t.Context(), Filter{Hours: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(want) < 5 || len(got) != len(want) {
		t.Fatalf("%d machines, want %d", len(got), len(want))
	}
	for i, m := range got {
		if m.FirstSeen < timeOf(cut) || m.Hits != want[i].Hits || len(m.Hours) != len(want[i].Hours) || m.LastSeen != want[i].LastSeen {
			t.Errorf("%+v, want %+v", m, want[i])
		}
		for _, a := range m.Addresses {
			if a.FirstSeen < timeOf(cut) {
				t.Errorf("an address of before: %+v", a)
			}
		}
	}
	for _, query := range []string{"SELECT count(*) FROM machine WHERE last < ?", "SELECT count(*) FROM holder WHERE ? > 0 AND machine NOT IN (SELECT id FROM machine)"} {
		n := 0
		if err := reader.db.conn.QueryRowContext(t.Context(), query, int64(timeOf(cut))).Scan(&n); err != nil || n > 0 {
			t.Errorf("%s: %d, %v", query, n, err)
		}
	}
	// What comes then is added to what was left.
	w.write(lines[len(lines)-5:]...)
	if err := x.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
}
