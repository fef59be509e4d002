package hits

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Verification is what Verify found.
type Verification struct {
	Head     Head      // the newest; zero where no segment is linked yet
	Linked   int       // segments that are as they were when they were closed, but for Faults
	Open     int       // segments behind the head, which nothing is said of yet
	Before   int       // segments older than the chain or its anchor, which say nothing of them
	Removed  uint64    // retention has removed the segments up to this one; 0: none
	Removal  time.Time // when
	Faults   []Damage  // what was altered, cut or removed
	HeadSeen bool      // the head that was asked for is in the chain
}

// Whole tells whether nothing was found.
func (v *Verification) Whole() bool { return len(v.Faults) == 0 }

// Verify compares the segments in dir with the chain of their hashes, and its signatures with
// keys (nil: those that lie beside the journal, which whoever could alter the one could alter
// too). head is one that was kept elsewhere, in hexadecimal, or "": what it stands for has to
// be in the chain.
func Verify(ctx context.Context, dir string, keys map[string]ed25519.PublicKey, head string) (*Verification, error) {
	for again := maxVerifications; ; again-- {
		before, _ := os.ReadFile(filepath.Join(dir, chainName))
		v, err := verifyOnce(ctx, dir, keys, head)
		if err != nil || v.Whole() || again == 0 {
			return v, err
		}
		// What retention removed meanwhile is not missing.
		if after, _ := os.ReadFile(filepath.Join(dir, chainName)); bytes.Equal(before, after) {
			return v, nil
		}
	}
}

// maxVerifications bounds how often a journal is looked at anew since its chain went on.
const maxVerifications = 10

func verifyOnce(ctx context.Context, dir string, keys map[string]ed25519.PublicKey, head string) (*Verification, error) {
	path := filepath.Join(dir, chainName)
	// The chain first: a segment that is closed meanwhile is one that it does not have yet.
	links, damage, err := readChain(path)
	if err != nil {
		return nil, err
	}
	segments, _, err := listSegments(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no hit journal in %s: check hits.journal.path", dir)
	}
	if err != nil {
		return nil, readError(err)
	}
	c := &verifier{ctx: ctx, dir: dir, path: path, keys: keys, wanted: head, segments: segments}
	if c.keys == nil {
		c.keys, err = PublicKeys(filepath.Join(dir, publicName))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	c.v.Faults = damage
	if err := c.links(links); err != nil {
		return nil, err
	}
	c.strangers(links)
	if err := c.open(); err != nil {
		return nil, err
	}
	if head != "" && !c.v.HeadSeen {
		c.fault(c.path, 0, "the head %s is not in the chain: it was cut or made anew, or the head is older than what retention keeps", head)
	}
	return &c.v, nil
}

// verifier is one call of Verify.
type verifier struct {
	ctx      context.Context
	dir      string
	path     string // of the chain
	keys     map[string]ed25519.PublicKey
	wanted   string
	segments []segment
	v        Verification
}

func (c *verifier) fault(file string, line int, format string, args ...any) {
	c.v.Faults = append(c.v.Faults, Damage{File: file, Line: line, Reason: fmt.Errorf(format, args...)})
}

// links goes along the chain.
func (c *verifier) links(links []Head) error {
	for i := range links {
		h := &links[i]
		previous := Head{}
		if i > 0 {
			previous = links[i-1]
		}
		c.link(i+1, h, previous)
		c.v.Head = *h
		c.v.HeadSeen = c.v.HeadSeen || h.Head == c.wanted
		if h.Anchor {
			c.v.Removed, c.v.Removal = h.Segment, h.Time
			continue
		}
		if err := c.content(i+1, h); err != nil {
			return err
		}
	}
	return nil
}

// link holds a line of the chain to the one before it and to its signature.
func (c *verifier) link(line int, h *Head, previous Head) {
	if h.Anchor && line > 1 {
		c.fault(c.path, line, "an anchor is expected in the first line only")
	}
	if !h.Anchor && h.Previous != previous.Head {
		c.fault(c.path, line, "segment %d follows a head that is not the one before it: a link was altered, cut out or put in", h.Segment)
	}
	if line > 1 && h.Segment <= previous.Segment {
		c.fault(c.path, line, "segment %d comes after segment %d", h.Segment, previous.Segment)
	}
	if h.sum() != h.Head {
		c.fault(c.path, line, "the head of segment %d does not follow from what is said of it: the link was altered", h.Segment)
	}
	key, known := c.keys[h.Key]
	switch {
	case !known:
		c.fault(c.path, line, "signed by the key %s, which is not among those to be believed", h.Key)
	case !ed25519.Verify(key, h.signed(), h.Signature):
		c.fault(c.path, line, "the signature of segment %d is not of the key %s", h.Segment, h.Key)
	}
}

// content holds a segment to its link.
func (c *verifier) content(line int, h *Head) error {
	s := segmentAt(c.segments, h.Segment)
	if s == nil { // or got its other name while the directory was read
		segments, _, err := listSegments(c.dir)
		if err != nil {
			return readError(err)
		}
		s = segmentAt(segments, h.Segment)
	}
	if s == nil {
		c.fault(c.path, line, "segment %d is missing, with the lines %d to %d (event.sequence)", h.Segment, h.First, h.Last)
		return nil
	}
	var now Head
	err := now.describe(c.ctx, c.dir, s)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.fault(s.path, 0, "removed while it was to be read")
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	case err != nil:
		c.fault(s.path, 0, "cannot be read: %w", err)
	case now.SHA256 == h.SHA256:
		c.v.Linked++
	case now.Octets < h.Octets:
		c.fault(s.path, 0, "cut: found %d octets up to line %d (event.sequence), expected %d up to line %d", now.Octets, now.Last, h.Octets, h.Last)
	default:
		c.fault(s.path, 0, "altered: found %d octets with the SHA-256 %s, expected %d with %s", now.Octets, now.SHA256, h.Octets, h.SHA256)
	}
	return nil
}

// strangers finds segments that no link is of.
func (c *verifier) strangers(links []Head) {
	if len(links) == 0 {
		return
	}
	linked := make(map[uint64]bool, len(links))
	for _, h := range links {
		linked[h.Segment] = true
	}
	for i := range c.segments {
		s := &c.segments[i]
		switch {
		case linked[s.seq] || s.seq > c.v.Head.Segment || s.size == 0:
		case s.seq <= c.v.Removed || s.seq < links[0].Segment:
			c.v.Before++
		default:
			c.fault(s.path, 0, "the chain does not know this segment: it was put in later")
		}
	}
}

// open counts what is not linked yet, and looks whether its lines follow the linked ones.
func (c *verifier) open() error {
	last := c.v.Head.Last
	for i := range c.segments {
		s := &c.segments[i]
		if s.seq <= c.v.Head.Segment || s.size == 0 {
			continue
		}
		c.v.Open++
		var now Head
		if err := now.describe(c.ctx, c.dir, s); err != nil {
			if c.ctx.Err() != nil {
				return c.ctx.Err()
			}
			if !errors.Is(err, fs.ErrNotExist) {
				c.fault(s.path, 0, "cannot be read: %w", err)
			}
			continue
		}
		if last > 0 && now.First > last+1 && !now.tellsLoss {
			c.fault(s.path, 0, "begins with line %d (event.sequence), expected %d: a segment before it was removed, or its beginning", now.First, last+1)
		}
		last = max(last, now.Last)
	}
	return nil
}
