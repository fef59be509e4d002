package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
)

const (
	stateName    = "state.json"
	stateVersion = 1

	copySuffix = ".copy"
	tempSuffix = ".tmp"
)

// ErrDamaged is the error of a copy that is not what was once written.
var ErrDamaged = errors.New("copy is damaged")

// shelf is a list's directory in a store:
//
//	state.json       what is good, previous and held, each by its digest
//	DIGEST.copy      the content
//	*.tmp            being written
//
// The renaming of a new state.json is the one moment at which anything changes;
// contents are named by their digests, so a state and the contents that it means
// cannot be of different fetches.
type shelf struct {
	store *Store
	name  string // of the list
	dir   string

	entry atomic.Pointer[Entry] // nil: not read yet

	changing sync.Mutex      // held while the directory is changed; guards the rest
	live     map[string]int  // digests of candidates that are not settled yet
	whole    map[string]bool // digests of files that this process has written or read whole
}

// load is what is on the shelf.
func (sh *shelf) load() Entry {
	if sh.store.readOnly {
		return sh.look()
	}
	if e := sh.entry.Load(); e != nil {
		return *e
	}
	sh.changing.Lock()
	defer sh.changing.Unlock()
	return sh.first()
}

// look is what is on the shelf of another process. A copy may go between the
// reading of the state and the look at the copy: then the state is another.
func (sh *shelf) look() Entry {
	const tries = 3
	for try := 1; ; try++ {
		found, err := sh.read()
		if len(found.missing) == 0 && err == nil || try == tries {
			return sh.use(found, err)
		}
	}
}

// first reads the state, once, and tidies what a crash may have left. The caller
// holds changing.
func (sh *shelf) first() Entry {
	if e := sh.entry.Load(); e != nil {
		return *e
	}
	found, err := sh.read()
	e := sh.use(found, err)
	sh.entry.Store(&e)
	if err == nil { // else a person may want to look
		sh.tidy(true)
	}
	if found.revealing {
		if err := sh.write(found.Entry); err != nil {
			sh.store.log.Error("state of a list's copies, which may show a secret of its source, could not be written anew", zap.String("list", sh.name), zap.Error(err))
		}
	}
	return e
}

// found is what is on disk.
type found struct {
	Entry
	missing   []Copy // those of its copies that are plainly not there
	revealing bool   // see [state.entry]
}

// use is the entry without the copies that are missing. It logs what is wrong.
func (sh *shelf) use(f found, err error) Entry {
	log := sh.store.log.With(zap.String("list", sh.name))
	if err != nil {
		log.Error("state of a list's copies cannot be used", zap.Error(err))
	}
	e := f.Entry
	for _, c := range f.missing {
		log.Error("copy of a list is missing or of another size, and not used", zap.String("path", sh.path(c.Digest)), zap.Int64("expected", c.Size))
		e = e.without(c.Digest)
	}
	return e
}

func (sh *shelf) read() (f found, err error) {
	empty := found{Entry: Entry{Name: sh.name}}
	path := filepath.Join(sh.dir, stateName)
	text, err := os.ReadFile(path)
	if absent(err) {
		return empty, nil
	}
	if err != nil {
		return empty, err
	}
	var st state
	switch err := json.Unmarshal(text, &st); {
	case err != nil:
		return empty, fmt.Errorf("%s: %w, expected JSON: remove the file, the list is then fetched again", path, err)
	case st.Version != stateVersion:
		return empty, fmt.Errorf("%s: version %d, expected %d: the list is fetched again", path, st.Version, stateVersion)
	case st.Name != string([]rune(sh.name)): // JSON has no octets that are not UTF-8
		return empty, fmt.Errorf("%s: holds the list %q, expected %q: remove the directory", path, st.Name, sh.name)
	}
	f.Entry, f.revealing = st.entry()
	f.Name = sh.name
	for _, c := range f.copies() {
		info, err := os.Stat(sh.path(c.Digest))
		if !validDigest(c.Digest) || err != nil || info.Size() != c.Size {
			f.missing = append(f.missing, *c)
		}
	}
	return f, nil
}

// validDigest keeps a state that was tampered with from naming other files.
func validDigest(digest string) bool {
	hex, found := strings.CutPrefix(digest, digestPrefix)
	return found && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

func (sh *shelf) path(digest string) string {
	return filepath.Join(sh.dir, strings.TrimPrefix(digest, digestPrefix)+copySuffix)
}

func (sh *shelf) make() error {
	if err := os.MkdirAll(sh.dir, dirMode); err != nil {
		return storeError(err)
	}
	return nil
}

// change replaces the entry on disk, then in memory.
func (sh *shelf) change(how func(Entry) Entry) error {
	if sh.store.readOnly {
		return ErrReadOnly
	}
	sh.changing.Lock()
	defer sh.changing.Unlock()
	old := sh.first()
	next := how(old)
	if next == old {
		return nil
	}
	if err := sh.write(next); err != nil {
		return storeError(err)
	}
	sh.entry.Store(&next)
	sh.tidy(false)
	return nil
}

// write puts the entry on disk: whole or not at all.
func (sh *shelf) write(e Entry) error {
	if err := sh.make(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(storedState(e), "", "\t")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(sh.dir, "state-*"+tempSuffix)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return publish(f, err, filepath.Join(sh.dir, stateName))
}

// publish gives a finished temporary file its name, durably; or removes it if
// writing it has failed.
func publish(f *os.File, err error, path string) error {
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// tidy removes contents that nothing refers to and, at the start, files that
// were being written when the last process ended. The caller holds changing.
func (sh *shelf) tidy(start bool) {
	files, err := os.ReadDir(sh.dir)
	if err != nil {
		return
	}
	e := *sh.entry.Load()
	for _, f := range files {
		hex, isCopy := strings.CutSuffix(f.Name(), copySuffix)
		digest := digestPrefix + hex
		if isCopy && !e.has(digest) && sh.live[digest] == 0 || start && strings.HasSuffix(f.Name(), tempSuffix) {
			os.Remove(filepath.Join(sh.dir, f.Name()))
			delete(sh.whole, digest)
		}
	}
}

// settled ends the life of a candidate.
func (sh *shelf) settled(digest string) {
	sh.changing.Lock()
	defer sh.changing.Unlock()
	if sh.live[digest]--; sh.live[digest] <= 0 {
		delete(sh.live, digest)
	}
	if e := sh.entry.Load(); e != nil {
		sh.tidy(false)
	}
}

func (sh *shelf) verify(c Copy) error {
	sh.changing.Lock()
	known := sh.whole[c.Digest]
	sh.changing.Unlock()
	if known {
		return nil
	}
	content, err := sh.open(c, Limits{File: c.Size})
	if err != nil {
		return err
	}
	defer content.Close()
	if err := content.check(); err != nil {
		return err
	}
	sh.noteWhole(c.Digest)
	return nil
}

func (sh *shelf) noteWhole(digest string) {
	sh.changing.Lock()
	defer sh.changing.Unlock()
	sh.whole[digest] = true
}

// open opens a copy and has its digest checked as it is read.
func (sh *shelf) open(c Copy, l Limits) (*Content, error) {
	content, err := Open(sh.path(c.Digest), l)
	if err != nil {
		return nil, err
	}
	content.expect(c.Digest, func() {
		if !sh.store.readOnly {
			if err := sh.store.Damaged(sh.name, c.Digest); err != nil {
				sh.store.log.Error("damaged copy could not be given up", zap.String("list", sh.name), zap.Error(err))
			}
		}
	})
	return content, nil
}
