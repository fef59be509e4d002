// Package names tells whom an address was at a time: by the lease files of DHCP servers, CSV
// files of the operator and reverse DNS. What a lease file or reverse DNS said is kept, since
// the next machine that gets the address has another name.
package names

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"sinkhole/hits"
)

// Options say where names come from.
type Options struct {
	Files []string // lease files and CSV files, told apart by their content
	// History is the file in which the leases that were seen are kept; "": nothing is.
	// Only one Names may write it.
	History string
	Write   bool          // write the history, not only read it
	Keep    time.Duration // how long a lease is kept after its end (for ever)
	// Reverse asks for the name of an address; nil: nobody is asked.
	Reverse func(context.Context, netip.Addr) (string, error)
	// ReverseAll also asks for the names of public addresses.
	ReverseAll bool
	Logger     *zap.Logger
}

const (
	// pollEvery is how often the files are looked at. One is not read for more than a tenth of
	// the time.
	pollEvery = 2 * time.Second
	pollShare = 10
	// pruneEvery is how often what is too old is removed.
	pruneEvery = time.Hour
	// toldFaults bounds the lines at fault of a file that are logged.
	toldFaults = 20
)

// Stats counts. Counts of failures are since the start.
type Stats struct {
	Entries, Leases int    // of CSV files; of all that is known of leases and reverse DNS
	Faults          int    // lines of the files, as they are now, that cannot be used
	Unread          uint64 // files that could not be read: what was known of them holds
	Unsaved         uint64 // failed writes of the history
	Forgotten       uint64 // leases that went before their time, since there were too many
	Asked, Unnamed  uint64 // reverse DNS: questions, and those of them without a name
	Unasked         uint64 // and addresses that were not asked for, since too many waited
}

// Names is who addresses were. It is safe for concurrent use.
type Names struct {
	o       Options
	log     *zap.Logger
	files   []*file
	history *history
	reverse *reverse // nil: nobody is asked

	mu     sync.RWMutex // over what follows
	table  *table
	leases *holders
	named  *holders // by reverse DNS

	entries, faults            atomic.Int64
	unread, unsaved, forgotten atomic.Uint64
}

// Open reads the history and the files. A fault of a file is logged, and the rest holds; it is
// read again when it changes.
func Open(o Options) *Names {
	n := &Names{o: o, log: o.Logger, table: newTable(nil), leases: newHolders(), named: newHolders()}
	for _, path := range o.Files {
		n.files = append(n.files, &file{path: path})
	}
	n.history = &history{path: o.History, write: o.Write}
	if err := n.history.load(n.leases, n.named); err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.log.Warn("what was known of leases cannot be read: hits of before have no names of it", zap.Error(err))
	}
	if o.Reverse != nil {
		n.reverse = newReverse()
	}
	n.prune(time.Now())
	n.look()
	return n
}

// Run reads files that change, and asks for names, until ctx ends.
func (n *Names) Run(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	if n.reverse != nil {
		asking.Go(func() { n.reverse.run(ctx, n) })
	}
	pruned := time.Now()
	for wait := pollEvery; ; {
		select {
		case <-ctx.Done():
			n.save()
			return
		case <-time.After(wait):
		}
		began := time.Now()
		n.look()
		if time.Since(pruned) >= pruneEvery {
			pruned = time.Now()
			n.prune(pruned)
		}
		n.save()
		wait = max(pollEvery, pollShare*time.Since(began))
	}
}

// Stats can be called at any time.
func (n *Names) Stats() Stats {
	s := Stats{Entries: int(n.entries.Load()), Faults: int(n.faults.Load()), Unread: n.unread.Load(), Unsaved: n.unsaved.Load(), Forgotten: n.forgotten.Load()}
	n.mu.RLock()
	s.Leases = n.leases.count + n.named.count
	n.mu.RUnlock()
	if n.reverse != nil {
		s.Asked, s.Unnamed, s.Unasked = n.reverse.asked.Load(), n.reverse.unnamed.Load(), n.reverse.unasked.Load()
	}
	return s
}

// look reads the files that changed.
func (n *Names) look() {
	changed := false
	for _, f := range n.files {
		now := time.Now()
		news, err := f.read(now)
		switch {
		case err != nil:
			n.unread.Add(1)
			n.log.Warn("a file of names cannot be read: what was known of it holds", zap.Error(err))
			continue
		case news == nil:
			continue
		}
		changed = true
		n.tell(f.path, news)
		if news.format == formatTable {
			f.entries = news.entries
			continue
		}
		f.entries = nil
		n.mu.Lock()
		n.leases.merge(f.path, news, now.UnixNano())
		n.mu.Unlock()
	}
	if !changed {
		return
	}
	var entries []entry
	faults := 0
	for _, f := range n.files {
		faults += f.faults
		entries = append(entries, f.entries...)
	}
	if more := len(entries) - maxEntries; more > 0 {
		n.log.Warn("the CSV files of names have more entries than are kept: the last ones are left out", zap.Int("kept", maxEntries), zap.Int("left_out", more))
		entries = entries[:maxEntries]
	}
	t := newTable(entries)
	n.entries.Store(int64(len(entries)))
	n.faults.Store(int64(faults))
	n.mu.Lock()
	n.table = t
	n.forgotten.Add(uint64(n.leases.bound(maxHeld)))
	n.mu.Unlock()
	n.save()
}

