package feed

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const source = "https://cert.example/list.txt"

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := OpenStore(dir, StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// reopen is the store after a restart of the server.
func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openStore(t, s.dir)
}

func readOnly(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := OpenStore(dir, StoreOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// offer makes a candidate of text.
func offer(t testing.TB, s *Store, name, from, text string) Candidate {
	t.Helper()
	d, err := s.Create(name, from)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(d, text); err != nil {
		t.Fatal(err)
	}
	c, err := d.Finish(Validator{ETag: `"` + sum([]byte(text)) + `"`, URL: from}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func settle(t testing.TB, s *Store, c Candidate, j Judgement) Entry {
	t.Helper()
	e, err := s.Settle(c, j)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// textOf reads a copy whole; "-" for none.
func textOf(t testing.TB, s *Store, name string, c *Copy) string {
	t.Helper()
	if c == nil {
		return "-"
	}
	content, err := s.Open(name, *c, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	text, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	if content.Digest() != c.Digest || int64(len(text)) != c.Size {
		t.Fatalf("copy is %s with %d octets, the entry says %s with %d", content.Digest(), len(text), c.Digest, c.Size)
	}
	return string(text)
}

// holds is what the store has of a list: good, previous and held.
func holds(t testing.TB, s *Store, name string) string {
	t.Helper()
	e := s.Entry(name, source)
	var waiting *Copy
	if e.Held != nil {
		waiting = &e.Held.Copy
	}
	return strings.Join([]string{textOf(t, s, name, e.Good), textOf(t, s, name, e.Previous), textOf(t, s, name, waiting)}, " ")
}

func checkHolds(t testing.TB, s *Store, name, want string) {
	t.Helper()
	if got := holds(t, s, name); got != want {
		t.Errorf("good, previous, held: %s, expected %s", got, want)
	}
	if got := holds(t, readOnly(t, s.dir), name); got != want {
		t.Errorf("seen by another process, good, previous, held: %s, expected %s", got, want)
	}
}

// filesOf are the files in the list's directory, contents by their text.
func filesOf(t testing.TB, s *Store, name string) (names []string) {
	t.Helper()
	dir, err := s.Dir(name)
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

func TestStoreJudgements(t *testing.T) {
	for name, test := range map[string]struct {
		steps string
		want  string // good, previous, held
	}{
		"nothing":                        {"", "- - -"},
		"accepted":                       {"accept a", "a - -"},
		"accepted twice":                 {"accept a, accept b", "b a -"},
		"accepted three times":           {"accept a, accept b, accept c", "c b -"},
		"the same accepted again":        {"accept a, accept b, accept b", "b a -"},
		"back to the previous":           {"accept a, accept b, accept a", "a b -"},
		"rejected":                       {"reject a", "- - -"},
		"rejected beside a good one":     {"accept a, reject b", "a - -"},
		"the good one rejected later":    {"accept a, reject a", "a - -"},
		"held":                           {"accept a, hold b", "a - b"},
		"held, nothing before":           {"hold a", "- - a"},
		"held, replaced":                 {"accept a, hold b, hold c", "a - c"},
		"held, then a better one":        {"accept a, hold b, accept c", "c a -"},
		"held, then one is rejected":     {"accept a, hold b, reject c", "a - b"},
		"held, rejected when looked at":  {"accept a, hold b, reject again b", "a - -"},
		"held, held when looked at":      {"accept a, hold b, hold again b", "a - b"},
		"held, accepted when looked at":  {"accept a, hold b, accept again b", "b a -"},
		"held and approved":              {"accept a, hold b, approve b", "b a -"},
		"another approved than is held":  {"accept a, hold b, hold c, approve b", "a - c"},
		"nothing to approve":             {"accept a, approve a", "a - -"},
		"the source confirms the good":   {"accept a, hold b, confirm a", "a - -"},
		"the source confirms the held":   {"accept a, hold b, confirm b", "a - b"},
		"the source confirms another":    {"accept a, hold b, confirm c", "a - b"},
		"good damaged":                   {"accept a, damage a", "- - -"},
		"good damaged, previous there":   {"accept a, accept b, damage b", "a - -"},
		"previous damaged":               {"accept a, accept b, damage a", "b - -"},
		"held damaged":                   {"accept a, hold b, damage b", "a - -"},
		"other source":                   {"accept a, elsewhere x", "- - -"},
		"other source and back":          {"accept a, elsewhere x, accept b", "b - -"},
		"same content from elsewhere":    {"elsewhere a, hold a, confirm a", "- - a"},
		"held of another source is gone": {"accept a, hold b, elsewhere x, accept c", "c - -"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, filepath.Join(t.TempDir(), "lists"))
			for step := range strings.SplitSeq(test.steps, ", ") {
				if step != "" {
					take(t, s, "feed", step)
				}
			}
			checkHolds(t, s, "feed", test.want)
			s = reopen(t, s)
			checkHolds(t, s, "feed", test.want)
		})
	}
}

// take does one step, as "hold b", on a list.
func take(t testing.TB, s *Store, name, step string) {
	t.Helper()
	what, text, _ := strings.Cut(step, " ")
	again := false
	if rest, found := strings.CutPrefix(text, "again "); found {
		again, text = true, rest
	}
	digest := sum([]byte(text))
	judge := func(j Judgement) {
		c := Candidate{Name: name, Copy: Copy{Source: source, from: sourceDigestOf(source), Digest: digest, Size: int64(len(text))}}
		if !again {
			c = offer(t, s, name, source, text)
		}
		c.Again = again
		settle(t, s, c, j)
	}
	switch what {
	case "accept":
		judge(Accept())
	case "hold":
		judge(Hold("it shrank"))
	case "reject":
		judge(Reject(errors.New("no list")))
	case "elsewhere":
		settle(t, s, offer(t, s, name, "https://other.example/", text), Accept())
	case "approve":
		waiting := s.Entry(name, source).Held
		_, err := s.Approve(name, source, digest)
		if wrong := waiting == nil || waiting.Digest != digest; (err != nil) != wrong {
			t.Errorf("approved %s while %v was held: %v", text, waiting, err)
		}
	case "confirm":
		if _, err := s.Confirm(name, source, digest, Validator{ETag: "confirmed"}, nil); err != nil {
			t.Error(err)
		}
	case "damage":
		if err := s.Damaged(name, digest); err != nil {
			t.Error(err)
		}
	default:
		t.Fatalf("unknown step %q", step)
	}
}

// Any sequence of steps, with restarts between them, leaves what a plain model
// says, and no file that nothing refers to.
func TestStoreModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		s := openStore(t, t.TempDir())
		var good, previous, waiting string
		var done []string
		for range 25 {
			text := string('a' + rune(random.IntN(4)))
			what := []string{"accept", "hold", "reject", "approve", "confirm", "damage", "restart"}[random.IntN(7)]
			done = append(done, what+" "+text)
			if what == "restart" {
				s = reopen(t, s)
			} else {
				take(t, s, "feed", what+" "+text)
			}
			accept := func() {
				if text != good {
					if good != "" {
						previous = good
					}
					good = text
				}
				waiting = ""
			}
			switch what {
			case "accept":
				accept()
			case "hold":
				waiting = text
			case "approve":
				if text == waiting {
					accept()
				}
			case "confirm":
				if text == good {
					waiting = ""
				}
			case "damage":
				if text == waiting {
					waiting = ""
				}
				if text == previous {
					previous = ""
				}
				if text == good {
					good, previous = previous, ""
				}
			}
			var want []string
			files := map[string]bool{}
			for _, text := range []string{good, previous, waiting} {
				if text == "" {
					want = append(want, "-")
					continue
				}
				want = append(want, text)
				files[strings.TrimPrefix(sum([]byte(text)), "sha256:")+".copy"] = true
			}
			if got := holds(t, s, "feed"); got != strings.Join(want, " ") {
				t.Fatalf("good, previous, held: %s, expected %s, after %q", got, want, done)
			}
			for _, name := range filesOf(t, s, "feed") {
				if name != "state.json" && !files[name] {
					t.Fatalf("%s is left, after %q", name, done)
				}
			}
		}
	}
}

func TestStoreKeepsWhatBelongsToACopy(t *testing.T) {
	s := openStore(t, t.TempDir())
	c := offer(t, s, "feed", source, "a\n")
	c.Detail = []byte(`{"serial":7}`)
	settle(t, s, c, Accept())
	settle(t, s, offer(t, s, "feed", source, "b\n"), Hold("lost 60 % of its entries"))
	s = reopen(t, s)

	e := s.Entry("feed", source)
	if g := e.Good; g.Validator != (Validator{ETag: `"` + c.Digest + `"`, URL: source}) || g.Source != source || !g.Fetched.Equal(c.Fetched) || g.Fetched.Location() != time.UTC {
		t.Errorf("good is %+v", g)
	}
	if strings.Join(strings.Fields(string(e.Good.Detail)), "") != `{"serial":7}` {
		t.Errorf("detail is %s", e.Good.Detail)
	}
	if h := e.Held; h.Reason != "lost 60 % of its entries" || h.Since.IsZero() {
		t.Errorf("held is %+v", h)
	}

	since := e.Held.Since
	e, err := s.Confirm("feed", source, e.Held.Digest, Validator{ETag: "new"}, []byte(`8`))
	must(t, err)
	if h := e.Held; h.Validator.ETag != "new" || string(h.Detail) != "8" || h.Confirmed.Before(h.Fetched) || !h.Since.Equal(since) {
		t.Errorf("confirmed, held is %+v", h)
	}
}

func TestStoreIsOneServers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "lists")
	s := openStore(t, dir)
	_, err := OpenStore(dir, StoreOptions{})
	checkMessage(t, err, dir, "in use by another process", fmt.Sprint(os.Getpid()), "list_store")

	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, expected 0700", info.Mode())
	}
	settle(t, s, offer(t, s, "feed", source, "a"), Accept())
	own, err := s.Dir("feed")
	must(t, err)
	for _, name := range filesOf(t, s, "feed") {
		info, err := os.Stat(filepath.Join(own, name))
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, expected 0600", name, info.Mode())
		}
	}
	must(t, s.Close())
	openStore(t, dir)
}

func TestStoreReadOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lists")
	r := readOnly(t, dir)
	if e := r.Entry("feed", source); e.Good != nil {
		t.Errorf("a store that is not there has %+v", e)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reading made the directory: %v", err)
	}

	s := openStore(t, dir)
	settle(t, s, offer(t, s, "feed", source, "a"), Accept())
	c := offer(t, s, "feed", source, "b") // the server is judging it
	if got := holds(t, r, "feed"); got != "a - -" {
		t.Errorf("while a candidate is judged, another process sees %s", got)
	}
	settle(t, s, c, Accept())
	if got := holds(t, r, "feed"); got != "b a -" {
		t.Errorf("after it was accepted, another process sees %s", got)
	}

	_, createErr := r.Create("feed", source)
	_, settleErr := r.Settle(c, Accept())
	_, confirmErr := r.Confirm("feed", source, c.Digest, Validator{}, nil)
	_, approveErr := r.Approve("feed", source, c.Digest)
	for _, err := range []error{createErr, settleErr, confirmErr, approveErr, r.Damaged("feed", c.Digest), r.Prune(nil, 0)} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%v, expected ErrReadOnly", err)
		}
	}
	must(t, r.Close())
}

// What another process was told of stays readable while it reads, and what the
// server gives up is found anew.
func TestStoreReadOnlyWhileCopiesGo(t *testing.T) {
	s := openStore(t, t.TempDir())
	r := readOnly(t, s.dir)
	settle(t, s, offer(t, s, "feed", source, "a"), Accept())
	e := r.Entry("feed", source)
	content, err := r.Open("feed", *e.Good, Limits{})
	must(t, err)
	defer content.Close()
	for _, text := range []string{"b", "c"} {
		settle(t, s, offer(t, s, "feed", source, text), Accept())
	}
	if text, err := io.ReadAll(content); string(text) != "a" || err != nil {
		t.Errorf("read %q, %v", text, err)
	}
	if _, err := r.Open("feed", *e.Good, Limits{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opening a copy that was given up: %v", err)
	}
}

func TestStoreNames(t *testing.T) {
	s := openStore(t, t.TempDir())
	names := []string{"feed", "Feed", "FEED", "fe/ed", "fe.ed", "fe ed", "fe-ed", "../feed", "..", ".", "", "feed/", "fe\x00ed", "Füd", "Fud", "con", "feed\n",
		strings.Repeat("x", 300), strings.Repeat("x", 301), "lists.lock", "state.json", "\xff", "\xfe"}
	for _, name := range names {
		settle(t, s, offer(t, s, name, source, "list "+name), Accept())
	}
	s = reopen(t, s)
	for _, name := range names {
		if got := textOf(t, s, name, s.Entry(name, source).Good); got != "list "+name {
			t.Errorf("the list %q has the content %q", name, got)
		}
	}
	all, err := os.ReadDir(s.dir)
	must(t, err)
	if len(all) != len(names)+1 { // and the lock
		t.Errorf("%d names made %d files", len(names), len(all))
	}
	for _, d := range all {
		if name := d.Name(); name != storeLock && (len(name) > 64 || name != strings.ToLower(name) || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "") {
			t.Errorf("%q is no plain name", name)
		}
	}
}

// Copies belong to the list's name: a renamed list begins without one.
func TestStoreRenamedList(t *testing.T) {
	s := openStore(t, t.TempDir())
	settle(t, s, offer(t, s, "old", source, "a"), Accept())
	checkHolds(t, s, "new", "- - -")
	checkHolds(t, s, "old", "a - -")
}

func TestStoreOtherSource(t *testing.T) {
	s := openStore(t, t.TempDir())
	settle(t, s, offer(t, s, "feed", source, "a"), Accept())
	if e := s.Entry("feed", source+"?other"); e.Good != nil {
		t.Errorf("another URL has the copy %+v", e.Good)
	}
	checkHolds(t, s, "feed", "a - -") // configured back
}

// disturb changes the file of a copy behind the store's back.
func disturb(t testing.TB, s *Store, name string, c *Copy, how func(path string) error) {
	t.Helper()
	if err := how(s.Path(name, *c)); err != nil {
		t.Fatal(err)
	}
}

func flipLast(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text[len(text)-1] ^= 1
	return os.WriteFile(path, text, 0o600)
}

func TestStoreDamagedCopy(t *testing.T) {
	long := strings.Repeat("lumma.example\n", 100_000)
	for name, test := range map[string]struct {
		text string
		read func(c *Content) error
	}{
		"plain, read whole":       {long, func(c *Content) error { _, err := io.Copy(io.Discard, c); return err }},
		"plain, read in part":     {long, func(c *Content) error { _, err := c.Read(make([]byte, 10)); return errors.Join(err, c.Close()) }},
		"plain, only closed":      {long, (*Content).Close},
		"gzip, its checksum":      {string(gz(t, long, gzipHeader)), func(c *Content) error { _, err := io.Copy(io.Discard, c); return err }},
		"gzip, read in part":      {string(gz(t, long, gzipHeader)), func(c *Content) error { _, err := c.Read(make([]byte, 10)); return errors.Join(err, c.Close()) }},
		"zstd, its checksum":      {string(zst(t, long)), func(c *Content) error { _, err := io.Copy(io.Discard, c); return err }},
		"shorter than one buffer": {"a.example\n", func(c *Content) error { _, err := io.Copy(io.Discard, c); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			settle(t, s, offer(t, s, "feed", source, "previous\n"), Accept())
			e := settle(t, s, offer(t, s, "feed", source, test.text), Accept())
			s = reopen(t, s)
			disturb(t, s, "feed", e.Good, flipLast)

			c, err := s.Open("feed", *s.Entry("feed", source).Good, Limits{})
			must(t, err)
			err = test.read(c)
			c.Close()
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("reading ended with %v, expected ErrDamaged", err)
			}
			checkMessage(t, err, s.Path("feed", *e.Good), e.Good.Digest, "not used")
			if c.Digest() != "" {
				t.Errorf("it has the digest %s", c.Digest())
			}
			checkHolds(t, s, "feed", "previous\n - -")
			if good := s.Entry("feed", source).Good; good.Validator != (Validator{}) || !good.Confirmed.IsZero() {
				t.Errorf("the server would say that the previous copy is current: %+v", good)
			}
		})
	}
}

