package blocklist

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cespare/xxhash/v2"

	"sinkhole/blocklist/feed"
	"sinkhole/blocklist/format"
)

// An image is a compiled list on disk, so that a start need not parse what has
// not changed and has something to serve where a list cannot be read:
//
//	magic, length of the header (4 octets), header (JSON)
//	profiles, local data, chunks, references
//	xxHash64 of all before it
//
// It is used only if it is whole and was made by the same program from the same
// configuration; whether it is current is for the sources that it names to tell.
const (
	imageFile    = "compiled"
	imageMagic   = "sinkhole list 2\n"
	imageProfile = 4 + 4 + 2 + 5 // octets of one profile
	maxHeader    = 256 << 20
)

// imageHeader is what an image says of itself and of the reading that it came
// from.
type imageHeader struct {
	Key     string
	Saved   time.Time
	Sources []imageSource

	Files    []FileStatus
	Faults   []Fault
	AllFault int
	Refused  []Fault
	AllRef   int
	Held     []Fault
	AllHeld  int
	Warnings []string
	Version  string
	Low      int
	Excess   int
	Acting   int

	Versions []imageVersion
	Labels   []string
	Names    int
	Prefixes int
	Rules    int
	Profiles int
	Data     int
	Chunks   []int
	Count    uint32 // of references
	Size     int64  // of them, in octets
	Blocks   []int64
}

// imageSource is a file that the list was read from, as it was then.
type imageSource struct {
	Path   string
	Digest string
	State  feed.State
}

type imageVersion struct{ Name, Version string }

// imageKey is the digest of all that decides what becomes of a list's content.
func imageKey(program string, spec *Spec, t *terms, guard string, entries []string) string {
	h := sha256.New()
	for _, part := range []any{
		imageMagic, program, spec.Source, spec.Allow, spec.Format, spec.Match, spec.Action, spec.Family, spec.Confidence, spec.MinConfidence,
		spec.Expires, t.action, guard, entries,
	} {
		fmt.Fprintf(h, "%q\n", fmt.Sprint(part))
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// saveImage writes the image of a reading into a directory.
func saveImage(dir, key string, r *reading) (err error) {
	s := r.segment
	header := imageHeader{
		Key: key, Saved: time.Now(), Sources: r.sources,
		Files: r.files, Faults: r.faults.shown, AllFault: r.faults.all, Refused: r.refused.shown, AllRef: r.refused.all,
		Held: r.held.shown, AllHeld: r.held.all, Warnings: r.warnings, Version: r.version, Low: r.low, Excess: r.excess, Acting: r.acting,
		Labels: s.labels, Names: s.names, Prefixes: s.prefixes, Rules: s.rules, Profiles: len(s.profiles), Data: len(s.data),
		Count: s.refs.count, Size: s.refs.size, Blocks: s.refs.blocks,
	}
	for _, f := range s.files {
		header.Versions = append(header.Versions, imageVersion{f.name, f.version})
	}
	for _, c := range s.chunks {
		header.Chunks = append(header.Chunks, len(c))
	}
	text, err := json.Marshal(&header)
	if err != nil {
		return err
	}

	file, err := os.CreateTemp(dir, ".compiled-*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(file.Name()))
		}
	}()
	sum := xxhash.New()
	buffered := bufio.NewWriterSize(file, 1<<20)
	out := io.MultiWriter(buffered, sum)
	put := func(b []byte) {
		if err == nil {
			_, err = out.Write(b)
		}
	}
	put([]byte(imageMagic))
	put(binary.LittleEndian.AppendUint32(nil, uint32(len(text))))
	put(text)
	for i := range s.profiles {
		put(appendProfile(nil, &s.profiles[i]))
	}
	put(s.data)
	for _, c := range s.chunks {
		put(c)
	}
	if err == nil {
		_, err = io.Copy(out, io.NewSectionReader(s.refs.source, 0, s.refs.size))
	}
	if err == nil {
		_, err = buffered.Write(sum.Sum(nil))
	}
	if err = errors.Join(err, buffered.Flush()); err != nil {
		return err
	}
	if err = file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), filepath.Join(dir, imageFile))
}

// errNoImage is why an image is not used; it needs no report.
var errNoImage = errors.New("no compiled copy")

// loadImage reads the image in a directory if it has the key. What is damaged is
// removed and reported.
func loadImage(dir, key string) (*reading, error) {
	path := filepath.Join(dir, imageFile)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoImage
	}
	if err != nil {
		return nil, err
	}
	in := &imageReader{file: file, sum: xxhash.New()}
	in.buffered = bufio.NewReaderSize(file, 1<<20)
	r, err := in.read(key)
	if err != nil {
		file.Close()
		if !errors.Is(err, errNoImage) {
			os.Remove(path)
			err = fmt.Errorf("%s: the compiled copy is damaged and was thrown away: %w", path, err)
		}
		return nil, err
	}
	if r.segment.refs.size <= spillAt {
		file.Close() // else it lives as long as what refers to it
	}
	return r, nil
}

// imageReader reads an image from its beginning to its end.
type imageReader struct {
	file     *os.File
	buffered *bufio.Reader
	sum      hash.Hash
	at       int64
	left     int64 // that the file can still have
}