func (n *Names) tell(path string, news *content) {
	for _, fault := range news.faults {
		n.log.Warn("a line of a file of names is left out", zap.Error(fault))
	}
	if more := news.bad - len(news.faults); more > 0 {
		n.log.Warn("more lines of a file of names are left out", zap.String("file", path), zap.Int("lines", more))
	}
	n.log.Debug("read a file of names", zap.String("file", path), zap.String("format", string(news.format)))
}

// save writes what is new of leases.
func (n *Names) save() {
	if !n.o.Write || n.o.History == "" {
		return
	}
	n.mu.Lock()
	lines, whole := n.history.pending(n.leases, n.named)
	n.mu.Unlock()
	if err := n.history.store(lines, whole); err != nil {
		n.mu.Lock()
		n.history.whole = true // all of it, next time
		n.mu.Unlock()
		if n.unsaved.Add(1) == 1 {
			n.log.Warn("what leases there are cannot be kept: after a restart hits of before have no names of them", zap.Error(err))
		}
	}
}

func (n *Names) prune(now time.Time) {
	if n.o.Keep <= 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	before := now.Add(-n.o.Keep).UnixNano()
	if n.leases.prune(before)+n.named.prune(before) > 0 {
		n.history.whole = true
	}
}

// Who is whom a client was. Each part of the answer is that of the most specific source that has
// it: the CSV's entry of the MAC address, of the address (and port), the lease, the CSV's
// prefix, the longest first, reverse DNS.
func (n *Names) Who(c hits.Client) hits.Who {
	n.mu.RLock()
	defer n.mu.RUnlock()
	addr, at := c.Addr.Unmap().WithZone(""), c.At.UnixNano()
	own, lease := parseMAC(c.MAC), n.leases.at(addr, at)
	switch {
	case own == (mac{}) && lease != nil:
		own = lease.mac
	case own != (mac{}) && (lease == nil || lease.mac != own): // the address is a forwarder's, or told by none
		lease = n.leases.of(own, at)
	}
	var w hits.Who
	if e := n.table.macs.at(own, at); e != nil && own != (mac{}) {
		fill(&w, &e.who)
	}
	found, shared := n.table.address(addr, c, at)
	if found != nil {
		fill(&w, &found.who)
	}
	if lease != nil {
		fill(&w, &hits.Who{Name: lease.name})
	}
	known := found != nil && found.personal()
	n.table.eachPrefix(addr, at, func(e *entry) {
		fill(&w, &e.who)
		shared = shared || e.who.Shared
	})
	if named := n.named.at(addr, at); named != nil {
		fill(&w, &hits.Who{Name: named.name})
	}
	w.Shared = shared && !known
	return w
}

// Subscriber is who had an address, or a block of its ports, at a time, where a CSV file says so
// for a time or a block; shared where several may have had it. So one who only has a fixed
// address is none: many machines may be behind it.
func (n *Names) Subscriber(c hits.Client) (subscriber string, shared bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if !n.table.personal {
		return "", false
	}
	addr, at := c.Addr.Unmap().WithZone(""), c.At.UnixNano()
	e, shared := n.table.address(addr, c, at)
	if e != nil && e.personal() && e.who.Subscriber != "" {
		return e.who.Subscriber, false
	}
	n.table.eachPrefix(addr, at, func(e *entry) { shared = shared || e.who.Shared })
	return "", shared
}

// Seen has the name of an address asked for, if reverse DNS is, and the time is now.
func (n *Names) Seen(addr netip.Addr, at time.Time) {
	if n.reverse == nil || time.Since(at) > reverseWithin {
		return
	}
	addr = addr.Unmap().WithZone("")
	if n.o.ReverseAll || private(addr) {
		n.reverse.want(addr, at)
	}
}

// fill takes over what is not known yet.
func fill(w, from *hits.Who) {
	for _, p := range [...]struct{ to, from *string }{
		{&w.Name, &from.Name}, {&w.Owner, &from.Owner}, {&w.Site, &from.Site}, {&w.Subscriber, &from.Subscriber},
	} {
		if *p.to == "" {
			*p.to = *p.from
		}
	}
}

// Check reads the files once, and gives their faults, each with file:line.
func Check(paths []string) (faults []error, more int) {
	for _, path := range paths {
		f := &file{path: path}
		news, err := f.read(time.Now())
		if err != nil {
			faults = append(faults, err)
			continue
		}
		faults = append(faults, news.faults...)
		more += news.bad - len(news.faults)
	}
	return faults, more
}

// stamp is what tells that a file changed.
type stamp struct {
	size  int64
	mtime time.Time
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.Size(), info.ModTime()}, nil
}
