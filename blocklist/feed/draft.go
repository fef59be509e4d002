package feed

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"os"
	"time"
)

const digestPrefix = "sha256:"

// Draft is a list's content while it is being written. It belongs to one
// goroutine, which ends it with Finish or Discard.
type Draft struct {
	shelf  *shelf
	source string
	file   *os.File
	hash   hash.Hash
	size   int64
	err    error // of the first write that failed
}

func (sh *shelf) create(source string) (*Draft, error) {
	sh.load() // tidies first, so that the draft is not taken for a left-over
	if err := sh.make(); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(sh.dir, "draft-*"+tempSuffix)
	if err != nil {
		return nil, storeError(err)
	}
	return &Draft{shelf: sh, source: source, file: f, hash: sha256.New()}, nil
}

// Write adds to the content.
func (d *Draft) Write(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.file.Write(p)
	d.hash.Write(p[:n])
	d.size += int64(n)
	if err != nil {
		d.err = storeError(err)
	}
	return n, d.err
}

// Size is how much was written.
func (d *Draft) Size() int64 { return d.size }

// Finish makes a candidate of what was written, safe against a crash. The
// candidate ends with [Store.Settle].
func (d *Draft) Finish(v Validator, detail json.RawMessage) (Candidate, error) {
	now := time.Now().UTC()
	digest := digestPrefix + hex.EncodeToString(d.hash.Sum(nil))
	sh := d.shelf
	sh.changing.Lock()
	defer sh.changing.Unlock()
	path := sh.path(digest)
	if err := publish(d.file, d.err, path); err != nil {
		return Candidate{}, storeError(err)
	}
	sh.live[digest]++
	sh.whole[digest] = true
	return Candidate{
		Name: sh.name,
		Path: path,
		Copy: Copy{
			Source: ShownSource(d.source), Digest: digest, Size: d.size, Fetched: now, Confirmed: now, Validator: v, Detail: detail,
			from: sourceDigestOf(d.source),
		},
	}, nil
}

// Discard throws away what was written.
func (d *Draft) Discard() {
	d.file.Close()
	os.Remove(d.file.Name())
}

// reader reads what was written from its beginning; nothing is written after.
func (d *Draft) reader() (io.Reader, error) {
	if d.err != nil {
		return nil, d.err
	}
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return nil, storeError(err)
	}
	return d.file, nil
}
