package feed

import "path/filepath"

// index finds the targets that an event touches without asking each, since most
// events are of other files in the same directories: a journal, a log.
type index struct {
	names map[string][]touch
	globs map[string][]globTouch // by directory
}

type touch struct {
	target *target
	turns  bool // its trail must be followed anew
}

type globTouch struct {
	touch
	part string
}

func newIndex(targets []*target) index {
	x := index{names: make(map[string][]touch), globs: make(map[string][]globTouch)}
	for _, t := range targets {
		for name, turns := range t.trail.names {
			x.names[name] = append(x.names[name], touch{t, turns})
		}
		for _, g := range t.trail.globs {
			x.globs[g.dir] = append(x.globs[g.dir], globTouch{touch{t, g.turns}, g.part})
		}
	}
	return x
}

// at calls found for each target that an event of path touches.
func (x index) at(path string, found func(touch)) {
	for _, t := range x.names[path] {
		found(t)
	}
	if len(x.globs) == 0 {
		return
	}
	dir, name := filepath.Split(path)
	for _, g := range x.globs[filepath.Clean(dir)] {
		if matches(g.part, name) {
			found(g.touch)
		}
	}
}
