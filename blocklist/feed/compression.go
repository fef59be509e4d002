package feed

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// zstdWindow bounds what a zstd decoder keeps in memory. It holds what zstd
// writes at levels up to 20, or with --long=25.
const zstdWindow = 32 << 20

var (
	errTrailing = errors.New("no gzip header")
	errUnread   = errors.New("expected gzip, zstd or plain text: unpack it")
)

// decompress is the text of a file that is gzip, zstd or plain. It tells them
// by the first bytes. Its Read ends in io.EOF only if the data was whole.
func decompress(r *bufio.Reader) (io.ReadCloser, error) {
	head, err := r.Peek(10)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case isGzip(head):
		return &gzipText{src: r}, nil
	case isZstd(head):
		return newZstdText(r)
	}
	if name := unreadName(head); name != "" {
		return nil, fmt.Errorf("is %s compressed, %w", name, errUnread)
	}
	return io.NopCloser(r), nil
}

// isGzip and isZstd are true for the beginning of a magic number too, where the
// file ends within it: that is a truncated file, not a text.
func isGzip(head []byte) bool { return startsWith(head, "\x1f\x8b\x08") }

func isZstd(head []byte) bool {
	if startsWith(head, "\x28\xb5\x2f\xfd") {
		return true
	}
	// A skippable frame, RFC 8878 section 3.1.2; parallel compressors begin
	// with one.
	return len(head) >= 4 && head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18"
}

func startsWith(head []byte, magic string) bool {
	n := min(len(head), len(magic))
	return n >= 2 && string(head[:n]) == magic[:n]
}

// unreadName names the form that the file is packed in where it is one that is
// not read, else it is empty.
func unreadName(head []byte) string {
	for _, u := range []struct{ magic, name string }{
		{"\xfd7zXZ\x00", "xz"},
		{"PK\x03\x04", "zip"},
		{"7z\xbc\xaf\x27\x1c", "7-Zip"},
		{"\x04\x22\x4d\x18", "lz4"},
	} {
		if bytes.HasPrefix(head, []byte(u.magic)) {
			return u.name
		}
	}
	if len(head) == 10 && string(head[:3]) == "BZh" && string(head[4:]) == "\x31\x41\x59\x26\x53\x59" {
		return "bzip2"
	}
	return ""
}

// gzipText reads the members of a gzip file one by one. The library's own
// multistream mode takes a file cut within a later member's header for whole.
type gzipText struct {
	src    *bufio.Reader
	member *gzip.Reader // nil before the first
}

func (g *gzipText) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if g.member == nil {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	for {
		n, err := g.member.Read(p)
		if errors.Is(err, io.EOF) {
			err = g.next()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// next goes to the next member, or returns io.EOF where the file ends.
func (g *gzipText) next() error {
	head, err := g.src.Peek(2)
	switch {
	case len(head) == 0:
		return err
	case g.member == nil:
		g.member = new(gzip.Reader)
	case string(head) != "\x1f\x8b"[:len(head)]:
		return errTrailing
	}
	if err := g.member.Reset(g.src); err != nil {
		return noEOF(err)
	}
	g.member.Multistream(false)
	return nil
}

// noEOF keeps a header that ends early from looking like the file's end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (g *gzipText) Close() error { return nil }

// zstdText reads the frames of a zstd file.
type zstdText struct{ decoder *zstd.Decoder }

func newZstdText(r io.Reader) (*zstdText, error) {
	// Concurrency 1 decodes within Read: no goroutines, one window in memory.
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
	if err != nil {
		return nil, err
	}
	return &zstdText{d}, nil
}

func (z *zstdText) Read(p []byte) (int, error) { return z.decoder.Read(p) }

func (z *zstdText) Close() error {
	z.decoder.Close()
	return nil
}

// explain words what a decompressor found wrong with the data.
func explain(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("ends in the middle of its compressed data, expected a whole file: copy or download it again (%w)", io.ErrUnexpectedEOF)
	case errors.Is(err, errTrailing), errors.Is(err, zstd.ErrMagicMismatch):
		return fmt.Errorf("other bytes follow the end of its compressed data, expected nothing or more of the same form: pack the list again (%w)", err)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("zstd data needs a window over %s, expected at most that much: pack the list without --long and --ultra (%w)", size(zstdWindow), err)
	case errors.Is(err, zstd.ErrUnknownDictionary):
		return fmt.Errorf("zstd data needs a dictionary, expected none: pack the list without one (%w)", err)
	default:
		return fmt.Errorf("compressed data is damaged, expected it to unpack: copy or download it again (%w)", err)
	}
}
