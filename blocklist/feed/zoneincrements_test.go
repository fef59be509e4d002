package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// storedZone is a store with a zone's copy in it, and the zone.
func storedZone(t testing.TB, lines ...string) (*Store, zone, Copy) {
	t.Helper()
	s, err := OpenStore(t.TempDir(), StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	z, err := ZoneSpec{Name: "l", Source: "rpz://192.0.2.1/rpz.test"}.check()
	if err != nil {
		t.Fatal(err)
	}
	draft, err := s.Create(z.Name, z.Source)
	if err != nil {
		t.Fatal(err)
	}
	text := newZoneText(draft, z.apex, 1<<30)
	var soa record
	for i, rr := range rrs(t, lines...) {
		r := asRecordOf(t, rr)
		if i == 0 {
			soa = r
			err = text.begin(r, "for a test", time.Now())
		} else {
			err = text.add(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := text.flush(); err != nil {
		t.Fatal(err)
	}
	c, err := draft.Finish(Validator{}, newDetail(soa))
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Settle(c, Accept())
	if err != nil {
		t.Fatal(err)
	}
	return s, z, *e.Good
}

func deltaOf(t testing.TB, from, to uint32, removed, added string) Delta {
	t.Helper()
	d := Delta{From: from, To: to, SOA: asRecordOf(t, rrs(t, fmt.Sprintf("SOA %d", to))[0]).wire}
	for _, name := range strings.Fields(removed) {
		d.Removed = append(d.Removed, asRecordOf(t, rrs(t, name+" CNAME .")[0]).wire...)
	}
	for _, name := range strings.Fields(added) {
		d.Added = append(d.Added, asRecordOf(t, rrs(t, name+" CNAME .")[0]).wire...)
	}
	return d
}

// Whatever octet a crash or a fault of the disk takes, copy and increments are
// those of one serial that once was.
func TestIncrementsTorn(t *testing.T) {
	s, z, c := storedZone(t, "SOA 1", "a CNAME .", "b CNAME .")
	f, err := openIncrements(s, z.Name, c)
	if err != nil {
		t.Fatal(err)
	}
	deltas := []Delta{deltaOf(t, 1, 2, "a", "c"), deltaOf(t, 2, 4, "", "d e"), deltaOf(t, 4, 5, "b c", "")}
	want := map[uint32]string{1: "a b"}
	ends := []int64{0}
	for i, d := range deltas {
		if err := f.append(d); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, f.end)
		want[d.To] = []string{"b c", "b c d e", "d e"}[i]
	}
	whole, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if got := readDisk(t, s, z.Name, z.Source); got.serial != 5 || names(got) != "d e" {
		t.Fatalf("serial %d with %q", got.serial, names(got))
	}

	serials := []uint32{1, 2, 4, 5}
	try := func(text []byte, least int) {
		t.Helper()
		if err := os.WriteFile(f.path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		got := readDisk(t, s, z.Name, z.Source)
		if names(got) != want[got.serial] || !slices.Contains(serials, got.serial) {
			t.Fatalf("serial %d with %q, expected %q", got.serial, names(got), want[got.serial])
		}
		if got.serial < serials[least] {
			t.Fatalf("serial %d, expected %d at least", got.serial, serials[least])
		}
		// What is open for writing goes on from there.
		f, err := openIncrements(s, z.Name, c)
		if err != nil {
			t.Fatal(err)
		}
		if f.serial() != got.serial {
			t.Fatalf("opened at serial %d, read as %d", f.serial(), got.serial)
		}
		if err := f.append(deltaOf(t, f.serial(), 9, "", "z")); err != nil {
			t.Fatal(err)
		}
		if after := readDisk(t, s, z.Name, z.Source); after.serial != 9 || !strings.HasSuffix(names(after), " z") {
			t.Fatalf("serial %d with %q after another increment", after.serial, names(after))
		}
	}
	for cut := range whole {
		least := 0
		for i, end := range ends {
			if int64(cut) >= end {
				least = i
			}
		}
		try(whole[:cut], least)
		if cut%7 == 0 {
			try(append(bytes.Clone(whole[:cut]), make([]byte, len(whole)-cut)...), least) // zeros, as some file systems leave them
			flipped := bytes.Clone(whole)
			flipped[cut] ^= 0x10
			try(flipped, least)
		}
	}
	try(append(bytes.Clone(whole), whole[len(incrementsMagic):]...), 3) // frames that do not lead on
}

// TestSumFrom leads on from any serial that the zone had, and from no other.
func TestSumFrom(t *testing.T) {
	s, z, c := storedZone(t, "SOA 1", "a CNAME .", "b CNAME .")
	f, err := openIncrements(s, z.Name, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []Delta{deltaOf(t, 1, 2, "a", "c"), deltaOf(t, 2, 4, "c", "a d"), deltaOf(t, 4, 5, "d", "e")} {
		if err := f.append(d); err != nil {
			t.Fatal(err)
		}
	}
	zone, err := OpenZone(s, z.Name, c, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer zone.Close()
	for from, want := range map[uint32][2]int{1: {0, 1}, 2: {1, 2}, 4: {1, 1}, 5: {0, 0}} {
		sum, err := zone.Sum(from)
		if err != nil || sum.From != from || sum.To != 5 || sum.Removed.Len() != want[0] || sum.Added.Len() != want[1] {
			t.Errorf("from %d: %+v, %v; expected %d removed and %d added", from, sum, err, want[0], want[1])
		}
	}
	if _, err := zone.Sum(3); !errors.Is(err, ErrIncrement) {
		t.Errorf("from a serial that the zone did not have: %v", err)
	}
}

// TestTextDoesNotFit removes what is not in the copy.
func TestTextDoesNotFit(t *testing.T) {
	s, z, c := storedZone(t, "SOA 1", "a CNAME .")
	f, err := openIncrements(s, z.Name, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.append(deltaOf(t, 1, 2, "b", "c")); err != nil {
		t.Fatal(err)
	}
	zone, err := OpenZone(s, z.Name, c, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer zone.Close()
	text, err := zone.Text()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(text); !errors.Is(err, ErrIncrement) || !strings.Contains(err.Error(), "b CNAME .") {
		t.Errorf("error %v, expected it to name the record", err)
	}
}

// TestFetched is the time of the last increment, also after a restart.
func TestFetched(t *testing.T) {
	s, z, c := storedZone(t, "SOA 1", "a CNAME .")
	f, err := openIncrements(s, z.Name, c)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.fetched(&c); got != c.Fetched {
		t.Errorf("fetched %v, expected %v", got, c.Fetched)
	}
	if err := f.append(deltaOf(t, 1, 2, "", "b")); err != nil {
		t.Fatal(err)
	}
	if got := f.fetched(&c); !got.After(c.Fetched) {
		t.Errorf("fetched %v, expected it after %v", got, c.Fetched)
	}
	later := c.Fetched.Add(time.Hour)
	if err := os.Chtimes(f.path, later, later); err != nil {
		t.Fatal(err)
	}
	if f, err = openIncrements(s, z.Name, c); err != nil || !f.fetched(&c).Equal(later) {
		t.Errorf("fetched %v after a restart, %v; expected %v", f.fetched(&c), err, later)
	}
}

func TestIncrementsRefuse(t *testing.T) {
	s, z, c := storedZone(t, "SOA 5", "a CNAME .")
	f, err := openIncrements(s, z.Name, c)
	if err != nil {
		t.Fatal(err)
	}
	checkSays(t, f.append(deltaOf(t, 4, 6, "", "b")), "from the serial 4, expected 5")
	d := deltaOf(t, 5, 6, "", "b")
	d.SOA = deltaOf(t, 5, 7, "", "b").SOA
	checkSays(t, f.append(d), "without its SOA record")
	if _, err := os.Stat(f.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file for nothing: %v", err)
	}
	c.Detail = nil
	if _, err := openIncrements(s, z.Name, c); err == nil {
		t.Error("a copy without a serial has increments")
	}
}

// A disk that cannot be written to leaves increments and file as they were.
func TestIncrementsUnwritable(t *testing.T) {
	s, z, c := storedZone(t, "SOA 1", "a CNAME .")
	f, err := openIncrements(s, z.Name, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(f.path, 0o700); err != nil { // nobody can write to a directory, not even root
		t.Fatal(err)
	}
	if err := f.append(deltaOf(t, 1, 2, "", "b")); err == nil || f.serial() != 1 {
		t.Fatalf("%v, serial %d", err, f.serial())
	}
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	if err := f.append(deltaOf(t, 1, 2, "", "b")); err != nil && !errors.Is(err, ErrUnfit) {
		t.Fatal(err)
	}
	m := readDisk(t, s, z.Name, z.Source)
	if m.serial != f.serial() {
		t.Errorf("on disk is %d, in memory %d", m.serial, f.serial())
	}
}

func TestCompacted(t *testing.T) {
	s, z, c := storedZone(t, "SOA 1", "a CNAME .", "b 60 CNAME .", "*.c CNAME .", `d TXT "x y" ";"`, "e A 192.0.2.1")
	f, err := openIncrements(s, z.Name, c)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range []Delta{deltaOf(t, 1, 2, "a", "f g"), deltaOf(t, 2, 3, "f *.c", "a h")} {
		if i == 1 {
			d.Removed = append(d.Removed, asRecordOf(t, rrs(t, "b 60 CNAME .")[0]).wire...)
		}
		if err := f.append(d); err != nil {
			t.Fatal(err)
		}
	}
	want := readDisk(t, s, z.Name, z.Source)
	text, err := f.upTo(f.end)
	if err != nil {
		t.Fatal(err)
	}
	n, err := compacted(s, &z, c, text)
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(n.Path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readModel(written)
	if err != nil {
		t.Fatal(err)
	}
	if got.serial != 3 || !maps.Equal(got.lines, want.lines) {
		t.Errorf("serial %d with %d records, expected 3 with %d:\n%s", got.serial, len(got.lines), len(want.lines), written)
	}
	if serial, ok := ZoneSerial(n.Copy); !ok || serial != 3 {
		t.Errorf("the copy has the serial %d", serial)
	}
	if n.Digest == c.Digest {
		t.Error("the digest is the same")
	}

	// Increments that do not fit the text are noticed.
	bad := append([]byte(incrementsMagic), appendFrame(nil, deltaOf(t, 1, 2, "nobody", ""))...)
	_, err = compacted(s, &z, c, bad)
	checkSays(t, err, "nobody")
}

// Many increments end up in the copy, while more come.
func TestZoneCompacts(t *testing.T) {
	p := newFakePrimary(t, primaryOf(t, "1", zoneAt1(), nil))
	dir := t.TempDir()
	w := newZoneOwner(t, dir, ZoneOptions{})
	w.set(ZoneSpec{Name: "l", Source: p.source()})
	w.waitSerial("l", 1)
	first := w.store.Entry("l", p.source()).Good.Digest
	step := func(serial int, n int) {
		t.Helper()
		group := []string{fmt.Sprintf("SOA %d", serial), fmt.Sprintf("SOA %d", serial-1), fmt.Sprintf("SOA %d", serial)}
		var groups [][]string
		for i := range n {
			group = append(group, fmt.Sprintf("n%d.%d.%s CNAME .", serial, i, strings.Repeat("x", 50)))
			if len(group) > 300 {
				groups, group = append(groups, group), nil
			}
		}
		groups = append(groups, append(group, fmt.Sprintf("SOA %d", serial)))
		p.set(primaryOf(t, fmt.Sprint(serial), nil, groups))
		if err := w.zones.Refresh(t.Context(), "l"); err != nil {
			t.Fatal(err)
		}
		w.checkDisk("l", p.source())
	}
	serial := 2
	for ; serial < 10 && w.store.Entry("l", p.source()).Good.Digest == first; serial++ {
		step(serial, 4000)
	}
	until(t, 10*time.Second, "the copy is written anew", func() bool { return w.store.Entry("l", p.source()).Good.Digest != first })
	step(serial, 3)
	w.checkDisk("l", p.source())
	if got := w.status("l"); got.Good == nil || got.KeptOctets > compactLeast || got.Serial != uint32(serial) {
		t.Errorf("status %+v", got)
	}
	for _, what := range w.came()[1:] {
		if !strings.HasPrefix(what, "increment") {
			t.Errorf("came %q", what)
		}
	}
	w.close()
	checkTidy(t, w.store, "l")

	// The next process finds the same.
	before := w.model("l")
	again, err := OpenStore(dir, StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if m := readDisk(t, again, "l", p.source()); m.serial != before.serial || !maps.Equal(m.lines, before.lines) {
		t.Errorf("serial %d with %d records after a restart, expected %d with %d", m.serial, len(m.lines), before.serial, len(before.lines))
	}
}

// Increments after which the owner dies are there at the next start; those that
// it did not commit are not.
func TestIncrementNotCommitted(t *testing.T) {
	p := newFakePrimary(t, primaryOf(t, "1", zoneAt1(), nil))
	w := newZoneOwner(t, t.TempDir(), ZoneOptions{})
	source := p.source()
	w.set(ZoneSpec{Name: "l", Source: source})
	w.waitSerial("l", 1)
	whole := [][]string{{"SOA 2", "b CNAME .", "SOA 2"}}
	p.set(primaryOf(t, "2", whole, [][]string{{"SOA 2", "SOA 1", "a CNAME .", "SOA 2", "SOA 2"}}))
	w.apply = func(*Increment) error { return errors.New("no room") }
	err := w.zones.Refresh(t.Context(), "l")
	checkSays(t, err, "serial 2", "no room")
	w.checkDisk("l", source)
	if got := readDisk(t, w.store, "l", source).serial; got != 1 {
		t.Errorf("serial %d on disk, expected 1", got)
	}

	// An owner that says yes without Commit has not done what it should: the whole
	// zone sets it right.
	w.mu.Lock()
	w.apply = nil
	w.mu.Unlock()
	w.zones.options.Increment = func(context.Context, *Increment) error { return nil }
	if err := w.zones.Refresh(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
	if got := names(w.model("l")); got != "b" {
		t.Errorf("in force is %q, expected the whole zone", got)
	}
	w.checkDisk("l", source)
}

// A damaged copy is given up, and the zone transferred anew.
func TestZoneCopyDamaged(t *testing.T) {
	p := newFakePrimary(t, primaryOf(t, "1", zoneAt1(), nil))
	dir := t.TempDir()
	w := newZoneOwner(t, dir, ZoneOptions{})
	source := p.source()
	w.set(ZoneSpec{Name: "l", Source: source})
	w.waitSerial("l", 1)
	path := w.store.Path("l", *w.store.Entry("l", source).Good)
	w.close()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-3] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	next := newZoneOwner(t, dir, ZoneOptions{})
	z, err := OpenZone(next.store, "l", *next.store.Entry("l", source).Good, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, z); !errors.Is(err, ErrDamaged) {
		t.Fatalf("reading a damaged copy gives %v", err)
	}
	z.Close()
	next.set(ZoneSpec{Name: "l", Source: source})
	next.waitSerial("l", 1)
	next.checkDisk("l", source)
}

// The line of a record means the record, whatever is in it.
func FuzzZoneText(f *testing.F) {
	for _, line := range []string{"a CNAME .", "*.b CNAME *.", `c TXT "a\"b;c" "\000\255" ""`, "d MX 5 x.", "e SRV 1 2 3 y.",
		`f\.g\@h CNAME rpz-drop.`, "i AAAA ::ffff:192.0.2.1", "j TYPE65280 \\# 3 010203", "k HTTPS 1 . alpn=h2", "@ NS ns.", `l NAPTR 1 2 "u" "s" "!a!b!" .`, "m 7 A 192.0.2.1"} {
		rr := rrs(f, line)[0]
		buf := make([]byte, 1000)
		n, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(buf[:n])
	}
	apex, err := parseName("rpz.test")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, r, _, err := appendRecord(nil, append(make([]byte, headerSize), raw...), headerSize)
		if err != nil || !within(r.name(), apex) || r.class() != classIN || r.ttl() > 1<<31-1 {
			return
		}
		kind := r.kind()
		if kind == 0 || kind == typeOPT || kind >= 128 && kind <= 255 {
			return
		}
		if one, n, err := dns.UnpackRR(r.wire, 0); err != nil || n != len(r.wire) || len(one.String()) == 0 {
			return // the parser refuses that line, and no other
		}
		line := appendRecordText(nil, r, apex, 300)
		if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
			t.Fatalf("not one line: %q", line)
		}
		p := dns.NewZoneParser(strings.NewReader("$ORIGIN rpz.test.\n$TTL 300\n"+string(line)), "", "")
		rr, ok := p.Next()
		if !ok {
			t.Fatalf("%q is read as nothing: %v", line, p.Err())
		}
		want, _, err := dns.UnpackRR(r.wire, 0)
		if err != nil {
			t.Fatal(err)
		}
		if lineOf(rr) != lineOf(want) {
			t.Fatalf("%q is read as %s, expected %s", line, rr, want)
		}
	})
}
