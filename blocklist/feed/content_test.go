package feed

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func gz(t testing.TB, text string, header gzip.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Header = header
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zst(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func file(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// readAll reads the list at path as blocklist does, to its end or first error.
func readAll(path string, l Limits) (text, digest string, err error) {
	c, err := Open(path, l)
	if err != nil {
		return "", "", err
	}
	b, err := io.ReadAll(c)
	digest = c.Digest()
	return string(b), digest, errors.Join(err, c.Close())
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(s[:])
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// skippable is a skippable zstd frame, RFC 8878 section 3.1.2.
var skippable = []byte("\x5a\x2a\x4d\x18\x03\x00\x00\x00abc")

func TestContentReads(t *testing.T) {
	long := strings.Repeat("lumma.example\r\nvidar.example\n", 100_000)
	named := gzip.Header{Name: "list.txt", Comment: "a comment", Extra: []byte("xyz")}
	for name, test := range map[string]struct {
		disk []byte
		text string
	}{
		"empty":                        {nil, ""},
		"one byte":                     {[]byte("x"), "x"},
		"plain":                        {[]byte("a.example\n"), "a.example\n"},
		"plain, long":                  {[]byte(long), long},
		"plain that begins with BZh":   {[]byte("BZh9.example\nb.example\n"), "BZh9.example\nb.example\n"},
		"plain with a byte order mark": {[]byte("\xef\xbb\xbfa.example"), "\xef\xbb\xbfa.example"},
		"gzip":                         {gz(t, long, gzip.Header{}), long},
		"gzip of nothing":              {gz(t, "", gzip.Header{}), ""},
		"gzip of several members":      {join(gz(t, "a\n", named), gz(t, "", named), gz(t, long, named)), "a\n" + long},
		"zstd":                         {zst(t, long), long},
		"zstd of several frames":       {join(zst(t, "a\n"), skippable, zst(t, ""), zst(t, long)), "a\n" + long},
		"zstd after a skippable frame": {join(skippable, zst(t, "a\n")), "a\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, test.disk)
			c, err := Open(path, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if d := c.Digest(); d != "" {
				t.Errorf("before the end the digest is %s, expected none", d)
			}
			if len(test.text) > 10_000 { // TestReader goes byte by byte
				got, err := io.ReadAll(c)
				if err != nil || string(got) != test.text {
					t.Errorf("read %d bytes of %d, %v", len(got), len(test.text), err)
				}
			} else if err := iotest.TestReader(c, []byte(test.text)); err != nil {
				t.Error(err)
			}
			if got, want := c.Digest(), sum(test.disk); got != want {
				t.Errorf("digest %s, expected %s", got, want)
			}
		})
	}
}

// A file cut anywhere is an error, or else gives all that stood before the cut
// where one member or frame ends.
func TestContentCutIsNeverSilentlyShort(t *testing.T) {
	named := gzip.Header{Name: "list.txt", Comment: "a comment", Extra: []byte("xyz")}
	text := strings.Repeat("lumma.example\nvidar.example\n", 20)
	for name, members := range map[string][][]byte{
		"gzip": {gz(t, text, named), gz(t, "second\n", named), gz(t, "third\n", gzip.Header{})},
		"zstd": {zst(t, text), zst(t, "second\n"), skippable, zst(t, "third\n")},
	} {
		t.Run(name, func(t *testing.T) {
			texts := map[int]string{}
			end, sofar := 0, ""
			for _, m := range members {
				end += len(m)
				whole, _, err := readAll(file(t, m), Limits{})
				if err != nil {
					t.Fatal(err)
				}
				sofar += whole
				texts[end] = sofar
			}
			all := join(members...)
			path := file(t, nil)
			for cut := 2; cut <= len(all); cut++ {
				must(t, os.WriteFile(path, all[:cut], 0o644))
				got, digest, err := readAll(path, Limits{})
				want, whole := texts[cut]
				switch {
				case whole && (err != nil || got != want):
					t.Errorf("cut at %d, between members: %q, %v", cut, got, err)
				case !whole && !errors.Is(err, io.ErrUnexpectedEOF):
					t.Errorf("cut at %d, within a member: read %d bytes, error %v", cut, len(got), err)
				case !whole && digest != "":
					t.Errorf("cut at %d: a digest of what was not read whole", cut)
				}
			}
		})
	}
}

func TestContentRefuses(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Mkdir(at("dir"), 0o755))
	put(t, at("list"), "a.example\n")
	must(t, os.Symlink("nowhere", at("dangling")))
	must(t, os.Symlink("circle", at("circle")))

	zip := gz(t, strings.Repeat("lumma.example\n", 100), gzip.Header{})
	badSum := bytes.Clone(zip)
	badSum[len(badSum)-8] ^= 1
	badData := bytes.Clone(zip)
	badData[12] ^= 0xff
	frame := zst(t, strings.Repeat("lumma.example\n", 100))
	badFrame := bytes.Clone(frame)
	badFrame[len(badFrame)-1] ^= 1

	for name, test := range map[string]struct {
		path   string
		limits Limits
		want   []string // parts of the message
	}{
		"missing":               {at("none"), Limits{}, []string{"none: no such file", "expected a list", "correct the path"}},
		"missing directory":     {at("none/list"), Limits{}, []string{"no such file", "correct the path"}},
		"file as a directory":   {at("list/list"), Limits{}, []string{"not a directory"}},
		"directory":             {at("dir"), Limits{}, []string{"is a directory, expected a file", at("dir/*")}},
		"directory, slash":      {at("dir") + "/", Limits{}, []string{"is a directory", at("dir/*") + " "}},
		"link to nowhere":       {at("dangling"), Limits{}, []string{"is a symbolic link to nowhere", "correct the link"}},
		"link to itself":        {at("circle"), Limits{}, []string{"too many levels of symbolic links"}},
		"too large":             {file(t, make([]byte, 2049)), Limits{File: 2048}, []string{"2.0 KiB on disk, expected at most 2.0 KiB", "split"}},
		"too much text":         {file(t, gz(t, strings.Repeat("x", 5000), gzip.Header{})), Limits{Text: 4999}, []string{"more than 4.9 KiB of text", "split"}},
		"gzip, wrong checksum":  {file(t, badSum), Limits{}, []string{"is damaged", "invalid checksum", "download it again"}},
		"gzip, wrong data":      {file(t, badData), Limits{}, []string{"is damaged", "download it again"}},
		"gzip, reserved flags":  {file(t, []byte("\x1f\x8b\x08\xff0123456789")), Limits{}, []string{"compressed data"}},
		"gzip, text after it":   {file(t, join(zip, []byte("more.example\n"))), Limits{}, []string{"other bytes follow"}},
		"zstd, wrong checksum":  {file(t, badFrame), Limits{}, []string{"is damaged", "download it again"}},
		"zstd, text after it":   {file(t, join(frame, []byte("more.example\n"))), Limits{}, []string{"other bytes follow"}},
		"zstd, vast window":     {file(t, []byte("\x28\xb5\x2f\xfd\x00\xa8\x09\x00\x00x")), Limits{}, []string{"window over 32 MiB", "without --long"}},
		"zstd, vast segment":    {file(t, []byte("\x28\xb5\x2f\xfd\xa0\xff\xff\xff\x7f\x09\x00\x00x")), Limits{}, []string{"window over 32 MiB", "without --long"}},
		"zstd, with dictionary": {file(t, []byte("\x28\xb5\x2f\xfd\x01\x08\x07\x09\x00\x00x")), Limits{}, []string{"needs a dictionary"}},
		"xz":                    {file(t, []byte("\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4")), Limits{}, []string{"is xz compressed", "expected gzip, zstd or plain text", "unpack"}},
		"bzip2":                 {file(t, []byte("BZh91AY&SY....")), Limits{}, []string{"is bzip2 compressed"}},
		"zip":                   {file(t, []byte("PK\x03\x04\x14\x00\x00\x00\x08\x00")), Limits{}, []string{"is zip compressed"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, digest, err := readAll(test.path, test.limits)
			checkMessage(t, err, test.path, test.want...)
			if digest != "" {
				t.Error("a digest of what was not read whole")
			}
		})
	}

	t.Run("errors.Is", func(t *testing.T) {
		for _, path := range []string{at("none"), at("dangling")} {
			if _, err := Open(path, Limits{}); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v is not fs.ErrNotExist", err)
			}
		}
	})
}

// checkMessage holds an error to what a message for a person is.
func checkMessage(t *testing.T, err error, path string, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	text := err.Error()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q lacks %q", text, part)
		}
	}
	if !strings.HasPrefix(text, path+": ") || strings.HasSuffix(text, ".") || strings.Contains(text, "\n") {
		t.Errorf("%q is not of the form \"path: one sentence\"", text)
	}
	if strings.Count(text, path+":") > 1 {
		t.Errorf("%q names the file twice", text)
	}
}

