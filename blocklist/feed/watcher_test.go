package feed

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

// patience bounds every wait for something that must come.
const patience = 10 * time.Second

// never is a Poll that does not come within a test, so that only events tell.
const never = time.Hour

// watched is a watcher and what it told.
type watched struct {
	*Watcher
	t       *testing.T
	notices chan []string
}

func watch(t *testing.T, o Options, patterns ...string) *watched {
	t.Helper()
	w := &watched{t: t, notices: make(chan []string, 10_000)}
	if o.Changed == nil {
		o.Changed = func(patterns []string) { w.notices <- patterns }
	}
	if o.Settle == 0 {
		o.Settle = 50 * time.Millisecond
	}
	if o.Poll == 0 {
		o.Poll = never
	}
	var err error
	if w.Watcher, err = NewWatcher(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	w.Set(patterns)
	return w
}

// next is the next notice.
func (w *watched) next() []string {
	w.t.Helper()
	select {
	case patterns := <-w.notices:
		return patterns
	case <-time.After(patience):
		w.t.Fatal("no notice came")
		return nil
	}
}

// expect takes the next notice, which must be of these patterns.
func (w *watched) expect(patterns ...string) {
	w.t.Helper()
	if got := w.next(); !slices.Equal(got, patterns) {
		w.t.Fatalf("told %q, expected %q", got, patterns)
	}
}

// expectState takes notices until the files were told as they are now.
func (w *watched) expectState(pattern string, seen <-chan snapshot) {
	w.t.Helper()
	want := look(pattern)
	deadline := time.After(patience)
	for {
		select {
		case got := <-seen:
			if got.equal(want) {
				return
			}
		case <-deadline:
			w.t.Fatalf("the state %v was not told", want.files)
		}
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWatcherSees(t *testing.T) {
	type step = func(t *testing.T, dir string)
	write := func(name, text string) step {
		return func(t *testing.T, dir string) { put(t, filepath.Join(dir, name), text) }
	}
	mkdir := func(name string) step {
		return func(t *testing.T, dir string) { must(t, os.MkdirAll(filepath.Join(dir, name), 0o755)) }
	}
	remove := func(name string) step {
		return func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, name))) }
	}
	rename := func(from, to string) step {
		return func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)))
		}
	}
	// link replaces a symbolic link as Kubernetes and careful scripts do.
	link := func(target, name string) step {
		return func(t *testing.T, dir string) {
			must(t, os.Symlink(strings.ReplaceAll(target, "DIR", dir), filepath.Join(dir, name+".new")))
			must(t, os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)))
		}
	}
	do := func(steps ...step) step {
		return func(t *testing.T, dir string) {
			for _, s := range steps {
				s(t, dir)
			}
		}
	}

	tests := map[string]struct {
		pattern string
		before  step
		steps   []step // each must be told
	}{
		"written in place": {"x.txt", write("x.txt", "a"), []step{
			write("x.txt", "ab"), write("x.txt", ""), write("x.txt", "abc")}},
		"same size": {"x.txt", write("x.txt", "a"), []step{
			write("x.txt", "b"), write("x.txt", "c"), write("x.txt", "d")}},
		"same size, time of modification put back": {"x.txt", write("x.txt", "a"), []step{
			func(t *testing.T, dir string) {
				path := filepath.Join(dir, "x.txt")
				info, err := os.Stat(path)
				must(t, err)
				put(t, path, "b")
				must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
			}}},
		"replaced by rename": {"x.txt", write("x.txt", "a"), []step{
			do(write("x.new", "b"), rename("x.new", "x.txt")),
			do(write("x.new", "c"), rename("x.new", "x.txt")),
			write("x.txt", "in place")}},
		"removed and made again": {"x.txt", write("x.txt", "a"), []step{
			remove("x.txt"), write("x.txt", "a"), do(remove("x.txt"), write("x.txt", "a")), write("x.txt", "ab")}},
		"moved away and back": {"x.txt", write("x.txt", "a"), []step{
			rename("x.txt", "y.txt"), rename("y.txt", "x.txt")}},
		"missing at first": {"x.txt", mkdir("."), []step{
			write("x.txt", "a"), write("x.txt", "ab")}},
		"a directory in place of the file": {"x.txt", write("x.txt", "a"), []step{
			do(remove("x.txt"), mkdir("x.txt")), do(remove("x.txt"), write("x.txt", "a"))}},
		"Kubernetes volume": {"x.txt",
			do(mkdir("..2026_1"), write("..2026_1/x.txt", "a"), link("..2026_1", "..data"), link("..data/x.txt", "x.txt")), []step{
				do(mkdir("..2026_2"), write("..2026_2/x.txt", "b"), link("..2026_2", "..data"), remove("..2026_1")),
				do(mkdir("..2026_3"), write("..2026_3/x.txt", "b"), link("..2026_3", "..data"), remove("..2026_2")),
				write("..2026_3/x.txt", "in place")}},
		"Kubernetes volume, glob": {"*.txt",
			do(mkdir("..2026_1"), write("..2026_1/x.txt", "a"), link("..2026_1", "..data"), link("..data/x.txt", "x.txt")), []step{
				do(mkdir("..2026_2"), write("..2026_2/x.txt", "b"), link("..2026_2", "..data"), remove("..2026_1")),
				do(write("..2026_2/y.txt", "c"), link("..data/y.txt", "y.txt")),
				write("..2026_2/y.txt", "cd")}},
		"link to another directory": {"x.txt", do(mkdir("a"), mkdir("b"), write("a/x", "a"), write("b/x", "b"), link("DIR/a/x", "x.txt")), []step{
			write("a/x", "ab"), link("DIR/b/x", "x.txt"), write("b/x", "bc"), do(write("b/new", "d"), rename("b/new", "b/x"))}},
		"link up and down": {"a/x.txt", do(mkdir("a"), mkdir("b/c"), write("b/x", "a"), link("../b/c/.././x", "a/x.txt")), []step{
			write("b/x", "ab")}},
		"link that leads nowhere at first": {"x.txt", link("a/b/x", "x.txt"), []step{
			do(mkdir("a/b"), write("a/b/x", "a")), write("a/b/x", "ab")}},
		"links in a circle at first": {"x.txt", do(link("y.txt", "x.txt"), link("x.txt", "y.txt")), []step{
			do(remove("y.txt"), write("y.txt", "a")), write("y.txt", "ab")}},
		"link in place of the directory": {"d/x.txt", do(mkdir("a"), mkdir("b"), write("a/x.txt", "a"), write("b/x.txt", "b"), link("a", "d")), []step{
			link("b", "d"), write("b/x.txt", "bc"), do(remove("d"), mkdir("d"), write("d/x.txt", "c")), write("d/x.txt", "cd")}},
		"directory missing at first": {"a/b/c/x.txt", mkdir("."), []step{
			do(mkdir("a/b/c"), write("a/b/c/x.txt", "a")), write("a/b/c/x.txt", "ab")}},
		"directory removed and made again": {"a/b/x.txt", do(mkdir("a/b"), write("a/b/x.txt", "a")), []step{
			remove("a"), do(mkdir("a/b"), write("a/b/x.txt", "a")), write("a/b/x.txt", "ab"),
			do(remove("a"), mkdir("a/b"), write("a/b/x.txt", "a")), write("a/b/x.txt", "ab")}},
		"directory exchanged": {"a/b/x.txt", do(mkdir("a/b"), mkdir("new/b"), write("a/b/x.txt", "a"), write("new/b/x.txt", "b")), []step{
			do(rename("a", "old"), rename("new", "a")), write("a/b/x.txt", "bc"),
			do(rename("a", "new"), rename("old", "a")), write("a/b/x.txt", "ab")}},
		"glob": {"*.txt", write("x.txt", "a"), []step{
			write("y.txt", "b"), write("y.txt", "bc"), remove("x.txt"), rename("y.txt", "z.txt"), rename("z.txt", "z"),
			do(write("n", "n"), rename("n", "n.txt"))}},
		"glob without a match or a directory": {"a/*.txt", mkdir("."), []step{
			do(mkdir("a"), write("a/x.txt", "a")), remove("a"), do(mkdir("a"), write("a/y.txt", "a"))}},
		"glob over directories": {"*/b/*.txt", do(mkdir("1/b"), write("1/b/x.txt", "a")), []step{
			do(mkdir("2/b"), write("2/b/x.txt", "b")), write("2/b/x.txt", "bc"), rename("2", "3"), write("3/b/y.txt", "d"), remove("1")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			test.before(t, dir)
			pattern := filepath.Join(dir, test.pattern)
			seen := make(chan snapshot, 100)
			w := watch(t, Options{Changed: func([]string) { seen <- look(pattern) }}, pattern)
			for _, s := range test.steps {
				s(t, dir)
				w.expectState(pattern, seen)
			}
		})
	}
}

