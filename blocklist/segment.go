package blocklist

import (
	"fmt"
	"iter"
	"net/netip"
	"time"

	"sinkhole/blocklist/format"
)

// Entries lie in chunks. An entry's place in its segment, and later in the
// policy, is one number: chunk and offset.
const (
	chunkBits = 18
	chunkSize = 1 << chunkBits
	chunkMask = chunkSize - 1
	// maxChunks bounds a policy to the 4 GiB that 32 bits number.
	maxChunks = 1 << (32 - chunkBits)
)

// segment is one list as compiled: all that it says, packed. It never changes
// once built, so policies that follow each other share those of lists that did
// not change.
type segment struct {
	files    []file
	chunks   [][]byte
	profiles []profile
	labels   []string // families and TLP markings; 0 is ""
	data     []byte   // local data: length (uvarint) and records, one after the other
	refs     references
	names    int // entries
	prefixes int // entries
	rules    int
}

// all goes through the entries: where each is in the segment, and its octets.
func (s *segment) all() iter.Seq2[uint32, []byte] {
	return func(yield func(uint32, []byte) bool) {
		for i, chunk := range s.chunks {
			for at := 0; at < len(chunk); {
				entry := chunk[at:]
				n := s.size(entry)
				if !yield(uint32(i<<chunkBits|at), entry[:n:n]) {
					return
				}
				at += n
			}
		}
	}
}

// size is the length of the entry that begins here.
func (s *segment) size(entry []byte) int {
	n, _ := s.walk(entry, triggerSize(entry))
	return n
}

// walk goes over the rules of the entry that begins here, whose trigger has a
// known length, and returns the length of the whole and the number of rules.
func (s *segment) walk(entry []byte, at int) (size, n int) {
	for more := true; more; n++ {
		head, shift := uint64(0), 0
		for ; entry[at] >= 0x80; at++ {
			head |= uint64(entry[at]&0x7f) << shift
			shift += 7
		}
		head |= uint64(entry[at]) << shift
		at++
		more = head&1 != 0
		fields := s.profiles[head>>1].fields
		if fields&hasExpires != 0 {
			at += 4
		}
		for left := fields & (hasLine | hasReference | hasData); left != 0; left &= left - 1 {
			for entry[at] >= 0x80 {
				at++
			}
			at++
		}
		if fields&hasFirstSeen != 0 {
			at += 4
		}
		if fields&hasLastSeen != 0 {
			at += 4
		}
	}
	return at, n
}

// rulesOf are the rules of the entry that begins here.
func (s *segment) rulesOf(entry []byte) rules {
	return rules{segment: s, packed: entry[triggerSize(entry):], more: true}
}

func (s *segment) reference(r *rule) string {
	if r.fields&hasReference == 0 {
		return ""
	}
	return s.refs.text(r.reference)
}

// records is the local data of a rule, in wire form; nil without.
func (s *segment) records(r *rule) []byte {
	if r.fields&hasData == 0 {
		return nil
	}
	all := rules{packed: s.data[r.data:]}
	n := all.uvarint()
	return all.packed[:n:n]
}

// builder makes a segment from indicators in the order of their list.
type builder struct {
	spec   *Spec
	action format.Action // of entries that state none, in lists that have none
	seg    *segment
	chunk  []byte
	refs   referenceWriter
	file   uint16 // of what is added
	low    int    // entries left out for their confidence
	excess int    // rules left out because of maxRulesPerList or maxEntryData
	taken  map[takenRule]bool
	future int       // entries first seen after opened, in force all the same
	opened time.Time // when the list was begun to be read
	// Families and markings: their octets, and the rules that got none because of
	// maxLabelSize.
	labelSize, unlabelled int

	entry    int // where the newest entry begins in chunk; -1: none yet
	lastRule int // where its newest rule begins
	inEntry  int // its rules
	inData   int // octets of its local data

	profileAt map[profile]uint32
	newest    uint32 // number of the profile last used
	labelAt   map[string]uint32
	label     [2]struct {
		text   string
		number uint32
	}
	dataAt  map[string]uint32
	trigger []byte
}

var errTooLarge = fmt.Errorf("more than 4 GiB of entries in all lists together: use fewer or smaller lists")

