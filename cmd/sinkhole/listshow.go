package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"sinkhole/blocklist"
)

// listsShow is the command that shows lists.
type listsShow struct {
	file   *string
	asJSON bool
	from   int
	limit  int
}

// defaultLines is how many left-out lines of each kind are shown of one list.
const defaultLines = 100

func (s *listsShow) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show the lists; with a name, all that is known of it",
		Long: "Shows the lists. With a name also its files, the lines that were left out and those that the guard\n" +
			"refused or holds, each with its place and the reason, how its source fares, and what was approved.\n" +
			"Of each kind of line the first 10,000 are remembered; all are counted.",
		Args: arguments(0, 1),
		RunE: s.run,
	}
	cmd.Flags().IntVar(&s.from, "from", 1, "with a name: the first line of each kind to show")
	cmd.Flags().IntVar(&s.limit, "limit", defaultLines, "with a name: how many lines of each kind to show; 0: all")
	return cmd
}

func (s *listsShow) run(cmd *cobra.Command, args []string) error {
	if s.from < 0 || s.limit < 0 {
		return usageError(errors.New("--from and --limit: expected 0 or more"))
	}
	query := url.Values{"name": args}
	if len(args) == 0 && !s.asJSON {
		query.Set("brief", "")
	}
	var all []listView
	if err := ask(*s.file, http.MethodGet, "/lists", query, &all); err != nil {
		return err
	}
	switch {
	case s.asJSON:
		return printJSON(cmd.OutOrStdout(), all)
	case len(args) == 0:
		return printLists(cmd.OutOrStdout(), all)
	}
	return s.printWhole(cmd.OutOrStdout(), &all[0])
}

// printLists shows all lists in short.
func printLists(out io.Writer, all []listView) error {
	errs := []error{printTable(out, all)}
	p := printer{out: out}
	for i := range all {
		l := &all[i]
		if l.Error != "" {
			p.say("\n%s: %s\n", l.Name, oneLine(l.Error))
		}
		if l.HeldReason != "" {
			p.say("\n%s is held: it %s\n  see: sinkhole lists diff %s\n", l.Name, l.HeldReason, l.Name)
		}
		for _, kind := range kindsOf(l) {
			if kind.all > 0 {
				p.say("\n%s: %s\n", l.Name, kind.title)
				p.lines(kind, 1, shownFaults)
			}
		}
	}
	return errors.Join(append(errs, p.err)...)
}

func printTable(out io.Writer, all []listView) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "LIST\tSTATE\tENTRIES\tMALFORMED\tLEFT OUT\tREFUSED\tHELD\tAGE\tNEXT TRY\tDIGEST\tSOURCE")
	for i := range all {
		l := &all[i]
		name := l.Name
		if l.Allow {
			name += " (allow)"
		}
		say(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.15s\t%s\n", name, l.State, count(l.Entries), count(l.Malformed), count(l.LeftOut()),
			count(l.Kept), count(l.Held), ageText(&l.Status), nextText(&l.Status), orDash(l.Version), shortSource(l.Source))
	}
	return w.Flush()
}

func count(n int) string { return humanize.Comma(int64(n)) }

// current is when the content in force was last known to be what the source
// has.
func current(l *blocklist.Status) time.Time {
	if source := sourceOf(l); source != nil && !source.confirmed.IsZero() {
		return source.confirmed
	}
	return l.Loaded
}

func ageText(l *blocklist.Status) string {
	at := current(l)
	if l.Loaded.IsZero() || at.IsZero() {
		return "never read"
	}
	return span(time.Since(at))
}

func nextText(l *blocklist.Status) string {
	switch source := sourceOf(l); {
	case source == nil:
		return "-"
	case source.running:
		return "now"
	case source.next.IsZero():
		return "-"
	default:
		return "in " + span(max(0, time.Until(source.next)))
	}
}

