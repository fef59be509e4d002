package blocklist

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"sinkhole/blocklist/feed"
	"sinkhole/blocklist/format"
)

// maxFaults bounds the faults that are kept of one list with their text; all
// are counted.
const maxFaults = 100

// maxFiles bounds the files of one glob.
const maxFiles = 10_000

// embeddedScheme marks a list that is part of the binary.
const embeddedScheme = "embedded:"

func isEmbedded(source string) bool { return strings.HasPrefix(source, embeddedScheme) }

// reading is the outcome of reading one list whole.
type reading struct {
	segment  segment
	files    []FileStatus
	faults   []Fault
	warnings []string
	version  string
	excess   int   // entries left out by the compiler
	err      error // the list as a whole could not be used
}

// Fault is a line of a list that was left out.
type Fault struct {
	File string
	format.Fault
}

func (f *Fault) String() string { return f.File + ":" + f.inFile() }

// inFile is the fault without its file.
func (f *Fault) inFile() string {
	at := strconv.Itoa(f.Line)
	if f.Column > 0 {
		at = fmt.Sprintf("%s:%d", at, f.Column)
	}
	if f.Text == "" {
		return fmt.Sprintf("%s: %s", at, f.Reason)
	}
	return fmt.Sprintf("%s: %q: %s", at, f.Text, f.Reason)
}

// readTries is how often a list is read at once if a file of it changes
// meanwhile; after that it is left to a retry.
const readTries = 3

var (
	errChanging = errors.New("the file changed while it was read: it is read again when it settles")
	errUnended  = fmt.Errorf("%w (its last line has no end yet)", errChanging)
)

// freshness is how long a file without a line end at its end must have been
// left alone to be taken for whole: half a name may be another name.
const freshness = time.Second

// readList reads all files of one list. Nothing of a list is used unless all of
// it could be read.
func readList(spec *Spec, defaultAction format.Action, embedded func(string) ([]byte, bool)) *reading {
	for try := 1; ; try++ {
		r := &reading{segment: segment{interner: newInterner()}}
		r.err = r.readAll(spec, defaultAction, embedded)
		if try == readTries || !errors.Is(r.err, errChanging) {
			return r
		}
		if errors.Is(r.err, errUnended) {
			time.Sleep(freshness)
		}
	}
}

func (r *reading) readAll(spec *Spec, defaultAction format.Action, embedded func(string) ([]byte, bool)) error {
	if name, found := strings.CutPrefix(spec.Source, embeddedScheme); found {
		return r.readEmbedded(spec, defaultAction, name, embedded)
	}
	paths, err := feed.Expand(spec.Source)
	if err != nil {
		return err
	}
	switch {
	case len(paths) == 0:
		return fmt.Errorf("%s: no file matches: expected at least one list file", spec.Source)
	case len(paths) > maxFiles:
		return fmt.Errorf("%s: %d files match: expected at most %d", spec.Source, len(paths), maxFiles)
	}
	for _, path := range paths {
		if err := r.readFile(spec, defaultAction, path); err != nil {
			return err
		}
	}
	r.version = versionOf(r.files)
	return r.allLeftOut(spec.Source)
}

// allLeftOut is an error where a list has entries and none can be used: that is
// another kind of list, and must not take the place of a good one.
func (r *reading) allLeftOut(source string) error {
	entries, refused := 0, 0
	for _, f := range r.files {
		entries += f.Entries
		refused += f.Refused
	}
	if entries > 0 || refused == 0 || len(r.faults) == 0 {
		return nil
	}
	return fmt.Errorf("%s: none of its %d entries can be used: expected names or addresses; the first: %s", source, refused, &r.faults[0])
}

func (r *reading) readEmbedded(spec *Spec, defaultAction format.Action, name string, embedded func(string) ([]byte, bool)) error {
	if embedded == nil {
		return fmt.Errorf("%s: no list is embedded here: expected a path", spec.Source)
	}
	text, found := embedded(name)
	if !found {
		return fmt.Errorf("%s: no embedded list is named %q: expected embedded:sample or a path", spec.Source, name)
	}
	if err := r.parse(spec, defaultAction, spec.Source, bytes.NewReader(text)); err != nil {
		return err
	}
	r.digest(fmt.Sprintf("sha256:%x", sha256.Sum256(text)))
	r.version = versionOf(r.files)
	return nil
}

func (r *reading) readFile(spec *Spec, defaultAction format.Action, path string) error {
	content, err := feed.Open(path, feed.Limits{})
	if err != nil {
		return err
	}
	defer content.Close()
	err = r.parse(spec, defaultAction, path, content)
	changed, unknown := content.Changed()
	_, failure := content.Read(nil)
	switch {
	case changed:
		return fmt.Errorf("%s: %w", path, errChanging)
	case failure != nil && !errors.Is(failure, io.EOF):
		return failure // it ended the reading, and names the path already
	case err != nil:
		return err
	case unknown != nil:
		return unknown
	}
	if content.Unended() && content.State().Age() < freshness {
		return fmt.Errorf("%s: %w", path, errUnended)
	}
	r.digest(content.Digest())
	return nil
}

// digest notes the digest of the file last read.
func (r *reading) digest(sum string) {
	r.files[len(r.files)-1].Digest = sum
	r.segment.files[len(r.segment.files)-1].version = sum
}

func (r *reading) parse(spec *Spec, defaultAction format.Action, name string, text io.Reader) error {
	r.segment.files = append(r.segment.files, file{name: name})
	var tooLarge error
	var first *Fault
	result, err := format.Parse(text, format.Options{Kind: spec.Format, Match: spec.Match},
		func(i *format.Indicator) {
			if err := r.segment.add(spec, defaultAction, i); err != nil {
				tooLarge = err
			}
		},
		func(f format.Fault) {
			at := Fault{File: name, Fault: f}
			if first == nil {
				first = &at
			}
			if len(r.faults) < maxFaults {
				r.faults = append(r.faults, at)
			}
		})
	r.files = append(r.files, FileStatus{
		Name: name, Format: result.Kind, Lines: result.Lines, Entries: result.Entries, Malformed: result.Malformed, Refused: result.Refused,
	})
	for _, w := range result.Warnings {
		r.warnings = append(r.warnings, name+": "+w)
	}
	at := name
	if place, ok := errors.AsType[*format.Error](err); ok {
		at, err = fmt.Sprintf("%s:%d", name, place.Line), place.Err
	}
	switch err = errors.Join(err, tooLarge); {
	case err == nil:
		return nil
	case first != nil:
		return fmt.Errorf("%s: %w; the first fault: line %s", at, err, first.inFile())
	}
	return fmt.Errorf("%s: %w", at, err)
}

// versionOf is the digest of a list: its file's, or one over all files' digests.
func versionOf(files []FileStatus) string {
	if len(files) == 1 {
		return files[0].Digest
	}
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintln(h, f.Digest)
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}
