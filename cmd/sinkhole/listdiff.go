package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"sinkhole/blocklist"
)

func newListsDiff(file *string, asJSON *bool) *cobra.Command {
	limit := defaultLines
	cmd := &cobra.Command{
		Use:   "diff [NAME]",
		Short: "Show what the last update of a list changed, or what one that is held would",
		Long: "Shows what the last update of a list added, removed and made do something else, or what one that\n" +
			"is held would, what the guard kept out of it, and which of the new names are in the cache, so that\n" +
			"somebody has asked for them of late. The cache is asked for A, AAAA and HTTPS of the names\n" +
			"themselves, not for names below.",
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 0 {
				return usageError(errors.New("--limit: expected 0 or more"))
			}
			var all []diffAnswer
			if err := ask(*file, http.MethodGet, "/lists/diff", url.Values{"name": args}, &all); err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			return printDiffs(cmd.OutOrStdout(), all, limit)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "how many lines of each kind to show; 0: all that are remembered (10,000)")
	return cmd
}

func printDiffs(out io.Writer, all []diffAnswer, limit int) error {
	p := printer{out: out}
	if len(all) == 0 {
		p.say("nothing has changed since the server's start, and nothing is held\n")
	}
	for i := range all {
		if i > 0 {
			p.say("\n")
		}
		p.diff(&all[i], limit)
	}
	return p.err
}

func (p *printer) diff(d *diffAnswer, limit int) {
	if d.Held != "" {
		p.say("%s: held: it %s\n", d.List, d.Held)
	} else {
		p.say("%s: updated %s\n", d.List, moments(d.Time))
	}
	p.say("  %.19s in place of %.19s: %s added, %s removed, %s changed\n",
		orDash(d.Version), orDash(d.Before), count(d.AddedCount), count(d.RemovedCount), count(d.ChangedCount))
	types := map[string]string{}
	for _, c := range d.Cached {
		types[c.Name] = fmt.Sprintf("   in the cache: %s", strings.Join(c.Types, ", "))
	}
	p.entries("+", d.AddedEntries, d.AddedCount, limit, types)
	p.entries("-", d.RemovedEntries, d.RemovedCount, limit, nil)
	changes := map[string]string{}
	var changed []string
	for _, c := range d.ChangedEntries {
		changed, changes[c.Entry] = append(changed, c.Entry), fmt.Sprintf(": %s, before %s", c.After, c.Before)
	}
	p.entries("~", changed, d.ChangedCount, limit, changes)
	if n := len(d.Cached); n > 0 {
		p.say("  %s in the cache now\n", plural(n, "new name is", "new names are"))
	}
	for _, kind := range []struct {
		title string
		lines []blocklist.Fault
	}{{"the guard refused", d.GuardRefused}, {"the guard holds", d.GuardHeld}} {
		if len(kind.lines) > 0 {
			p.say("  %s\n", kind.title)
			p.lines(lineKind{lines: kind.lines, all: len(kind.lines)}, 1, limit)
		}
	}
	if d.Held != "" {
		p.say("  to let this in: sinkhole lists approve %s --version %s\n", d.List, blocklist.HeldVersion(d.Version))
	}
}

func (p *printer) entries(sign string, shown []string, all, limit int, remark map[string]string) {
	if limit > 0 && len(shown) > limit {
		shown = shown[:limit]
	}
	for _, entry := range shown {
		p.say("  %s %s%s\n", sign, entry, remark[entry])
	}
	if more := all - len(shown); more > 0 {
		p.say("  %s and %s more\n", sign, count(more))
	}
}