func TestStoreMissingCopies(t *testing.T) {
	for name, how := range map[string]func(path string) error{
		"removed":       os.Remove,
		"cut off":       func(path string) error { return os.Truncate(path, 1) },
		"emptied":       func(path string) error { return os.Truncate(path, 0) },
		"longer":        func(path string) error { return os.WriteFile(path, []byte("longer than before"), 0o600) },
		"a flipped bit": func(path string) error { return flipLast(path) },
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			settle(t, s, offer(t, s, "feed", source, "aaa"), Accept())
			e := settle(t, s, offer(t, s, "feed", source, "bbb"), Accept())
			disturb(t, s, "feed", e.Good, how)
			s = reopen(t, s)
			if good := s.Entry("feed", source).Good; good.Digest == e.Good.Digest { // of the same size
				if err := s.verify("feed", *good); !errors.Is(err, ErrDamaged) {
					t.Errorf("verified with %v, expected ErrDamaged", err)
				}
			}
			checkHolds(t, s, "feed", "aaa - -")
			must(t, s.verify("feed", *s.Entry("feed", source).Good))

			// The content comes again, and all is as it was.
			settle(t, s, offer(t, s, "feed", source, "bbb"), Accept())
			checkHolds(t, s, "feed", "bbb aaa -")
		})
	}
}

