package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sinkhole/configs"
	"sinkhole/hits/export"
	"sinkhole/hits/inventory"
)

// overtakenWithin is how long a command waits for the server to bring the inventory up with
// the journal, where both try.
const overtakenWithin = 2 * time.Second

// viewFlags are the flags of hits machines, families and indicators as a person writes them.
type viewFlags struct {
	since, until, client, family, list, evidence, format string

	port  uint16
	limit int
}

// view is one of the inventory, of values of a type.
type view[T any] struct {
	use, short, long, example string
	columns                   []export.Column
	cells                     func(T) []string
	read                      func(*inventory.Reader, context.Context, inventory.Filter) ([]T, error)
}

func newView[T any](file *string, v view[T]) *cobra.Command {
	var f viewFlags
	cmd := &cobra.Command{
		Use: v.use, Short: v.short, Example: v.example,
		Long: v.long + "\nReads the inventory (hits.inventory), and brings it up with the journal first, the server\n" +
			"running or not. Without an inventory, and with --port, it reads the journal itself. Hits of\n" +
			"mode observe count too. --since and --until are about whole hours, and what they choose is\n" +
			"counted; evidence, first and last time of a machine are of all that is kept of it.",
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter(time.Now())
			if err != nil {
				return usageError(err)
			}
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			r, who, err := f.open(ctx, *file, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer r.Close()
			filter.WhoIs = who
			all, err := v.read(r, ctx, filter)
			if err != nil {
				return err
			}
			err = export.Rows(f.format, cmd.OutOrStdout(), export.Options{Width: terminalWidth()}, v.columns, all, v.cells)
			if errors.Is(err, syscall.EPIPE) {
				return nil // the reader of our output has seen enough
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", defaultSince, "hits from this time on, by whole hours; \"all\" for all")
	flags.StringVar(&f.until, "until", "", "hits before this time, by whole hours")
	flags.StringVar(&f.client, "client", "", "machines with this address, or one in this prefix, now or before")
	flags.Uint16Var(&f.port, "port", 0, "hits from this source port; reads the journal itself")
	flags.StringVar(&f.family, "family", "", "hits of this malware family")
	flags.StringVar(&f.list, "list", "", "hits on this list")
	flags.StringVar(&f.evidence, "evidence", "", "machines with this evidence or more: queried, connected or sent")
	flags.IntVar(&f.limit, "limit", 0, "only the first so many")
	flags.StringVar(&f.format, "format", "table", "table, csv, json or jsonl")
	return cmd
}

func (f *viewFlags) filter(now time.Time) (x inventory.Filter, err error) {
	e := eventFlags{since: f.since, until: f.until, within: defaultWithin, client: f.client, limit: f.limit}
	common, err := e.filter(now)
	if err != nil {
		return x, err
	}
	switch f.evidence {
	case "", inventory.Queried, inventory.Connected, inventory.Sent:
	default:
		return x, fmt.Errorf("--evidence: found %q, expected %s, %s or %s", f.evidence, inventory.Queried, inventory.Connected, inventory.Sent)
	}
	if err := export.Known(f.format); err != nil {
		return x, fmt.Errorf("--format: %w", err)
	}
	return inventory.Filter{
		Since: common.Since, Until: common.Until, Client: common.Client, Family: f.family, List: f.list, Evidence: f.evidence,
		Limit: f.limit, Hours: f.format == "json" || f.format == "jsonl",
	}, nil
}

// open gives the inventory, as far as the journal goes.
func (f *viewFlags) open(ctx context.Context, file string, messages io.Writer) (*inventory.Reader, inventory.WhoIs, error) {
	o, who, err := inventoryOptions(file, messages)
	if err != nil {
		return nil, nil, err
	}
	r, err := f.openReader(ctx, o, messages)
	return r, who, err
}

func (f *viewFlags) openReader(ctx context.Context, o inventory.Options, messages io.Writer) (*inventory.Reader, error) {
	if o.Path == "" || f.port != 0 {
		return inventory.ReadJournal(ctx, o, f.port)
	}
	stale := refresh(ctx, o)
	if errors.Is(stale, inventory.ErrForeign) {
		return nil, stale
	}
	r, err := inventory.OpenReader(ctx, o.Path)
	if err != nil {
		if stale != nil && !inventory.Overtaken(stale) {
			return nil, stale
		}
		return nil, err
	}
	if stale != nil {
		at, err := r.ReadTo(ctx)
		if err != nil {
			r.Close()
			return nil, err
		}
		fmt.Fprintf(messages, "sinkhole: the inventory has the journal up to %s: %s\n", at.UTC().Format(time.RFC3339), reason(stale))
	}
	return r, nil
}

func reason(stale error) string {
	if inventory.Overtaken(stale) {
		return "the server is reading the rest"
	}
	return stale.Error()
}

// refresh brings the inventory up with the journal.
func refresh(ctx context.Context, o inventory.Options) error {
	x := inventory.New(o)
	defer x.Close()
	for end := time.Now().Add(overtakenWithin); ; {
		err := x.CatchUp(ctx)
		if !inventory.Overtaken(err) || time.Now().After(end) {
			return err
		}
	}
}

// inventoryOptions are those of a configuration. One with faults tells the journal alone.
func inventoryOptions(file string, messages io.Writer) (inventory.Options, inventory.WhoIs, error) {
	log, _ := newLogger(configs.Log{Level: configs.LogWarn, Format: configs.LogConsole})
	c, err := load(file)
	if err == nil {
		n := commandNames(c, log)
		return inventory.Options{
			Path: c.Hits.Inventory, Journal: c.Hits.Journal.Path, Keep: c.Hits.Journal.Keep, Subscriber: n.subscriber(), Logger: log,
		}, n.whoIs(), nil
	}
	journal, err := journalPath(file, messages)
	return inventory.Options{Journal: journal, Logger: log}, nil, err
}

func newMachines(file *string) *cobra.Command {
	return newView(file, view[*inventory.Machine]{
		use: "machines", short: "Show the infected machines",
		long: "Shows the machines that asked for listed names, the one seen last first, and forwarders,\n" +
			"which are marked and no infected machines.",
		example: "  sinkhole hits machines --since 7d --family \"Lumma Stealer\"\n" +
			"  sinkhole hits machines --evidence connected --format csv > machines.csv\n" +
			"  sinkhole hits machines --since all --client 192.0.2.0/24 --format jsonl",
		columns: []export.Column{
			{Name: "last_seen", Least: 19, Rank: 1},
			{Name: "machine", Tail: true},
			{Name: "name", Least: 8, Rank: 3, Optional: true},
			{Name: "evidence", Least: 7, Rank: 3},
			{Name: "families", Least: 8, Rank: 2},
			{Name: "hits", Right: true, Rank: 4},
			{Name: "indicators", Least: 10, Tail: true, Rank: 6},
			{Name: "lists", Least: 6, Rank: 7},
			{Name: "first_seen", Least: 19, Rank: 8},
			{Name: "mark", Least: 8, Rank: 5},
			{Name: "address", CSVOnly: true}, {Name: "mac", CSVOnly: true}, {Name: "cpe_id", CSVOnly: true}, {Name: "device_id", CSVOnly: true},
			{Name: "via", CSVOnly: true}, {Name: "addresses", CSVOnly: true}, {Name: "source_proven", CSVOnly: true},
			{Name: "forwarder", CSVOnly: true}, {Name: "many_behind", CSVOnly: true},
			{Name: "owner", CSVOnly: true}, {Name: "site", CSVOnly: true}, {Name: "subscriber", CSVOnly: true}, {Name: "shared", CSVOnly: true},
		},
		cells: machineCells,
		read:  (*inventory.Reader).Machines,
	})
}

func machineCells(m *inventory.Machine) []string {
	var indicators, addresses []string
	for _, i := range m.Indicators {
		indicators = append(indicators, i.Name)
	}
	for _, a := range m.Addresses {
		addresses = append(addresses, a.Address)
	}
	return []string{
		second(m.LastSeen), machineText(m), m.Name, m.Evidence, strings.Join(m.Families, "; "), strconv.FormatUint(m.Hits, 10),
		strings.Join(indicators, "; "), strings.Join(m.Lists, "; "), second(m.FirstSeen), strings.Join(machineMarks(m), ", "),
		m.Address, m.MAC, m.CPE, m.Device, m.Via, strings.Join(addresses, " "), strconv.FormatBool(m.SourceProven),
		strconv.FormatBool(m.Forwarder), strconv.FormatBool(m.ManyBehind),
		m.Owner, m.Site, m.Subscriber, strconv.FormatBool(m.Shared),
	}
}

// machineText is what tells a machine from others.
func machineText(m *inventory.Machine) string {
	device := ""
	switch {
	case m.MAC != "":
		return m.MAC
	case m.Subscriber != "":
		device = "subscriber " + m.Subscriber
	case m.Device != "":
		device = "device " + m.Device
	case m.CPE != "":
		device = "cpe " + m.CPE
	}
	return strings.TrimSpace(m.Address + " " + device)
}

func machineMarks(m *inventory.Machine) (marks []string) {
	if m.Forwarder {
		marks = append(marks, "forwarder")
	}
	if m.Shared {
		marks = append(marks, "shared")
	}
	if m.ManyBehind {
		marks = append(marks, "many behind")
	}
	if m.MAC != "" && m.Address != "" {
		marks = append(marks, m.Address)
	}
	if m.Via != "" && !m.Forwarder {
		marks = append(marks, "via "+m.Via)
	}
	for _, of := range []string{m.Owner, m.Site} {
		if of != "" {
			marks = append(marks, of)
		}
	}
	if !m.SourceProven {
		marks = append(marks, "unproven")
	}
	return marks
}

// second is a time as tables have it.
func second(t inventory.Time) string {
	if t == 0 {
		return ""
	}
	return time.Unix(0, int64(t)).UTC().Format(time.RFC3339)
}

// some is a number, "" for none.
func some(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func newFamilies(file *string) *cobra.Command {
	return newView(file, view[*inventory.Family]{
		use: "families", short: "Show the malware families",
		long:    "Shows the families of what was asked for, the one of most machines first.",
		example: "  sinkhole hits families --since 7d",
		columns: []export.Column{
			{Name: "family", Least: 8}, {Name: "machines", Right: true}, {Name: "connected", Right: true, Rank: 4}, {Name: "sent", Right: true, Rank: 5},
			{Name: "forwarders", Right: true, Rank: 7}, {Name: "indicators", Right: true, Rank: 6}, {Name: "hits", Right: true, Rank: 1},
			{Name: "lists", Least: 6, Rank: 3}, {Name: "first_hour", Rank: 8}, {Name: "last_hour", Rank: 2},
			{Name: "shared", Right: true, Rank: 9, Optional: true},
		},
		cells: func(x *inventory.Family) []string {
			return []string{
				x.Family, strconv.Itoa(x.Machines), strconv.Itoa(x.Connected), strconv.Itoa(x.Sent), strconv.Itoa(x.Forwarders), strconv.Itoa(x.Indicators),
				strconv.FormatUint(x.Hits, 10), strings.Join(x.Lists, "; "), second(x.FirstHour), second(x.LastHour), some(x.Shared),
			}
		},
		read: (*inventory.Reader).Families,
	})
}

func newIndicators(file *string) *cobra.Command {
	return newView(file, view[*inventory.Indicator]{
		use: "indicators", short: "Show the indicators that were met",
		long:    "Shows the indicators that machines asked for, the one of most machines first.",
		example: "  sinkhole hits indicators --since 7d --list police",
		columns: []export.Column{
			{Name: "indicator", Least: 12, Tail: true}, {Name: "type", Rank: 9}, {Name: "families", Least: 8, Rank: 2}, {Name: "machines", Right: true},
			{Name: "connected", Right: true, Rank: 5}, {Name: "sent", Right: true, Rank: 6}, {Name: "forwarders", Right: true, Rank: 7},
			{Name: "hits", Right: true, Rank: 1}, {Name: "lists", Least: 6, Rank: 4}, {Name: "first_hour", Rank: 8}, {Name: "last_hour", Rank: 3},
			{Name: "shared", Right: true, Rank: 9, Optional: true},
		},
		cells: func(x *inventory.Indicator) []string {
			return []string{
				x.Name, x.Type, strings.Join(x.Families, "; "), strconv.Itoa(x.Machines), strconv.Itoa(x.Connected), strconv.Itoa(x.Sent), strconv.Itoa(x.Forwarders),
				strconv.FormatUint(x.Hits, 10), strings.Join(x.Lists, "; "), second(x.FirstHour), second(x.LastHour), some(x.Shared),
			}
		},
		read: (*inventory.Reader).Indicators,
	})
}
