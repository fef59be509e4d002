package hits

import (
	"net/netip"
	"slices"
	"time"
)

// Bounds of what one second of merging keeps.
const (
	// MaxMergedKeys is the number of merged lines by indicator; past it, hits
	// are merged by client.
	MaxMergedKeys = 16_384
	// MaxMergedClients is the number of merged lines by client; past it, hits
	// of further clients are lost.
	MaxMergedClients = 16_384
	// MaxMergedPorts is the number of source ports that a merged line names.
	MaxMergedPorts = 64
	// maxDistinct bounds the pairs of client and indicator that are told apart;
	// past it, the number of distinct indicators of a client is a lower bound.
	maxDistinct = 65_536

	// windowAge is how long after its first hit a second is remembered, so that
	// hits that were long in a queue still count towards what it may write singly.
	windowAge = 3 * time.Second
	// maxWindows bounds the seconds remembered at a time. More than four are open
	// only when the clock jumps.
	maxWindows = 5
)

// merger decides which hits get a line of their own, and keeps those that share
// one until their second is over, or for as long as a kill may cost. It belongs
// to the writer.
type merger struct {
	above                         int
	span                          time.Duration // the longest that a hit is held back
	maxKeys, maxClients, maxPairs int

	windows []*window // open, oldest first
	closing []*group  // of windows that are over, in the order of their first hits
	pending uint64    // hits in windows and closing
}

// window is the hits of one second.
type window struct {
	second int64
	opened time.Time // with a monotonic reading
	due    time.Time // when groups are to be written; only with groups
	single int       // hits that got a line of their own
	groups []*group
	byKey  map[mergeKey]*group
	// byClient and pairs are used when byKey is full.
	byClient map[netip.Addr]*group
	pairs    map[clientIndicator]struct{}
}

type mergeKey struct {
	client   netip.Addr
	deciding ruleRef
	qtype    uint16
	action   string
}

// ruleRef is a rule of a policy; rule numbers of two policies mean different
// indicators.
type ruleRef struct {
	evidence Evidence
	rule     uint64
	none     bool // the hit names no rule
}

type clientIndicator struct {
	client netip.Addr
	ref    ruleRef
}

// group is the hits that share a line.
type group struct {
	kind           string // MergedIndicator or MergedClient
	first          Hit    // the hit with the earliest time
	last           time.Time
	count          uint64
	ports          []uint16
	portsTruncated bool
	proven         bool // of every hit

	denied   bool // at least one hit did not get the true answer
	enforced bool // at least one hit was not only observed

	// rules are those of all hits, MaxRules at most; moreRules is the most that
	// one hit had beyond them.
	rules     []ruleRef
	moreRules int

	// Of MergedClient.
	distinct int
	atLeast  bool // distinct is a lower bound
	action   string
}

// severalActions is the action of a line merged by client whose hits had
// different ones.
const severalActions = "several"

type admission uint8

const (
	admitSingle admission = iota
	admitMerged
	admitLost
)

func newMerger(above int, span time.Duration) *merger {
	return &merger{above: above, span: span, maxKeys: MaxMergedKeys, maxClients: MaxMergedClients, maxPairs: maxDistinct}
}

// admit takes in a hit that is to be merged (and copies it), or says that it is
// to be written on its own or lost.
func (m *merger) admit(h *Hit, now time.Time) admission {
	w := m.window(h.Time.Unix(), now)
	if w.single < m.above {
		w.single++
		return admitSingle
	}
	g := w.group(h, m)
	if g == nil {
		return admitLost
	}
	if w.due.IsZero() {
		w.due = now.Add(min(m.span, max(time.Unix(w.second+1, 0).Sub(now), 0)))
	}
	g.add(h)
	m.pending++
	return admitMerged
}

func (m *merger) window(second int64, now time.Time) *window {
	for i := len(m.windows) - 1; i >= 0; i-- {
		if m.windows[i].second == second {
			return m.windows[i]
		}
	}
	if len(m.windows) == maxWindows {
		m.closeOldest()
	}
	w := &window{second: second, opened: now}
	m.windows = append(m.windows, w)
	return w
}

func (m *merger) closeOldest() {
	m.close(m.windows[0])
	m.windows = slices.Delete(m.windows, 0, 1)
}

// close takes the groups out of a window.
func (m *merger) close(w *window) {
	m.closing = append(m.closing, w.groups...)
	w.groups, w.byKey, w.byClient, w.pairs = nil, nil, nil, nil
	w.due = time.Time{}
}

