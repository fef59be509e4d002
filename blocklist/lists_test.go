package blocklist

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sinkhole/blocklist/format"
)

// write puts a file in place by rename, as careful programs do.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".tmp", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, o Options) *Lists {
	t.Helper()
	lists, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lists.Close(); err != nil {
			t.Error(err)
		}
	})
	return lists
}

func spec(name, source string) Spec {
	return Spec{Name: name, Source: source, Format: format.Auto}
}

// judged is what the policy in force says about a name.
func judged(l *Lists, name string) string {
	p := l.Policy()
	var v Verdict
	p.JudgeQuestion(netip.Addr{}, wireName(name), time.Now().Unix(), &v)
	return verdictText(p, &v)
}

func expect(t testing.TB, l *Lists, name, want string) {
	t.Helper()
	if got := judged(l, name); got != want {
		t.Errorf("%s: %s, expected %s", name, got, want)
	}
}

// eventually waits until the policy in force says so.
func eventually(t testing.TB, l *Lists, name, want string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); judged(l, name) != want; {
		if time.Now().After(end) {
			t.Fatalf("%s: still %s after 10 s, expected %s", name, judged(l, name), want)
		}
		time.Sleep(time.Millisecond)
	}
}

func status(t testing.TB, l *Lists, name string) Status {
	t.Helper()
	all := l.Status()
	i := slices.IndexFunc(all, func(s Status) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no status of list %s", name)
	}
	return all[i]
}

// garbage is a malformed line of a domain list.
const garbage = "bad!name.example\n"

// TestBadFileKeepsLastGood replaces a good file by each kind of bad one.
func TestBadFileKeepsLastGood(t *testing.T) {
	for _, test := range []struct {
		name    string
		replace func(t *testing.T, path string)
		says    string
	}{
		{"empty", func(t *testing.T, path string) { write(t, path, "") }, "0 bytes"},
		{"missing", func(t *testing.T, path string) { remove(t, path) }, "no such file"},
		{"directory", func(t *testing.T, path string) { remove(t, path); mkdir(t, path) }, "is a directory"},
		{"binary", func(t *testing.T, path string) { write(t, path, "\x7fELF\x02\x01\x00\x00\x00\x00") }, "list"},
		{"page", func(t *testing.T, path string) {
			write(t, path, "<!DOCTYPE html>\n<html><body>503 Service Unavailable</body></html>\n")
		}, "list"},
		{"garbage", func(t *testing.T, path string) {
			write(t, path, "good.example\nfine.example\nnice.example\n"+strings.Repeat(garbage, 200))
		}, "list: 200 malformed lines and only 3 entries: is this a list in the domains notation?; the first fault: line 4:"},
		{"cut gzip", func(t *testing.T, path string) { write(t, path, "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03K-K\xcc") }, "list: ends in the middle of its compressed data"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "list")
			write(t, path, "evil.example\nworse.example\n")
			l := open(t, Options{Configuration: specsOf(spec("feed", path))})
			before := status(t, l, "feed")

			test.replace(t, path)
			u, err := l.Reload()
			if err != nil {
				t.Fatal(err)
			}
			expect(t, l, "evil.example", "enforce sinkhole feed:1")
			if u.Err() == nil || strings.Count(u.Err().Error(), path) > 1 && test.name != "directory" || !strings.HasPrefix(u.Err().Error(), "list feed: ") || !strings.Contains(u.Err().Error(), path) || !strings.Contains(u.Err().Error(), test.says) {
				t.Errorf("error %v, expected it to name list, path and %q", u.Err(), test.says)
			}
			s := status(t, l, "feed")
			if s.State != StateStale || s.Error == "" || !s.Tried.After(before.Tried) || s.Loaded != before.Loaded ||
				s.Version != before.Version || s.Entries != 2 || s.Rules != 2 {
				t.Errorf("status %+v", s)
			}
			if u.Added != 0 || u.Removed != 0 || u.Indicators != 2 {
				t.Errorf("update %+v", u)
			}

			if test.name == "directory" {
				remove(t, path)
			}
			write(t, path, "evil.example\nnew.example\nnewer.example\n")
			if u, err = l.Reload("feed"); err != nil || u.Err() != nil {
				t.Fatal(err, u.Err())
			}
			if u.Added != 2 || u.Removed != 1 || u.Indicators != 3 {
				t.Errorf("%d added, %d removed, %d in force, expected 2, 1 and 3", u.Added, u.Removed, u.Indicators)
			}
			if s := status(t, l, "feed"); s.State != StateOK || s.Error != "" || s.Version == before.Version || s.Rules != 3 {
				t.Errorf("status %+v", s)
			}
			expect(t, l, "worse.example", "none")
		})
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t testing.TB, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestBadStart has a list that was never good beside one that is.
func TestBadStart(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	write(t, good, "evil.example\n")
	write(t, bad, strings.Repeat(garbage, 500))
	domains := spec("bad", bad)
	domains.Format = format.Domains
	l := open(t, Options{Configuration: specsOf(spec("missing", filepath.Join(dir, "missing")), domains, spec("good", good))})
	expect(t, l, "evil.example", "enforce sinkhole good:1")
	if s := status(t, l, "bad"); s.State != StateFailed || len(s.Faults) != 500 || s.Malformed != 500 || s.Entries != 0 || !s.Loaded.IsZero() || s.Tried.IsZero() || s.Rules != 0 || s.Version != "" {
		t.Errorf("status of the bad list %+v", s)
	}
	if s := status(t, l, "missing"); s.State != StateFailed || !strings.Contains(s.Error, "missing") {
		t.Errorf("status of the missing list %+v", s)
	}
	if u := l.LastUpdate(); len(u.Failed) != 2 || u.Serial != l.Policy().Serial() || len(u.Lists) != 3 {
		t.Errorf("update %+v", u)
	}
	if _, err := l.Reload("bad"); err != nil {
		t.Fatal(err)
	}
	if s := status(t, l, "bad"); s.State != StateFailed {
		t.Errorf("the bad list is %s after a second try, expected failed", s.State)
	}
}

