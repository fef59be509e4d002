package feed

import (
	"encoding/json"
	"time"
)

// Copy is the content of a list as its source once gave it, kept on disk by a
// [Store].
type Copy struct {
	Source    string    `json:"source"`    // where it came from, see [ShownSource] and [Copy.IsFrom]
	Digest    string    `json:"digest"`    // "sha256:" and hexadecimal, of the octets on disk
	Size      int64     `json:"size"`      // octets on disk
	Fetched   time.Time `json:"fetched"`   // when it came
	Confirmed time.Time `json:"confirmed"` // when the source last said that it is current; not before Fetched
	Validator Validator `json:"validator"`
	// Detail is what the kind of source needs beside: the serial of a zone, the
	// parts of a feed. It is never changed in place.
	Detail json.RawMessage `json:"detail,omitempty"`

	from sourceDigest
}

// IsFrom tells whether the copy came from a source, as configured.
func (c *Copy) IsFrom(source string) bool { return c.from == sourceDigestOf(source) }

// Validator is what an HTTP server is asked with whether a copy is still
// current (RFC 9110 section 8.8), as it sent them.
type Validator struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	// URL is the one that gave the content, after redirects: a validator means
	// nothing to another.
	URL string `json:"url,omitempty"`
}

// Held is a copy that waits for approval while the last good one serves.
type Held struct {
	Copy
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// Entry is what a [Store] holds of one list; what is nil is not there. It and
// what it points to are never changed: a later Entry may differ.
type Entry struct {
	Name     string `json:"name"`
	Good     *Copy  `json:"good,omitempty"`     // the last one accepted
	Previous *Copy  `json:"previous,omitempty"` // the one accepted before it
	Held     *Held  `json:"held,omitempty"`
}

// of is the entry without the copies of other sources.
func (e Entry) of(source sourceDigest) Entry {
	if e.Good != nil && e.Good.from != source {
		e.Good = nil
	}
	if e.Previous != nil && e.Previous.from != source {
		e.Previous = nil
	}
	if e.Held != nil && e.Held.from != source {
		e.Held = nil
	}
	return e
}

// copies are those that the entry has.
func (e Entry) copies() []*Copy {
	var all []*Copy
	for _, c := range []*Copy{e.Good, e.Previous} {
		if c != nil {
			all = append(all, c)
		}
	}
	if e.Held != nil {
		all = append(all, &e.Held.Copy)
	}
	return all
}

// has tells whether one of the copies has this digest.
func (e Entry) has(digest string) bool {
	for _, c := range e.copies() {
		if c.Digest == digest {
			return true
		}
	}
	return false
}

// isKnown tells whether this content was judged already, and stands.
func (e Entry) isKnown(digest string) bool {
	return e.Good != nil && e.Good.Digest == digest || e.Held != nil && e.Held.Digest == digest
}

// newest is the copy that came last, nil if there is none.
func (e Entry) newest() *Copy {
	if e.Held != nil {
		return &e.Held.Copy
	}
	return e.Good
}

// lastConfirmed is when the source last said that the newest copy is current.
func (e Entry) lastConfirmed() time.Time {
	if c := e.newest(); c != nil {
		return c.Confirmed
	}
	return time.Time{}
}

// accept makes c the good copy. What was good before it, if it is of the same
// source, is kept to be compared with; what was held is outdated.
func (e Entry) accept(c Copy) Entry {
	next := Entry{Name: e.Name, Good: &c}
	old := e.of(c.from)
	switch {
	case old.Good != nil && old.Good.Digest != c.Digest:
		next.Previous = old.Good
	default:
		next.Previous = old.Previous
	}
	return next
}

// hold lets c wait in the place of what waited before.
func (e Entry) hold(c Copy, reason string, now time.Time) Entry {
	since := now
	if e.Held != nil && e.Held.Digest == c.Digest && e.Held.from == c.from {
		since = e.Held.Since
	}
	e.Held = &Held{Copy: c, Reason: reason, Since: since}
	return e
}

// drop is the entry without the held copy with this digest.
func (e Entry) drop(digest string) Entry {
	if e.Held != nil && e.Held.Digest == digest {
		e.Held = nil
	}
	return e
}

// confirm notes that the source says that its copy with this digest is current.
// If that is the good one, nothing waits any more.
func (e Entry) confirm(source sourceDigest, digest string, v Validator, detail json.RawMessage, now time.Time) Entry {
	fresh := func(c Copy) Copy {
		c.Validator, c.Detail, c.Confirmed = v, detail, now
		return c
	}
	is := func(c *Copy) bool { return c.from == source && c.Digest == digest }
	switch {
	case e.Good != nil && is(e.Good):
		good := fresh(*e.Good)
		e.Good, e.Held = &good, nil
	case e.Held != nil && is(&e.Held.Copy):
		held := *e.Held
		held.Copy = fresh(held.Copy)
		e.Held = &held
	}
	return e
}

// without is the entry after the copy with this digest was found damaged. The
// previous copy takes the place of the good one, to be fetched again in full.
func (e Entry) without(digest string) Entry {
	e = e.drop(digest)
	if e.Previous != nil && e.Previous.Digest == digest {
		e.Previous = nil
	}
	if e.Good != nil && e.Good.Digest == digest {
		e.Good = nil
		if e.Previous != nil {
			c := *e.Previous
			c.Validator, c.Confirmed = Validator{}, time.Time{} // fetch the list now
			e.Good, e.Previous = &c, nil
		}
	}
	return e
}
