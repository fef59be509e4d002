package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sinkhole/hits"
)

// checkpoint keeps a position in a file.
type checkpoint struct{ dir, name string }

func (c checkpoint) path() string { return filepath.Join(c.dir, c.name) }

// load returns the zero Position where there is none yet, or none that can be read.
func (c checkpoint) load() (at hits.Position, err error) {
	data, err := os.ReadFile(c.path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return at, nil
	case err != nil:
		return at, err
	}
	if err := json.Unmarshal(data, &at); err != nil || at.Offset < 0 {
		return hits.Position{}, fmt.Errorf(`%s: found no position, expected one as in {"segment":1,"offset":0}`, c.path())
	}
	return at, nil
}

// store replaces the file whole, also over a power cut.
func (c checkpoint) store(at hits.Position) error {
	data, err := json.Marshal(at)
	if err != nil {
		return err
	}
	part := c.path() + ".tmp"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(part, c.path())
}