func TestContentBombs(t *testing.T) {
	const vast = 32 << 20
	zeros := io.LimitReader(zero{}, vast)
	var zip, frames bytes.Buffer
	gw := gzip.NewWriter(&zip)
	zw, err := zstd.NewWriter(&frames, zstd.WithEncoderConcurrency(1))
	must(t, err)
	_, err = io.Copy(io.MultiWriter(gw, zw), zeros)
	must(t, err)
	must(t, errors.Join(gw.Close(), zw.Close()))

	for name, disk := range map[string][]byte{"gzip": zip.Bytes(), "zstd": frames.Bytes()} {
		t.Run(name, func(t *testing.T) {
			path := file(t, disk)
			c, err := Open(path, Limits{})
			must(t, err)
			defer c.Close()
			n, err := io.Copy(io.Discard, c)
			checkMessage(t, err, path, "compression bomb", "expected at most 250 times as much")
			if n > ratioFrom+int64(len(disk))*defaultRatio+1<<20 {
				t.Errorf("%d bytes were unpacked before it was noticed", n)
			}
			if _, again := c.Read(make([]byte, 1)); again == nil || again.Error() != err.Error() {
				t.Errorf("read on after the error: %v", again)
			}
		})
		t.Run(name+", allowed", func(t *testing.T) {
			c, err := Open(file(t, disk), Limits{Ratio: 1 << 20})
			must(t, err)
			defer c.Close()
			if n, err := io.Copy(io.Discard, c); n != vast || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
}

type zero struct{}

func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestContentLimitsAreExact(t *testing.T) {
	text := strings.Repeat("x", 5000)
	for name, test := range map[string]struct {
		disk   []byte
		limits Limits
	}{
		"file": {[]byte(text), Limits{File: 5000}},
		"gzip": {gz(t, text, gzip.Header{}), Limits{Text: 5000}},
		"zstd": {zst(t, text), Limits{Text: 5000}},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, test.disk)
			if got, _, err := readAll(path, test.limits); err != nil || got != text {
				t.Errorf("a list of exactly the limit: %d bytes, %v", len(got), err)
			}
			less := Limits{File: test.limits.File - 1, Text: test.limits.Text - 1}
			got, _, err := readAll(path, less)
			if err == nil || int64(len(got)) > 4999 {
				t.Errorf("a list over the limit: %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestContentSparseFileIsRefusedUnread(t *testing.T) {
	path := file(t, nil)
	must(t, os.Truncate(path, 5_000_000_000))
	_, err := Open(path, Limits{})
	checkMessage(t, err, path, "4.7 GiB on disk, expected at most 2.0 GiB")
}

func TestContentGrowsBeyondItsLimitWhileRead(t *testing.T) {
	path := file(t, make([]byte, 500))
	c, err := Open(path, Limits{File: 1000})
	must(t, err)
	defer c.Close()
	must(t, os.Truncate(path, 5_000_000_000))
	n, err := io.Copy(io.Discard, c)
	checkMessage(t, err, path, "expected at most 1000 B")
	if n > 1000 {
		t.Errorf("%d bytes were read", n)
	}
}

func TestContentChanged(t *testing.T) {
	for name, test := range map[string]struct {
		change func(t *testing.T, path string)
		want   bool
	}{
		"untouched": {func(*testing.T, string) {}, false},
		"read by another": {func(t *testing.T, path string) {
			_, err := os.ReadFile(path)
			must(t, err)
		}, false},
		"appended": {func(t *testing.T, path string) { put(t, path, "a\nb\n") }, true},
		"replaced by the same": {func(t *testing.T, path string) {
			put(t, path+".new", "a\n")
			must(t, os.Rename(path+".new", path))
		}, true},
		"removed": {func(t *testing.T, path string) { must(t, os.Remove(path)) }, true},
		"became a directory": {func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.Mkdir(path, 0o755))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, []byte("a\n"))
			c, err := Open(path, Limits{})
			must(t, err)
			defer c.Close()
			if now, err := Stat(path); err != nil || c.State() != now {
				t.Errorf("opened as %v, is %v (%v)", c.State(), now, err)
			}
			test.change(t, path)
			if got, err := c.Changed(); err != nil || got != test.want {
				t.Errorf("changed: %v, %v", got, err)
			}
		})
	}
}

func TestContentClose(t *testing.T) {
	for name, disk := range map[string][]byte{"plain": []byte("abc"), "gzip": gz(t, "abc", gzip.Header{}), "zstd": zst(t, "abc")} {
		t.Run(name, func(t *testing.T) {
			c, err := Open(file(t, disk), Limits{})
			must(t, err)
			_, err = io.Copy(io.Discard, c)
			must(t, err)
			must(t, c.Close())
			must(t, c.Close())
			if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, fs.ErrClosed) {
				t.Errorf("read after Close: %d, %v", n, err)
			}
			if c.Digest() != sum(disk) {
				t.Error("the digest is lost by Close")
			}
		})
	}
}

func TestStat(t *testing.T) {
	path := file(t, []byte("abc"))
	a, err := Stat(path)
	must(t, err)
	if a.Size != 3 || a.Modified == 0 || a.Change == 0 {
		t.Errorf("state %+v", a)
	}
	link := path + ".link"
	must(t, os.Symlink(path, link))
	if b, err := Stat(link); err != nil || a != b {
		t.Errorf("through a link %+v, %v", b, err)
	}
	if s, err := Stat(path + ".none"); s != (State{}) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %+v, %v", s, err)
	}
}

