package feed

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
)

// errFileGrew ends the reading of a file that has more bytes than its limit,
// whatever its size said when it was opened.
var errFileGrew = errors.New("file is larger than its limit")

// disk reads a file as it is stored: counted, bounded, digested.
type disk struct {
	r     io.Reader
	limit int64
	read  int64
	hash  hash.Hash
	fault error // what ended reading before the end of the file
}

func newDisk(r io.Reader, limit int64) *disk {
	return &disk{r: r, limit: limit, hash: sha256.New()}
}

func (d *disk) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	d.read += int64(n)
	if d.read > d.limit {
		n, err = 0, errFileGrew
	}
	if err != nil && !errors.Is(err, io.EOF) {
		d.fault = err
	}
	d.hash.Write(p[:n])
	return n, err
}

func (d *disk) digest() string {
	return "sha256:" + hex.EncodeToString(d.hash.Sum(nil))
}