// group finds or makes the group of h; nil where the bounds leave no room.
func (w *window) group(h *Hit, m *merger) *group {
	ref := decidingRule(h)
	key := mergeKey{client: h.Client.Addr(), deciding: ref, qtype: h.QType, action: h.Action}
	if g := w.byKey[key]; g != nil {
		return g
	}
	if len(w.byKey) < m.maxKeys {
		if w.byKey == nil {
			w.byKey = make(map[mergeKey]*group)
		}
		g := newGroup(MergedIndicator, h)
		w.byKey[key] = g
		w.groups = append(w.groups, g)
		return g
	}
	g := w.byClient[key.client]
	if g == nil {
		if len(w.byClient) >= m.maxClients {
			return nil
		}
		if w.byClient == nil {
			w.byClient = make(map[netip.Addr]*group)
			w.pairs = make(map[clientIndicator]struct{})
		}
		g = newGroup(MergedClient, h)
		w.byClient[key.client] = g
		w.groups = append(w.groups, g)
	}
	w.countIndicators(g, h, m.maxPairs)
	return g
}

// countIndicators counts the indicators of a client's hits.
func (w *window) countIndicators(g *group, h *Hit, maxPairs int) {
	for _, rule := range h.rules() {
		pair := clientIndicator{h.Client.Addr(), ruleRef{evidence: h.Evidence, rule: rule}}
		if _, known := w.pairs[pair]; known {
			continue
		}
		if len(w.pairs) >= maxPairs {
			g.atLeast = true
			return
		}
		w.pairs[pair] = struct{}{}
		g.distinct++
	}
	g.atLeast = g.atLeast || h.MoreRules > 0
}

// rules are the numbers of the rules that h names and that can be described.
func (h *Hit) rules() []uint64 {
	if h.Evidence == nil {
		return nil
	}
	return h.Rules[:min(h.NRules, MaxRules)]
}

func decidingRule(h *Hit) ruleRef {
	if rules := h.rules(); len(rules) > 0 {
		return ruleRef{evidence: h.Evidence, rule: rules[0]}
	}
	return ruleRef{none: true}
}

func newGroup(kind string, h *Hit) *group {
	return &group{kind: kind, first: *h, last: h.Time, proven: true, action: h.Action}
}

func (g *group) add(h *Hit) {
	g.count++
	g.addRules(h)
	if h.Time.Before(g.first.Time) {
		g.first = *h // so that the line's time and port are of one query
	}
	if h.Time.After(g.last) {
		g.last = h.Time
	}
	g.proven = g.proven && h.SourceProven
	g.denied = g.denied || !h.allowed()
	g.enforced = g.enforced || !h.Observe
	if h.Action != g.action {
		g.action = severalActions
	}
	if p := h.Client.Port(); !slices.Contains(g.ports, p) {
		if len(g.ports) < MaxMergedPorts {
			g.ports = append(g.ports, p)
		} else {
			g.portsTruncated = true
		}
	}
}

// addRules adds the rules of h that the group does not name yet.
func (g *group) addRules(h *Hit) {
	more := int(h.MoreRules)
	for _, rule := range h.rules() {
		ref := ruleRef{evidence: h.Evidence, rule: rule}
		switch {
		case slices.Contains(g.rules, ref):
		case len(g.rules) < MaxRules:
			g.rules = append(g.rules, ref)
		default:
			more++
		}
	}
	g.moreRules = max(g.moreRules, more)
}

// allowed reports whether the client got the true answer.
func (h *Hit) allowed() bool { return h.Observe || h.Satisfied }

// flush hands out up to limit groups of the windows that are due (all: of every
// window), and returns how many.
func (m *merger) flush(now time.Time, all bool, limit int, emit func(*group)) int {
	for _, w := range m.windows {
		if !w.due.IsZero() && (all || !now.Before(w.due)) {
			m.close(w)
		}
	}
	for len(m.windows) > 0 && m.windows[0].due.IsZero() && now.Sub(m.windows[0].opened) >= windowAge {
		m.closeOldest()
	}
	n := min(limit, len(m.closing))
	for i, g := range m.closing[:n] {
		m.pending -= g.count
		emit(g)
		m.closing[i] = nil
	}
	if m.closing = m.closing[n:]; len(m.closing) == 0 {
		m.closing = nil
	}
	return n
}

// due is when flush has something to do next; ok is false when there is nothing
// to wait for.
func (m *merger) due() (at time.Time, ok bool) {
	for _, w := range m.windows {
		if !w.due.IsZero() && (!ok || w.due.Before(at)) {
			at, ok = w.due, true
		}
	}
	return at, ok
}
