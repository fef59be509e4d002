package feed

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"
)

// Adopt gives a list of which nothing is there what is kept of a list from the
// very same source that is none of names: it has been given another name since.
// The files of others are copied too. It returns the directory that they are from,
// "" where there is none. The old name keeps what it has until it is pruned.
func (s *Store) Adopt(name, source string, names []string) (from string, err error) {
	if s.readOnly {
		return "", ErrReadOnly
	}
	sh, digest := s.shelf(name), sourceDigestOf(source)
	if e := sh.load(); len(e.copies()) > 0 {
		return "", nil
	}
	from, good, err := s.abandoned(digest, names)
	if good == nil || err != nil {
		return "", err
	}
	if err := sh.take(from, *good); err != nil {
		return "", fmt.Errorf("what is kept in %s of the list %s under another name cannot be used: %w", from, name, err)
	}
	s.log.Info("the list has another name: its copy is used", zap.String("list", name), zap.String("from", from))
	return from, nil
}

// abandoned finds the copy from a source, confirmed last, among those of lists that
// are none of names.
func (s *Store) abandoned(source sourceDigest, names []string) (dir string, good *Copy, err error) {
	keep := dirNames(names)
	all, err := os.ReadDir(s.dir)
	if err != nil {
		return "", nil, storeError(err)
	}
	for _, d := range all {
		if keep[d.Name()] || !isListDir(d.Name()) {
			continue
		}
		path := filepath.Join(s.dir, d.Name())
		c := storedGood(path)
		if c != nil && c.from == source && (good == nil || c.Confirmed.After(good.Confirmed)) {
			dir, good = path, c
		}
	}
	return dir, good, nil
}

// take copies what another directory holds: the copy, what belongs to it, and what
// others keep there. It counts once the state is written.
func (sh *shelf) take(from string, good Copy) error {
	if err := sh.make(); err != nil {
		return err
	}
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	hex := strings.TrimPrefix(good.Digest, digestPrefix)
	for _, f := range files {
		switch own, suffix, _ := strings.Cut(f.Name(), "."); {
		case !f.Type().IsRegular(), f.Name() == stateName, f.Name() == unusedName, strings.HasSuffix(f.Name(), tempSuffix):
		case own != hex && ("."+suffix == copySuffix || "."+suffix == incrementsSuffix): // of other content
		default:
			if err := copyFile(filepath.Join(from, f.Name()), filepath.Join(sh.dir, f.Name())); err != nil {
				return err
			}
		}
	}
	return sh.change(func(Entry) Entry { return Entry{Name: sh.name, Good: &good} })
}

// copyFile copies a file durably, unless there is one in its place.
func copyFile(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return nil
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	f, err := os.CreateTemp(filepath.Dir(to), "adopted-*"+tempSuffix)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, source)
	return publish(f, err, to)
}

// storedGood is the good copy that a directory holds; nil where there is none that
// can be used.
func storedGood(dir string) *Copy {
	text, err := os.ReadFile(filepath.Join(dir, stateName))
	if err != nil {
		return nil
	}
	var st state
	if json.Unmarshal(text, &st) != nil || st.Version != stateVersion {
		return nil
	}
	e, _ := st.entry()
	if e.Good == nil || !validDigest(e.Good.Digest) {
		return nil
	}
	info, err := os.Stat(filepath.Join(dir, strings.TrimPrefix(e.Good.Digest, digestPrefix)+copySuffix))
	if err != nil || info.Size() != e.Good.Size {
		return nil
	}
	return e.Good
}