// TestFaults counts every line left out.
func TestFaults(t *testing.T) {
	dir := t.TempDir()
	var text strings.Builder
	for i := range 300 {
		fmt.Fprintf(&text, "good%d.example\n", i)
		if i < 150 {
			text.WriteString(garbage)
		}
	}
	text.WriteString("/path/only\n")
	write(t, filepath.Join(dir, "a.txt"), text.String())
	write(t, filepath.Join(dir, "b.txt"), "more.example\n"+garbage)
	l := open(t, Options{Configuration: specsOf(spec("feed", filepath.Join(dir, "*.txt")))})
	s := status(t, l, "feed")
	if s.State != StateOK || s.Entries != 301 || s.Malformed != 151 || s.Refused != 1 || len(s.Faults) != 152 || len(s.Files) != 2 {
		t.Errorf("%s, %d entries, %d malformed, %d refused, %d faults, %d files", s.State, s.Entries, s.Malformed, s.Refused, len(s.Faults), len(s.Files))
	}
	if f := s.Faults[0]; f.Line != 2 || !strings.HasPrefix(f.String(), filepath.Join(dir, "a.txt")+":2") || !strings.Contains(f.String(), `"bad!name.example": `) {
		t.Errorf("first fault %s", &f)
	}
	if f := s.Files[1]; f.Entries != 1 || f.Malformed != 1 || f.Lines != 2 || f.Format != format.Domains {
		t.Errorf("second file %+v", f)
	}
}

