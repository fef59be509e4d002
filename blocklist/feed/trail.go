package feed

import (
	"io/fs"
	"os"
	"path/filepath"
)

// maxLinks is how many symbolic links one path may lead through, as in Linux.
const maxLinks = 40

// trail is where an event can change what a pattern's files are or contain:
// each directory entry on the way from the root to the files, through every
// symbolic link, as far as the way exists. All paths are real paths: what
// stands before the last element is no symbolic link.
type trail struct {
	dirs map[string]bool // the directories that hold those entries
	// names are the entries. True: the way turns there (a directory, a link, or
	// where it ends for now), so the trail must be followed anew.
	names map[string]bool
	globs []globAt
}

// globAt is entries not known by name: those of dir that the glob part takes.
type globAt struct {
	dir, part string
	turns     bool // more parts follow: the entries are directories
}

// step is one element of a path on the way.
type step struct {
	name string
	glob bool
}

// follow goes along the pattern. It calls watch with each directory before it
// looks into it, so that whatever it does not see yet raises an event; file is
// true where an element of the pattern's last part is looked for.
func follow(pattern string, watch func(dir string, file bool)) (trail, error) {
	abs, err := filepath.Abs(pattern)
	if err != nil {
		return trail{}, err
	}
	root, parts := split(abs)
	glob := hasMeta(pattern)
	steps := make([]step, len(parts))
	for i, part := range parts {
		steps[i] = step{part, glob && hasMeta(part)}
	}
	t := trail{dirs: make(map[string]bool), names: make(map[string]bool)}
	t.walk(root, steps, 0, watch)
	return t, nil
}

func (t *trail) walk(dir string, steps []step, links int, watch func(string, bool)) {
	for len(steps) > 0 {
		s, rest := steps[0], steps[1:]
		switch s.name {
		case "", ".":
			steps = rest
			continue
		case "..":
			dir, steps = filepath.Dir(dir), rest
			continue
		}
		t.dirs[dir] = true
		watch(dir, len(rest) == 0)
		if s.glob {
			t.branch(dir, steps, links, watch)
			return
		}

		path := filepath.Join(dir, s.name)
		info, err := os.Lstat(path)
		link := err == nil && info.Mode()&fs.ModeSymlink != 0
		t.names[path] = t.names[path] || link || len(rest) > 0
		switch {
		case link:
			target, err := os.Readlink(path)
			if links++; err != nil || links > maxLinks {
				return
			}
			root, parts := split(target)
			if filepath.IsAbs(target) {
				dir = root
			}
			steps = make([]step, 0, len(parts)+len(rest))
			for _, part := range parts {
				steps = append(steps, step{name: part})
			}
			steps = append(steps, rest...)
		case err == nil && info.IsDir():
			dir, steps = path, rest
		default:
			return
		}
	}
}

// branch walks on from each entry of dir that the glob at steps[0] takes.
func (t *trail) branch(dir string, steps []step, links int, watch func(string, bool)) {
	rest := steps[1:]
	t.globs = append(t.globs, globAt{dir, steps[0].name, len(rest) > 0})
	names, err := match(dir, steps[0].name)
	if err != nil {
		return // reading the files says so
	}
	for _, name := range names {
		t.walk(dir, append([]step{{name: name}}, rest...), links, watch)
	}
}
