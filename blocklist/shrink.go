package blocklist

import (
	"fmt"
	"time"
)

// shrunk says why a list's new content must wait: it lost too much at once, and
// nobody has approved that. An approval is of this very content.
func (l *Lists) shrunk(spec *Spec, r *reading, cause string) string {
	before := l.content[spec.Name]
	if r.err != nil || !before.precedes(spec) || l.isApproved(spec, r.version, cause) {
		return ""
	}
	now := r.entries()
	if now > 0 && r.segment.rules == 0 && before.rules > 0 {
		return fmt.Sprintf("of its %d entries none is left over, before there were %d", now, before.rules)
	}
	if !l.HoldShrunk || before.entries-now <= before.entries*l.ShrinkLimit/100 {
		return ""
	}
	return fmt.Sprintf("shrank from %d to %d entries, guard.shrink_limit is %d%%", before.entries, now, l.ShrinkLimit)
}

// weaker says why new content must wait although it has enough entries: too few
// of them act, since they repeat each other, have expired, are kept out by the
// guard, or only observe or except. It compares with the most of the last day, so
// that a list does not fade away in small steps. What the configuration changed
// is no loss.
func (l *Lists) weaker(spec *Spec, c *content, cause string) string {
	before := l.content[spec.Name]
	if !l.HoldShrunk || !before.precedes(spec) || l.isApproved(spec, c.digest, cause) || before.key != c.key {
		c.most = mostActing{}.with(c.acting, time.Now())
		return ""
	}
	most := max(before.acting, before.most.past, before.most.present)
	if most-c.acting > most*l.ShrinkLimit/100 {
		return fmt.Sprintf("shrank from %d to %d names and prefixes that act, guard.shrink_limit is %d%%", most, c.acting, l.ShrinkLimit)
	}
	c.most = before.most.with(c.acting, time.Now())
	return ""
}

// putUnlessWeaker is put without the content that must wait, which it takes out of
// next and notes.
func (l *Lists) putUnlessWeaker(specs []Spec, next map[string]*content, cause string, held map[string]string) error {
	p, all, err := l.compile(next)
	if err != nil {
		return err
	}
	before := len(next)
	for i := range specs {
		spec := &specs[i]
		if c := next[spec.Name]; c != nil {
			if reason := l.weaker(spec, c, cause); reason != "" {
				held[spec.Name] = reason
				delete(next, spec.Name)
			}
		}
	}
	if len(next) < before {
		return l.put(next)
	}
	l.swap(p, all)
	return nil
}

func (l *Lists) isApproved(spec *Spec, digest, cause string) bool {
	return spec.Edited || cause == causeApproved || digest != "" && l.approvals.has(spec.Name, digest)
}

// precedes tells whether a list's content is what new content of it is compared
// with.
func (c *content) precedes(spec *Spec) bool {
	return c != nil && c.source == spec.Source && c.allow == spec.Allow
}

// mostActing remembers how many triggers of a list acted at most, for a day to two
// half days.
type mostActing struct {
	since         time.Time // of present
	present, past int
}

const mostWithin = 12 * time.Hour

// with is what is remembered when a number is in force from now on.
func (m mostActing) with(acting int, now time.Time) mostActing {
	switch age := now.Sub(m.since); {
	case age < mostWithin:
		m.present = max(m.present, acting)
		return m
	case age < 2*mostWithin:
		return mostActing{since: now, past: m.present, present: acting}
	}
	return mostActing{since: now, present: acting}
}
