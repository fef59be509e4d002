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

	dirty   bool      // something happened since; to be compared when it has settled
	since   time.Time // when it became dirty
	touched time.Time // the last event since then; zero if polling made it dirty
	// seen is how an unsettled target looked last, nil without a look: only
	// another one tells whether its files are still being written.
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

// touch notes an event.
func (t *target) touch(now time.Time) {
	if !t.dirty {
		t.dirty, t.since = true, now
	}
	t.touched = now
}

// clean ends what made the target dirty.
func (t *target) clean() {
	t.dirty, t.since, t.touched, t.seen = false, time.Time{}, time.Time{}, nil
}

// changed compares the target's files with what was last told.
func (t *target) changed(now snapshot) bool {
	if !t.told.equal(now) {
		return true
	}
	return !t.touched.IsZero() && t.told.blurred()
}

// resting is true if no file of the target is being written, as far as that
// can be told: its events have been over for settle, or another look at least
// settle ago saw the same.
func (t *target) resting(now snapshot, settle time.Duration) bool {
	if !t.touched.IsZero() && now.taken.Sub(t.touched) >= settle {
		return true
	}
	return t.seen != nil && t.seen.equal(now) && now.taken.Sub(t.seen.taken) >= settle
}

// look keeps a look at a target that is not resting, unless the one before saw
// the same.
func (t *target) look(now snapshot) {
	if t.seen == nil || !t.seen.equal(now) {
		t.seen = &now
	}
}
