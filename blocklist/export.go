package blocklist

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/gaissmai/bart"

	"sinkhole/blocklist/format"
)

// ExportFormat is a form in which a policy can be given to others.
type ExportFormat string

// The forms. Those for firewalls and other resolvers hold what is decided, ours
// holds all that is known.
const (
	ExportRPZ      ExportFormat = "rpz"      // a response policy zone: names, addresses, clients, with their exceptions
	ExportDomains  ExportFormat = "domains"  // the names that are blocked, one a line
	ExportNFTables ExportFormat = "nftables" // the addresses that are blocked, as sets
	ExportCSV      ExportFormat = "csv"      // every entry behind what is blocked, with its evidence
)

// ExportFormats are all forms.
func ExportFormats() []ExportFormat {
	return []ExportFormat{ExportRPZ, ExportDomains, ExportNFTables, ExportCSV}
}

// ExportOptions of [Policy.Export].
type ExportOptions struct {
	Format ExportFormat
	// Lists are the lists whose entries count, beside all allow lists; empty: all.
	Lists []string
	// Now is when what expires is judged.
	Now time.Time
	// IPv4, IPv6 and TTL are the server's own sinkhole addresses, for RPZ. Without
	// an address (none, auto) a name has no address there either.
	IPv4, IPv6 Sink
	TTL        time.Duration
}

// Exported is what an export wrote, and what it could not.
type Exported struct {
	Entries int64 `json:"entries"`
	// LeftOut counts what the form cannot say, by what that is.
	LeftOut map[string]int64 `json:"left_out,omitempty"`
}

// Export writes what is in force for a client in no group: what is decided for
// each name and prefix by all lists together, so without what an allow list
// exempts, what only observes and what has expired. It keeps to the policy that
// it was called on and holds only one entry at a time.
func (p *Policy) Export(w io.Writer, o ExportOptions) (Exported, error) {
	x, err := newExporter(p, w, o)
	if err != nil {
		return Exported{}, err
	}
	switch o.Format {
	case ExportRPZ:
		err = (&rpzExport{exporter: x}).write()
	case ExportDomains:
		err = x.domains()
	case ExportNFTables:
		err = x.nftables()
	case ExportCSV:
		err = x.csv()
	default:
		return Exported{}, fmt.Errorf("no export has the format %q: expected one of %q", o.Format, ExportFormats())
	}
	if err == nil {
		err = x.out.Flush()
	}
	return x.done, err
}

// exporter judges what stands in a policy as a query would be.
type exporter struct {
	policy  *Policy
	options ExportOptions
	out     *bufio.Writer
	done    Exported

	chosen []bool // by list: its entries are gone through
	names  *Policy
	child  []byte
}

func newExporter(p *Policy, w io.Writer, o ExportOptions) (*exporter, error) {
	x := &exporter{
		policy: p, options: o, out: bufio.NewWriterSize(w, 1<<16), done: Exported{LeftOut: map[string]int64{}},
		chosen: make([]bool, len(p.lists)), names: p.narrowed(o.Lists),
	}
	for _, name := range o.Lists {
		if at := p.listNamed(name); at < 0 || p.lists[at].Allow {
			return nil, fmt.Errorf("no list is named %q: expected one of %q", name, p.blocking())
		}
	}
	for i, list := range p.lists {
		x.chosen[i] = list.Allow || len(o.Lists) == 0 || slices.Contains(o.Lists, list.Name)
	}
	return x, nil
}

func (p *Policy) blocking() []string {
	var all []string
	for _, list := range p.lists {
		if !list.Allow {
			all = append(all, list.Name)
		}
	}
	return all
}

// narrowed is a policy of the names alone, in which only some lists hold, the
// same for every client.
func (p *Policy) narrowed(lists []string) *Policy {
	q := &Policy{
		serial: p.serial, lists: p.lists, parts: p.parts, chunks: p.chunks, owners: p.owners, key: p.key, index: p.index, filter: p.filter,
		names: p.names, silencing: p.silencing, repeated: p.repeated, tally: p.tally,
		groups: newGroups([]Group{{Clients: []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}, Lists: lists}}),
	}
	q.groups.resolve(q.lists)
	return q
}

