package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sinkhole/hits"
	"sinkhole/hits/export"
)

// reportFlags are the flags of hits report as a person writes them.
type reportFlags struct {
	day, by, client, output string
	bits4, bits6            int
}

func newReport(file *string) *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Write the findings of a day, each once, in a file for each prefix, AS or owner",
		Long: "Writes the findings of a day (UTC): for each client and indicator one row with the first hit\n" +
			"and how many there were, in the form of Shadowserver's report event4_sinkhole_dns, which\n" +
			"IntelMQ reads by the file's name. Prints the files' names. Hits of clients.expected, and of\n" +
			"forwarders that do not tell who asked, are left out.",
		Example: "  sinkhole hits report --day 2026-02-01 --output reports\n" +
			"  sinkhole hits report --day 2026-02-01 --ipv4-prefix 16 --ipv6-prefix 32 --output reports",
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			day, filter, err := f.parse(time.Now())
			if err != nil {
				return usageError(err)
			}
			journal, err := journalPath(*file, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			o := export.ReportOptions{Day: day, By: f.by, Bits4: f.bits4, Bits6: f.bits6, Options: export.Options{Details: details(*file)}}
			return report(journal, filter, export.NewReport(o), f.output, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.day, "day", "", "the day, as in 2026-02-01; yesterday if it is left out")
	flags.StringVar(&f.by, "by", "prefix", "what has a file of its own: prefix, asn (of hits.geo) or owner (of hits.names)")
	flags.StringVar(&f.client, "client", "", "findings of this client address or prefix")
	flags.StringVarP(&f.output, "output", "o", ".", "directory of the files, made if it is missing")
	flags.IntVar(&f.bits4, "ipv4-prefix", 24, "length of an IPv4 prefix")
	flags.IntVar(&f.bits6, "ipv6-prefix", 48, "length of an IPv6 prefix")
	return cmd
}

func (f *reportFlags) parse(now time.Time) (day time.Time, x hits.Filter, err error) {
	day = now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	if f.day != "" {
		if day, err = time.Parse(time.DateOnly, f.day); err != nil {
			return day, x, fmt.Errorf("--day: found %q, expected a day such as 2026-02-01", f.day)
		}
	}
	switch {
	case f.by != export.ByPrefix && f.by != export.ByASN && f.by != export.ByOwner:
		return day, x, fmt.Errorf("--by: found %q, expected prefix, asn or owner", f.by)
	case f.bits4 < 0 || f.bits4 > 32:
		return day, x, fmt.Errorf("--ipv4-prefix: found %d, expected from 0 to 32", f.bits4)
	case f.bits6 < 0 || f.bits6 > 128:
		return day, x, fmt.Errorf("--ipv6-prefix: found %d, expected from 0 to 128", f.bits6)
	}
	x = hits.Filter{Since: day, Until: day.AddDate(0, 0, 1), Journal: true, Dataset: hits.DatasetHit}
	x.Client, err = prefixFlag("--client", f.client)
	return day, x, err
}

func report(journal string, filter hits.Filter, to *export.Report, dir string, out, messages io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	damaged := 0
	filter.Damaged = func(d hits.Damage) {
		damaged++
		fmt.Fprintf(messages, "sinkhole: %s\n", d)
	}
	if err := hits.Read(ctx, journal, filter, func(r *hits.Record) error {
		switch {
		case r.Event.Dataset == hits.DatasetJournal:
			tellJournal(messages, r)
			return nil
		case r.Time.Before(filter.Since):
			return nil // a line of several hits that began the day before is in that day's report
		}
		return to.Add(r)
	}); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	names, err := to.Write(dir)
	for _, name := range names {
		fmt.Fprintln(out, name)
	}
	if err == nil && len(names) == 0 {
		fmt.Fprintln(messages, "sinkhole: no findings on that day, so no file")
	}
	if damaged > 0 {
		err = errors.Join(err, fmt.Errorf("%s of the journal could not be read", plural(damaged, "place", "places")))
	}
	return err
}
