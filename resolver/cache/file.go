package cache

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A file of answers is magic, records and their end, and a digest of all before it:
//
//	record  length of the rest (32 bits), stored, expires (Unix nanoseconds, 64 bits),
//	        length of the key (16 bits), key, message
//	end     a length of 0
//	digest  SHA-256
//
// Numbers are in network order. What else an entry has is found in the message.
const (
	kind         = "sinkhole cache " // of all versions
	magic        = kind + "1\n"
	recordHeader = 8 + 8 + 2
	maxRecord    = recordHeader + MaxKey + 1<<16
	// saveStep is how many octets are written at a time; between them the writer pauses.
	saveStep = 1 << 20
)

var (
	errVersion = errors.New("it is of another version of this program, or not whole")
	errDamaged = errors.New("it is damaged: its digest is another")
	// ErrForeign says that something else is where the file should be.
	ErrForeign = errors.New("it is no file of answers: it is left alone")
	// ErrFlushed says that a flush came while a file was written, which therefore is not
	// kept.
	ErrFlushed = errors.New("the cache was flushed meanwhile")
)

// Saved is an answer in a file. Who reads one believes nothing of it.
type Saved struct {
	Key, Packed     []byte // good until the next one is read
	Stored, Expires int64
}

// File is where answers outlive a restart. What is in it tells what clients asked for:
// it is its owner's alone. Its methods may be called by any number of goroutines, Save
// by one at a time.
type File struct {
	Path string

	mu sync.Mutex // from the look whether there was a flush to the end of the rename
}

// Remove has what was flushed not come back by a restart.
func (f *File) Remove() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := removeOwn(f.Path); !errors.Is(err, ErrForeign) {
		return err
	}
	return nil
}

// removeOwn removes a file of answers, if there is one, and nothing else.
func removeOwn(path string) error {
	if err := own(path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// own tells whether nothing is at a path, or what begins as a file of answers does:
// all else is somebody's, whose path was written by mistake.
func own(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: %w", path, ErrForeign)
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	beginning := make([]byte, len(kind))
	n, err := io.ReadFull(file, beginning)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if string(beginning[:n]) != kind[:n] {
		return fmt.Errorf("%s: %w", path, ErrForeign)
	}
	return nil
}

// Save writes all answers of c that may still be given, in place of what was there, as
// a whole or not at all, and says how many. After each step of 1 MiB it pauses.
func (f *File) Save(ctx context.Context, c *Cache, pause time.Duration) (n int, err error) {
	generation := c.Generation()
	draft := f.Path + ".new"
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o750); err != nil {
		return 0, err
	}
	if err := errors.Join(own(f.Path), removeOwn(draft)); err != nil { // one left over may be of another mode
		return 0, err
	}
	file, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	n, err = c.writeTo(ctx, file, pause)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = f.replace(draft, func() bool { return c.Generation() == generation })
	}
	if err != nil {
		os.Remove(draft)
		return 0, err
	}
	return n, syncDir(filepath.Dir(f.Path))
}

func (f *File) replace(draft string, current func() bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !current() {
		return ErrFlushed
	}
	if err := own(f.Path); err != nil {
		return err
	}
	return os.Rename(draft, f.Path)
}

// syncDir has a rename survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// writeTo writes what a file holds.
func (c *Cache) writeTo(ctx context.Context, out io.Writer, pause time.Duration) (n int, err error) {
	w := saver{ctx: ctx, out: out, pause: pause, digest: sha256.New()}
	w.buffer = append(w.buffer, magic...)
	now := time.Now().UnixNano()
	for i := range c.shards {
		s := &c.shards[i]
		var entries []*Entry
		s.each(func(_ uint64, at slot) {
			if at.entry.Key[len(at.entry.Key)-1]&failureFlag == 0 && at.entry.Expires+s.stale > now {
				entries = append(entries, at.entry)
			}
		})
		for _, e := range entries {
			w.record(e)
		}
		n += len(entries)
	}
	w.buffer = binary.BigEndian.AppendUint32(w.buffer, 0)
	w.flush()
	w.buffer = w.digest.Sum(nil)
	w.flush()
	return n, w.err
}

// saver writes until something fails.
type saver struct {
	ctx    context.Context
	out    io.Writer
	pause  time.Duration
	buffer []byte
	digest hash.Hash
	err    error
}

func (w *saver) record(e *Entry) {
	b := binary.BigEndian.AppendUint32(w.buffer, uint32(recordHeader+len(e.Key)+len(e.Packed)))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Stored))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Expires))
	b = binary.BigEndian.AppendUint16(b, uint16(len(e.Key)))
	w.buffer = append(append(b, e.Key...), e.Packed...)
	if len(w.buffer) < saveStep {
		return
	}
	w.flush()
	if w.err == nil && w.pause > 0 {
		select {
		case <-time.After(w.pause):
		case <-w.ctx.Done():
		}
	}
}

func (w *saver) flush() {
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if w.err == nil {
		w.digest.Write(w.buffer)
		_, w.err = w.out.Write(w.buffer)
	}
	w.buffer = w.buffer[:0]
}

// Load reads what Save has written, and gives each answer to keep, until that says no.
// A file that is damaged, or others can write to, is not used at all.
func (f *File) Load(keep func(Saved) bool) error {
	if err := own(f.Path); err != nil {
		return err
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return err
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s: found mode %04o, which lets others change answers, expected 0600: remove it", f.Path, info.Mode().Perm())
	}
	if err := load(file, info.Size(), keep); err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	return nil
}

func load(file io.ReaderAt, size int64, keep func(Saved) bool) error {
	body := size - sha256.Size
	if body < int64(len(magic))+4 {
		return errVersion
	}
	beginning := make([]byte, len(magic))
	if _, err := file.ReadAt(beginning, 0); err != nil {
		return err
	}
	if string(beginning) != magic {
		return errVersion
	}
	digest, stated := sha256.New(), make([]byte, sha256.Size)
	if _, err := io.Copy(digest, io.NewSectionReader(file, 0, body)); err != nil {
		return err
	}
	if _, err := file.ReadAt(stated, body); err != nil {
		return err
	}
	if !bytes.Equal(digest.Sum(nil), stated) {
		return errDamaged
	}
	start := int64(len(magic))
	return records(bufio.NewReaderSize(io.NewSectionReader(file, start, body-start), 1<<16), keep)
}

// records reads what follows the magic.
func records(in io.Reader, keep func(Saved) bool) error {
	var record [maxRecord]byte
	for {
		if _, err := io.ReadFull(in, record[:4]); err != nil {
			return errVersion
		}
		n := binary.BigEndian.Uint32(record[:4])
		if n == 0 {
			return nil
		}
		if n < recordHeader || n > maxRecord {
			return errVersion
		}
		if _, err := io.ReadFull(in, record[:n]); err != nil {
			return errVersion
		}
		rest := record[recordHeader:n]
		key := int(binary.BigEndian.Uint16(record[16:]))
		if key > MaxKey || key > len(rest) {
			return errVersion
		}
		if !keep(Saved{
			Key: rest[:key], Packed: rest[key:],
			Stored: int64(binary.BigEndian.Uint64(record[:])), Expires: int64(binary.BigEndian.Uint64(record[8:])),
		}) {
			return nil
		}
	}
}
