package hits

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// chained is a closed journal of some packed segments, linked, and an open one with the
// record of its stop.
func chained(t *testing.T) (dir string, heads []Head) {
	t.Helper()
	dir = t.TempDir()
	o := Options{Dir: dir, RotateSize: 8 << 10, Logger: zap.NewNop(), OnHead: func(h Head) { heads = append(heads, h) }}
	j := openJournal(t, o)
	q := j.NewQueue(1)
	for round := range 4 {
		for range 8 {
			q.Record(testHit(func(h *Hit) { h.ID = uint16(round) }))
		}
		eventually(t, "the hits are written", func() bool { return j.Stats().Queued == 0 })
	}
	eventually(t, "segments are closed and packed", func() bool {
		segments, _, _ := listSegments(dir)
		links, _, _ := readChain(filepath.Join(dir, chainName))
		return len(segments) > 2 && len(links) == len(segments) && !slices.ContainsFunc(segments, func(s segment) bool { return !s.packed })
	})
	closeJournal(t, j)
	return dir, heads
}

func verify(t *testing.T, dir, head string) *Verification {
	t.Helper()
	v, err := Verify(t.Context(), dir, nil, head)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// finds wants a fault that says something.
func finds(t *testing.T, v *Verification, text string) {
	t.Helper()
	for _, f := range v.Faults {
		if strings.Contains(f.Error(), text) {
			return
		}
	}
	t.Errorf("%v, expected a fault with %q", v.Faults, text)
}

func TestChainOfAWholeJournal(t *testing.T) {
	dir, heads := chained(t)
	links, damage, err := readChain(filepath.Join(dir, chainName))
	if err != nil || damage != nil || len(links) != len(heads) {
		t.Fatal(len(links), len(heads), damage, err)
	}
	last := heads[len(heads)-1]
	for _, head := range append(heads, Head{}) {
		if v := verify(t, dir, head.Head); !v.Whole() || v.Linked != len(links) || v.Open != 1 || v.Before != 0 || v.Head.Head != last.Head {
			t.Errorf("%+v", v)
		}
	}
	for name, mode := range map[string]os.FileMode{privateName: keyMode, publicName: fileMode} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Error(name, info.Mode(), err)
		}
	}
	// The next run goes on with it.
	j := openJournal(t, Options{Dir: dir, RotateSize: 8 << 10, Logger: zap.NewNop()})
	q := j.NewQueue(1)
	for range 10 {
		q.Record(testHit(nil))
	}
	eventually(t, "one more is linked", func() bool {
		more, _, _ := readChain(filepath.Join(dir, chainName))
		return len(more) > len(links)
	})
	closeJournal(t, j)
	if v := verify(t, dir, last.Head); !v.Whole() || v.Linked <= len(links) {
		t.Errorf("%+v", v)
	}
}