func TestVersions(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.txt"), filepath.Join(dir, "b.txt")
	write(t, a, "a.example\n")
	l := open(t, Options{Configuration: specsOf(spec("one", a), spec("glob", filepath.Join(dir, "*.txt")))})
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("a.example\n")))
	for _, name := range []string{"one", "glob"} {
		if s := status(t, l, name); s.Version != digest || s.Files[0].Digest != digest {
			t.Errorf("list %s of one file: version %s, expected %s", name, s.Version, digest)
		}
	}
	if i := l.Policy().Indicator(everyRule(l.Policy())[0]); i.Version != digest || i.File != a {
		t.Errorf("indicator %+v", i)
	}

	// What a hit says can be proven by sha256sum of the file it names.
	write(t, b, "b.example\n")
	if _, err := l.Reload("glob"); err != nil {
		t.Fatal(err)
	}
	digestOf := map[string]string{a: digest, b: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("b.example\n")))}
	for range 2 { // read, then carried over
		p := l.Policy()
		for _, rule := range everyRule(p) {
			if i := p.Indicator(rule); i.Version != digestOf[i.File] {
				t.Errorf("%s:%d of list %s has version %s, expected %s", i.File, i.Line, i.List, i.Version, digestOf[i.File])
			}
		}
		if version := status(t, l, "glob").Version; version == digestOf[a] || version == digestOf[b] {
			t.Errorf("a list of two files has the version of one of them, %s", version)
		}
		if _, err := l.Reload("one"); err != nil {
			t.Fatal(err)
		}
	}
	remove(t, b)

	seen := map[string]bool{digest: true}
	for _, text := range []string{"b.example\n", "c.example\n"} {
		write(t, b, text)
		if _, err := l.Reload("glob"); err != nil {
			t.Fatal(err)
		}
		version := status(t, l, "glob").Version
		if seen[version] || !strings.HasPrefix(version, "sha256:") {
			t.Errorf("version %s, expected another", version)
		}
		seen[version] = true
	}
	if s := status(t, l, "one"); s.Version != digest {
		t.Errorf("a list that was carried over has version %s, expected %s", s.Version, digest)
	}
}

// TestCommentsOnly is a list without an entry, which is a list all the same.
func TestCommentsOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, "# nothing at present\n")
	l := open(t, Options{Configuration: specsOf(spec("feed", path))})
	if s := status(t, l, "feed"); s.State != StateOK || s.Entries != 0 || s.Version != fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("# nothing at present\n"))) {
		t.Errorf("status %+v", s)
	}
}

func TestGlobGainsAndLosesAFile(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.txt"), "a.example\n")
	l := open(t, Options{Configuration: specsOf(spec("feed", filepath.Join(dir, "*.txt"))), Watch: true, Settle: 10 * time.Millisecond})
	expect(t, l, "a.example", "enforce sinkhole feed:1")
	write(t, filepath.Join(dir, "b.txt"), "# comment\nb.example\n")
	eventually(t, l, "b.example", "enforce sinkhole feed:2")
	remove(t, filepath.Join(dir, "a.txt"))
	eventually(t, l, "a.example", "none")
	expect(t, l, "b.example", "enforce sinkhole feed:2")
	remove(t, filepath.Join(dir, "b.txt"))
	for end := time.Now().Add(10 * time.Second); status(t, l, "feed").State != StateStale; {
		if time.Now().After(end) {
			t.Fatal("a glob without a file is not stale after 10 s")
		}
		time.Sleep(time.Millisecond)
	}
	expect(t, l, "b.example", "enforce sinkhole feed:2")
}