// span is a duration as exactly as a person wants it.
func span(d time.Duration) string {
	switch {
	case d > 48*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d > time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return d.Round(time.Second).String()
}

// lineKind is one kind of lines that are not in force.
type lineKind struct {
	title string
	lines []blocklist.Fault
	all   int // counted
}

func kindsOf(l *listView) []lineKind {
	all := l.Malformed + l.LeftOut()
	left := "lines left out"
	if all == 1 {
		left = "line left out"
	}
	if l.NotApplicable > 0 {
		left += fmt.Sprintf(" (of them %s that no resolver could apply)", count(l.NotApplicable))
	}
	return []lineKind{
		{"refused by the guard; to let one in: sinkhole lists approve " + l.Name + " ENTRY", l.GuardRefused, l.Kept},
		{"held by the guard; to let one in: sinkhole lists approve " + l.Name + " ENTRY", l.GuardHeld, l.Held},
		{left, l.Faults, all},
	}
}

// lines shows some lines of a kind, from the first on.
func (p *printer) lines(k lineKind, first, limit int) {
	from := min(max(first, 1)-1, len(k.lines))
	shown := k.lines[from:]
	if limit > 0 && len(shown) > limit {
		shown = shown[:limit]
	}
	if from > 0 {
		p.say("  %s before\n", count(from))
	}
	for i := range shown {
		f := &shown[i]
		if f.Kind != "" {
			p.say("  %s: %s: %s: %s\n", placeText(f), f.Kind, f.Text, f.Reason)
		} else {
			p.say("  %s\n", f)
		}
	}
	if more := k.all - from - len(shown); more > 0 {
		p.say("  and %s more\n", count(more))
	}
}

// placeText is where a line stands: in a file; records of a zone have no lines.
func placeText(f *blocklist.Fault) string {
	if f.Line == 0 {
		return shortSource(f.File)
	}
	return fmt.Sprintf("%s:%d", shortSource(f.File), f.Line)
}

// printWhole shows all that is known of a list.
func (s *listsShow) printWhole(out io.Writer, l *listView) error {
	if err := printTable(out, []listView{*l}); err != nil {
		return err
	}
	p := printer{out: out}
	p.say("\n")
	p.source(l)
	if l.Error != "" {
		p.say("  error:     %s\n", oneLine(l.Error))
	}
	if l.HeldReason != "" {
		p.say("  held:      the new content %s; see: sinkhole lists diff %s\n", l.HeldReason, l.Name)
	}
	p.say("  in force:  %s", plural(l.Rules, "entry", "entries"))
	if l.Low > 0 {
		p.say("; %s below min_confidence", count(l.Low))
	}
	if l.Excess > 0 {
		p.say("; %s too many on one name", count(l.Excess))
	}
	p.say("\n")
	for _, f := range l.Files {
		p.say("  file:      %s: %s\n", shortSource(f.Name), fileText(l, &f))
	}
	for _, w := range l.Warnings {
		p.say("  warning:   %s\n", w)
	}
	for _, a := range l.Approvals {
		p.approval(&a)
	}
	for _, kind := range kindsOf(l) {
		if kind.all > 0 {
			p.say("\n%s %s\n", count(kind.all), kind.title)
			p.lines(kind, s.from, s.limit)
		}
	}
	return p.err
}

// fileText is what was read of a file.
func fileText(l *listView, f *blocklist.FileStatus) string {
	text := fmt.Sprintf("%s, %s", f.Format, plural(f.Lines, "line", "lines"))
	if l.State == blocklist.StateFailed {
		return fmt.Sprintf("%s and %s, as far as it was read", text, plural(f.Entries, "entry", "entries"))
	}
	if serial, isZone := strings.CutPrefix(f.AsOf, "serial:"); isZone {
		text += ", as it was at serial " + serial
	}
	return text + ", " + f.Digest
}

// source shows how a list comes over the network.
func (p *printer) source(l *listView) {
	if !l.Loaded.IsZero() {
		p.say("  read:      %s\n", moments(l.Loaded))
	}
	source := sourceOf(&l.Status)
	if source == nil {
		return
	}
	for _, at := range []struct {
		what string
		when time.Time
	}{{"fetched:  ", source.fetched}, {"confirmed:", source.confirmed}, {"last try: ", source.tried}, {"expired:  ", source.expired}} {
		if !at.when.IsZero() {
			p.say("  %s %s\n", at.what, moments(at.when))
		}
	}
	if z := source.zone; z != nil && z.Good == nil && z.Zone != "" {
		p.say("  zone:      %s, never transferred\n", z.Zone)
	} else if z != nil && z.Good != nil {
		p.say("  zone:      %s, serial %d, at the primary %d; %s whole, %s, %s believed\n", z.Zone, z.Serial, z.Primary,
			plural(int(z.Whole), "transfer", "transfers"), plural(int(z.Increments), "increment", "increments"), plural(int(z.Notifies), "NOTIFY", "NOTIFYs"))
	}
	if source.failures > 0 {
		p.say("  failed:    %s in a row\n", plural(source.failures, "time", "times"))
	}
	if !source.next.IsZero() {
		p.say("  next try:  in %s\n", span(max(0, time.Until(source.next))))
	}
}

func (p *printer) approval(a *blocklist.Approval) {
	p.say("  approved:  %s by %s at %s\n", a.What(), a.User, a.Time.UTC().Format(time.RFC3339))
}

// moments is a time, and how long ago that was.
func moments(t time.Time) string {
	return fmt.Sprintf("%s (%s ago)", t.UTC().Format(time.RFC3339), span(time.Since(t)))
}

// shortSource shortens paths.
func shortSource(source string) string {
	if strings.Contains(source, "://") {
		return source
	}
	return shortPath(source)
}
