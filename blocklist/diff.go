package blocklist

import (
	"slices"
	"time"

	"sinkhole/blocklist/format"
)

// Diff is what the last update of a list changed, or what one that is held would
// change.
type Diff struct {
	List           string    `json:"list"`
	Held           string    `json:"held,omitempty"` // why the new content waits
	Time           time.Time `json:"time"`
	Version        string    `json:"version"` // of the new content
	Before         string    `json:"before"`  // of that before
	Added, Removed int       `json:"-"`
	Changed        int       `json:"-"` // that stay, and do something else
	// Names, addresses and prefixes, the first of those counted; empty, never nil,
	// where there are none, and for a list that was not there before.
	AddedEntries   []string `json:"added"`
	RemovedEntries []string `json:"removed"`
	ChangedEntries []Change `json:"changed"`
	// What the guard kept out of the new content.
	GuardRefused []Fault `json:"guard_refused,omitempty"`
	GuardHeld    []Fault `json:"guard_held,omitempty"`
}

// Change is an entry whose rules do something else than before.
type Change struct {
	Entry  string `json:"entry"`
	Before string `json:"before"` // actions; "exactly" and "below" where not of the name and all below
	After  string `json:"after"`
}

func newDiff(list, version string) *Diff {
	return &Diff{
		List: list, Time: time.Now(), Version: version,
		AddedEntries: []string{}, RemovedEntries: []string{}, ChangedEntries: []Change{},
	}
}

// maxDiff bounds the entries that a diff names.
const maxDiff = 10_000

// Diff is what the last update of a list changed or would change; nil if there
// was none that did.
func (l *Lists) Diff(list string) *Diff {
	l.showing.Lock()
	defer l.showing.Unlock()
	return l.diffs[list]
}

// compare counts what an update changed, and notes it for each list of next.
func (l *Lists) compare(old, p *Policy, next map[string]*content, u *Update) {
	if old == p {
		return
	}
	if old.Indicators() == 0 { // the start: nothing to compare with
		u.Added = p.Indicators()
		return
	}
	for i := range p.lists {
		at := old.listNamed(p.lists[i].Name)
		if at >= 0 && sameParts(old, at, p, i) {
			continue
		}
		name := p.lists[i].Name
		d := newDiff(name, p.lists[i].Version)
		u.Added += d.take(old, at, p, i)
		if _, fresh := next[name]; fresh {
			l.setDiff(d)
		}
	}
	// What is gone is what was there and is not among what is there now.
	u.Removed = old.Indicators() + u.Added - p.Indicators()
}

// previewHeld notes what the lists that are held would change.
func (l *Lists) previewHeld(p *Policy, results map[string]*reading, held map[string]string) {
	for name, reason := range held {
		r := results[name]
		after, err := compile(0, []compiled{{List: List{Name: name}, parts: []listPart{{segment: r.segment}}}}, groups{})
		if err != nil {
			continue
		}
		at := p.listNamed(name)
		d := newDiff(name, r.version)
		d.Held, d.GuardRefused, d.GuardHeld = reason, r.refused.shown, r.held.shown
		d.take(p, at, after, 0)
		l.setDiff(d)
	}
}

// findHeld looks for what was held of lists before a restart.
func (l *Lists) findHeld(p *Policy, specs []Spec, u *Update) {
	held, results := map[string]string{}, map[string]*reading{}
	for i := range specs {
		spec := &specs[i]
		if d := l.Diff(spec.Name); d != nil && d.Held != "" {
			continue
		}
		if r, reason := l.network.readHeld(spec, l.terms(spec)); r != nil && r.err == nil {
			held[spec.Name], results[spec.Name] = reason, r
		}
	}
	l.previewHeld(p, results, held)
	l.showing.Lock()
	defer l.showing.Unlock()
	for name, reason := range held {
		l.state[name].State, l.state[name].HeldReason = StateHeld, reason
		u.Held[name] = reason
	}
}

func (l *Lists) setDiff(d *Diff) {
	l.showing.Lock()
	defer l.showing.Unlock()
	l.diffs[d.List] = d
}

// listNamed is the index of a list, -1 if there is none.
func (p *Policy) listNamed(name string) int {
	return slices.IndexFunc(p.lists, func(o List) bool { return o.Name == name })
}

// sameParts tells whether two policies have the same content of a list.
func sameParts(a *Policy, i int, b *Policy, j int) bool {
	return slices.EqualFunc(a.partsOf(i), b.partsOf(j), func(x, y *part) bool { return x.segment == y.segment && len(x.dead) == len(y.dead) })
}

func (p *Policy) partsOf(list int) (all []*part) {
	for i := range p.parts {
		if int(p.parts[i].list) == list {
			all = append(all, &p.parts[i])
		}
	}
	return all
}

// take notes what a list of one policy has that it lacks in another, and the
// other way round; at is -1 where it was not there before. It returns how many of
// the new triggers no list had before, each once.
func (d *Diff) take(before *Policy, at int, after *Policy, list int) (fresh int) {
	c := comparison{one: after, list: list, other: before, otherList: at}
	c.run()
	d.Added, d.Changed = c.lacking, c.changed
	d.AddedEntries, d.ChangedEntries = append(d.AddedEntries, c.entries...), append(d.ChangedEntries, c.changes...)
	if at < 0 {
		return c.fresh
	}
	d.Before = before.lists[at].Version
	back := comparison{one: before, list: at, other: after, otherList: list}
	back.run()
	d.Removed, d.RemovedEntries = back.lacking, append(d.RemovedEntries, back.entries...)
	return c.fresh
}

// knows tells whether a list has an entry with the trigger of this one, and
// where, and whether any has.
func (p *Policy) knows(list int, entry []byte) (place uint32, inList, inAny bool) {
	if entry[0] < tagResponse4 {
		return p.knowsName(list, entry)
	}
	for place := range p.same(entry) {
		part, _ := p.entryAt(place)
		if inAny = true; int(part.list) == list {
			return place, true, true
		}
	}
	return 0, false, inAny
}

func (p *Policy) knowsName(list int, entry []byte) (place uint32, inList, inAny bool) {
	var h suffixHashes
	name := entry[:h.of(&p.key, entry)]
	if h.depth >= 2 && len(p.filter.blocks) > 0 && !p.filter.blocks[p.filter.find(&h)].has(h.whole) {
		return 0, false, false
	}
	for s := p.index.search(h.whole); s.next(); {
		if p.isName(s.place, name) {
			if inAny = true; int(p.parts[p.owners[s.place>>chunkBits]].list) == list {
				return s.place, true, true
			}
		}
	}
	return 0, false, inAny
}

// first is the first place of a trigger in a list, with -1 in any.
func (p *Policy) first(list int, entry []byte) uint32 {
	for place := range p.same(entry) {
		if part, _ := p.entryAt(place); list < 0 || int(part.list) == list {
			return place
		}
	}
	return 0
}

// textOf is a trigger as an operator writes it.
func textOf(entry []byte) string {
	trigger, name, prefix := triggerOf(entry)
	switch {
	case trigger == format.QName:
		return format.Text(name)
	case prefix.IsSingleIP():
		return prefix.Addr().String()
	}
	return prefix.String()
}
