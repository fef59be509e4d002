package hits

import (
	"math"
	"net/netip"
	"slices"
	"time"
)

// Bounds of what one second of merging keeps.
const (
	// MaxMergedKeys is the number of merged lines by indicator; past it, hits
	// are merged by client.
	MaxMergedKeys = 16_384
	// MaxClientKeys is how many of those one client may take; further hits of it
	// are merged by client. A flood of one machine costs no other its detail.
	MaxClientKeys = 1024
	// MaxMergedClients is the number of merged lines by client; past it, hits
	// of further clients are lost.
	MaxMergedClients = 16_384
	// MaxMergedPorts is the number of source ports that a merged line names.
	MaxMergedPorts = 64
	// maxDistinct bounds the pairs of client and indicator that are told apart, and
	// maxClientDistinct those of one client; past it, the number of distinct
	// indicators of a client is a lower bound.
	maxDistinct       = 65_536
	maxClientDistinct = 4096

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
	above int
	span  time.Duration // the longest that a hit is held back

	maxKeys, maxClientKeys, maxClients, maxPairs, maxClientPairs int

	windows []*window // open, oldest first
	closing []*group  // of windows that are over, in the order of their first hits
	pending uint64    // hits in windows and closing
	spare   *tables   // empty, of a window that is over: grown as the next one will need them
}

// tables find the groups of a window.
type tables struct {
	byKey   map[mergeKey]*group
	clients map[netip.Addr]*clientGroups
	told    map[Identity]*clientGroups // those that forwarders tell of
	// pairs are of the hits that are merged by client.
	pairs map[clientIndicator]struct{}

	named  uint32        // the number that a client got last
	latest *clientGroups // of the last hit: floods come from few
}

// clientGroups are those of one client in a window.
type clientGroups struct {
	addr   netip.Addr
	told   *Identity // a forwarder tells of it: addr means nothing; nil: none does
	number uint32    // the client's in its window
	keys   int       // groups by indicator
	all    *group    // the hits that have none of those; nil: every one has
	// full knows the keys of a client that gets no more of them: most of its further
	// hits have none, and are told so without a look into a large map. nil: not full.
	full *keyFilter
}

// keyFilter has a bit set for each key, and so for one of sixteen others.
type keyFilter [256]uint64

func (k *mergeKey) bit() uint64 {
	const mixer = 0x9e3779b97f4a7c15
	return (k.rule ^ uint64(k.qtype)<<40 ^ uint64(k.verdict)<<56) * mixer >> (64 - 14)
}

func (f *keyFilter) add(k *mergeKey) { f[k.bit()>>6] |= 1 << (k.bit() & 63) }

// excludes tells that a key is none of those.
func (f *keyFilter) excludes(k *mergeKey) bool {
	return f != nil && f[k.bit()>>6]>>(k.bit()&63)&1 == 0
}

// filled makes the filter of a client that has all the keys that it may have.
func (t *tables) filled(c *clientGroups) *keyFilter {
	f := new(keyFilter)
	for k := range t.byKey {
		if k.client == c.number {
			f.add(&k)
		}
	}
	return f
}

func newTables() *tables {
	return &tables{byKey: map[mergeKey]*group{}, clients: map[netip.Addr]*clientGroups{}, told: map[Identity]*clientGroups{}, pairs: map[clientIndicator]struct{}{}}
}

func (t *tables) clear() {
	clear(t.byKey)
	clear(t.clients)
	clear(t.told)
	clear(t.pairs)
	t.named, t.latest = 0, nil
}

// client gives the groups of a client, which may be none. Clients of which
// forwarders tell are told apart by all that is told of them, and by who tells: sites
// use the same private addresses, and whoever asks from an address itself is not who
// is said to have it.
func (t *tables) client(h *Hit) *clientGroups {
	if h.Identity != nil {
		return t.identified(h.Identity)
	}
	a := h.Client.Addr()
	if t.latest != nil && t.latest.addr == a {
		return t.latest
	}
	c := t.clients[a]
	if c == nil {
		t.named++
		c = &clientGroups{addr: a, number: t.named}
		t.clients[a] = c
	}
	t.latest = c
	return c
}

