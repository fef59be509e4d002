package feed

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Beside a zone's copy DIGEST.copy lies DIGEST.increments, if there are any:
//
//	"zone increments 1\n"
//	frame*:  length of the body (4 octets), its CRC-32C (4), body
//	body:    From (4), To (4), lengths of SOA, Removed and Added (4 each), these
//
// The first frame leads on from the serial of the copy, each other one from that
// before it; what does not is no part of the file. Frames are only appended, and
// the file lives as long as the copy, so that copy and increments describe one
// serial at any moment.
const (
	incrementsSuffix = ".increments"
	incrementsMagic  = "zone increments 1\n"
	frameHead        = 8
	bodyHead         = 20
)

// zoneDetail is what a zone's Copy.Detail holds.
type zoneDetail struct {
	Zone   string `json:"zone"`
	Serial uint32 `json:"serial"`
	SOA    []byte `json:"soa"` // in wire form
}

func newDetail(soa record) json.RawMessage {
	text, err := json.Marshal(zoneDetail{nameText(soa.name()), soa.serial(), soa.wire})
	if err != nil {
		return nil // strings, numbers and octets always marshal
	}
	return text
}

// soaOf is the SOA record in a copy's detail.
func soaOf(c Copy) (soa record, ok bool) {
	var d zoneDetail
	if len(c.Detail) == 0 || json.Unmarshal(c.Detail, &d) != nil {
		return soa, false
	}
	return asSOA(d.SOA)
}

// asSOA is the SOA record in wire form.
func asSOA(wire []byte) (soa record, ok bool) {
	soa, ok = asRecord(wire)
	return soa, ok && soa.kind() == typeSOA && len(soa.data()) >= soaTail
}

// ZoneSerial is the serial of a zone's copy without its increments; false: the
// copy is none of a zone.
func ZoneSerial(c Copy) (uint32, bool) {
	soa, ok := soaOf(c)
	if !ok {
		return 0, false
	}
	return soa.serial(), true
}

// ZoneCopy is a copy of a zone opened for reading: its text, a master file that
// begins with the SOA record, and what has changed since.
type ZoneCopy struct {
	*Content
	// Base is the serial of the text, Serial that after all increments.
	Base, Serial uint32
	// Increments counts them.
	Increments int

	frames []byte
}

// OpenZone opens a zone's copy together with the increments that belong to it.
// What is appended later is not seen.
func OpenZone(s *Store, name string, c Copy, l Limits) (*ZoneCopy, error) {
	base, ok := ZoneSerial(c)
	if !ok {
		return nil, fmt.Errorf("list %s: the copy %s is none of a zone", name, c.Digest)
	}
	content, err := s.Open(name, c, l)
	if err != nil {
		return nil, err
	}
	z := &ZoneCopy{Content: content, Base: base}
	text, err := os.ReadFile(incrementsPath(s, name, c))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		content.Close()
		return nil, storeError(err)
	}
	// Increments go after their copy: if it is there, they were.
	if _, err := os.Stat(s.Path(name, c)); err != nil {
		content.Close()
		return nil, storeError(err)
	}
	frames := scanIncrements(text, base)
	z.frames, z.Serial, z.Increments = text[:frames.end], frames.serial, frames.count
	return z, nil
}

// All gives the increments in their order. They share the memory of z.
func (z *ZoneCopy) All() iter.Seq[Delta] {
	return func(yield func(Delta) bool) { eachFrame(z.frames, z.Base, yield) }
}

func incrementsPath(s *Store, name string, c Copy) string {
	return strings.TrimSuffix(s.Path(name, c), copySuffix) + incrementsSuffix
}

// increments is the file to which increments of one copy are appended.
type increments struct {
	digest string // of the copy
	was    string // the digest of the copy that this one was made of, with its increments; empty: of none
	path   string
	end    int64  // octets; 0: there is no file yet
	soa    record // after all of them
	count  int
	came   time.Time // the last of them
	broken error     // why nothing can be appended any more
}

func (f *increments) serial() uint32 { return f.soa.serial() }

// fetched is when what a copy and its increments make together came.
func (f *increments) fetched(c *Copy) time.Time {
	if f.came.After(c.Fetched) {
		return f.came
	}
	return c.Fetched
}

// openIncrements reads what there is and cuts off what a crash has left.
func openIncrements(s *Store, name string, c Copy) (*increments, error) {
	soa, ok := soaOf(c)
	if !ok {
		return nil, fmt.Errorf("list %s: the copy %s is none of a zone", name, c.Digest)
	}
	f := &increments{digest: c.Digest, path: incrementsPath(s, name, c), soa: soa}
	info, err := os.Stat(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, storeError(err)
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return nil, storeError(err)
	}
	frames := scanIncrements(text, soa.serial())
	if frames.end < len(text) {
		if err := truncate(f.path, int64(frames.end)); err != nil {
			return nil, storeError(err)
		}
	}
	f.end, f.count = int64(frames.end), frames.count
	if f.count > 0 {
		f.soa, _ = asSOA(frames.soa)
		f.came = info.ModTime()
	}
	return f, nil
}