func TestWatcherRelativePattern(t *testing.T) {
	t.Chdir(t.TempDir())
	w := watch(t, Options{}, "lists/x.txt")
	must(t, os.Mkdir("lists", 0o755))
	put(t, "lists/x.txt", "a")
	w.expect("lists/x.txt")
}

func TestWatcherBurstIsOneNotice(t *testing.T) {
	dir := t.TempDir()
	list, other := filepath.Join(dir, "list"), filepath.Join(dir, "other")
	w := watch(t, Options{Settle: 800 * time.Millisecond, MaxSettle: patience}, list, other)
	for i := range 200 {
		put(t, list, strings.Repeat("x", i))
	}
	w.expect(list)
	// A second notice of the burst would come before this one, or with it.
	put(t, other, "x")
	w.expect(other)
}

func TestWatcherTellsPatternsTogetherInOrder(t *testing.T) {
	dir := t.TempDir()
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	w := watch(t, Options{Settle: 800 * time.Millisecond}, c, a, b, a)
	put(t, a, "x")
	put(t, b, "x")
	put(t, c, "x")
	w.expect(c, a, b)
}

func TestWatcherIgnoresNeighbours(t *testing.T) {
	dir := t.TempDir()
	list, glob, last := filepath.Join(dir, "list.txt"), filepath.Join(dir, "*.csv"), filepath.Join(dir, "last")
	put(t, list, "a")
	w := watch(t, Options{}, list, glob, last)
	journal, err := os.Create(filepath.Join(dir, "hits.jsonl"))
	must(t, err)
	defer journal.Close()
	for i := range 500 {
		fmt.Fprintln(journal, i)
		put(t, filepath.Join(dir, fmt.Sprintf("log.%d", i%10)), "x")
	}
	put(t, filepath.Join(dir, ".list.txt.swp"), "x")
	put(t, filepath.Join(dir, "x.csv~"), "x")
	put(t, filepath.Join(dir, ".x.csv"), "x")
	must(t, os.Mkdir(filepath.Join(dir, "d.csv"), 0o755))
	if _, err := os.ReadFile(list); err != nil {
		t.Fatal(err)
	}
	put(t, last, "x")
	w.expect(last)
}

