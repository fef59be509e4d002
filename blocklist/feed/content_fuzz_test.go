package feed

import (
	"bytes"
	stdgzip "compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// FuzzContent opens any bytes as a list: whatever they are, the text stays
// within its limit and reading ends; plain text is itself, and gzip is what the
// standard library reads.
func FuzzContent(f *testing.F) {
	named := gzip.Header{Name: "list.txt", Comment: "a comment", Extra: []byte("xyz")}
	text := strings.Repeat("lumma.example\n", 100)
	f.Add([]byte(text))
	f.Add(gz(f, text, named))
	f.Add(join(gz(f, text, named), gz(f, text, gzip.Header{})))
	f.Add(zst(f, text))
	f.Add(join(skippable, zst(f, text), zst(f, "")))
	f.Add([]byte("\x28\xb5\x2f\xfd\xa0\xff\xff\xff\x7f\x09\x00\x00x"))
	f.Add([]byte("\x1f\x8b"))

	const limit = 1 << 20
	path := filepath.Join(f.TempDir(), "list")
	f.Fuzz(func(t *testing.T, disk []byte) {
		if err := os.WriteFile(path, disk, 0o644); err != nil {
			t.Fatal(err)
		}
		got, digest, err := readAll(path, Limits{Text: limit})
		if len(got) > limit {
			t.Fatalf("%d bytes of text, limit %d", len(got), limit)
		}
		if err == nil && digest != sum(disk) || err != nil && digest != "" {
			t.Errorf("digest %q after %v", digest, err)
		}
		switch {
		case isGzip(disk):
			want, wantErr := standard(disk, limit)
			if (err == nil) != (wantErr == nil) {
				t.Errorf("read with %v, the standard library with %v", err, wantErr)
			}
			if err == nil && got != want {
				t.Errorf("read %d bytes, the standard library %d others", len(got), len(want))
			}
		case !isZstd(disk) && unreadName(disk[:min(10, len(disk))]) == "":
			if len(disk) <= limit && (err != nil || got != string(disk)) {
				t.Errorf("plain bytes are not themselves: %v", err)
			}
		}
	})
}

// standard is gzip read by the standard library, with an error past the limit.
func standard(disk []byte, limit int64) (string, error) {
	r, err := stdgzip.NewReader(bytes.NewReader(disk))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if int64(len(text)) > limit {
		return "", errors.New("over the limit")
	}
	return string(text), err
}

// FuzzZstdCut packs a text, cuts it short and reads it: only the whole is read
// without an error.
func FuzzZstdCut(f *testing.F) {
	f.Add("lumma.example\nvidar.example\n", 10)
	f.Add("", 3)
	f.Add(strings.Repeat("a.example\n", 1000), 30)
	path := filepath.Join(f.TempDir(), "list")
	f.Fuzz(func(t *testing.T, text string, cut int) {
		disk := zst(t, text)
		if len(disk) < 2 {
			return
		}
		cut = 2 + int(uint(cut)%uint(len(disk)-1))
		if err := os.WriteFile(path, disk[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		got, _, err := readAll(path, Limits{})
		if whole := cut == len(disk); (err == nil) != whole || whole && got != text {
			t.Errorf("cut at %d of %d: %d bytes of %d, %v", cut, len(disk), len(got), len(text), err)
		}
	})
}