func (in *imageReader) read(key string) (*reading, error) {
	info, err := in.file.Stat()
	if err != nil {
		return nil, err
	}
	in.left = info.Size()
	magic, err := in.next(len(imageMagic) + 4)
	if err != nil {
		return nil, err
	}
	if string(magic[:len(imageMagic)]) != imageMagic {
		return nil, errNoImage
	}
	size := binary.LittleEndian.Uint32(magic[len(imageMagic):])
	if size > maxHeader {
		return nil, fmt.Errorf("a header of %d octets, expected at most %d", size, maxHeader)
	}
	text, err := in.next(int(size))
	if err != nil {
		return nil, err
	}
	var h imageHeader
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, err
	}
	if h.Key != key {
		return nil, errNoImage
	}
	s, err := in.segment(&h)
	if err != nil {
		return nil, err
	}
	r := &reading{
		segment: s, sources: h.Sources, saved: h.Saved, version: h.Version, acting: h.Acting,
		account: account{
			files: h.Files, faults: findings{h.Faults, h.AllFault}, refused: findings{h.Refused, h.AllRef}, held: findings{h.Held, h.AllHeld},
			warnings: h.Warnings, low: h.Low, excess: h.Excess,
		},
	}
	return r, nil
}

func (in *imageReader) segment(h *imageHeader) (*segment, error) {
	s := &segment{labels: h.Labels, names: h.Names, prefixes: h.Prefixes, rules: h.Rules}
	for _, f := range h.Versions {
		s.files = append(s.files, file{name: f.Name, version: f.Version})
	}
	profiles, err := in.next(h.Profiles * imageProfile)
	if err != nil {
		return nil, err
	}
	s.profiles = make([]profile, h.Profiles)
	for i := range s.profiles {
		s.profiles[i] = profileOf(profiles[i*imageProfile:])
	}
	if s.data, err = in.next(h.Data); err != nil {
		return nil, err
	}
	for _, size := range h.Chunks {
		if size > chunkSize {
			return nil, fmt.Errorf("a chunk of %d octets, expected at most %d", size, chunkSize)
		}
		chunk, err := in.next(size)
		if err != nil {
			return nil, err
		}
		s.chunks = append(s.chunks, chunk)
	}
	s.refs = references{size: h.Size, blocks: h.Blocks, count: h.Count}
	if err := in.references(&s.refs); err != nil {
		return nil, err
	}
	want := in.sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(in.buffered, got); err != nil {
		return nil, err
	}
	if !bytes.Equal(got, want) {
		return nil, errors.New("its checksum is another")
	}
	return s, nil
}

// references takes over the file if they are many.
func (in *imageReader) references(r *references) error {
	if r.size <= spillAt {
		text, err := in.next(int(r.size))
		r.source = bytes.NewReader(text)
		return err
	}
	r.source = io.NewSectionReader(in.file, in.at, r.size)
	if r.size > in.left {
		return io.ErrUnexpectedEOF
	}
	_, err := io.CopyN(in.sum, in.buffered, r.size)
	return err
}

// next reads so many octets into memory of their own.
func (in *imageReader) next(n int) ([]byte, error) {
	if n < 0 || int64(n) > in.left {
		return nil, io.ErrUnexpectedEOF
	}
	b := make([]byte, n)
	_, err := io.ReadFull(in.buffered, b)
	in.sum.Write(b)
	in.at += int64(n)
	in.left -= int64(n)
	return b, err
}

func appendProfile(dst []byte, p *profile) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, p.family)
	dst = binary.LittleEndian.AppendUint32(dst, p.tlp)
	dst = binary.LittleEndian.AppendUint16(dst, p.file)
	return append(dst, byte(p.action), byte(p.scope), p.precedence, byte(p.confidence), p.fields)
}

func profileOf(b []byte) profile {
	return profile{
		family: binary.LittleEndian.Uint32(b), tlp: binary.LittleEndian.Uint32(b[4:]), file: binary.LittleEndian.Uint16(b[8:]),
		action: format.Action(b[10]), scope: format.Scope(b[11]), precedence: b[12], confidence: int8(b[13]), fields: b[14],
	}
}

// digestOf reads a list file for its digest; "" where that fails.
func digestOf(path string) string {
	content, err := feed.Open(path, feed.Limits{})
	if err != nil {
		return ""
	}
	defer content.Close()
	if _, err := io.Copy(io.Discard, content); err != nil {
		return ""
	}
	return content.Digest()
}

// current tells whether the sources of an image are as they were. A file whose
// times do not prove that is read.
func (r *reading) current(paths []string) bool {
	if len(paths) != len(r.sources) {
		return false
	}
	for i, source := range r.sources {
		if paths[i] != source.Path {
			return false
		}
		now, err := feed.Stat(source.Path)
		if err != nil || now != source.State {
			return false
		}
		changed := time.Unix(0, max(now.Change, now.Modified))
		if (now.Change == 0 || r.saved.Sub(changed) < 2*time.Second) && digestOf(source.Path) != source.Digest {
			return false
		}
	}
	return true
}