// A file that never rests is told all the same, again and again.
func TestWatcherMaxWrite(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	w := watch(t, Options{Settle: 500 * time.Millisecond, MaxSettle: 600 * time.Millisecond, MaxWrite: 600 * time.Millisecond}, list)
	f, err := os.Create(list)
	must(t, err)
	defer f.Close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for told := 0; told < 2; {
		select {
		case <-tick.C:
			f.WriteString("x")
		case <-w.notices:
			told++
		case <-deadline:
			t.Fatal("no notice while the file grows")
		}
	}
}

// A file that is written in place for longer than MaxSettle is told once, when it
// is complete.
func TestWatcherSlowWrite(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	sizes := make(chan int64, 100)
	watch(t, Options{Settle: 500 * time.Millisecond, MaxSettle: 500 * time.Millisecond, Changed: func([]string) {
		state, _ := Stat(list)
		sizes <- state.Size
	}}, list)
	f, err := os.Create(list)
	must(t, err)
	defer f.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 75 {
		<-tick.C
		f.WriteString("x")
	}
	select {
	case size := <-sizes:
		if size != 75 {
			t.Errorf("told at %d bytes, while the file was being written", size)
		}
	case <-time.After(patience):
		t.Fatal("no notice")
	}
}

// Events without end that leave the files as they are hold up no notice.
func TestWatcherMaxSettle(t *testing.T) {
	dir := t.TempDir()
	glob := filepath.Join(dir, "*")
	w := watch(t, Options{Settle: 500 * time.Millisecond, MaxSettle: 600 * time.Millisecond, MaxWrite: never}, glob)
	put(t, filepath.Join(dir, "list"), "x")
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		select {
		case <-tick.C:
			must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
			must(t, os.Remove(filepath.Join(dir, "d")))
		case <-w.notices:
			return
		case <-deadline:
			t.Fatal("no notice while directories come and go")
		}
	}
}

