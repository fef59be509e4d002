package blocklist

import (
	"strings"

	"sinkhole/blocklist/format"
	"sinkhole/blocklist/guard"
)

// ledger gathers how an increment changes the account of a list.
type ledger struct {
	origin string // of the zone, without the final dot
	since  counts
	low    int
	excess int
	// Records that are no entries, and entries that the guard keeps out.
	faults, refused, held turnover
}

// turnover is what came and went of one kind of findings.
type turnover struct {
	came findings
	went map[string]int // by what they are about
	gone int
}

func (t *turnover) leave(about string) {
	if t.went == nil {
		t.went = map[string]int{}
	}
	t.went[about]++
	t.gone++
}

// after is what findings are then. Those that come stay in order behind those that
// were there.
func (t *turnover) after(before findings, about func(*Fault) string) findings {
	if t.gone == 0 && t.came.all == 0 {
		return before
	}
	after := findings{all: max(0, before.all-t.gone) + t.came.all}
	for i := range before.shown {
		if key := about(&before.shown[i]); t.went[key] > 0 {
			t.went[key]--
			continue
		}
		after.shown = append(after.shown, before.shown[i])
	}
	after.shown = append(after.shown, t.came.shown...)
	after.shown = after.shown[:min(len(after.shown), maxFindings, after.all)]
	return after
}

// keptOut is the turnover of what the guard does with an entry.
func (l *ledger) keptOut(o guard.Outcome) *turnover {
	if o == guard.Hold {
		return &l.held
	}
	return &l.refused
}

// fault counts a record that is no entry: n is 1 where it comes, -1 where it goes.
func (l *ledger) fault(f *format.Fault, n int) {
	switch {
	case f.NotApplicable:
		l.since.notApplicable += n
	case f.Refused:
		l.since.refused += n
	default:
		l.since.malformed += n
	}
}

// aboutFault is what a fault of a zone is about, whether its text is that of a
// record or of a line of the zone's copy: the owner below the zone, and what is
// wrong with it.
func (l *ledger) aboutFault(f *Fault) string {
	owner, _, _ := strings.Cut(f.Text, " ")
	owner = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(owner), "."), "."+l.origin)
	return owner + " " + f.Reason
}

func aboutEntry(f *Fault) string { return f.Text }

// account is that of a list after the increment.
func (l *ledger) account(before account) account {
	after := before
	after.since.plus(l.since)
	after.low, after.excess = before.low+l.low, before.excess+l.excess
	after.faults = l.faults.after(before.faults, l.aboutFault)
	after.refused = l.refused.after(before.refused, aboutEntry)
	after.held = l.held.after(before.held, aboutEntry)
	return after
}
