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
	"sinkhole/blocklist/guard"
)

// maxFiles bounds the files of one glob.
const maxFiles = 10_000

// embeddedScheme marks a list that is part of the binary.
const embeddedScheme = "embedded:"

func isEmbedded(source string) bool { return strings.HasPrefix(source, embeddedScheme) }

// terms are by what a list is read, beside its own configuration.
type terms struct {
	action    format.Action // of entries that state none, in lists that have none
	embedded  func(name string) ([]byte, bool)
	guard     *guard.Guard     // nil: nothing is refused
	overrides *guard.Overrides // of the list; nil: none
	serial    string           // of a zone: the version of all that is read; "": the file's digest is
	spill     string           // directory for what is not kept in memory; "": the system's
}

// reading is the outcome of reading one list whole.
type reading struct {
	account
	segment *segment
	version string
	acting  int // triggers that acted once they were in force
	// seen is when the source was last known to have this content; zero for files,
	// which have it now.
	seen time.Time
	err  error // the list as a whole could not be used

	// Of a zone: its serial, and the segments that increments make of the one
	// that was read. Its entries have no lines: nobody else has the copy.
	serial string
	parts  []listPart // nil: the segment alone

	sources []imageSource // the files that were read; none for copies
	saved   time.Time     // when its image was made; zero: it comes from none
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

// readLocal reads all files of one list. Nothing of a list is used unless all of
// it could be read.
func readLocal(spec *Spec, t *terms) *reading {
	for try := 1; ; try++ {
		r := read(spec, t, func(p *pass) error { return p.readLocal() })
		if try == readTries || !errors.Is(r.err, errChanging) {
			return r
		}
		if errors.Is(r.err, errUnended) {
			time.Sleep(freshness)
		}
	}
}

// readOpened reads a list of one content, which the caller has opened: a copy of
// what came over the network from source.
func readOpened(spec *Spec, t *terms, content *feed.Content) *reading {
	return readText(spec, t, content, content)
}

// readText is readOpened of a text that is made of the content.
func readText(spec *Spec, t *terms, text io.Reader, content *feed.Content) *reading {
	return read(spec, t, func(p *pass) error {
		if err := p.parse(shown(spec.Source), text); err != nil {
			return err
		}
		p.digest(content.Digest())
		return nil
	})
}

// ofZone are the terms by which a zone of a serial is read.
func (t *terms) ofZone(serial uint32) *terms {
	of := *t
	of.serial = serialVersion(serial)
	return &of
}

// serialVersion is the version of a zone.
func serialVersion(serial uint32) string { return fmt.Sprintf("%s%d", serialPrefix, serial) }

const serialPrefix = "serial:"

// serialOf is the serial that a zone's version tells.
func serialOf(version string) (serial uint32, ok bool) {
	text, found := strings.CutPrefix(version, serialPrefix)
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), found && err == nil
}

// pass is one way through a list, from its files to a reading.
type pass struct {
	*reading
	spec    *Spec
	terms   *terms
	builder *builder
}

func read(spec *Spec, t *terms, how func(*pass) error) *reading {
	p := &pass{reading: &reading{serial: t.serial}, spec: spec, terms: t, builder: newBuilder(spec, t.action, t.spill)}
	if p.err = how(p); p.err == nil {
		p.version = versionOf(p.files)
		p.err = p.allLeftOut()
	}
	if p.err == nil {
		p.segment, p.err = p.builder.finish()
		p.low, p.excess = p.builder.low, p.builder.excess
		p.warnings = append(p.warnings, p.builder.warnings()...)
	}
	if p.err != nil {
		p.builder.refs.discard()
	}
	return p.reading
}

