package feed

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/dustin/go-humanize"
)

// readSize is the size of one read from the file. Large reads keep the system
// calls and the digest's setup out of the picture.
const readSize = 256 << 10

// Content is one file of a source, opened and bounded: an io.ReadCloser over
// its decompressed bytes. It belongs to one goroutine.
type Content struct {
	path   string
	name   string // of path in messages
	file   *os.File
	state  State // when it was opened
	limits Limits

	disk *disk
	text io.ReadCloser
	read int64  // bytes of text handed out
	last byte   // of them
	sum  string // the digest, once all is read
	err  error  // sticky: how reading ended

	want    string // the digest that is expected; empty: any
	damaged func() // called once if it is another
}

// expect has reading end in ErrDamaged, and damaged called, if the file on disk
// has another digest.
func (c *Content) expect(digest string, damaged func()) { c.want, c.damaged = digest, damaged }

// Open opens the list at path, symbolic links followed. Only a regular file is
// opened; it never waits for the other end of a FIFO. gzip and zstd are told by
// their first bytes, not by the name. The error says what was found, what was
// expected and what to do; errors.Is finds fs.ErrNotExist and fs.ErrPermission.
func Open(path string, l Limits) (*Content, error) { return OpenAs(path, path, l) }

// OpenAs is Open of a file of which messages speak by another name: the URL that
// its content came from.
func OpenAs(path, name string, l Limits) (*Content, error) {
	l = l.withDefaults()
	file, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > l.File {
		file.Close()
		return nil, tooLarge(name, info.Size(), l.File)
	}

	c := &Content{path: path, name: name, file: file, state: stateOf(info), limits: l}
	c.disk = newDisk(file, l.File)
	c.text, err = decompress(bufio.NewReaderSize(c.disk, readSize))
	if err != nil {
		file.Close()
		return nil, c.explain(err)
	}
	return c, nil
}

// Read reads decompressed bytes. Its io.EOF means that the file was read whole:
// compressed data that ends early, or goes on as something else, is an error.
func (c *Content) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.text.Read(p)
	c.read += int64(n)
	if n > 0 {
		c.last = p[n-1]
	}
	switch {
	case c.read > c.limits.Text:
		n -= int(c.read - c.limits.Text)
		c.err = fmt.Errorf("%s: more than %s of text, expected at most that much: split the list into several files",
			c.name, size(c.limits.Text))
	case c.read > ratioFrom && c.read/c.limits.Ratio > c.disk.read:
		c.err = fmt.Errorf("%s: %s on disk became %s of text, expected at most %d times as much: this looks like a compression bomb; "+
			"if the list is meant to be so, store it uncompressed", c.name, size(c.disk.read), size(c.read), c.limits.Ratio)
	case errors.Is(err, io.EOF):
		c.sum, c.err = c.disk.digest(), io.EOF
		if damage := c.check(); damage != nil {
			c.sum, c.err = "", damage
		}
	case err != nil:
		c.err = c.explain(err)
		if damage := c.check(); damage != nil {
			c.err = damage
		}
	}
	return n, c.err
}

// check compares the digest of the file with the one that is expected, if any,
// once. What was not read of it yet is read for that.
func (c *Content) check() error {
	if c.want == "" {
		return nil
	}
	want := c.want
	c.want = ""
	if _, err := io.Copy(io.Discard, c.disk); err != nil {
		return c.explain(err)
	}
	if c.disk.digest() == want {
		return nil
	}
	c.damaged()
	return fmt.Errorf("%s: %w: its digest is %s, expected %s as it was written: it is not used, and fetched again", c.name, ErrDamaged, c.disk.digest(), want)
}

// Close releases the file. Digest, Changed and State stay usable.
func (c *Content) Close() error {
	if errors.Is(c.err, fs.ErrClosed) {
		return nil
	}
	damage := c.check() // whoever ended reading early may have met the damage
	c.err = fmt.Errorf("%s: %w", c.name, fs.ErrClosed)
	return errors.Join(damage, c.text.Close(), c.file.Close())
}

// Digest is "sha256:" and the hexadecimal SHA-256 of the bytes as they are on
// disk (compressed, if they are). It is empty until Read has returned io.EOF.
func (c *Content) Digest() string { return c.sum }

// Unended tells whether a plain text was read whole and its last line has no
// line end: it may be half written. Compressed data shows by itself whether it
// is whole.
func (c *Content) Unended() bool {
	return c.sum != "" && c.read > 0 && c.read == c.disk.read && c.last != '\n'
}

// State is what the file looked like when it was opened.
func (c *Content) State() State { return c.state }

// Changed tells whether the file at the path is no longer the one that was
// opened, or not as it was: then what was read may be a mixture of two contents
// or an old one, and should be read again. Ask after the last Read.
func (c *Content) Changed() (bool, error) {
	now, err := Stat(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: cannot tell whether it changed while it was read: %w", c.name, cause(err))
	}
	return now != c.state, nil
}

// explain turns an error from below Read into a sentence.
func (c *Content) explain(err error) error {
	switch fault := c.disk.fault; {
	case errors.Is(fault, errFileGrew):
		return tooLarge(c.name, c.disk.read, c.limits.File)
	case fault != nil:
		return fmt.Errorf("%s: cannot be read to its end: %w", c.name, cause(fault))
	case errors.Is(err, errUnread):
		return fmt.Errorf("%s: %w", c.name, err)
	default:
		return fmt.Errorf("%s: %w", c.name, explain(err))
	}
}

func tooLarge(path string, found, limit int64) error {
	return fmt.Errorf("%s: %s on disk, expected at most %s: split the list into several files", path, size(found), size(limit))
}

func size(n int64) string { return humanize.IBytes(uint64(n)) }
