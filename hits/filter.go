package hits

import (
	"net/netip"
	"time"
)

// Filter says which records to read; a zero field excludes none. A record
// stands for a span of time when it is merged: it is read when any of that span
// lies within the filter's.
type Filter struct {
	Since time.Time // from this moment
	Until time.Time // before this moment
	// At and Within select the moments from At-Within to At+Within, both
	// included. Without At, Within means nothing.
	At     time.Time
	Within time.Duration

	Client netip.Prefix
	// Peer is for what came through a forwarder or a balancer.
	Peer netip.Prefix
	MAC  string // of the client, in the form of a record: 00-00-5E-00-53-23
	// Unexpected leaves out what clients do that look up such names for a living.
	Unexpected bool
	// Port is the client's source port; a merged line that names it matches. A
	// port that truncation left out of a line does not: what is not written is
	// no evidence.
	Port uint16
	// Family, in any case, and List are looked for among those that a record
	// names; a record names those of 16 indicators.
	Family string
	List   string
	// Dataset is DatasetHit or DatasetLanding; "": both.
	Dataset string
	// Noise includes connections to the landing that nothing tells of but themselves.
	Noise bool
	// Limit keeps the newest so many of the matching records; they are still
	// handed out oldest first.
	Limit int
	// Journal includes the journal's own records (start, stop, lost) of the
	// time asked for; the other fields do not apply to them.
	Journal bool
	// Audit includes the records of what people did, in the same way.
	Audit bool
	// Only is asked last, of records that all else lets through (all).
	Only func(*Record) bool
	// Damaged is told of each line that cannot be read. Without it they are in
	// the [DamageError] that Read returns at its end.
	Damaged func(Damage)
}

// span is the filter's time as [from, to); a zero end is open.
func (f *Filter) span() (from, to time.Time) {
	from, to = f.Since, f.Until
	if f.At.IsZero() {
		return from, to
	}
	if first := f.At.Add(-f.Within); from.Before(first) {
		from = first
	}
	if last := f.At.Add(f.Within + 1); to.IsZero() || last.Before(to) {
		to = last
	}
	return from, to
}

func (f *Filter) match(r *Record) bool {
	from, to := f.span()
	if !from.IsZero() && r.End().Before(from) || !to.IsZero() && !r.Time.Before(to) {
		return false
	}
	return f.about(r) && (f.Only == nil || f.Only(r))
}

func (f *Filter) about(r *Record) bool {
	switch r.Event.Dataset {
	case DatasetJournal:
		return f.Journal
	case DatasetAudit:
		return f.Audit
	}
	return f.matchKind(r) && f.matchClient(r) &&
		(f.Family == "" || r.HasFamily(f.Family)) &&
		(f.List == "" || r.HasList(f.List))
}

func (f *Filter) matchKind(r *Record) bool {
	return (f.Dataset == "" || r.Event.Dataset == f.Dataset) && (f.Noise || !r.Sinkhole.Noise)
}

func (f *Filter) matchClient(r *Record) bool {
	return (!f.Client.IsValid() || within(f.Client, r.Client.IP)) &&
		(!f.Peer.IsValid() || within(f.Peer, r.Sinkhole.Peer.IP) || within(f.Peer, r.Sinkhole.Identity.Forwarder)) &&
		(f.MAC == "" || r.Client.MAC == f.MAC) &&
		(!f.Unexpected || !r.Sinkhole.Expected) &&
		(f.Port == 0 || r.HasPort(f.Port))
}

// within compares without the 4in6 form, in which either may be written.
func within(p netip.Prefix, addr netip.Addr) bool {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Contains(addr.Unmap())
}