func TestWatcherStorm(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	read := make(chan string, 10_000)
	w := watch(t, Options{MaxSettle: 200 * time.Millisecond, MaxWrite: 200 * time.Millisecond, Changed: func([]string) {
		text, _ := os.ReadFile(list)
		read <- string(text)
	}}, list, filepath.Join(dir, "*"))
	for i := range 1000 {
		name := filepath.Join(dir, fmt.Sprintf("new.%d", i))
		put(t, name, fmt.Sprint(i))
		must(t, os.Rename(name, list))
	}
	deadline := time.After(patience)
	for {
		select {
		case text := <-read:
			if text == "999" {
				return
			}
		case <-deadline:
			w.t.Fatal("the last of 1,000 renames was not told")
		}
	}
}

// Directory swaps make the watcher follow the trail anew each time.
func TestWatcherStormOfSwaps(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "d", "list")
	read := make(chan string, 10_000)
	watch(t, Options{MaxSettle: 200 * time.Millisecond, MaxWrite: 200 * time.Millisecond, Changed: func([]string) {
		text, _ := os.ReadFile(list)
		read <- string(text)
	}}, list)
	for i := range 300 {
		must(t, os.Mkdir(filepath.Join(dir, "new"), 0o755))
		put(t, filepath.Join(dir, "new", "list"), fmt.Sprint(i))
		must(t, os.RemoveAll(filepath.Join(dir, "d")))
		must(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "d")))
	}
	put(t, list, "last")
	deadline := time.After(patience)
	for {
		select {
		case text := <-read:
			if text == "last" {
				return
			}
		case <-deadline:
			t.Fatal("the write after the last swap was not told")
		}
	}
}

// Each of two watched directories takes the other's path.
func TestWatcherStormOfExchanges(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"a", "b"} {
		must(t, os.Mkdir(at(name), 0o755))
		put(t, at(name+"/list"), name)
	}
	w := watch(t, Options{}, at("a/list"), at("b/list"))
	for range 101 {
		must(t, os.Rename(at("a"), at("c")))
		must(t, os.Rename(at("b"), at("a")))
		must(t, os.Rename(at("c"), at("b")))
	}
	w.expect(at("a/list"), at("b/list"))
	put(t, at("a/list"), "new a")
	w.expect(at("a/list"))
	put(t, at("b/list"), "new b")
	w.expect(at("b/list"))
}

// Nobody takes the events here, so fsnotify does not learn of the renames: what
// it is asked for must be right all the same.
func TestDirectoriesFollowMoves(t *testing.T) {
	for name, test := range map[string]struct {
		before []string
		moves  [][2]string
		after  []string
	}{
		"moved":     {[]string{"a"}, [][2]string{{"a", "b"}}, []string{"b"}},
		"exchanged": {[]string{"a", "b"}, [][2]string{{"a", "c"}, {"b", "a"}, {"c", "b"}}, []string{"a", "b"}},
		"shifted":   {[]string{"a", "b"}, [][2]string{{"a", "c"}, {"b", "a"}}, []string{"a", "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := newDirectories(zap.NewNop())
			defer d.close()
			d.watch(dir, true)
			for _, name := range test.before {
				must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
				d.watch(filepath.Join(dir, name), true)
			}
			for _, move := range test.moves {
				must(t, os.Rename(filepath.Join(dir, move[0]), filepath.Join(dir, move[1])))
			}
			wanted := map[string]bool{dir: true}
			for _, name := range test.after {
				wanted[filepath.Join(dir, name)] = true
				d.watch(filepath.Join(dir, name), true)
			}
			d.keep(wanted)
			for path := range wanted {
				if err := d.fs.Remove(path); err != nil {
					t.Errorf("not watched: %v", err)
				}
			}
		})
	}
}