// append writes an increment; when it returns nil, it is on disk.
func (f *increments) append(d Delta) error {
	if f.broken != nil {
		return fmt.Errorf("%w: %w", ErrUnfit, f.broken)
	}
	if d.From != f.serial() {
		return fmt.Errorf("an increment from the serial %d, expected %d", d.From, f.serial())
	}
	soa, ok := asSOA(d.SOA)
	if !ok || soa.serial() != d.To {
		return fmt.Errorf("an increment to the serial %d without its SOA record", d.To)
	}
	text := appendFrame(nil, d)
	if f.end == 0 {
		text = append([]byte(incrementsMagic), text...)
	}
	if err := f.write(text); err != nil {
		// A half-written frame is no part of the file, but what came behind it
		// would be none either.
		if cut := truncate(f.path, f.end); cut != nil && !errors.Is(cut, os.ErrNotExist) {
			f.broken = storeError(cut)
		}
		return storeError(err)
	}
	f.end += int64(len(text))
	f.soa = soa
	f.count++
	f.came = time.Now()
	return nil
}

func (f *increments) write(text []byte) error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(text, f.end)
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil && f.end == 0 {
		err = syncDir(filepath.Dir(f.path))
	}
	return err
}

func truncate(path string, end int64) error {
	file, err := os.OpenFile(path, os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(end); err != nil {
		return err
	}
	return file.Sync()
}

// upTo reads the file up to end.
func (f *increments) upTo(end int64) ([]byte, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, storeError(err)
	}
	defer file.Close()
	text := make([]byte, end)
	if _, err := io.ReadFull(file, text); err != nil {
		return nil, storeError(err)
	}
	return text, nil
}

// moveRest writes what follows end to a file of its own, for a copy that holds
// all before it.
func (f *increments) moveRest(end int64, path string) error {
	if end == f.end {
		return nil
	}
	text, err := f.upTo(f.end)
	if err != nil {
		return err
	}
	rest := increments{path: path}
	if err := rest.write(append([]byte(incrementsMagic), text[end:]...)); err != nil {
		os.Remove(path)
		return storeError(err)
	}
	return nil
}

func appendFrame(to []byte, d Delta) []byte {
	start := len(to)
	to = append(to, make([]byte, frameHead)...)
	for _, n := range []uint32{d.From, d.To, uint32(len(d.SOA)), uint32(len(d.Removed)), uint32(len(d.Added))} {
		to = binary.BigEndian.AppendUint32(to, n)
	}
	to = append(append(append(to, d.SOA...), d.Removed...), d.Added...)
	body := to[start+frameHead:]
	binary.BigEndian.PutUint32(to[start:], uint32(len(body)))
	binary.BigEndian.PutUint32(to[start+4:], crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return to
}

// readFrame reads the frame at the beginning of text and tells its length; ok is
// false where there is none that is whole.
func readFrame(text []byte) (d Delta, n int, ok bool) {
	if len(text) < frameHead+bodyHead {
		return d, 0, false
	}
	length := uint64(binary.BigEndian.Uint32(text))
	if length < bodyHead || length > uint64(len(text)-frameHead) {
		return d, 0, false
	}
	n = frameHead + int(length)
	body := text[frameHead:n]
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(text[4:]) {
		return d, 0, false
	}
	field := func(i int) uint32 { return binary.BigEndian.Uint32(body[4*i:]) }
	soa, removed, added := uint64(field(2)), uint64(field(3)), uint64(field(4))
	if bodyHead+soa+removed+added != length {
		return d, 0, false
	}
	d = Delta{From: field(0), To: field(1)}
	rest := body[bodyHead:]
	d.SOA, rest = rest[:soa], rest[soa:]
	d.Removed, d.Added = Records(rest[:removed]), Records(rest[removed:])
	if s, ok := asSOA(d.SOA); !ok || s.serial() != d.To || !d.Removed.valid() || !d.Added.valid() {
		return d, 0, false
	}
	return d, n, true
}

// scanned is how far a file of increments makes sense.
type scanned struct {
	end    int
	serial uint32
	soa    []byte
	count  int
}

func scanIncrements(text []byte, base uint32) scanned {
	s := scanned{serial: base}
	s.end = eachFrame(text, base, func(d Delta) bool {
		s.serial, s.soa = d.To, d.SOA
		s.count++
		return true
	})
	if s.count == 0 {
		s.end = 0
	}
	return s
}

// eachFrame hands out what is in a file of increments as long as it fits
// together, and returns where that ends.
func eachFrame(text []byte, serial uint32, yield func(Delta) bool) (end int) {
	if len(text) < len(incrementsMagic) || string(text[:len(incrementsMagic)]) != incrementsMagic {
		return 0
	}
	end = len(incrementsMagic)
	for {
		d, n, ok := readFrame(text[end:])
		if !ok || d.From != serial || !newer(d.To, d.From) {
			return end
		}
		end, serial = end+n, d.To
		if !yield(d) {
			return end
		}
	}
}

// tidyIncrements removes increments whose copies are gone.
func tidyIncrements(dir string) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, f := range files {
		hex, found := strings.CutSuffix(f.Name(), incrementsSuffix)
		if !found {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, hex+copySuffix)); errors.Is(err, os.ErrNotExist) {
			os.Remove(filepath.Join(dir, f.Name()))
		}
	}
}
