package webhook

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// told is the file of what the receiver took: a line for each machine and level, of a hash of
// its key, so that it names none. It is not the inventory's: a rebuild tells nothing anew.
type told struct {
	path  string
	first bool // there is none yet
	file  *os.File
	by    map[hash]toldOf
}

type hash [16]byte

type toldOf struct {
	level int
	seen  int64 // Unix seconds
}

func hashOf(key string) hash {
	sum := sha256.Sum256([]byte(key))
	return hash(sum[:16])
}

// openTold reads the file.
func openTold(path string) (*told, error) {
	t := &told{path: path, by: make(map[hash]toldOf)}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.first = true
		return t, nil
	}
	if err != nil {
		return t, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var text string
		var x toldOf
		var h hash
		if _, err := fmt.Sscanf(lines.Text(), "%32s %d %d", &text, &x.level, &x.seen); err != nil {
			continue // cut off by a crash: it is told again
		}
		if n, err := hex.Decode(h[:], []byte(text)); err != nil || n != len(h) {
			continue
		}
		t.by[h] = toldOf{max(x.level, t.by[h].level), max(x.seen, t.by[h].seen)}
	}
	return t, lines.Err()
}

// refresh forgets machines that were not seen since a time, of all that there are.
func (t *told) refresh(all []Change, since time.Time) error {
	for i := range all {
		h := hashOf(all[i].Key)
		if x, ok := t.by[h]; ok {
			x.seen = max(x.seen, all[i].LastSeen.Unix())
			t.by[h] = x
		}
	}
	for h, x := range t.by {
		if x.seen < since.Unix() {
			delete(t.by, h)
		}
	}
	return t.write()
}

// level is what was told of a machine; 0: nothing.
func (t *told) level(c *Change) int { return t.by[hashOf(c.Key)].level }

// begin takes as told what was there before a time.
func (t *told) begin(changes []Change, before time.Time) error {
	for i := range changes {
		if c := &changes[i]; c.FirstSeen.Before(before) {
			t.by[hashOf(c.Key)] = toldOf{c.Level, c.LastSeen.Unix()}
		}
	}
	t.first = false
	return t.write()
}

// add notes that a machine was told of.
func (t *told) add(c *Change) error {
	h, x := hashOf(c.Key), toldOf{c.Level, c.LastSeen.Unix()}
	t.by[h] = x
	if t.file == nil {
		var err error
		if t.file, err = os.OpenFile(t.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, toldMode); err != nil {
			return err
		}
	}
	_, err := t.file.WriteString(lineOf(h, x))
	return errors.Join(err, t.file.Sync())
}

func lineOf(h hash, x toldOf) string { return fmt.Sprintf("%x %d %d\n", h[:], x.level, x.seen) }

const toldMode = 0o640

// write replaces the file whole, also over a power cut.
func (t *told) write() (err error) {
	t.close()
	f, err := os.CreateTemp(filepath.Dir(t.path), filepath.Base(t.path)+".*.tmp")
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	for h, x := range t.by {
		if _, err = out.WriteString(lineOf(h, x)); err != nil {
			break
		}
	}
	if err = errors.Join(err, out.Flush(), f.Chmod(toldMode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), t.path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func (t *told) close() {
	if t.file != nil {
		t.file.Close()
		t.file = nil
	}
}