func TestDirectoriesForgetSurvivesFsnotify(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	must(t, os.Mkdir(a, 0o755))
	must(t, os.Mkdir(b, 0o755))
	d := newDirectories(zap.NewNop())
	defer d.close()
	// Nobody takes the events, so fsnotify does not learn of the renames.
	for _, path := range []string{dir, a, b} {
		d.watch(path, true)
	}
	must(t, os.Rename(a, filepath.Join(dir, "c")))
	must(t, os.Rename(b, a))
	must(t, d.fs.Add(a))
	d.keep(nil)
	if len(d.watched) != 0 {
		t.Errorf("still watched: %v", d.watched)
	}
}

func TestWatcherNeverCallsConcurrently(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	var running atomic.Int32
	entered, leave := make(chan struct{}), make(chan struct{})
	watch(t, Options{Settle: 10 * time.Millisecond, Changed: func([]string) {
		if running.Add(1) != 1 {
			t.Error("Changed runs twice at once")
		}
		entered <- struct{}{}
		<-leave
		running.Add(-1)
	}}, list)
	for i := range 5 {
		put(t, list, strings.Repeat("x", i+1)) // while Changed runs, but for the first
		if i > 0 {
			leave <- struct{}{}
		}
		select {
		case <-entered:
		case <-time.After(patience):
			t.Fatalf("change %d, made while Changed ran, was not told", i)
		}
	}
	leave <- struct{}{}
}

func TestWatcherSet(t *testing.T) {
	dir := t.TempDir()
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "sub", "c")
	w := watch(t, Options{}, a, b)

	t.Run("a pattern left out is told no more", func(t *testing.T) {
		w.Set([]string{b})
		put(t, a, "x")
		put(t, b, "x")
		w.expect(b)
	})
	t.Run("a new pattern starts from now", func(t *testing.T) {
		w.Set([]string{a, b, c})
		put(t, b, "xy")
		w.expect(b)
		must(t, os.Mkdir(filepath.Dir(c), 0o755))
		put(t, c, "x")
		w.expect(c)
	})
	t.Run("a change around the call is told", func(t *testing.T) {
		put(t, a, "xy")
		w.Set([]string{c, a})
		w.expect(a)
	})
	t.Run("a file that stands there already is no change", func(t *testing.T) {
		there, later := filepath.Join(dir, "there"), filepath.Join(dir, "later")
		put(t, there, "x")
		w := watch(t, Options{Poll: 10 * time.Millisecond}, there, later)
		put(t, later, "x")
		w.expect(later)
	})
	t.Run("nothing", func(t *testing.T) {
		w.Set(nil)
		put(t, a, "xyz")
		w.Set([]string{b})
		put(t, b, "xyz")
		w.expect(b)
	})
}

func TestWatcherSetWithinChanged(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	notices := make(chan []string, 10)
	var w *watched
	ready := make(chan struct{})
	w = watch(t, Options{Changed: func(patterns []string) {
		<-ready
		w.Set([]string{b})
		notices <- patterns
	}}, a)
	w.notices = notices
	close(ready)
	put(t, a, "x")
	w.expect(a)
	put(t, b, "x")
	w.expect(b)
}

func TestWatcherPollFindsWhatEventsDoNotTell(t *testing.T) {
	list, elsewhere := filepath.Join(t.TempDir(), "list"), filepath.Join(t.TempDir(), "name")
	put(t, list, "a")
	// Writing under another name of the file raises no event in the list's
	// directory.
	must(t, os.Link(list, elsewhere))
	w := watch(t, Options{Poll: 20 * time.Millisecond}, list)
	put(t, elsewhere, "ab")
	w.expect(list)
	put(t, elsewhere, "abc")
	w.expect(list)
}

