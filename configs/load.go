package configs

import (
	_ "embed" // for the reference and the sample list
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxFile bounds a configuration file. A real one has a few kilobytes.
const maxFile = 1 << 20

// embeddedName stands for the reference in messages.
const embeddedName = "sinkhole.yaml (embedded)"

//go:embed sinkhole.yaml
var reference []byte

//go:embed sample.csv
var sample []byte

// Reference is the reference configuration, every key with its default and a
// comment.
func Reference() []byte { return append([]byte(nil), reference...) }

// Sample is the embedded sample list, in CSV: reserved names and addresses
// only. A list has it by the source [EmbeddedSample].
func Sample() []byte { return append([]byte(nil), sample...) }

// EmbeddedSample is the source of a list that names the embedded [Sample].
const EmbeddedSample = "embedded:sample"

// Load reads a configuration file. Its relative paths are relative to its
// directory. A file with mistakes gives [Faults], all of them.
func Load(path string) (*Config, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("%s: cannot find its directory: %w", path, err)
	}
	return Parse(path, data, filepath.Dir(absolute))
}

// Embedded is the reference configuration, its paths relative to the working
// directory.
func Embedded() (*Config, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("cannot find the working directory: %w", err)
	}
	return Parse(embeddedName, reference, dir)
}

// read reads a bounded regular file: a pipe could keep the start waiting, and
// could not be read again on reload.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w, expected a configuration file: correct the path, or put the file there", path, fs.ErrNotExist)
	case err != nil:
		return nil, refuse(path, err)
	case info.IsDir():
		return nil, fmt.Errorf("%s: is a directory, expected a configuration file: name the file in it", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is a device or pipe, expected a regular file: write the configuration to a file and name that", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, refuse(path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, refuse(path, err)
	}
	return data, nil
}

func refuse(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s: %w: let the user (uid %d) read the file and enter the directories above it", path, cause(err), os.Geteuid())
	}
	return fmt.Errorf("%s: %w, expected a configuration file that can be read", path, cause(err))
}

// cause is what the system said, without the path that the message has already.
func cause(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}
