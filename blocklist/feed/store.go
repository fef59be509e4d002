package feed

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// StoreOptions is what [OpenStore] needs beside the directory.
type StoreOptions struct {
	// ReadOnly opens the store beside the server that owns it: nothing is
	// created, locked or removed, and every call sees what is on disk then.
	ReadOnly bool
	Logger   *zap.Logger // nil: silent
}

// Store keeps the copies of lists that come over the network: of each the last
// good one, the one before it, and one that is held. Its methods may be called
// from any goroutine; those that change it return once the change is on disk.
// Each list has a directory of its own, see [Store.Dir].
type Store struct {
	dir      string
	readOnly bool
	log      *zap.Logger
	lock     *os.File

	mu      sync.Mutex
	shelves map[string]*shelf
	told    []func(name string) // of lists whose copy was found damaged
}

const (
	dirMode  = 0o700
	fileMode = 0o600
)

// ErrReadOnly is returned by what would change a store opened with
// StoreOptions.ReadOnly.
var ErrReadOnly = errors.New("the list store is open for reading only")

// OpenStore opens the store in dir, and makes it if it is not there. A second
// server on the same directory is refused.
func OpenStore(dir string, o StoreOptions) (*Store, error) {
	s := &Store{dir: dir, readOnly: o.ReadOnly, log: o.Logger, shelves: map[string]*shelf{}}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if s.readOnly {
		return s, nil
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, storeError(err)
	}
	var err error
	s.lock, err = lockStore(dir)
	return s, err
}

// Close gives up the lock. Nothing is lost without it.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// Entry is what the store holds of the list name from source: copies of the same
// list from another source are as if they were not there.
func (s *Store) Entry(name, source string) Entry {
	return s.shelf(name).load().of(sourceDigestOf(source))
}

// Open opens a copy for reading. Reading ends in an error that is [ErrDamaged]
// if the file is not what was once written there; the store has then given the
// copy up, and Entry tells what is left (the previous copy, if there is one).
func (s *Store) Open(name string, c Copy, l Limits) (*Content, error) {
	return s.shelf(name).open(c, l)
}

// Path is where a copy of the list lies.
func (s *Store) Path(name string, c Copy) string { return s.shelf(name).path(c.Digest) }

// Dir is the list's own directory, made if it is not there (but not by a store
// open for reading). Others may keep files of the list there; names that end in
// ".copy" or ".tmp", and state.json, are the store's.
func (s *Store) Dir(name string) (string, error) {
	sh := s.shelf(name)
	if s.readOnly {
		return sh.dir, nil
	}
	return sh.dir, sh.make()
}

// Create begins a draft: the content of the list to come.
func (s *Store) Create(name, source string) (*Draft, error) {
	if s.readOnly {
		return nil, ErrReadOnly
	}
	return s.shelf(name).create(source)
}

// Settle does with a candidate what the judgement says, and tells what is held
// of the list then. The error is that of the disk; then the list is as it was
// before. A rejection is no error here, and changes nothing unless the candidate
// was held already.
func (s *Store) Settle(c Candidate, j Judgement) (Entry, error) {
	defer s.release(c)
	sh := s.shelf(c.Name)
	var err error
	switch j.verdict {
	case accepted:
		err = sh.change(func(e Entry) Entry { return e.accept(c.Copy) })
	case held:
		err = sh.change(func(e Entry) Entry { return e.hold(c.Copy, j.reason, time.Now().UTC()) })
	case rejected:
		if c.Again {
			err = sh.change(func(e Entry) Entry { return e.drop(c.Digest) })
		}
	}
	return sh.load().of(c.from), err
}

// release ends the life of a candidate: its file goes unless a copy has it.
func (s *Store) release(c Candidate) { s.shelf(c.Name).settled(c.Digest) }

// verify reads a copy through unless that was done before, and gives it up if it
// is damaged.
func (s *Store) verify(name string, c Copy) error { return s.shelf(name).verify(c) }

// Confirm notes that the source says now that the copy with this digest is
// current, and replaces its validator and detail. If it is the good one, a copy
// that was held is dropped: the source has gone back to what serves.
func (s *Store) Confirm(name, source, digest string, v Validator, detail json.RawMessage) (Entry, error) {
	sh := s.shelf(name)
	err := sh.change(func(e Entry) Entry { return e.confirm(sourceDigestOf(source), digest, v, detail, time.Now().UTC()) })
	return sh.load().of(sourceDigestOf(source)), err
}

// Approve makes the held copy the good one. The digest is the one that was
// looked at; if another is held by now, nothing is done and the error says so.
func (s *Store) Approve(name, source, digest string) (Entry, error) {
	sh := s.shelf(name)
	var refusal error
	err := sh.change(func(e Entry) Entry {
		switch waiting := e.of(sourceDigestOf(source)).Held; {
		case waiting == nil:
			refusal = fmt.Errorf("list %s: nothing is held: expected an update that waits for approval", name)
		case waiting.Digest != digest:
			refusal = fmt.Errorf("list %s: held is %s by now, not %s any more: look at the new one and approve that", name, waiting.Digest, digest)
		default:
			return e.accept(waiting.Copy)
		}
		return e
	})
	return sh.load().of(sourceDigestOf(source)), errors.Join(refusal, err)
}

// Damaged gives up the copy with this digest, whichever it is. If it was the
// good one, the previous takes its place. Open calls it by itself.
func (s *Store) Damaged(name, digest string) error {
	s.log.Error("copy of a list is damaged on disk and not used", zap.String("list", name), zap.String("expected", digest))
	err := s.shelf(name).change(func(e Entry) Entry { return e.without(digest) })
	s.mu.Lock()
	told := slices.Clone(s.told)
	s.mu.Unlock()
	for _, tell := range told {
		tell(name)
	}
	return err
}

// tellDamage has tell called with the names of lists whose copy is found
// damaged. It must not wait for anything.
func (s *Store) tellDamage(tell func(name string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, tell)
}

func (s *Store) shelf(name string) *shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shelves[name]
	if sh == nil {
		sh = &shelf{store: s, name: name, dir: filepath.Join(s.dir, dirName(name)), live: map[string]int{}, whole: map[string]bool{}}
		s.shelves[name] = sh
	}
	return sh
}

// dirName is the name of a list's directory: what a person recognizes of the
// list's name, and so much of the name's digest that no two lists share one,
// whatever their names are and whether or not the file system minds case.
func dirName(name string) string {
	const shown, told = 40, 16
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, name)
	sum := sha256.Sum256([]byte(name))
	return listDirPrefix + plain[:min(shown, len(plain))] + "-" + hex.EncodeToString(sum[:])[:told]
}

const listDirPrefix = "list-"

// isListDir tells directories of lists from those of others.
func isListDir(name string) bool { return strings.HasPrefix(name, listDirPrefix) }

func dirNames(names []string) map[string]bool {
	all := make(map[string]bool)
	for _, name := range names {
		all[dirName(name)] = true
	}
	return all
}