// ruling is what the lists decide about a name or prefix.
type ruling struct {
	decision Decision // Observe counts as None
	action   format.Action
	rule     uint64
}

func rulingOf(v *Verdict) ruling {
	switch v.Decision {
	case Enforce:
		return ruling{decision: Enforce, action: v.Action, rule: v.Rule()}
	case Allow:
		return ruling{decision: Allow, action: format.PassThru, rule: v.Exempt}
	}
	return ruling{}
}

// blocks tells whether nothing leads to the true address any more.
func (r ruling) blocks() bool {
	if r.decision != Enforce {
		return false
	}
	switch r.action {
	case format.Sinkhole, format.NXDomain, format.NoData, format.Refused, format.Drop:
		return true
	}
	return false
}

// eachName calls fn once with each name that a chosen list has.
func (x *exporter) eachName(fn func(name []byte) error) error {
	for list := range x.policy.lists {
		if !x.chosen[list] {
			continue
		}
		for place, entry := range x.policy.entries(list) {
			trigger, name, _ := triggerOf(entry)
			if trigger != format.QName || !x.isFirst(place, entry) {
				continue
			}
			if err := fn(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// isFirst tells whether this is the one entry of its trigger, of those of the
// chosen lists, that is to be looked at.
func (x *exporter) isFirst(place uint32, entry []byte) bool {
	for other := range x.policy.same(entry) {
		if part, _ := x.policy.entryAt(other); x.chosen[part.list] {
			return other == place
		}
	}
	return false
}

// at is what a name gets.
func (x *exporter) at(name []byte) ruling {
	var v Verdict
	x.names.JudgeQuestion(netip.IPv4Unspecified(), name, x.options.Now.Unix(), &v)
	return rulingOf(&v)
}

// below is what a name below this one gets that no list has.
func (x *exporter) below(name []byte) ruling {
	const longest = 255
	if len(name)+2 > longest {
		return ruling{} // there is none
	}
	// Names in lists are in lower case, so none has this label.
	x.child = append(append(x.child[:0], 1, 'A'), name...)
	return x.at(x.child)
}

// above is what a name gets by what stands on the names above it.
func (x *exporter) above(name []byte) ruling {
	if name[0] == 0 {
		return ruling{}
	}
	return x.below(name[1+name[0]:])
}

// eachPrefix calls fn with the prefixes of a table in order, each before those
// that it covers: what an address in it gets that no longer prefix covers, and
// what it would get without this prefix.
func (x *exporter) eachPrefix(set *prefixSet, client bool, fn func(prefix netip.Prefix, by, without ruling) error) error {
	if set.count == 0 {
		return nil
	}
	var covers []netip.Prefix
	judge := x.policy.narrowed(x.options.Lists)
	judge.names, judge.index, judge.filter = 0, index{}, filter{}
	table := &judge.answers
	if client {
		table = &judge.clients
	}
	*table = prefixSet{table: &bart.Table[uint32]{}, nodes: set.nodes}
	ruling := func(a netip.Addr) ruling {
		v := Verdict{Group: judge.groups.of(a)} // without its group all lists hold
		if table.count = len(covers); client {
			judge.JudgeQuestion(a, []byte{0}, x.options.Now.Unix(), &v)
		} else {
			judge.JudgeAnswer(nil, nil, []netip.Addr{a}, x.options.Now.Unix(), &v)
		}
		return rulingOf(&v)
	}
	for prefix, node := range set.table.AllSorted() {
		for len(covers) > 0 && !covers[len(covers)-1].Contains(prefix.Addr()) {
			table.table.Delete(covers[len(covers)-1])
			covers = covers[:len(covers)-1]
		}
		without := ruling(prefix.Addr())
		covers = append(covers, prefix)
		table.table.Insert(prefix, node)
		if err := fn(prefix, ruling(prefix.Addr()), without); err != nil {
			return err
		}
	}
	return nil
}

// leaveOut counts what the form cannot say.
func (x *exporter) leaveOut(what string) { x.done.LeftOut[what]++ }

// printf writes a part of the export.
func (x *exporter) printf(text string, args ...any) error {
	_, err := fmt.Fprintf(x.out, text, args...)
	return err
}