// Whatever octet of a segment or of the chain is another one, it is found, unless it means
// the same.
func TestChainFindsEachAlteredOctet(t *testing.T) {
	dir, _ := chained(t)
	segments, _, _ := listSegments(dir)
	content := func(path string) []byte {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	meaning := func(path string) any {
		if filepath.Base(path) == chainName {
			links, damage, _ := readChain(path)
			return []any{links, damage == nil}
		}
		var lines []string
		src, err := openSegment(dir, &segment{path: path, packed: true})
		if err != nil {
			return err.Error()
		}
		defer src.close()
		for {
			line, err := src.lines.next()
			if err != nil {
				return append(lines, err.Error())
			}
			lines = append(lines, string(line))
		}
	}
	for _, path := range []string{segments[0].path, segments[1].path, filepath.Join(dir, chainName)} {
		whole, meant := content(path), meaning(path)
		same := 0
		step := 1
		if testing.Short() {
			step = 7
		}
		for i := 0; i < len(whole); i += step {
			altered := bytes.Clone(whole)
			altered[i] ^= 1 << (i % 8)
			if err := os.WriteFile(path, altered, 0o600); err != nil {
				t.Fatal(err)
			}
			if v := verify(t, dir, ""); v.Whole() {
				if now := meaning(path); !reflect.DeepEqual(now, meant) {
					t.Errorf("%s: octet %d of %d: not found", filepath.Base(path), i, len(whole))
				}
				same++
			}
		}
		if same > len(whole)/4 {
			t.Errorf("%s: %d of %d changes meant nothing", path, same, len(whole))
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if v := verify(t, dir, ""); !v.Whole() {
		t.Error(v.Faults)
	}
}

func TestChainFindsWhatIsGoneOrPutIn(t *testing.T) {
	whole, heads := chained(t)
	chainOf := func(dir string) string { return filepath.Join(dir, chainName) }
	write := func(t *testing.T, path string, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, dir string, segments []segment, links [][]byte)
		want string // "": nothing is found without the head that was kept elsewhere
	}{
		{"the first segment", func(t *testing.T, _ string, s []segment, _ [][]byte) { os.Remove(s[0].path) }, "is missing"},
		{"one in the middle", func(t *testing.T, _ string, s []segment, _ [][]byte) { os.Remove(s[1].path) }, "is missing"},
		{"a link in the middle", func(t *testing.T, dir string, _ []segment, l [][]byte) {
			write(t, chainOf(dir), bytes.Join(slices.Delete(slices.Clone(l), 1, 2), nil))
		}, "not the one before it"},
		{"a segment with its link", func(t *testing.T, dir string, s []segment, l [][]byte) {
			os.Remove(s[0].path)
			write(t, chainOf(dir), bytes.Join(l[1:], nil))
		}, "not the one before it"},
		{"the newest segment with its link", func(t *testing.T, dir string, s []segment, l [][]byte) {
			os.Remove(s[len(s)-2].path)
			write(t, chainOf(dir), bytes.Join(l[:len(l)-1], nil))
		}, "a segment before it was removed"},
		{"all that came last", func(t *testing.T, dir string, s []segment, l [][]byte) {
			os.Remove(s[len(s)-2].path)
			os.Remove(s[len(s)-1].path)
			write(t, chainOf(dir), bytes.Join(l[:len(l)-1], nil))
		}, ""},
		{"two swapped", func(t *testing.T, _ string, s []segment, _ [][]byte) {
			a, _ := os.ReadFile(s[0].path)
			b, _ := os.ReadFile(s[1].path)
			write(t, s[0].path, b)
			write(t, s[1].path, a)
		}, "expected"},
		{"another put in", func(t *testing.T, dir string, s []segment, l [][]byte) {
			write(t, chainOf(dir), bytes.Join(l[:1], nil))
			os.Remove(s[1].path)
		}, "a segment before it was removed"},
		{"the chain", func(t *testing.T, dir string, _ []segment, _ [][]byte) { os.Remove(chainOf(dir)) }, ""},
		{"the public keys", func(t *testing.T, dir string, _ []segment, _ [][]byte) { os.Remove(filepath.Join(dir, publicName)) }, "not among those"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			segments, _, _ := listSegments(dir)
			text, _ := os.ReadFile(chainOf(dir))
			tt.do(t, dir, segments, slices.Collect(bytes.Lines(text)))
			v := verify(t, dir, "")
			if tt.want != "" {
				finds(t, v, tt.want)
				return
			}
			if !v.Whole() {
				t.Error(v.Faults)
			}
			finds(t, verify(t, dir, heads[len(heads)-1].Head), "is not in the chain")
		})
	}
}

// Whoever has the journal can sign it anew, but not with the key whose public part lies
// elsewhere.
func TestChainSignedAnew(t *testing.T) {
	dir, heads := chained(t)
	keys, err := PublicKeys(filepath.Join(dir, publicName))
	if err != nil {
		t.Fatal(err)
	}
	segments, _, _ := listSegments(dir)
	for _, name := range []string{chainName, privateName, publicName, filepath.Base(segments[0].path)} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	c := &chain{dir: dir, keyAt: filepath.Join(dir, privateName), log: zap.NewNop()}
	if err := c.extend(t.Context(), segments[1:], segments[len(segments)-1].seq); err != nil {
		t.Fatal(err)
	}
	if v := verify(t, dir, ""); !v.Whole() {
		t.Errorf("%v: without anything kept elsewhere a journal signed anew looks whole", v.Faults)
	}
	finds(t, verify(t, dir, heads[0].Head), "is not in the chain")
	v, err := Verify(t.Context(), dir, keys, "")
	if err != nil {
		t.Fatal(err)
	}
	finds(t, v, "not among those to be believed")
}

// An operator puts another key in place: what the old one signed stays good.
func TestChainKeyIsReplaced(t *testing.T) {
	dir, heads := chained(t)
	if err := os.Remove(filepath.Join(dir, privateName)); err != nil {
		t.Fatal(err)
	}
	j := openJournal(t, Options{Dir: dir, RotateSize: 8 << 10, Logger: zap.NewNop()})
	q := j.NewQueue(1)
	for range 10 {
		q.Record(testHit(nil))
	}
	eventually(t, "one more is linked", func() bool { return verify(t, dir, "").Head.Head != heads[len(heads)-1].Head })
	closeJournal(t, j)
	v := verify(t, dir, heads[0].Head)
	if !v.Whole() || v.Head.Key == heads[0].Key {
		t.Errorf("%+v", v)
	}
}

// Retention leaves a signed anchor; what goes beyond it is found.
func TestChainAfterRetention(t *testing.T) {
	dir, heads := chained(t)
	j := openJournal(t, Options{Dir: dir, RotateSize: 8 << 10, Keep: time.Nanosecond, Logger: zap.NewNop()})
	q := j.NewQueue(1)
	for range 10 {
		q.Record(testHit(nil))
	}
	eventually(t, "segments are removed", func() bool { return j.Stats().RetentionRemovedSegments > 1 })
	closeJournal(t, j)
	v := verify(t, dir, "")
	if !v.Whole() || v.Removed < heads[0].Segment || v.Removal.IsZero() {
		t.Errorf("%+v", v)
	}
	text, _ := os.ReadFile(filepath.Join(dir, chainName))
	forged := bytes.Replace(text, []byte(`"anchor":true,`), nil, 1)
	if err := os.WriteFile(filepath.Join(dir, chainName), forged, 0o600); err != nil {
		t.Fatal(err)
	}
	finds(t, verify(t, dir, ""), "the signature")
}

// A crash in the middle of a link, and a chain that cannot be written: the journal goes on.
func TestChainOverCrashes(t *testing.T) {
	dir, heads := chained(t)
	path := filepath.Join(dir, chainName)
	text, _ := os.ReadFile(path)
	if err := os.WriteFile(path, text[:len(text)-40], 0o600); err != nil {
		t.Fatal(err)
	}
	finds(t, verify(t, dir, ""), "the line has no end")
	j := openJournal(t, Options{Dir: dir, Logger: zap.NewNop()})
	j.house.tidy(heads[len(heads)-1].Segment + 1)
	eventually(t, "it is linked anew", func() bool { return verify(t, dir, "").Linked == len(heads) })
	closeJournal(t, j)
	if v := verify(t, dir, ""); !v.Whole() {
		t.Error(v.Faults)
	}
	other := filepath.Join(t.TempDir(), "no.key")
	if err := os.WriteFile(other, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	j = openJournal(t, Options{Dir: dir, RotateSize: 8 << 10, Logger: zap.NewNop(), SigningKeyFile: other})
	q := j.NewQueue(1)
	for range 20 {
		q.Record(testHit(nil))
	}
	eventually(t, "the failure is counted, and segments are packed", func() bool {
		segments, _, _ := listSegments(dir)
		return j.Stats().ChainErrors > 0 && len(segments) > 0 && segments[0].packed
	})
	closeJournal(t, j)
	if n := sumCounts(readAll(t, dir, Filter{})); n != 20 {
		t.Errorf("%d hits", n)
	}
}

// Verified while it is written, packed and removed, a journal is whole at any moment.
func TestChainIsVerifiedWhileItGrows(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir, RotateSize: 4 << 10, KeepSize: 4 << 10, Logger: zap.NewNop()})
	q := j.NewQueue(1)
	for looks := 0; looks < 60 || j.Stats().RetentionRemovedSegments < 5; looks++ {
		for range 6 {
			q.Record(testHit(nil))
		}
		if v := verify(t, dir, ""); !v.Whole() {
			t.Fatal(v.Faults)
		}
	}
	closeJournal(t, j)
	if v := verify(t, dir, ""); !v.Whole() || v.Removed == 0 {
		t.Errorf("%+v", v)
	}
}