// TestWatch has a file that is missing at first, comes, changes, breaks and is
// mended.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "later", "list")
	l := open(t, Options{Configuration: specsOf(spec("feed", path)), Watch: true, Settle: 10 * time.Millisecond})
	if s := status(t, l, "feed"); s.State != StateFailed {
		t.Errorf("a missing list is %s", s.State)
	}
	mkdir(t, filepath.Dir(path))
	write(t, path, "evil.example\n")
	eventually(t, l, "evil.example", "enforce sinkhole feed:1")
	write(t, path, "# comment\nevil.example\n")
	eventually(t, l, "evil.example", "enforce sinkhole feed:2")
	write(t, path, "")
	for end := time.Now().Add(10 * time.Second); status(t, l, "feed").State != StateStale; {
		if time.Now().After(end) {
			t.Fatal("an emptied list is not stale after 10 s")
		}
		time.Sleep(time.Millisecond)
	}
	expect(t, l, "evil.example", "enforce sinkhole feed:2")
	if err := os.WriteFile(path, []byte("other.example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, l, "other.example", "enforce sinkhole feed:1")
	expect(t, l, "evil.example", "none")
}

// TestConfigure changes what lists there are and what is said of them.
func TestConfigure(t *testing.T) {
	dir := t.TempDir()
	path, more := filepath.Join(dir, "list"), filepath.Join(dir, "more")
	write(t, path, "evil.example\n")
	write(t, more, "more.example\n")
	l := open(t, Options{Configuration: specsOf(spec("feed", path))})

	feed := spec("feed", path)
	feed.Action, feed.Match, feed.Family, feed.EDE = format.NXDomain, "exact", "Lumma", 17
	feed.IPv4 = Sink{Mode: SinkAddress, Addr: netip.MustParseAddr("192.0.2.1")}
	u := configure(t, l, format.Sinkhole, feed, spec("more", more))
	if u.Added != 1 || u.Removed != 0 || u.Err() != nil {
		t.Errorf("update %+v", u)
	}
	expect(t, l, "evil.example", "enforce nxdomain feed:1")
	expect(t, l, "a.evil.example", "none")
	expect(t, l, "more.example", "enforce sinkhole more:1")
	p := l.Policy()
	rule := everyRule(p)[0]
	if list := p.ListOf(rule); p.Family(rule) != "Lumma" || list.EDE != 17 || list.IPv4 != feed.IPv4 || list.Action != format.NXDomain {
		t.Errorf("family %s, list %+v", p.Family(rule), list)
	}

	// Order, and a default action.
	configure(t, l, format.Drop, spec("more", more), spec("feed", path), spec("again", path))
	expect(t, l, "evil.example", "enforce drop feed:1 again:1")
	if all := l.Status(); len(all) != 3 || all[0].Name != "more" || all[2].Name != "again" {
		t.Errorf("status %+v", all)
	}

	// A list that becomes an allow list stands before the others.
	allow := spec("again", path)
	allow.Allow = true
	configure(t, l, format.Drop, spec("more", more), spec("feed", path), allow)
	expect(t, l, "evil.example", "allow passthru again:1 by again:1")
	if all := l.Status(); all[0].Name != "again" || !all[0].Allow {
		t.Errorf("status %+v", all)
	}

	// A list that is gone leaves nothing, also if it comes back unreadable.
	u = configure(t, l, format.Sinkhole, spec("more", more))
	expect(t, l, "evil.example", "none")
	if u.Removed != 1 || len(l.Status()) != 1 {
		t.Errorf("update %+v, status %+v", u, l.Status())
	}
	remove(t, path)
	configure(t, l, format.Sinkhole, spec("more", more), spec("feed", path))
	expect(t, l, "evil.example", "none")
	if s := status(t, l, "feed"); s.State != StateFailed {
		t.Errorf("feed is %s", s.State)
	}

	// Nothing of a list serves as an allow list, or the other way.
	write(t, path, "evil.example\n")
	configure(t, l, format.Sinkhole, spec("feed", path))
	remove(t, path)
	allow.Name = "feed"
	configure(t, l, format.Sinkhole, allow)
	expect(t, l, "evil.example", "none")
	if s := status(t, l, "feed"); s.State != StateFailed || s.Entries != 0 || !s.Loaded.IsZero() {
		t.Errorf("status %+v", s)
	}

	configure(t, l, format.Sinkhole)
	if p := l.Policy(); p.Indicators() != 0 || p.Rules() != 0 || len(l.Status()) != 0 {
		t.Errorf("%d indicators without a list", p.Indicators())
	}
}

func TestEmbedded(t *testing.T) {
	embedded := func(name string) ([]byte, bool) { return []byte("lumma.example\n192.0.2.1\n"), name == "sample" }
	l := open(t, Options{
		Configuration: specsOf(spec("sample", "embedded:sample"), spec("other", "embedded:other")), Embedded: embedded, Watch: true,
	})
	expect(t, l, "lumma.example", "enforce sinkhole sample:1")
	if s := status(t, l, "sample"); s.State != StateOK || s.Rules != 2 || s.Files[0].Name != "embedded:sample" || !strings.HasPrefix(s.Version, "sha256:") {
		t.Errorf("status %+v", s)
	}
	if s := status(t, l, "other"); s.State != StateFailed || !strings.Contains(s.Error, `"other"`) {
		t.Errorf("status %+v", s)
	}
	if none := open(t, Options{Configuration: specsOf(spec("sample", "embedded:sample"))}); status(t, none, "sample").State != StateFailed {
		t.Error("an embedded list without embedded content did not fail")
	}
}

func TestReloadUnknown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, "evil.example\n")
	l := open(t, Options{Configuration: specsOf(spec("feed", path))})
	before := l.Policy()
	if _, err := l.Reload("feed", "fed"); err == nil || !strings.Contains(err.Error(), `"fed"`) || !strings.Contains(err.Error(), `"feed"`) {
		t.Errorf("error %v, expected it to name what was asked for and what there is", err)
	}
	if l.Policy() != before {
		t.Error("the policy changed")
	}
}