func newBuilder(spec *Spec, defaultAction format.Action, dir string) *builder {
	return &builder{
		spec: spec, action: defaultAction, seg: &segment{labels: []string{""}}, refs: referenceWriter{dir: dir},
		opened: time.Now(), entry: -1, profileAt: map[profile]uint32{}, labelAt: map[string]uint32{"": 0}, dataAt: map[string]uint32{},
	}
}

// addFile begins a file of the list: what is added next stands in it.
func (b *builder) addFile(name string) {
	b.seg.files = append(b.seg.files, file{name: name})
	b.file = uint16(len(b.seg.files) - 1)
}

// setVersion notes the digest of the newest file.
func (b *builder) setVersion(version string) {
	b.seg.files[b.file].version = version
}

// uncertain is the most confidence in what may be a broken-into legitimate site: the
// host of a URL with a path, and what its list doubts itself.
const uncertain = 50

// add keeps an indicator with what spec says where the list is silent.
func (b *builder) add(i *format.Indicator) error {
	confidence := i.Confidence
	if confidence < 0 && b.spec.Confidence > 0 {
		confidence = b.spec.Confidence
	}
	if (i.FromURL || i.Doubtful) && (confidence < 0 || confidence > uncertain) {
		confidence = uncertain
	}
	if confidence >= 0 && confidence < b.spec.MinConfidence {
		b.low++
		return nil
	}
	if i.FirstSeen.After(b.opened) {
		b.future++
	}
	p := profile{
		family: b.labelOf(0, orElse(i.Family, b.spec.Family)), tlp: b.labelOf(1, i.TLP), file: b.file,
		action: actionOf(b.spec, b.action, i.Action), scope: i.Scope, precedence: i.Precedence, confidence: confidence,
	}
	if i.Trigger != format.QName {
		p.scope = 0
	}
	r := rule{
		profile: &p, line: uint32(i.Line),
		firstSeen: unixSeconds(i.FirstSeen), lastSeen: unixSeconds(i.LastSeen), expires: expiryOf(b.spec, i),
	}
	if r.line != 0 {
		p.fields |= hasLine
	}
	if r.firstSeen != 0 {
		p.fields |= hasFirstSeen
	}
	if r.lastSeen != 0 {
		p.fields |= hasLastSeen
	}
	if r.expires != 0 {
		p.fields |= hasExpires
	}
	if i.Reference != "" {
		var kept bool
		if r.reference, kept = b.refs.add(i.Reference); kept {
			p.fields |= hasReference
		}
	}
	var data []byte
	if p.action == format.LocalData {
		p.fields |= hasData
		data = i.Data
	}
	return b.put(i.Trigger, i.Name, i.Prefix, &r, data)
}

// put adds a rule to the entry of its trigger if that is the newest, else to
// one of its own. Its local data is kept if the rule is.
func (b *builder) put(trigger format.Trigger, name []byte, prefix netip.Prefix, r *rule, data []byte) error {
	if trigger != format.QName {
		b.trigger = appendPrefix(b.trigger[:0], trigger, prefix)
		name = b.trigger
	}
	if len(b.chunk)+maxEntry > chunkSize {
		if err := b.seal(); err != nil {
			return err
		}
	}
	known := true
	if r.fields&hasData != 0 {
		r.data, known = b.dataAt[string(data)]
	}
	newest := b.entry >= 0 && len(b.chunk)-b.entry > len(name) && string(b.chunk[b.entry:b.entry+len(name)]) == string(name)
	beside := len(data)
	switch {
	case newest && known && b.seg.says(b.chunk[b.entry:], r):
		return nil
	case newest:
		beside += b.inData
	}
	if newest && b.inEntry == maxRulesPerList || beside > maxEntryData {
		b.excess++
		return nil
	}
	if !known {
		var err error
		if r.data, err = b.blob(data); err != nil {
			return err
		}
	}
	if newest {
		b.chunk[b.lastRule] |= 1
	} else {
		b.begin(trigger, name)
	}
	b.inData = beside
	b.putRule(r)
	return nil
}

// begin begins an entry.
func (b *builder) begin(trigger format.Trigger, name []byte) {
	if b.chunk == nil {
		b.chunk = make([]byte, 0, chunkSize)
	}
	b.entry, b.inEntry = len(b.chunk), 0
	b.chunk = append(b.chunk, name...)
	if trigger == format.QName {
		b.seg.names++
	} else {
		b.seg.prefixes++
	}
}