// Without events, only rest between two looks tells that a file is complete.
func TestWatcherPollWaitsForRest(t *testing.T) {
	list, elsewhere := filepath.Join(t.TempDir(), "list"), filepath.Join(t.TempDir(), "name")
	put(t, list, "")
	must(t, os.Link(list, elsewhere))
	sizes := make(chan int64, 10)
	watch(t, Options{Settle: 500 * time.Millisecond, MaxSettle: patience, Poll: 10 * time.Millisecond, Changed: func([]string) {
		state, _ := Stat(list)
		sizes <- state.Size
	}}, list)
	f, err := os.OpenFile(elsewhere, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 50 {
		<-tick.C
		f.WriteString("x")
	}
	select {
	case size := <-sizes:
		if size != 50 {
			t.Errorf("told at %d bytes, while the file was being written", size)
		}
	case <-time.After(patience):
		t.Fatal("no notice")
	}
}

func TestWatcherOverflowLooksAtAll(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	w := watch(t, Options{}, list)
	real, err := filepath.EvalSymlinks(dir)
	must(t, err)
	// An event that is lost, as in an overflow.
	must(t, w.dirs.fs.Remove(real))
	put(t, list, "a")
	w.dirs.fs.Errors <- fsnotify.ErrEventOverflow
	w.expect(list)
	put(t, list, "ab") // the directory is watched again
	w.expect(list)
}

func TestWatcherCloseStopsEverything(t *testing.T) {
	before := runtime.NumGoroutine()
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	entered, leave := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	w, err := NewWatcher(Options{Settle: 10 * time.Millisecond, Changed: func([]string) {
		if calls.Add(1) == 1 {
			close(entered)
			<-leave
		}
	}})
	must(t, err)
	w.Set([]string{list})
	put(t, list, "a")
	<-entered

	closed := make(chan error, 2)
	for range 2 {
		go func() { closed <- w.Close() }()
	}
	<-w.stop
	put(t, list, "ab")
	w.Set([]string{list}) // must not wait for what has ended
	select {
	case <-closed:
		t.Fatal("Close returned while Changed ran")
	default:
	}
	close(leave)
	for range 2 {
		if err := <-closed; err != nil {
			t.Error(err)
		}
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("Changed was called %d times, expected none after Close", n)
	}
	w.Set([]string{list})
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("goroutines left:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}

func TestNewWatcherNeedsChanged(t *testing.T) {
	if _, err := NewWatcher(Options{}); err == nil {
		t.Fatal("a watcher that tells nobody was made")
	}
}

func TestDirectoriesNoLongerNeededAreGivenUp(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	w := watch(t, Options{}, filepath.Join(dir, "a", "b", "list"))
	below := func() (below []string) {
		for _, path := range w.dirs.fs.WatchList() {
			if rel, err := filepath.Rel(dir, path); err == nil && !strings.HasPrefix(rel, "..") {
				below = append(below, rel)
			}
		}
		slices.Sort(below)
		return below
	}
	if got, want := below(), []string{".", "a", "a/b"}; !slices.Equal(got, want) {
		t.Errorf("watched %q, expected %q", got, want)
	}
	w.Set(nil)
	if got := w.dirs.fs.WatchList(); len(got) != 0 {
		t.Errorf("still watched: %q", got)
	}
}

func TestBurst(t *testing.T) {
	start := time.Unix(1, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	b := burst{settle: 250 * time.Millisecond, longest: 2 * time.Second}
	for _, test := range []struct{ now, due int }{
		{0, 250}, {100, 350}, {340, 590}, {1700, 1950}, {1800, 2000}, {1999, 2000}, {2500, 2500},
	} {
		if got := at(test.now).Add(b.event(at(test.now))); got != at(test.due) {
			t.Errorf("an event at %d ms is due at %v, expected %d ms", test.now, got.Sub(start), test.due)
		}
	}
	b.again(at(2500))
	for _, now := range []int{2500, 2700, 2750} {
		if got := at(now).Add(b.event(at(now))); got != at(2750) {
			t.Errorf("an event at %d ms after again at 2500 ms is due at %v, expected 2750 ms", now, got.Sub(start))
		}
	}
	b.end()
	if got := b.event(at(3000)); got != 250*time.Millisecond {
		t.Errorf("a new burst is due after %v", got)
	}
}

// A write within the same tick of the kernel's clock as the look leaves the
// same state: after an event that counts as a change, after a poll it does not.
func TestTargetChanged(t *testing.T) {
	taken := time.Unix(1000, 0)
	at := func(age time.Duration, size int64) snapshot {
		return snapshot{taken: taken, files: map[string]State{"x": {Size: size, Change: taken.Add(-age).UnixNano()}}}
	}
	for name, test := range map[string]struct {
		told, now snapshot
		polled    bool
		want      bool
	}{
		"another state":               {at(time.Second, 1), at(time.Second, 2), false, true},
		"same state":                  {at(time.Second, 1), at(time.Second, 1), false, false},
		"same state, just written":    {at(time.Millisecond, 1), at(time.Millisecond, 1), false, true},
		"just written, found by poll": {at(time.Millisecond, 1), at(time.Millisecond, 1), true, false},
		"a file more":                 {snapshot{taken: taken}, at(time.Second, 1), false, true},
		"a fault":                     {at(time.Second, 1), snapshot{taken: taken, fault: "unreadable"}, false, true},
	} {
		target := target{told: test.told}
		if !test.polled {
			target.touch(taken)
		}
		if got := target.changed(test.now); got != test.want {
			t.Errorf("%s: changed is %v", name, got)
		}
	}
}

func TestTargetResting(t *testing.T) {
	const settle = 250 * time.Millisecond
	start := time.Unix(1000, 0)
	at := func(ms int, size int64) snapshot {
		return snapshot{taken: start.Add(time.Duration(ms) * time.Millisecond), files: map[string]State{"x": {Size: size}}}
	}
	type looks []snapshot
	for name, test := range map[string]struct {
		touched int // ms of the last event; 0: none
		before  looks
		now     snapshot
		want    bool
	}{
		"events just now, the first look":       {1000, nil, at(1100, 1), false},
		"events are over":                       {1000, nil, at(1250, 1), true},
		"events are over, grown since a look":   {1000, looks{at(900, 1)}, at(1250, 2), true},
		"events just now, grown since a look":   {1000, looks{at(800, 1)}, at(1100, 2), false},
		"events just now, same for long":        {1000, looks{at(800, 1)}, at(1100, 1), true},
		"events just now, same for short":       {1000, looks{at(900, 1)}, at(1100, 1), false},
		"events just now, same in three looks":  {1000, looks{at(800, 1), at(1000, 1)}, at(1100, 1), true},
		"polled":                                {0, looks{at(800, 1)}, at(1100, 1), true},
		"polled, looked at again at once":       {0, looks{at(1000, 1)}, at(1100, 1), false},
		"polled, still growing for a long time": {0, looks{at(100, 1)}, at(1100, 2), false},
	} {
		var target target
		if test.touched > 0 {
			target.touch(start.Add(time.Duration(test.touched) * time.Millisecond))
		}
		for _, s := range test.before {
			target.look(s)
		}
		if got := target.resting(test.now, settle); got != test.want {
			t.Errorf("%s: resting is %v", name, got)
		}
	}
}

// The cost of an event that concerns no list, with a thousand lists.
func BenchmarkUnrelatedEvent(b *testing.B) {
	var targets []*target
	for i := range 1000 {
		pattern := fmt.Sprintf("/lists/%d.txt", i)
		trail, err := follow(pattern, func(string, bool) {})
		if err != nil {
			b.Fatal(err)
		}
		targets = append(targets, &target{pattern: pattern, trail: trail})
	}
	w := &Watcher{targets: targets, index: newIndex(targets)}
	b.ReportAllocs()
	for b.Loop() {
		w.event(fsnotify.Event{Name: "/lists/hits.jsonl", Op: fsnotify.Write})
	}
}