// A copy that this process wrote itself is not read again to be believed.
func TestStoreVerifiesOnce(t *testing.T) {
	s := openStore(t, t.TempDir())
	e := settle(t, s, offer(t, s, "feed", source, "aaa"), Accept())
	disturb(t, s, "feed", e.Good, flipLast)
	must(t, s.verify("feed", *e.Good))
	s = reopen(t, s)
	if err := s.verify("feed", *e.Good); !errors.Is(err, ErrDamaged) {
		t.Errorf("after a restart: %v", err)
	}
}

// Whatever moment the server ends at, the next one finds the old copy or the
// new one whole, and removes what was being written.
func TestStoreAfterACrash(t *testing.T) {
	s := openStore(t, t.TempDir())
	settle(t, s, offer(t, s, "feed", source, "a"), Accept())

	d, err := s.Create("feed", source)
	must(t, err)
	_, err = io.WriteString(d, "half a li")
	must(t, err)
	dir, err := s.Dir("feed")
	must(t, err)
	offer(t, s, "feed", source, "being judged")
	must(t, os.WriteFile(filepath.Join(dir, "state-12.tmp"), []byte(`{"version":1,`), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "compiled"), []byte("of another"), 0o600))

	s = reopen(t, s)
	checkHolds(t, s, "feed", "a - -")
	want := []string{strings.TrimPrefix(sum([]byte("a")), "sha256:") + ".copy", "compiled", "state.json"}
	slices.Sort(want)
	if got := filesOf(t, s, "feed"); !slices.Equal(got, want) {
		t.Errorf("left are %q, expected %q", got, want)
	}
}