func (p *pass) readLocal() error {
	if name, found := strings.CutPrefix(p.spec.Source, embeddedScheme); found {
		return p.readEmbedded(name)
	}
	paths, err := feed.Expand(p.spec.Source)
	if err != nil {
		return err
	}
	switch {
	case len(paths) == 0:
		return fmt.Errorf("%s: no file matches: expected at least one list file", p.spec.Source)
	case len(paths) > maxFiles:
		return fmt.Errorf("%s: %d files match: expected at most %d", p.spec.Source, len(paths), maxFiles)
	}
	manifests := 0
	for _, path := range paths {
		err := p.readFile(path)
		if errors.Is(err, format.ErrManifest) && manifests+1 < len(paths) { // its events are the other files
			manifests++
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// allLeftOut is an error where a list has entries and none can be used: that is
// another kind of list, and must not take the place of a good one.
func (p *pass) allLeftOut() error {
	entries, refused := 0, 0
	for _, f := range p.files {
		entries += f.Entries
		refused += f.Refused + f.NotApplicable
	}
	if entries > 0 || refused == 0 || len(p.faults.shown) == 0 {
		return nil
	}
	return fmt.Errorf("%s: none of its %d entries can be used: expected names or addresses; the first: %s", shown(p.spec.Source), refused, &p.faults.shown[0])
}

func (p *pass) readEmbedded(name string) error {
	source := p.spec.Source
	if p.terms.embedded == nil {
		return fmt.Errorf("%s: no list is embedded here: expected a path", source)
	}
	text, found := p.terms.embedded(name)
	if !found {
		return fmt.Errorf("%s: no embedded list is named %q: expected embedded:sample or a path", source, name)
	}
	if err := p.parse(source, bytes.NewReader(text)); err != nil {
		return err
	}
	p.digest(fmt.Sprintf("sha256:%x", sha256.Sum256(text)))
	return nil
}

func (p *pass) readFile(path string) error {
	content, err := feed.Open(path, feed.Limits{})
	if err != nil {
		return err
	}
	defer content.Close()
	err = p.parse(path, content)
	changed, unknown := content.Changed()
	_, failure := content.Read(nil)
	switch {
	case changed:
		return fmt.Errorf("%s: %w", path, errChanging)
	case failure != nil && !errors.Is(failure, io.EOF):
		return failure // it ended the reading, and names the path already
	case err != nil && !errors.Is(err, format.ErrManifest):
		return err
	case unknown != nil:
		return unknown
	case err != nil: // the file counts as one of the list, whatever it changes
		sum := digestOf(path)
		p.digest(sum)
		p.sources = append(p.sources, imageSource{Path: path, Digest: sum, State: content.State()})
		return err
	}
	if content.Unended() && content.State().Age() < freshness {
		return fmt.Errorf("%s: %w", path, errUnended)
	}
	p.digest(content.Digest())
	p.sources = append(p.sources, imageSource{Path: path, Digest: content.Digest(), State: content.State()})
	return nil
}

// digest notes the digest of the file last read.
func (p *pass) digest(sum string) {
	p.files[len(p.files)-1].Digest = sum
	p.builder.setVersion(orElse(p.terms.serial, sum))
}

// parse reads one file of the list, as which it appears under name.
func (p *pass) parse(name string, text io.Reader) error {
	p.builder.addFile(name)
	var broken error
	firstFault := len(p.faults.shown)
	result, err := format.Parse(text, format.Options{Kind: p.spec.Format, Match: p.spec.Match},
		func(i *format.Indicator) {
			if i.TakesBack {
				p.builder.takeBack(i)
				return
			}
			if p.serial != "" {
				i.Line = 0
			}
			if p.admit(name, i) && broken == nil {
				broken = p.builder.add(i)
			}
		},
		func(f format.Fault) { p.faults.add(Fault{File: name, Fault: f}) })
	p.files = append(p.files, FileStatus{
		Name: name, Format: result.Kind, Lines: result.Lines, Entries: result.Entries,
		Malformed: result.Malformed, Refused: result.Refused, NotApplicable: result.NotApplicable, AsOf: p.serial,
	})
	for _, w := range result.Warnings {
		p.warnings = append(p.warnings, name+": "+w)
	}
	at := name
	if place, ok := errors.AsType[*format.Error](err); ok {
		at, err = fmt.Sprintf("%s:%d", name, place.Line), place.Err
	}
	switch err = errors.Join(err, broken); {
	case err == nil && p.serial != "":
		for i := range p.faults.shown {
			p.faults.shown[i].Line, p.faults.shown[i].Column = 0, 0
		}
		return nil
	case err == nil:
		return nil
	case len(p.faults.shown) > firstFault:
		return fmt.Errorf("%s: %w; the first fault: line %s", at, err, p.faults.shown[firstFault].inFile())
	}
	return fmt.Errorf("%s: %w", at, err)
}

// admit asks the guard about an indicator, and notes what it keeps out.
func (p *pass) admit(name string, i *format.Indicator) bool {
	f, outcome := p.terms.judge(p.spec, name, i)
	switch outcome {
	case guard.Hold:
		p.held.add(f)
	case guard.Refuse:
		p.refused.add(f)
	}
	return outcome == guard.Accept
}

// judge asks the guard about an indicator of a list. What it keeps out is shown by
// the fault, under the name of the file.
func (t *terms) judge(spec *Spec, name string, i *format.Indicator) (Fault, guard.Outcome) {
	if t.guard == nil || spec.Allow {
		return Fault{}, guard.Accept
	}
	finding := t.guard.Judge(i)
	if finding.Outcome == guard.Accept || t.overrides.Has(i) {
		return Fault{}, guard.Accept
	}
	return Fault{File: name, Kind: string(finding.Kind), Fault: format.Fault{Line: i.Line, Text: guard.Entry(i), Reason: finding.Reason, Refused: true}}, finding.Outcome
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
