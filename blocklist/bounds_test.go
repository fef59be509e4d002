package blocklist

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"sinkhole/blocklist/format"
)

// someMiB is the size of files without a last line, in MiB: reading them to the
// end would show in the memory that it takes.
const someMiB = max(4, 16/raceFactor)

// hostileSize is how many entries a hostile list has: ten million where there is
// time to measure.
func hostileSize() int {
	if os.Getenv("SINKHOLE_MEASURE") != "" {
		return 10 * million
	}
	return hostile
}

// fillFile writes a file through a packer, the text as it comes.
func fillFile(t testing.TB, path string, pack func(io.Writer) io.WriteCloser, text func(w *bufio.Writer)) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	packed := pack(file)
	w := bufio.NewWriterSize(packed, 1<<20)
	text(w)
	for _, end := range []func() error{w.Flush, packed.Close, file.Close} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
	}
}

type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }

func plainly(w io.Writer) io.WriteCloser { return plainWriter{w} }

func gzipped(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }

func zstandard(w io.Writer) io.WriteCloser {
	packed, err := zstd.NewWriter(w)
	if err != nil {
		panic(err) // the options are right
	}
	return packed
}

// endless writes a beginning and then one piece over and over, some MiB of it.
func endless(begin, piece string, mebibytes int) func(*bufio.Writer) {
	return func(w *bufio.Writer) {
		w.WriteString(begin)
		pieces := strings.Repeat(piece, max(1, 1<<20/len(piece)))
		for n := 0; n < mebibytes<<20; n += len(pieces) {
			w.WriteString(pieces)
		}
	}
}