func TestMinConfidence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.csv")
	write(t, path, "indicator,confidence\nlow.example,20\nhigh.example,80\nsilent.example,\n")
	feed := spec("feed", path)
	feed.MinConfidence = 50
	l := open(t, Options{Configuration: specsOf(feed)})
	expect(t, l, "low.example", "none")
	expect(t, l, "high.example", "enforce sinkhole feed:3")
	expect(t, l, "silent.example", "enforce sinkhole feed:4")
	if s := status(t, l, "feed"); s.Low != 1 || s.Entries != 3 || s.Rules != 2 {
		t.Errorf("status %+v", s)
	}
	feed.Confidence = 40
	configure(t, l, format.Sinkhole, feed)
	expect(t, l, "silent.example", "none")
}

// TestFileChangesWhileRead touches a file all the time: what was read half is
// thrown away, and never mixed with what is read next.
func TestFileChangesWhileRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.csv")
	var text strings.Builder
	text.WriteString("indicator,family,reference\n")
	for i := range 2000 {
		fmt.Fprintf(&text, "n%d.example,family %d,https://reference.example/%d\n", i, i, i)
	}
	write(t, path, text.String())
	l := open(t, Options{Configuration: specsOf(spec("feed", path))})

	stop := make(chan struct{})
	var touching sync.WaitGroup
	touching.Go(func() {
		for i := int64(1); ; i++ {
			select {
			case <-stop:
				return
			default:
				os.Chtimes(path, time.Time{}, time.Unix(i, 0))
			}
		}
	})
	failed := false
	for end := time.Now().Add(10 * time.Second); !failed && time.Now().Before(end); {
		u, err := l.Reload()
		if err != nil {
			t.Fatal(err)
		}
		failed = u.Err() != nil
		checkFamilies(t, l.Policy(), 2000)
	}
	close(stop)
	touching.Wait()
	if s := status(t, l, "feed"); !failed || s.State != StateStale || !strings.Contains(s.Error, "changed while it was read") {
		t.Errorf("list %s: %s, expected it to have changed while it was read", s.State, s.Error)
	}
	if u, err := l.Reload(); err != nil || u.Err() != nil {
		t.Error(err, u.Err())
	}
	checkFamilies(t, l.Policy(), 2000)
}