func (t *tables) identified(i *Identity) *clientGroups {
	c := t.told[*i]
	if c == nil {
		t.named++
		id := *i
		c = &clientGroups{told: &id, number: t.named}
		t.told[id] = c
	}
	return c
}

// forget lets go of a client that has no groups.
func (t *tables) forget(c *clientGroups) {
	switch {
	case c.keys > 0 || c.all != nil:
	case c.told != nil:
		delete(t.told, *c.told)
	default:
		delete(t.clients, c.addr)
		t.latest = nil
	}
}

// window is the hits of one second.
type window struct {
	second  int64
	opened  time.Time // with a monotonic reading
	due     time.Time // when groups are to be written; only with groups
	single  int       // hits that got a line of their own
	merged  int       // groups by client
	judges  *judges   // of the hits in groups
	groups  []*group
	*tables // nil without groups
}

// mergeKey, like all keys here, is small and has no padding: it is hashed and
// compared as octets.
type mergeKey struct {
	rule    uint64 // the deciding one
	client  uint32 // its number
	verdict uint16 // as judges number it
	qtype   uint16
}

// ruleRef is a rule of a policy; rule numbers of two policies mean different
// indicators.
type ruleRef struct {
	rule   uint64
	policy uint64 // as judges number it
}

// noPolicy is the policy of a hit that names no rule.
const noPolicy = math.MaxUint64

// judges number the policies of a second's hits, and what they said, which are few:
// the numbers are cheaper to compare than what they stand for.
type judges struct {
	policies []Evidence
	verdicts []judgement
}

// judgement is a policy, as it is numbered, and an action.
type judgement struct {
	policy uint64
	action string
}

func (j *judges) policy(e Evidence) uint64   { return uint64(number(&j.policies, e)) }
func (j *judges) verdict(v judgement) uint16 { return uint16(number(&j.verdicts, v)) }

// number is the place of v among all, where it gets one if it has none.
func number[T comparable](all *[]T, v T) int {
	for i := len(*all) - 1; i >= 0; i-- {
		if (*all)[i] == v {
			return i
		}
	}
	*all = append(*all, v)
	return len(*all) - 1
}

type clientIndicator struct {
	rule   uint64
	client uint32 // its number
	policy uint32
}

// group is the hits that share a line.
type group struct {
	kind           string // MergedIndicator or MergedClient
	first          Hit    // the hit with the earliest time
	judges         *judges
	last           time.Time
	count          uint64
	ports          []uint16
	portsTruncated bool
	proven         bool // of every hit
	expected       bool // of every hit

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
	return &merger{above: above, span: span, maxKeys: MaxMergedKeys, maxClientKeys: MaxClientKeys, maxClients: MaxMergedClients, maxPairs: maxDistinct, maxClientPairs: maxClientDistinct}
}

// admit takes in a hit that is to be merged (and copies it), or says that it is
// to be written on its own or lost.
func (m *merger) admit(h *Hit, now time.Time) admission {
	w := m.window(h.Time.Unix(), now)
	if w.single < m.above {
		w.single++
		return admitSingle
	}
	return m.merge(w, h, now)
}

// admitCrowded takes in a hit that is to be merged, however few there were.
func (m *merger) admitCrowded(h *Hit, now time.Time) admission {
	return m.merge(m.window(h.Time.Unix(), now), h, now)
}

func (m *merger) merge(w *window, h *Hit, now time.Time) admission {
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
	w := &window{second: second, opened: now, judges: new(judges)}
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
	if w.tables != nil {
		w.clear()
		m.spare = w.tables
	}
	w.groups, w.merged, w.tables, w.judges = nil, 0, nil, new(judges)
	w.due = time.Time{}
}