func (b *builder) putRule(r *rule) {
	b.lastRule = len(b.chunk)
	b.chunk = appendRule(b.chunk, b.profileOf(*r.profile), r)
	b.inEntry++
	b.seg.rules++
}

// seal ends a chunk.
func (b *builder) seal() error {
	if len(b.seg.chunks) == maxChunks {
		return errTooLarge
	}
	b.seg.chunks = append(b.seg.chunks, b.chunk)
	b.chunk, b.entry = nil, -1
	return nil
}

// finish gives the segment; the builder is of no more use.
func (b *builder) finish() (*segment, error) {
	if len(b.chunk) > 0 {
		b.chunk = append(make([]byte, 0, len(b.chunk)), b.chunk...)
		if err := b.seal(); err != nil {
			return nil, err
		}
	}
	if len(b.taken) > 0 {
		b.seg.dropTaken(b.taken)
	}
	b.seg.refs = b.refs.finish()
	return b.seg, nil
}

// warnings say what of the entries is not kept, once all is finished.
func (b *builder) warnings() (all []string) {
	if b.future > 0 {
		all = append(all, fmt.Sprintf("%d entries with a first_seen in the future, in force already: look at the clock or the time zone of the source", b.future))
	}
	if w := b.refs.warning(); w != "" {
		all = append(all, w)
	}
	if b.unlabelled > 0 {
		all = append(all, fmt.Sprintf("%d times a family or TLP marking left out: expected at most %d MiB of different ones in a list", b.unlabelled, maxLabelSize>>20))
	}
	return all
}

func (b *builder) profileOf(p profile) uint32 {
	all := b.seg.profiles
	if int(b.newest) < len(all) && all[b.newest] == p {
		return b.newest
	}
	number, found := b.profileAt[p]
	if !found {
		number = uint32(len(all))
		b.seg.profiles = append(all, p)
		b.profileAt[p] = number
	}
	b.newest = number
	return number
}

// maxLabelSize bounds the different families and markings of a list, in octets
// with what is kept beside each; maxDataSize does so for its local data.
const (
	maxLabelSize = 32 << 20
	labelBeside  = 64
	maxDataSize  = 512 << 20
)

// labelOf numbers a family (use 0) or TLP marking (use 1).
func (b *builder) labelOf(use int, text string) uint32 {
	last := &b.label[use]
	if last.text == text {
		return last.number
	}
	number, found := b.labelAt[text]
	if !found {
		if b.labelSize+len(text)+labelBeside > maxLabelSize {
			b.unlabelled++
			return 0
		}
		b.labelSize += len(text) + labelBeside
		number = uint32(len(b.seg.labels))
		b.seg.labels = append(b.seg.labels, text)
		b.labelAt[text] = number
	}
	last.text, last.number = text, number
	return number
}

var errLargeData = fmt.Errorf("more than %d MiB of local data in one list: expected few different records, split the list", maxDataSize>>20)

// maxEntryData bounds the local data of one trigger, in octets: a DNS message
// carries no more (RFC 1035 section 4.2.2).
const maxEntryData = 64 << 10

// blob keeps a copy of local data that is not there yet.
func (b *builder) blob(records []byte) (uint32, error) {
	if len(b.seg.data)+len(records) > maxDataSize {
		return 0, errLargeData
	}
	at := uint32(len(b.seg.data))
	b.seg.data = appendBlob(b.seg.data, records)
	b.dataAt[string(records)] = at
	return at, nil
}

// actionOf is the list's override, else what the entry states, else the
// server's. An allow list has one action whatever it states, and no override
// turns an exception (PASSTHRU) into a block.
func actionOf(spec *Spec, defaultAction, stated format.Action) format.Action {
	switch {
	case spec.Allow || stated == format.PassThru:
		return format.PassThru
	case spec.Action != format.Unstated:
		return spec.Action
	case stated != format.Unstated:
		return stated
	}
	return defaultAction
}

// expiryOf is when an indicator stops matching: when its list says, and where
// the list has a limit on age, no later than that after it was last seen.
func expiryOf(spec *Spec, i *format.Indicator) uint32 {
	expires := unixSeconds(i.Expires)
	seen := i.LastSeen
	if seen.IsZero() {
		seen = i.FirstSeen
	}
	if spec.Expires > 0 && !seen.IsZero() {
		if aged := unixSeconds(seen.Add(spec.Expires)); expires == 0 || aged < expires {
			expires = aged
		}
	}
	return expires
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