func TestStoreDraftDiscarded(t *testing.T) {
	s := openStore(t, t.TempDir())
	d, err := s.Create("feed", source)
	must(t, err)
	_, err = io.WriteString(d, "half a li")
	must(t, err)
	d.Discard()
	if got := filesOf(t, s, "feed"); len(got) != 0 {
		t.Errorf("left are %q", got)
	}
}

// A candidate's file stays while another candidate is settled.
func TestStoreCandidatesBesideEachOther(t *testing.T) {
	s := openStore(t, t.TempDir())
	first, second := offer(t, s, "feed", source, "a"), offer(t, s, "feed", source, "b")
	twin := offer(t, s, "feed", source, "b")
	settle(t, s, first, Accept())
	settle(t, s, twin, Reject(errors.New("no")))
	if text, err := os.ReadFile(second.Path); string(text) != "b" || err != nil {
		t.Errorf("the second candidate is %q, %v", text, err)
	}
	settle(t, s, second, Hold("looks odd"))
	checkHolds(t, s, "feed", "a - b")
}

func TestStoreUnreadableState(t *testing.T) {
	for name, test := range map[string]struct{ state, message string }{
		"no JSON":         {"hello", "expected JSON"},
		"empty":           {"", "expected JSON"},
		"other version":   {`{"version":2,"name":"feed"}`, "version 2, expected 1"},
		"other list":      {`{"version":1,"name":"other"}`, `holds the list \"other\"`},
		"path for digest": {`{"version":1,"name":"feed","good":{"source":"` + source + `","digest":"sha256:../../../etc/passwd","size":1}}`, "missing"},
		"no digest":       {`{"version":1,"name":"feed","good":{"source":"` + source + `"}}`, "missing"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			settle(t, s, offer(t, s, "feed", source, "a"), Accept())
			dir, err := s.Dir("feed")
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, stateName), []byte(test.state), 0o600))
			must(t, s.Close())

			logger, logged := observe(t)
			s, err = OpenStore(s.dir, StoreOptions{Logger: logger})
			must(t, err)
			t.Cleanup(func() { s.Close() })
			checkHolds(t, s, "feed", "- - -")
			if text := logged(); !strings.Contains(text, test.message) {
				t.Errorf("logged %s, expected %q in it", text, test.message)
			}
			settle(t, s, offer(t, s, "feed", source, "b"), Accept())
			checkHolds(t, s, "feed", "b - -")
		})
	}
}

