package feed

import (
	"maps"
	"time"
)

// target is one watched pattern.
type target struct {
	pattern string
	trail   trail
	told    snapshot // what its files were when a change was last told

	dirty bool // something happened since; to be compared when it has settled
	// seen is what polling saw, nil if an event made it dirty: without events
	// only a second look tells whether a file is still being written.
	seen   *snapshot
	queued bool // a change is to be told
}

// snapshot is what the files of a pattern looked like.
type snapshot struct {
	taken time.Time
	files map[string]State
	fault string // why the pattern cannot be expanded
}

func look(pattern string) snapshot {
	s := snapshot{taken: time.Now()}
	files, err := Expand(pattern)
	if err != nil {
		s.fault = err.Error()
		return s
	}
	s.files = make(map[string]State, len(files))
	for _, file := range files {
		s.files[file], _ = Stat(file) // zero where it is missing
	}
	return s
}

func (s snapshot) equal(other snapshot) bool {
	return s.fault == other.fault && maps.Equal(s.files, other.files)
}

// clockTick is at least the step in which a kernel stamps files.
const clockTick = 20 * time.Millisecond

// blurred is true if a file was written so shortly before the snapshot that one
// more write of the same size would have left the same state.
func (s snapshot) blurred() bool {
	since := s.taken.Add(-clockTick).UnixNano()
	for _, state := range s.files {
		if state.Change >= since {
			return true
		}
	}
	return false
}

// changed compares the target's files with what was last told.
func (t *target) changed(now snapshot) bool {
	if !t.told.equal(now) {
		return true
	}
	return t.seen == nil && t.told.blurred()
}
