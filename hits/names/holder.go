package names

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
)

// Bounds of what is kept.
const (
	maxEntries = 2_000_000 // of all CSV files
	maxHeld    = 1_000_000 // leases, those of before included; the one that ended first goes
	// maxMACAddresses bounds the addresses by which a MAC address is found.
	maxMACAddresses = 64
)

// never is the end of what has none.
const never = math.MaxInt64

// held is that a machine had an address, from a time to before another, Unix nanoseconds.
type held struct {
	from, until int64
	mac         mac // zero: not known
	name        string
	source      string // the file; "ptr": reverse DNS
}

func (h *held) sameMachine(o *held) bool { return h.mac == o.mac && h.name == o.name }

// timeline is who had one address: no two at a time, the earliest first.
type timeline []held

// add takes in what a source says. What it says last is so: from its beginning on nobody else
// has the address; its end is the end. One who had the address before then, and never lost it,
// is the same.
func (t timeline) add(h held) timeline {
	kept := t[:0:0]
	for _, e := range t {
		switch {
		case e.sameMachine(&h) && e.from <= h.until && h.from <= e.until:
			h.from = min(h.from, e.from)
		case e.from < h.from:
			e.until = min(e.until, h.from)
			kept = append(kept, e)
		case e.from == h.from: // said before
		default:
			h.until = min(h.until, e.from)
			kept = append(kept, e)
		}
	}
	if h.until > h.from {
		kept = append(kept, h)
	}
	slices.SortFunc(kept, func(a, b held) int { return cmp.Compare(a.from, b.from) })
	return kept
}

// at is who had the address then; nil: nobody is known.
func (t timeline) at(when int64) *held {
	i, found := slices.BinarySearchFunc(t, when, func(h held, when int64) int { return cmp.Compare(h.from, when) })
	if !found {
		i--
	}
	if i < 0 || when >= t[i].until {
		return nil
	}
	return &t[i]
}

// holders is who had addresses.
type holders struct {
	by    map[netip.Addr]timeline
	macs  map[mac][]netip.Addr // addresses that a MAC address had, the latest last
	count int
	dirty map[netip.Addr]timeline // as they were when they were written last
}

func newHolders() *holders {
	return &holders{by: make(map[netip.Addr]timeline), macs: make(map[mac][]netip.Addr), dirty: make(map[netip.Addr]timeline)}
}

func (o *holders) at(a netip.Addr, when int64) *held { return o.by[a].at(when) }

// of is what a MAC address had then.
func (o *holders) of(m mac, when int64) *held {
	for _, a := range slices.Backward(o.macs[m]) {
		if h := o.by[a].at(when); h != nil && h.mac == m {
			return h
		}
	}
	return nil
}

// put replaces what is known of an address.
func (o *holders) put(a netip.Addr, t timeline) {
	before := o.by[a]
	if slices.Equal(before, t) {
		return
	}
	if _, ok := o.dirty[a]; !ok {
		o.dirty[a] = before
	}
	o.count += len(t) - len(before)
	if len(t) == 0 {
		delete(o.by, a)
		return
	}
	o.by[a] = t
	for i := range t {
		o.index(t[i].mac, a)
	}
}

func (o *holders) index(m mac, a netip.Addr) {
	if m == (mac{}) || slices.Contains(o.macs[m], a) {
		return
	}
	all := append(o.macs[m], a)
	o.macs[m] = all[max(0, len(all)-maxMACAddresses):]
}

// merge takes in what a lease file says now.
func (o *holders) merge(source string, news *content, now int64) {
	seen := min(news.written, now)
	for a, said := range news.leases {
		t := o.by[a]
		for _, h := range said {
			h.source = source
			switch same := t.overlapping(&h, seen); {
			case h.gone && same != nil:
				h.until = min(same.until, h.until) // when it was noticed first
			case h.from == 0 && same != nil:
				h.from = same.from
			case h.from == 0:
				h.from = seen // for the first time
			}
			t = t.add(h.held)
		}
		o.put(a, t)
	}
	if news.format != formatDnsmasq {
		return // these may have said it before what is in the file now
	}
	for a, t := range o.by {
		i := len(t) - 1
		if _, ok := news.leases[a]; !ok && t[i].source == source && t[i].until > now {
			t = slices.Clone(t)
			t[i].until = max(seen, t[i].from+1)
			o.put(a, t)
		}
	}
}

// overlapping is what is known of the same machine at the time.
func (t timeline) overlapping(h *lease, seen int64) *held {
	from := cmp.Or(h.from, seen)
	for i := range t {
		if e := &t[i]; e.sameMachine(&h.held) && e.from <= h.until && from <= e.until {
			return e
		}
	}
	return nil
}

// prune removes what ended before a time, and tells how many.
func (o *holders) prune(before int64) (removed int) {
	count := o.count
	for a, t := range o.by {
		if kept := slices.DeleteFunc(slices.Clone(t), func(h held) bool { return h.until < before }); len(kept) < len(t) {
			o.put(a, kept)
		}
	}
	if removed = count - o.count; removed > 0 {
		o.macs = make(map[mac][]netip.Addr)
		for a, t := range o.by {
			for i := range t {
				o.index(t[i].mac, a)
			}
		}
	}
	return removed
}

// bound keeps so many, those that end last, and tells how many went.
func (o *holders) bound(most int) int {
	if o.count <= most {
		return 0
	}
	ends := make([]int64, 0, o.count)
	for _, t := range o.by {
		for i := range t {
			ends = append(ends, t[i].until)
		}
	}
	slices.Sort(ends)
	// A tenth more, so that it is not done again at once.
	cut := ends[min(len(ends)-1, len(ends)-most+most/10)]
	if cut == never {
		return 0 // more leases without an end than that: the file's bound holds
	}
	return o.prune(cut)
}