// Real lists as they come: zstd, each with the number of entries that the zstd
// program and a count of its lines without comments give.
func TestContentRealLists(t *testing.T) {
	data := os.Getenv("SINKHOLE_REAL_DATA")
	if data == "" {
		t.Skip("SINKHOLE_REAL_DATA is not set to the folder of real lists")
	}
	for name, want := range map[string]int{"malicious-domains": 194_859, "phishing": 190_052, "malware": 43_702} {
		t.Run(name, func(t *testing.T) {
			text, digest, err := readAll(filepath.Join(data, "lists", name+".domains.txt.zst"), Limits{})
			must(t, err)
			entries := 0
			for line := range strings.Lines(text) {
				if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
					entries++
				}
			}
			if entries != want || digest == "" {
				t.Errorf("%d entries, expected %d; digest %q", entries, want, digest)
			}
		})
	}
}

func BenchmarkRead100MB(b *testing.B) {
	line := "subdomain-0123456789.lumma.example\n"
	text := strings.Repeat(line, 100_000_000/len(line))
	var prng uint64
	varied := []byte(text)
	for i := 0; i+8 < len(varied); i += len(line) {
		prng = prng*6364136223846793005 + 1442695040888963407
		copy(varied[i:], hex.EncodeToString(binary.BigEndian.AppendUint64(nil, prng)))
	}
	for name, disk := range map[string][]byte{
		"plain": varied, "gzip": gz(b, string(varied), gzip.Header{}), "zstd": zst(b, string(varied)),
	} {
		path := file(b, disk)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(varied)))
			b.ReportAllocs()
			for b.Loop() {
				c, err := Open(path, Limits{})
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, c); err != nil || n != int64(len(varied)) {
					b.Fatal(n, err)
				}
				c.Close()
			}
		})
	}
}