func checkFamilies(t *testing.T, p *Policy, n int) {
	t.Helper()
	if p.Rules() != n {
		t.Fatalf("%d rules, expected %d", p.Rules(), n)
	}
	for _, rule := range everyRule(p) {
		i := p.Indicator(rule)
		number := strings.TrimSuffix(strings.TrimPrefix(i.Name, "n"), ".example")
		if i.Family != "family "+number || i.Reference != "https://reference.example/"+number {
			t.Fatalf("%s is of %s, reference %s", i.Name, i.Family, i.Reference)
		}
	}
}

// TestReadersDuringUpdates judges in several goroutines during 50 updates: every
// answer is that of one of the contents, and the serial only grows.
func TestReadersDuringUpdates(t *testing.T) {
	dir := t.TempDir()
	path, still := filepath.Join(dir, "list"), filepath.Join(dir, "still")
	content := func(i int) string {
		return strings.Repeat("# line\n", i) + "evil.example\n" + strings.Repeat(fmt.Sprintf("n%d.example\n192.0.2.%d\n", i, i), 3)
	}
	write(t, path, content(0))
	write(t, still, "evil.example\n198.51.100.0/24\n")
	l := open(t, Options{Configuration: specsOf(spec("feed", path), spec("still", still)), Watch: true, Settle: time.Millisecond})

	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			serial := uint64(0)
			for !stop.Load() {
				p := l.Policy()
				if p.Serial() < serial {
					t.Errorf("serial %d after %d", p.Serial(), serial)
					return
				}
				serial = p.Serial()
				var v Verdict
				p.JudgeQuestion(netip.Addr{}, wireName("a.evil.example"), 0, &v)
				if got := rulesOf(p, &v); len(got) != 2 || got[1] != "still:1" {
					t.Errorf("a.evil.example: %v", got)
					return
				}
				v = Verdict{}
				p.JudgeAnswer(nil, nil, []netip.Addr{netip.MustParseAddr("198.51.100.1")}, 0, &v)
				if got := rulesOf(p, &v); len(got) != 1 || got[0] != "still:2" {
					t.Errorf("198.51.100.1: %v", got)
					return
				}
				l.Status()
				l.LastUpdate()
			}
		})
	}
	for i := 1; i <= 50; i++ {
		write(t, path, content(i))
		before := l.Policy().Serial()
		u, err := l.Reload("feed")
		if err != nil || u.Err() != nil {
			t.Fatal(err, u.Err())
		}
		// The watcher may have read the file first.
		if u.Serial <= before || u.Added > 2 || u.Added != u.Removed {
			t.Errorf("update %d: %+v", i, u)
		}
		expect(t, l, "evil.example", fmt.Sprintf("enforce sinkhole feed:%d still:1", i+1))
	}
	stop.Store(true)
	readers.Wait()
	if n := l.Policy().Indicators(); n != 4 {
		t.Errorf("%d indicators, expected 4", n)
	}
}

// TestBackground runs every update by the caller's means.
func TestBackground(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, "evil.example\n")
	runs := 0
	l := open(t, Options{Configuration: specsOf(spec("feed", path)), Background: func(work func()) {
		runs++
		work()
	}})
	if _, err := l.Reload(); err != nil {
		t.Fatal(err)
	}
	if runs != 2 {
		t.Errorf("%d runs, expected 2", runs)
	}
}

// specsOf is the configuration of some lists and nothing else.
func specsOf(specs ...Spec) Configuration { return Configuration{Specs: specs} }

func configure(t testing.TB, l *Lists, action format.Action, specs ...Spec) Update {
	t.Helper()
	u, err := l.Configure(Configuration{Specs: specs, DefaultAction: action})
	if err != nil {
		t.Fatal(err)
	}
	return u
}
