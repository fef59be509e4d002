package feed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

const separator = string(filepath.Separator)

// Expand is the files of a pattern in byte order. A path without glob
// characters gives itself, also when nothing stands there: opening it says so.
// A glob (*, ?, [a-z], in any part of the path; \ before a literal one) without
// a match gives none. Out of a glob stay directories, hidden files, and what
// editors and copying programs leave behind. A directory that cannot be listed
// is an error, since files in it would be missed in silence.
func Expand(pattern string) ([]string, error) {
	if pattern == "" {
		return nil, errors.New("empty path, expected a file or a glob")
	}
	if !hasMeta(pattern) {
		return []string{pattern}, nil
	}
	root, parts := split(filepath.Clean(pattern))
	for _, part := range parts {
		if err := checkGlob(part); err != nil {
			return nil, fmt.Errorf("%s: %w", pattern, err)
		}
	}
	files, err := expand(nil, root, parts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pattern, err)
	}
	slices.Sort(files)
	return files, nil
}

// expand appends to files those below dir that parts describe.
func expand(files []string, dir string, parts []string) ([]string, error) {
	part, rest := parts[0], parts[1:]
	if !hasMeta(part) {
		return expandName(files, dir, part, rest)
	}
	names, err := match(dir, part)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if files, err = expandName(files, dir, name, rest); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func expandName(files []string, dir, name string, rest []string) ([]string, error) {
	path := filepath.Join(dir, name)
	if len(rest) > 0 {
		return expand(files, path, rest)
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return files, nil
	}
	// What is there or cannot be looked at, such as a link that leads nowhere,
	// is kept, so that opening it says so.
	if _, err := os.Lstat(path); !absent(err) {
		files = append(files, path)
	}
	return files, nil
}

// match is the names in dir that the glob part takes, none where dir is not a
// directory. dir may be empty for the working directory.
func match(dir, part string) ([]string, error) {
	if dir == "" {
		dir = "."
	}
	f, err := os.Open(dir)
	if err == nil {
		defer f.Close()
		var all []string
		if all, err = f.Readdirnames(-1); err == nil {
			return slices.DeleteFunc(all, func(name string) bool { return !matches(part, name) }), nil
		}
	}
	if absent(err) {
		return nil, nil
	}
	return nil, fmt.Errorf("cannot list the directory %s: %w, expected to read it: let the server's user (uid %d) read it",
		dir, cause(err), os.Geteuid())
}

// absent tells that nothing stands at a path, so that a glob passes over it.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// matches tells whether the glob part takes a name in its directory.
func matches(part, name string) bool {
	ok, err := filepath.Match(part, name)
	return ok && err == nil && !leftover(name)
}

// leftover tells names that are never meant by a glob: hidden ones (among them
// the data directories of Kubernetes volumes), and what is there only while or
// because something else is written.
func leftover(name string) bool {
	switch {
	case strings.HasPrefix(name, "."),
		strings.HasSuffix(name, "~"), strings.HasSuffix(name, ".tmp"),
		strings.HasSuffix(name, ".swp"), strings.HasSuffix(name, ".swo"), strings.HasSuffix(name, ".swx"),
		strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#"),
		name == "4913": // vim tries whether it may create a file
		return true
	}
	return false
}

// Quote is the pattern of the one file at path, whatever characters it has.
func Quote(path string) string {
	if runtime.GOOS == "windows" || !hasMeta(path) {
		return path
	}
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(path)
}

func hasMeta(path string) bool {
	if runtime.GOOS == "windows" {
		return strings.ContainsAny(path, "*?[")
	}
	return strings.ContainsAny(path, `*?[\`)
}

func checkGlob(part string) error {
	if part == "**" {
		return errors.New("** is not understood: write one * for each level of directories")
	}
	if _, err := filepath.Match(part, ""); err != nil {
		return fmt.Errorf("%q is not a glob, expected *, ? or [a-z]: write \\ before a character that is meant literally", part)
	}
	return nil
}

// split takes a clean path apart into what it starts from ("" for the working
// directory) and the parts below.
func split(path string) (root string, parts []string) {
	root = filepath.VolumeName(path)
	path = path[len(root):]
	if strings.HasPrefix(path, separator) {
		root += separator
		path = path[len(separator):]
	}
	if path == "" {
		return root, nil
	}
	return root, strings.Split(path, separator)
}
