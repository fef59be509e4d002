package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sinkhole/configs"
	"sinkhole/hits"
	"sinkhole/hits/export"
)

func newHits(file *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hits",
		Short: "Show what was found",
		Args:  noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.Help(); err != nil {
				return err
			}
			return &exitError{code: exitUsage}
		},
	}
	cmd.AddCommand(newEvents(file), newReport(file), newMachines(file), newFamilies(file), newIndicators(file), newVerify(file), newPseudonym(file))
	return cmd
}

// eventFlags are the flags of hits events as a person writes them.
type eventFlags struct {
	since, until, at, within, client, peer, mac, family, list, dataset, format string

	port       uint16
	limit      int
	follow     bool
	unexpected bool
	noise      bool
}

// Defaults of the flags that the others decide on.
const (
	defaultSince  = "24h"
	defaultWithin = "5s"
)

func newEvents(file *string) *cobra.Command {
	var f eventFlags
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show the hits and connections one by one, from the journal",
		Long: "Shows the hits, and the connections to the sinkhole address (landing), one by one, oldest\n" +
			"first. Reads the journal itself, the server running or not. Connections that are noise, of\n" +
			"clients without a hit that named nothing listed, are shown with --noise only. Times are RFC 3339 (2026-02-01T03:04:05Z), a date, or how long ago (24h, 7d).",
		Example: "  sinkhole hits events --since 1h --family \"Lumma Stealer\"\n" +
			"  sinkhole hits events --client 192.0.2.7 --port 40111 --at 2026-02-01T03:04:05Z --within 5s\n" +
			"  sinkhole hits events --follow --format jsonl",
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter(time.Now())
			if err != nil {
				return usageError(err)
			}
			journal, err := journalPath(*file, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return events(journal, filter, f, details(*file), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", defaultSince, "hits from this time on; \"all\" for all")
	flags.StringVar(&f.until, "until", "", "hits before this time")
	flags.StringVar(&f.at, "at", "", "hits at this time, give or take --within")
	flags.StringVar(&f.within, "within", defaultWithin, "how far from --at")
	flags.StringVar(&f.client, "client", "", "hits of this client address or prefix")
	flags.StringVar(&f.peer, "peer", "", "hits that came through this forwarder or balancer, an address or prefix")
	flags.StringVar(&f.mac, "mac", "", "hits of the client with this MAC address, as a forwarder told it")
	flags.BoolVar(&f.unexpected, "unexpected", false, "leave out hits of clients.expected")
	flags.Uint16Var(&f.port, "port", 0, "hits from this source port")
	flags.StringVar(&f.family, "family", "", "hits of this malware family")
	flags.StringVar(&f.list, "list", "", "hits on this list")
	flags.StringVar(&f.dataset, "dataset", "", "only these: hit (queries) or landing (connections)")
	flags.BoolVar(&f.noise, "noise", false, "connections that are noise too")
	flags.IntVar(&f.limit, "limit", 0, "only the newest so many")
	flags.StringVar(&f.format, "format", "table", "table, csv, json, jsonl, stix, shadowserver or misp")
	flags.BoolVar(&f.follow, "follow", false, "go on with new hits until interrupted")
	return cmd
}

func (f *eventFlags) filter(now time.Time) (x hits.Filter, err error) {
	x.Port, x.Family, x.List, x.Limit, x.Unexpected = f.port, f.family, f.list, f.limit, f.unexpected
	x.Noise = f.noise
	if x.Dataset, err = datasetFlag(f.dataset); err != nil {
		return x, err
	}
	x.Journal = f.limit == 0 // what was lost is part of what was found
	if x.At, err = moment("--at", f.at, now); err != nil {
		return x, err
	}
	if x.Within, err = configs.ParseDuration(f.within); err != nil {
		return x, fmt.Errorf("--within: %w", err)
	}
	if x.At.IsZero() && f.within != defaultWithin {
		return x, errors.New("--within says how far from --at, which is missing")
	}
	if x.Until, err = moment("--until", f.until, now); err != nil {
		return x, err
	}
	if f.since != "all" && (x.At.IsZero() || f.since != defaultSince) {
		if x.Since, err = moment("--since", f.since, now); err != nil {
			return x, err
		}
	}
	if !x.Until.IsZero() && !x.Since.Before(x.Until) {
		return x, fmt.Errorf("--since is %s and --until %s: expected --since to be earlier", x.Since.UTC().Format(time.RFC3339), x.Until.UTC().Format(time.RFC3339))
	}
	if f.limit < 0 {
		return x, fmt.Errorf("--limit: found %d, expected 0 or more", f.limit)
	}
	if x.MAC, err = macFlag(f.mac); err != nil {
		return x, err
	}
	if x.Client, err = prefixFlag("--client", f.client); err != nil {
		return x, err
	}
	x.Peer, err = prefixFlag("--peer", f.peer)
	return x, err
}

// datasetFlag reads the name of a dataset, with or without what all have in front.
func datasetFlag(text string) (string, error) {
	switch strings.TrimPrefix(text, "sinkhole.") {
	case "":
		return "", nil
	case "hit":
		return hits.DatasetHit, nil
	case "landing":
		return hits.DatasetLanding, nil
	}
	return "", fmt.Errorf("--dataset: found %q, expected hit or landing", text)
}

// prefixFlag reads an address or a prefix; the zero Prefix for "".
func prefixFlag(flag, text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p, nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s: found %q, expected an address or a prefix such as 192.0.2.0/24", flag, text)
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// macFlag reads a MAC address in any of its usual forms, and gives that of the
// journal.
func macFlag(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 {
		return "", fmt.Errorf("--mac: found %q, expected a MAC address such as 00-00-5E-00-53-23", text)
	}
	return strings.ToUpper(strings.ReplaceAll(mac.String(), ":", "-")), nil
}

// moment reads a time, a date, or a duration before now; zero for "".
func moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if ago, err := configs.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("%s: found %q, expected a time such as 2026-02-01T03:04:05Z, a date, or a duration such as 24h or 7d", flag, text)
}

func events(journal string, filter hits.Filter, f eventFlags, more func(*hits.Record) export.Details, out, messages io.Writer) error {
	sink := bufio.NewWriter(out)
	flush := func() error {
		if f.follow {
			return sink.Flush()
		}
		return nil
	}
	w, err := export.New(f.format, sink, export.Options{Width: terminalWidth(), Live: f.follow, Details: more})
	if err != nil {
		return usageError(fmt.Errorf("--format: %w", err))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	read := hits.Read
	if f.follow {
		read = hits.Follow
	}
	damaged, shown := 0, 0
	filter.Damaged = func(d hits.Damage) {
		damaged++
		fmt.Fprintf(messages, "sinkhole: %s\n", d)
	}
	err = read(ctx, journal, filter, func(r *hits.Record) error {
		if r.Event.Dataset == hits.DatasetJournal {
			tellJournal(messages, r)
			return nil
		}
		shown++
		return errors.Join(w.Write(r), flush())
	})
	if errors.Is(err, context.Canceled) {
		err = nil // interrupted: what was read is shown
	}
	if err != nil && shown == 0 {
		return err // a table's head alone would look like a result
	}
	err = errors.Join(err, w.Close(), sink.Flush())
	if errors.Is(err, syscall.EPIPE) {
		return nil // the reader of our output has seen enough
	}
	if err == nil && damaged > 0 {
		err = fmt.Errorf("%s of the journal could not be read", plural(damaged, "place", "places"))
	}
	return err
}

// tellJournal says what the journal itself has on record that bears on its
// hits: losses, and starts after an unclean stop.
func tellJournal(messages io.Writer, r *hits.Record) {
	at := r.Time.UTC().Format(time.RFC3339)
	if n := r.Sinkhole.LostConnections; n > 0 {
		fmt.Fprintf(messages, "sinkhole: %s to the landing lost by %s\n", plural(int(n), "connection", "connections"), at)
	}
	switch {
	case r.Sinkhole.Lost > 0:
		fmt.Fprintf(messages, "sinkhole: %s lost by %s\n", plural(int(r.Sinkhole.Lost), "hit", "hits"), at)
	case r.Sinkhole.PreviousStop == "unclean":
		fmt.Fprintf(messages, "sinkhole: start at %s after an unclean stop: hits of the moment before may be missing\n", at)
	}
}

// terminalWidth is the width of the terminal on stdout in columns; 0: none.
func terminalWidth() int {
	width, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		return 0
	}
	return width
}