// group finds or makes the group of h; nil where the bounds leave no room.
func (w *window) group(h *Hit, m *merger) *group {
	if w.tables == nil {
		if w.tables, m.spare = m.spare, nil; w.tables == nil {
			w.tables = newTables()
		}
	}
	c := w.client(h)
	deciding := w.judges.deciding(h)
	key := mergeKey{
		rule: deciding.rule, client: c.number, qtype: h.QType,
		verdict: w.judges.verdict(judgement{policy: deciding.policy, action: h.Action}),
	}
	if !c.full.excludes(&key) {
		if g := w.byKey[key]; g != nil {
			return g
		}
	}
	switch {
	case len(w.byKey) < m.maxKeys && c.keys < m.maxClientKeys:
		c.keys++
		g := newGroup(MergedIndicator, h, w.judges)
		w.byKey[key] = g
		w.groups = append(w.groups, g)
		if c.keys == m.maxClientKeys {
			c.full = w.filled(c)
		}
		return g
	case c.all == nil && w.merged == m.maxClients:
		w.forget(c)
		return nil
	case c.all == nil:
		w.merged++
		c.all = newGroup(MergedClient, h, w.judges)
		w.groups = append(w.groups, c.all)
	}
	w.countIndicators(c, h, m)
	return c.all
}

// countIndicators counts the indicators of a client's hits.
func (w *window) countIndicators(c *clientGroups, h *Hit, m *merger) {
	g := c.all
	full := func() bool { return len(w.pairs) >= m.maxPairs || g.distinct >= m.maxClientPairs }
	if g.atLeast && full() {
		return // nothing more can be told apart
	}
	policy := w.judges.policy(h.Evidence)
	for _, rule := range h.rules() {
		pair := clientIndicator{rule: rule, client: c.number, policy: uint32(policy)}
		if _, known := w.pairs[pair]; known {
			continue
		}
		if full() {
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

func (j *judges) deciding(h *Hit) ruleRef {
	if rules := h.rules(); len(rules) > 0 {
		return ruleRef{policy: j.policy(h.Evidence), rule: rules[0]}
	}
	return ruleRef{policy: noPolicy}
}

func newGroup(kind string, h *Hit, j *judges) *group {
	g := &group{kind: kind, judges: j, last: h.Time, proven: true, expected: true, action: h.Action}
	g.setFirst(h)
	return g
}

// setFirst makes h the hit that the line has the details of. All hits of a group
// have equal identities.
func (g *group) setFirst(h *Hit) {
	identity := g.first.Identity
	g.first.set(h)
	if h.Identity == nil {
		return
	}
	if identity == nil {
		copied := *h.Identity
		identity = &copied
	}
	g.first.Identity = identity
}

func (g *group) add(h *Hit) {
	g.count++
	g.addRules(h)
	if h.Time.Before(g.first.Time) {
		g.setFirst(h) // so that the line's time and port are of one query
	}
	if h.Time.After(g.last) {
		g.last = h.Time
	}
	g.proven = g.proven && h.SourceProven
	g.expected = g.expected && h.Expected
	g.denied = g.denied || !h.allowed()
	g.enforced = g.enforced || !h.Observe
	if h.Action != g.action {
		g.action = severalActions
	}
	if p := h.Client.Port(); !h.told() && !g.portsTruncated && !slices.Contains(g.ports, p) {
		if g.portsTruncated = len(g.ports) == MaxMergedPorts; !g.portsTruncated {
			g.ports = append(g.ports, p)
		}
	}
}

// addRules adds the rules of h that the group does not name yet.
func (g *group) addRules(h *Hit) {
	more := int(h.MoreRules)
	if h.Evidence == nil {
		g.moreRules = max(g.moreRules, more)
		return
	}
	if len(g.rules) == MaxRules && g.moreRules >= more+int(h.NRules) {
		return // it adds nothing, whatever it names
	}
	policy := g.judges.policy(h.Evidence)
	for _, rule := range h.rules() {
		ref := ruleRef{policy: policy, rule: rule}
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
	if len(m.windows) == 0 {
		m.spare = nil // nothing came for some seconds
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