// sparse makes a file of a size that takes no room on disk: all NUL.
func sparse(t testing.TB, path, begin string, size int64) {
	t.Helper()
	write(t, path, begin)
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

// cost runs work, and tells its time and how many octets it took in all, those
// that were given back meanwhile included: no moment of it had more.
func cost(work func()) (took time.Duration, octets uint64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	work()
	took = time.Since(start)
	runtime.ReadMemStats(&after)
	return took, after.TotalAlloc - before.TotalAlloc
}

// TestHostileFileKeepsLastGood replaces a good list by files that are made to
// take all time or memory. Reading each ends within 10 s and 16 MiB, whatever the
// size of the file, in a message that says where, what, and what was expected;
// and the good content serves on.
func TestHostileFileKeepsLastGood(t *testing.T) {
	letters := strings.Repeat("a", 1<<16)
	long := "a line of more than 65536 octets, expected one entry a line"
	bomb := "this looks like a compression bomb"
	packed := func(pack func(io.Writer) io.WriteCloser, begin, piece string, mebibytes int) func(*testing.T, string) {
		return func(t *testing.T, path string) { fillFile(t, path, pack, endless(begin, piece, mebibytes)) }
	}
	text := func(begin, piece string) func(*testing.T, string) { return packed(plainly, begin, piece, someMiB) }
	void := func(size int64) func(*testing.T, string) {
		return func(t *testing.T, path string) { sparse(t, path, "evil.example\n", size) }
	}
	for _, test := range []struct {
		name    string
		kind    format.Kind
		replace func(t *testing.T, path string)
		says    []string
	}{
		{"no line end", format.Auto, text("", letters), []string{":1: unrecognized content", "expected a list in the notation"}},
		{"no line end, domains", format.Domains, text("", letters), []string{"line 1: ", long}},
		{"no line end, hosts", format.Hosts, text("0.0.0.0 ", "a.example "), []string{"line 1: ", long}},
		{"no line end, in RPZ", format.RPZ, text("$TTL 60\n", "a "), []string{"line 2: ", "65536 octets"}},
		{"no line end, adblock", format.Adblock, text("||", letters), []string{"line 1: ", long}},
		{"lines too long", format.Domains, text("", strings.Repeat("a", 1<<20)+"\n"), []string{fmt.Sprint(someMiB, " malformed lines"), "line 1: ", long}},
		{"a comment of commas", format.Auto, text("", "#"+strings.Repeat("a,b,", 1<<14)+"\n"), nil},
		{"blank lines", format.Auto, text("", "\n"), nil},
		{"white space", format.Auto, text("", strings.Repeat(" \t", 1<<10)+"\n"), nil},
		{"wide header", format.Auto, text("", strings.Repeat("a,b,", 1<<13)), []string{":1: CSV without a column \"indicator\"", "and 32749 more"}},
		{"quote never closed", format.CSV, text("indicator,family\nevil.example,\"", "Lumma\n"), []string{"line 2: ", "a quote that no other closes within 65536 octets, expected fields as in RFC 4180"}},
		{"parenthesis never closed", format.RPZ, text("$TTL 60\n@ SOA localhost. root.localhost. (", " 1\n"),
			[]string{"line 2: ", `a parenthesis that none closes within 65536 octets, expected "(" and ")" around a record`}},
		{"parentheses and no more", format.RPZ, text("$TTL 60\n", "(\n"), []string{"line 2: ", "parentheses that do not match"}},
		{"text never closed", format.STIX, text(`{"type":"bundle","id":"`, letters), []string{":1: ", "ends too early", "download it again"}},
		{"number without end", format.MISP, text(`{"Event":`, "1"), []string{":1: "}},
		{"object of one member", format.STIX, text(`{"type":"bundle"`, `,"type":"bundle"`), []string{":1: ", "ends too early"}},
		{"arrays without end", format.MISP, text(`{"Event":`, "["), []string{":1: ", "nested more than 64 deep, expected a list"}},
		{"objects without end", format.STIX, text("", `{"a":`), []string{":1: ", "nested more than 64 deep, expected a list"}},
		{"sparse", format.Auto, void(1 << 30), []string{":2: binary content: a NUL octet, expected text"}},
		{"sparse and too large", format.Auto, void(3 << 30), []string{"3.0 GiB on disk, expected at most 2.0 GiB: split the list"}},
		{"gzip bomb", format.Domains, packed(gzipped, "", letters, 128), []string{bomb, "at most 250 times as much", "store it uncompressed"}},
		{"zstd bomb", format.Auto, packed(zstandard, "", strings.Repeat(" ", 200)+"\n", 128), []string{bomb}},
		{"zstd bomb of comments", format.Auto, packed(zstandard, "", "# "+strings.Repeat("evil.example ", 16)+"\n", 128), []string{bomb}},
		{"zstd bomb without line end", format.Domains, packed(zstandard, "", letters, 128), []string{bomb}},
		{"gzip without content", format.Auto, func(t *testing.T, path string) {
			fillFile(t, path, gzipped, func(*bufio.Writer) {})
			one, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, strings.Repeat(string(one), 4<<20/len(one)))
		}, []string{"empty: 0 bytes, expected entries"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "list")
			write(t, path, "evil.example\nworse.example\n")
			feed := spec("feed", path)
			l := open(t, Options{Configuration: specsOf(feed)})
			before := status(t, l, "feed")

			remove(t, path)
			test.replace(t, path)
			feed.Format = test.kind
			var u Update
			took, octets := cost(func() { u = configure(t, l, format.Sinkhole, feed) })
			t.Logf("%v, %d KiB: %v", took, octets>>10, u.Err())
			if took > 10*time.Second*raceFactor || octets > 16<<20 {
				t.Errorf("it took %v and %d MiB, expected at most 10 s and 16 MiB", took, octets>>20)
			}
			if test.says == nil { // a list all the same, without an entry
				if u.Err() != nil {
					t.Error(u.Err())
				}
				return
			}
			for _, says := range append(test.says, "list feed: "+path) {
				if u.Err() == nil || !strings.Contains(u.Err().Error(), says) {
					t.Errorf("error %v, expected it to say %q", u.Err(), says)
				}
			}
			if u.Err() != nil && len(u.Err().Error()) > 1000 {
				t.Errorf("the error has %d octets, expected one that a person reads", len(u.Err().Error()))
			}
			expect(t, l, "evil.example", "enforce sinkhole feed:1")
			expect(t, l, "worse.example", "enforce sinkhole feed:2")
			if s := status(t, l, "feed"); s.State != StateStale || s.Version != before.Version || s.Rules != 2 {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// heapNow is what the process holds, after what is no longer used was given back.
func heapNow() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestHostileEntries has lists that are right in form, and whose entries are
// chosen to cost most. Each is taken in at most 30 µs an entry, with as much
// memory kept and in all (given back meanwhile included) as stated; it does not
// slow down look-ups, and the other list serves beside it.
func TestHostileEntries(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped with -short, as under the race detector: one goroutine, and bounds on time")
	}
	const rest = ".evil.example"
	few := hostile / 20
	if hostileSize() > hostile {
		few = million
	}
	deep := strings.Repeat(".a", 122)
	for _, test := range []struct {
		name    string
		entries int
		begin   string
		line    func(line []byte, i int) []byte
		rules   int    // in force; -1: less than the entries, some are the same
		excess  int    // left out
		keep    uint64 // octets an entry
		take    uint64 // octets an entry, in all
		finds   string // a name that is listed, or an address
		by      string
	}{
		{
			name: "subdomains of one name", entries: hostileSize(), keep: 48, take: 350,
			line:  func(line []byte, i int) []byte { return append(strconv.AppendInt(line, int64(i), 10), rest...) },
			rules: hostileSize(), finds: "www.77" + rest, by: "enforce sinkhole feed:78",
		},
		{
			name: "one name, one line", entries: few, keep: 1, take: 8,
			line:  func(line []byte, _ int) []byte { return append(line, rest[1:]...) },
			rules: 1, finds: rest[1:], by: "enforce sinkhole feed:1",
		},
		{
			name: "one name, ever other families and references", entries: few, begin: "indicator,family,reference\n", keep: 70, take: 1000,
			line: func(line []byte, i int) []byte {
				return fmt.Appendf(line, "evil.example,Family %d,https://reports.example/%d", i, i)
			},
			rules: 16, excess: few - 16, finds: rest[1:], by: "enforce sinkhole feed:2",
		},
		{
			name: "two names in turn, ever other families and references", entries: few, begin: "indicator,family,reference\n", keep: 110, take: 1500,
			line: func(line []byte, i int) []byte {
				return fmt.Appendf(line, "%s.example,Family %d,https://reports.example/%d", [...]string{"evil", "worse"}[i%2], i, i)
			},
			rules: 32, excess: few - 32, finds: "worse.example", by: "enforce sinkhole feed:3",
		},
		{
			name: "prefixes within each other", entries: few, keep: 120, take: 700,
			line: func(line []byte, i int) []byte {
				addr := netip.AddrFrom4([4]byte{44, byte(i >> 16), byte(i >> 8), byte(i)})
				prefix, _ := addr.Prefix(9 + i%24)
				return prefix.AppendTo(line)
			},
			rules: -1, finds: "44.0.0.23", by: "enforce sinkhole feed:24",
		},
		{
			name: "names of 127 labels", entries: few / 4, keep: 330, take: 1200,
			line: func(line []byte, i int) []byte {
				for range 5 {
					line = append(line, byte('a'+i%26), '.')
					i /= 26
				}
				return append(line, deep[1:]...)
			},
			rules: few / 4, finds: "c.c.a.a.a" + deep, by: "enforce sinkhole feed:55",
		},
		{
			name: "records relative to a long name", entries: few / 2, keep: 700, take: 4000,
			begin: "$TTL 60\n$ORIGIN rpz.example.\n@ SOA . . 1 1 1 1 1\n$ORIGIN " + strings.Repeat("long-label.", 19) + "rpz.example.\n",
			line:  func(line []byte, i int) []byte { return fmt.Appendf(line, "%d CNAME %d", i, i) },
			rules: few / 2, finds: "77." + strings.Repeat("long-label.", 18) + "long-label", by: "enforce local-data feed:82",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path, other := filepath.Join(dir, "list"), filepath.Join(dir, "other")
			fillFile(t, path, plainly, func(w *bufio.Writer) {
				w.WriteString(test.begin)
				var line []byte
				for i := range test.entries {
					line = append(test.line(line[:0], i), '\n')
					w.Write(line)
				}
			})
			write(t, other, "other.example\n")
			l := open(t, Options{Configuration: specsOf(spec("other", other))})
			before := heapNow()
			var u Update
			took, octets := cost(func() { u = configure(t, l, format.Sinkhole, spec("feed", path), spec("other", other)) })
			kept := heapNow() - min(before, heapNow())
			n := uint64(test.entries)
			t.Logf("%d entries: %v, %d octets an entry kept, %d taken in all", n, took, kept/n, octets/n)
			if u.Err() != nil {
				t.Fatal(u.Err())
			}
			if bound := max(time.Second, time.Duration(n)*30*time.Microsecond*raceFactor); took > bound {
				t.Errorf("it took %v, expected at most %v", took, bound)
			}
			const some = 1 << 20 // whatever the number
			if kept > n*test.keep+some || octets > n*test.take+16*some {
				t.Errorf("%d octets an entry kept and %d taken, expected at most %d and %d", kept/n, octets/n, test.keep, test.take)
			}
			s := status(t, l, "feed")
			if s.State != StateOK || s.Entries != test.entries || s.Excess != test.excess || s.Rules != test.rules && test.rules >= 0 {
				t.Errorf("%s: %d entries, %d rules, %d beyond, expected %d, %d and %d", s.State, s.Entries, s.Rules, s.Excess, test.entries, test.rules, test.excess)
			}
			if addr, err := netip.ParseAddr(test.finds); err == nil {
				p, v := l.Policy(), Verdict{}
				p.JudgeAnswer(nil, nil, []netip.Addr{addr}, 0, &v)
				if got := verdictText(p, &v); !strings.HasPrefix(got, test.by) {
					t.Errorf("%s: %s, expected %s", test.finds, got, test.by)
				}
			} else if got := judged(l, test.finds); !strings.HasPrefix(got, test.by) {
				t.Errorf("%s: %s, expected %s", test.finds, got, test.by)
			}
			expect(t, l, "other.example", "enforce sinkhole other:1")
			expect(t, l, "fine.example", "none")
			lookUps(t, l.Policy(), rest)
			lookUps(t, l.Policy(), deep)
		})
	}
}

// lookUps asks for names below one that is not listed itself: each takes at most
// 10 µs on average.
func lookUps(t *testing.T, p *Policy, below string) {
	t.Helper()
	const asked = 20_000 / raceFactor
	var all [asked][]byte
	for i := range all {
		all[i] = wireName("x" + strconv.Itoa(i) + below[:min(len(below), 240)])
	}
	each := time.Hour
	for range 5 { // the best: what else the machine does is not the policy's
		start := time.Now()
		for _, name := range all {
			var v Verdict
			p.JudgeQuestion(netip.Addr{}, name, 0, &v)
		}
		if each = min(each, time.Since(start)/asked); each <= 10*time.Microsecond*raceFactor {
			return
		}
	}
	t.Errorf("a look-up below %.20s takes %v, expected at most 10 µs", below, each)
}

// TestFilesChangingWhileRead keeps changing a list in each of the ways there are
// while it is read: nothing of it is used before it settles.
func TestFilesChangingWhileRead(t *testing.T) {
	next := names(0, 200_000/raceFactor)
	replaced := 0
	for _, test := range []struct {
		name   string
		change func(path string) error
	}{
		{"grows", func(path string) error { return writeInto(path, os.O_APPEND, "more.example\n") }},
		{"is written over", func(path string) error { return writeInto(path, 0, "m0.example\n") }},
		{"is replaced", func(path string) error {
			replaced++
			text := [...]string{path + ".a", path + ".b"}[replaced%2]
			return errors.Join(os.Link(text, path+".new"), os.Rename(path+".new", path))
		}},
		{"is touched", func(path string) error { return os.Chtimes(path, time.Time{}, time.Now()) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "list")
			write(t, path, "evil.example\n")
			feed := spec("feed", path)
			feed.Format = format.Domains
			l := open(t, Options{Configuration: specsOf(feed)})
			for _, name := range []string{path, path + ".a", path + ".b"} {
				write(t, name, next)
			}

			// The change has to come between the opening of the file and the look at
			// it after, so it is made over and over. Where none came in between, since
			// the machine was busy, the file is rightly read: once more then.
			ended := make(chan error)
			var over atomic.Bool
			go func() {
				var err error
				for !over.Load() && err == nil {
					err = test.change(path)
				}
				ended <- err
			}()
			r := l.read(&feed)
			for try := 1; r.err == nil && try < 20; try++ {
				r = l.read(&feed)
			}
			over.Store(true)
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if r.err == nil || !strings.Contains(r.err.Error(), path+": the file changed while it was read: it is read again when it settles") || !passing(r.err) {
				t.Fatalf("error %v, expected it to say that the file changed", r.err)
			}
			u := l.updateWith(l.Specs, causeReload, func(*Spec) *reading { return r })
			if u.Err() == nil {
				t.Error("no error")
			}
			expect(t, l, "evil.example", "enforce sinkhole feed:1")
			expect(t, l, "n1.example", "none")
			if s := status(t, l, "feed"); s.State != StateStale || s.Rules != 1 || s.Error == "" {
				t.Errorf("status %+v", s)
			}

			write(t, path, "settled.example\n")
			if u, err := l.Reload(); err != nil || u.Err() != nil {
				t.Fatal(err, u.Err())
			}
			expect(t, l, "settled.example", "enforce sinkhole feed:1")
			expect(t, l, "evil.example", "none")
		})
	}
}

// writeInto writes into a file that is there.
func writeInto(path string, flag int, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|flag, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// TestFamiliesAreBounded has more different families than a list may keep: it
// blocks all the same, and says so.
func TestFamiliesAreBounded(t *testing.T) {
	b := newBuilder(&Spec{}, format.Sinkhole, t.TempDir())
	b.addFile("file")
	families := maxLabelSize/(labelBeside+1000) + 10
	for i := range families {
		e := format.Indicator{Name: wireName(strconv.Itoa(i) + ".example"), Family: fmt.Sprintf("%01000d", i), Line: i + 1}
		if err := b.add(&e); err != nil {
			t.Fatal(err)
		}
	}
	s, err := b.finish()
	if err != nil {
		t.Fatal(err)
	}
	if s.rules != families || s.memory() > maxLabelSize+4<<20 {
		t.Errorf("%d rules of %d octets", s.rules, s.memory())
	}
	if w := b.warnings(); len(w) != 1 || !strings.HasPrefix(w[0], "10 times a family or TLP marking left out: expected at most 32 MiB") {
		t.Errorf("warnings %q", w)
	}
}

// TestLocalDataIsBounded has as much as a list may keep, and one record more.
func TestLocalDataIsBounded(t *testing.T) {
	b := newBuilder(&Spec{}, format.Sinkhole, t.TempDir())
	b.addFile("file")
	b.seg.data = make([]byte, maxDataSize-3, maxDataSize+16)
	for i, fits := range []bool{true, false} {
		e := format.Indicator{Name: wireName("evil.example"), Action: format.LocalData, Data: []byte{byte(i), 0}}
		if err := b.add(&e); fits != (err == nil) || !fits && !strings.Contains(err.Error(), "more than 512 MiB of local data") {
			t.Errorf("record %d: %v", i, err)
		}
	}
}

// TestReferencesAreBounded leaves references out beyond what the disk is to hold.
func TestReferencesAreBounded(t *testing.T) {
	w := &referenceWriter{dir: t.TempDir()}
	if number, kept := w.add("https://reports.example/1"); number != 0 || !kept {
		t.Fatal("not kept")
	}
	w.done.size = maxReferences // as after so many
	for range 2 {
		if _, kept := w.add("https://reports.example/2"); kept {
			t.Error("kept beyond the bound")
		}
	}
	if _, kept := w.add("https://reports.example/1"); !kept {
		t.Error("one that is there is not found")
	}
	if got := w.warning(); got != "2 entries without their reference: expected at most 1024 MiB of references in a list" {
		t.Error(got)
	}
}