func FuzzStoreState(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"feed","good":{"source":"` + source + `","digest":"` + sum([]byte("a")) + `","size":1}}`))
	f.Add([]byte(`{"version":1,"name":"feed","good":{"digest":"sha256:.."},"held":{"size":-1},"previous":null}`))
	f.Add([]byte(`{"version":1,"name":"feed","good":{"digest":"` + sum(nil) + `"},"held":{"digest":"` + sum(nil) + `"}}`))
	s := openStore(f, f.TempDir())
	dir, err := s.Dir("feed")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		must(t, os.WriteFile(filepath.Join(dir, stateName), text, 0o600))
		must(t, os.WriteFile(filepath.Join(dir, strings.TrimPrefix(sum([]byte("a")), "sha256:")+".copy"), []byte("a"), 0o600))
		s.shelves = map[string]*shelf{}
		e := s.Entry("feed", source)
		for _, c := range e.copies() {
			if got := textOf(t, s, "feed", c); got != "a" {
				t.Errorf("a copy is %q", got)
			}
		}
		settle(t, s, offer(t, s, "feed", source, "b"), Accept())
		if got := textOf(t, s, "feed", s.Entry("feed", source).Good); got != "b" {
			t.Errorf("good is %q", got)
		}
	})
}

func TestStorePrune(t *testing.T) {
	s := openStore(t, t.TempDir())
	const keep = 90 * 24 * time.Hour
	age := func(name string, but ...string) {
		past := time.Now().Add(-keep - time.Hour)
		for _, f := range filesOf(t, s, name) {
			if !slices.Contains(but, f) {
				must(t, os.Chtimes(filepath.Join(s.shelf(name).dir, f), past, past))
			}
		}
	}
	for _, name := range []string{"kept", "back", "old", "recent", "approved"} {
		settle(t, s, offer(t, s, name, source, name), Accept())
	}
	for _, name := range []string{"approved", "old file", "recent file"} { // lists from files have no copy
		dir, err := s.Dir(name)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "approvals.jsonl"), []byte("{}\n"), 0o600))
	}
	must(t, os.Mkdir(filepath.Join(s.dir, "others"), 0o700))
	age("kept")
	age("old")
	must(t, s.Prune([]string{"kept"}, keep))
	checkHolds(t, s, "old", "old - -") // in use until just now, for all that is known

	for _, name := range []string{"kept", "back", "old", "old file"} {
		age(name)
	}
	age("approved", "approvals.jsonl")
	must(t, s.Prune([]string{"kept", "back"}, keep))
	must(t, s.Prune([]string{"kept"}, keep)) // back has begun anew
	var left []string
	all, err := os.ReadDir(s.dir)
	must(t, err)
	for _, f := range all {
		left = append(left, f.Name())
	}
	want := []string{dirName("approved"), dirName("back"), dirName("kept"), dirName("recent"), dirName("recent file"), storeLock, "others"}
	if slices.Sort(want); !slices.Equal(left, want) {
		t.Errorf("left are %q, want %q", left, want)
	}
	s = reopen(t, s)
	checkHolds(t, s, "kept", "kept - -")
	checkHolds(t, s, "old", "- - -")
	checkHolds(t, s, "recent", "recent - -")
}

func TestStoreUnwritable(t *testing.T) {
	path := file(t, nil)
	_, err := OpenStore(filepath.Join(path, "lists"), StoreOptions{})
	checkSays(t, err, path, "not a directory", "list_store", fmt.Sprint(os.Geteuid()))
}

// A disk that does not take a change leaves what was.
func TestStoreDiskFault(t *testing.T) {
	s := openStore(t, t.TempDir())
	settle(t, s, offer(t, s, "feed", source, "a"), Accept())
	c := offer(t, s, "feed", source, "b")
	d, err := s.Create("feed", source)
	must(t, err)
	dir, err := s.Dir("feed")
	must(t, err)
	must(t, os.Rename(dir, dir+".away"))
	must(t, os.WriteFile(dir, nil, 0o600))

	_, settleErr := s.Settle(c, Accept())
	_, confirmErr := s.Confirm("feed", source, sum([]byte("a")), Validator{}, nil)
	_, createErr := s.Create("feed", source)
	_, finishErr := d.Finish(Validator{}, nil)
	for _, err := range []error{settleErr, confirmErr, createErr, finishErr} {
		checkSays(t, err, "not a directory", "list_store", "user ID")
	}
	must(t, os.Remove(dir))
	must(t, os.Rename(dir+".away", dir))
	checkHolds(t, s, "feed", "a - -")
	checkHolds(t, reopen(t, s), "feed", "a - -")
}

// Lists are written and read at the same time.
func TestStoreConcurrently(t *testing.T) {
	s := openStore(t, t.TempDir())
	done := make(chan struct{})
	for i := range 4 {
		name := fmt.Sprint("list", i%2)
		go func() {
			defer func() { done <- struct{}{} }()
			for j := range 10 {
				c := offer(t, s, name, source, fmt.Sprint(i, j))
				if _, err := s.Settle(c, []Judgement{Accept(), Hold("odd"), Reject(errors.New("no"))}[j%3]); err != nil {
					t.Error(err)
				}
				if _, err := s.Confirm(name, source, c.Digest, Validator{}, nil); err != nil {
					t.Error(err)
				}
				s.Entry(name, source)
			}
		}()
	}
	for range 4 {
		<-done
	}
	for _, name := range []string{"list0", "list1"} {
		for _, c := range s.Entry(name, source).copies() {
			textOf(t, s, name, c)
		}
	}
}
