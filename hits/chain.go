package hits

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"
)

// chainName is the file of links, a line of JSON each: the anchor first where segments were
// removed, then one link for each closed segment, in their order.
const chainName = "chain.jsonl"

// Head stands for a closed segment and all before it: whoever keeps one elsewhere can tell
// later that nothing up to there was altered, cut or removed but by retention.
type Head struct {
	Segment   uint64    `json:"segment"` // sequence in the segment's file name
	First     uint64    `json:"first"`   // event.sequence of its first line
	Last      uint64    `json:"last"`    // and of its last line
	Octets    int64     `json:"octets"`  // of the segment, unpacked
	SHA256    string    `json:"sha256"`  // of the segment, unpacked
	Previous  string    `json:"previous"`
	Head      string    `json:"head"` // of all the above, by SHA-256
	Time      time.Time `json:"time"` // when it was signed
	Anchor    bool      `json:"anchor,omitempty"`
	Key       string    `json:"key"`       // of the public key
	Signature []byte    `json:"signature"` // Ed25519, over what signed returns

	tellsLoss bool // the segment has a lost record: lines may be missing before it
}

// sum is the head that the fields make.
func (h *Head) sum() string {
	text := fmt.Sprintf("sinkhole journal chain 1\n%s\n%d %d %d %d\n%s\n", h.Previous, h.Segment, h.First, h.Last, h.Octets, h.SHA256)
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// signed is what the signature is over. An anchor says that the segments up to its own
// were removed by retention.
func (h *Head) signed() []byte {
	what := "head"
	if h.Anchor {
		what = "anchor"
	}
	return fmt.Appendf(nil, "sinkhole journal %s 1\n%s\n%s\n", what, h.Head, h.Time.UTC().Format(time.RFC3339Nano))
}

// chain links the closed segments of a journal by hash. It is for one goroutine.
type chain struct {
	dir    string
	key    *chainKey // nil: not known yet
	keyAt  string    // the private key's file
	links  []Head    // of the file; nil: not read yet
	read   bool
	onHead func(Head)
	log    *zap.Logger
}

// extend links what is closed and not linked yet.
func (c *chain) extend(ctx context.Context, segments []segment, below uint64) error {
	if err := c.open(); err != nil {
		return err
	}
	for i := range segments {
		s := &segments[i]
		if s.seq >= below || s.size == 0 || s.seq <= c.last().Segment {
			continue
		}
		h := Head{Segment: s.seq, Previous: c.last().Head}
		if err := h.describe(ctx, c.dir, s); err != nil {
			return err
		}
		h.Head = h.sum()
		c.sign(&h)
		if err := c.append(h); err != nil {
			return err
		}
		c.log.Info("closed a segment of the hit journal: keep its head elsewhere to prove later that nothing was altered",
			zap.Uint64("segment", h.Segment), zap.Uint64("last_line", h.Last), zap.String("head", h.Head), zap.String("key", h.Key))
		if c.onHead != nil {
			c.onHead(h)
		}
	}
	return nil
}

// anchor signs that segments up to a sequence are removed by retention, before they are.
func (c *chain) anchor(through uint64) error {
	if err := c.open(); err != nil {
		return err
	}
	at := -1
	for i := range c.links {
		if c.links[i].Segment <= through {
			at = i
		}
	}
	if at < 0 {
		return nil // older than the chain
	}
	a := c.links[at]
	a.Anchor = true
	c.sign(&a)
	links := append([]Head{a}, c.links[at+1:]...)
	if err := c.rewrite(links); err != nil {
		return err
	}
	c.links = links
	return nil
}

func (c *chain) last() Head {
	if n := len(c.links); n > 0 {
		return c.links[n-1]
	}
	return Head{}
}

func (c *chain) sign(h *Head) {
	h.Time, h.Key = time.Now().UTC(), c.key.id
	h.Signature = ed25519.Sign(c.key.private, h.signed())
}

// open reads key and links, once.
func (c *chain) open() (err error) {
	if c.key == nil {
		if c.key, err = openChainKey(c.keyAt, filepath.Join(c.dir, publicName)); err != nil {
			return err
		}
	}
	if c.read {
		return nil
	}
	if err := c.mendEnd(); err != nil {
		return err
	}
	links, damage, err := readChain(filepath.Join(c.dir, chainName))
	if err != nil {
		return err
	}
	if len(damage) > 0 {
		// What is broken stays for hits verify to show; the chain goes on behind it.
		c.log.Error("the chain of the hit journal is damaged: run sinkhole hits verify", zap.Error(damage[0]))
	}
	c.links, c.read = links, true
	return nil
}

// mendEnd removes a line that a crash cut off: its segment is linked anew.
func (c *chain) mendEnd() error {
	path := filepath.Join(c.dir, chainName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || len(text) == 0 || err == nil && text[len(text)-1] == '\n' {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Truncate(path, int64(bytes.LastIndexByte(text, '\n')+1))
}

func (c *chain) append(h Head) error {
	f, err := os.OpenFile(filepath.Join(c.dir, chainName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, fileMode)
	if err != nil {
		return err
	}
	size, _ := f.Seek(0, io.SeekEnd)
	_, err = f.Write(h.line())
	if err = errors.Join(err, f.Sync()); err != nil {
		return errors.Join(err, f.Truncate(size), f.Close())
	}
	c.links = append(c.links, h)
	return errors.Join(f.Close(), syncDir(c.dir))
}

func (h *Head) line() []byte {
	line, _ := json.Marshal(h) // cannot fail
	return append(line, '\n')
}

func (c *chain) rewrite(links []Head) error {
	path := filepath.Join(c.dir, chainName)
	var text []byte
	for i := range links {
		text = append(text, links[i].line()...)
	}
	if err := writeSynced(path, text, fileMode); err != nil {
		return err
	}
	return syncDir(c.dir)
}

// readChain reads the links. damage has the lines that cannot be read.
func readChain(path string) (links []Head, damage []Damage, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, readError(err)
	}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		h, err := parseHead(line)
		if err != nil {
			damage = append(damage, Damage{File: path, Line: number, Reason: err})
			continue
		}
		links = append(links, h)
	}
	return links, damage, nil
}

func parseHead(line []byte) (h Head, err error) {
	if line[len(line)-1] != '\n' {
		return h, errors.New("the line has no end: it is being written at this moment, or a crash cut it off, and the next start links the segment anew")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return h, fmt.Errorf("not a link of the chain: %w", err)
	}
	if d.More() {
		return h, errors.New("not a link of the chain: more than one object stands in the line")
	}
	return h, nil
}

// describe fills in what is said of the content of a segment.
func (h *Head) describe(ctx context.Context, dir string, s *segment) error {
	src, err := openSegment(dir, s)
	if err != nil {
		return err
	}
	if src == nil {
		return fs.ErrNotExist
	}
	defer src.close()
	sum := sha256.New()
	var first, last []byte
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, err := src.lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", src.path, src.lines.number+1, err)
		}
		sum.Write(line)
		sum.Write([]byte{'\n'})
		if first == nil {
			first = bytes.Clone(line)
		}
		last = append(last[:0], line...)
		h.tellsLoss = h.tellsLoss || bytes.Contains(line, []byte(`"action":"`+actionLost+`"`))
	}
	// A last line without an end is part of the content.
	rest := src.lines.buf[src.lines.start:]
	sum.Write(rest)
	h.Octets = src.lines.position() + int64(len(rest))
	h.SHA256 = hex.EncodeToString(sum.Sum(nil))
	h.First, h.Last = sequenceOf(first), sequenceOf(last)
	return nil
}

// sequenceOf is the event.sequence of a line, 0 where it cannot be read.
func sequenceOf(line []byte) uint64 {
	var r struct {
		Event struct {
			Sequence uint64 `json:"sequence"`
		} `json:"event"`
	}
	if json.Unmarshal(line, &r) != nil {
		return 0
	}
	return r.Event.Sequence
}

// segmentAt finds a segment by its sequence.
func segmentAt(segments []segment, seq uint64) *segment {
	i := slices.IndexFunc(segments, func(s segment) bool { return s.seq == seq })
	if i < 0 {
		return nil
	}
	return &segments[i]
}
