package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"sinkhole/blocklist"
	"sinkhole/configs"
)

// listsExport is the command that gives the lists to others.
type listsExport struct {
	format string
	lists  []string
	output string
}

func newListsExport(file *string) *cobra.Command {
	var x listsExport
	cmd := &cobra.Command{
		Use:   "export --format rpz|domains|nftables|csv [--list NAME]... [-o FILE]",
		Short: "Write what is in force, for firewalls and other resolvers",
		Long: "Writes what is in force for a client in no group: what all lists together decide, so without what\n" +
			"an allow list exempts, what only observes (action log) and what has expired. From the running server,\n" +
			"or when none runs from the lists of the configuration, read once.\n\n" +
			"rpz       a response policy zone for BIND, Unbound, Knot or PowerDNS, exceptions included; its owners\n" +
			"          are relative, so it can have any name (of up to 32 octets)\n" +
			"domains   the names that are blocked, one a line, \"*.\" where only those below are\n" +
			"nftables  the addresses that are blocked in answers, as sets for a firewall (nft -f FILE)\n" +
			"csv       every entry behind what is blocked, with family, dates, list and line, exceptions as passthru;\n" +
			"          read by this program too",
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(blocklist.ExportFormats(), blocklist.ExportFormat(x.format)) {
				return usageError(fmt.Errorf("--format: found %q, expected one of %q", x.format, blocklist.ExportFormats()))
			}
			if x.output == "-" {
				x.output = ""
			}
			return x.run(*file, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&x.format, "format", "", "rpz, domains, nftables or csv")
	cmd.Flags().StringArrayVar(&x.lists, "list", nil, "only entries of this list (and of allow); may be repeated")
	cmd.Flags().StringVarP(&x.output, "output", "o", "", "file to write, put in place when it is whole (default: standard output)")
	return cmd
}

func (x *listsExport) run(file string, out, messages io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var done blocklist.Exported
	export := func(to io.Writer) (err error) {
		counted := &countingWriter{to: to}
		if x.output != "" {
			end := progress(os.Stderr, counted.text)
			defer end()
		}
		done, err = x.export(ctx, file, counted, messages)
		return err
	}
	var err error
	if x.output == "" {
		err = export(out)
	} else {
		err = writeWhole(x.output, export)
	}
	if errors.Is(err, syscall.EPIPE) {
		return nil // the reader of our output has seen enough
	}
	if err != nil {
		return err
	}
	for _, what := range slices.Sorted(maps.Keys(done.LeftOut)) {
		fmt.Fprintf(messages, "sinkhole: %s cannot say: %s (%s)\n", x.format, what, humanize.Comma(done.LeftOut[what]))
	}
	if x.output != "" {
		fmt.Fprintf(messages, "sinkhole: %s written to %s\n", plural(int(done.Entries), "entry", "entries"), x.output)
	}
	return nil
}

// export asks the running server, or when none runs reads the lists itself.
func (x *listsExport) export(ctx context.Context, file string, out, messages io.Writer) (blocklist.Exported, error) {
	journal, err := journalPath(file, messages)
	if err != nil {
		return blocklist.Exported{}, err
	}
	query := url.Values{"format": {x.format}, "list": x.lists}
	response, err := request(ctx, journal, http.MethodGet, "/lists/export", query)
	if errors.Is(err, errNoServer) {
		return x.exportOnce(file, out, messages)
	}
	if err != nil {
		return blocklist.Exported{}, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(out, response.Body); err != nil {
		return blocklist.Exported{}, fmt.Errorf("the export broke off: %w", err)
	}
	var done blocklist.Exported
	if err := json.Unmarshal([]byte(response.Trailer.Get(exportTrailer)), &done); err != nil {
		return done, errors.New("the export broke off: the server did not say that it is whole")
	}
	return done, nil
}

func (x *listsExport) exportOnce(file string, out, messages io.Writer) (blocklist.Exported, error) {
	c, err := load(file)
	if err != nil {
		return blocklist.Exported{}, err
	}
	lists, err := readLists(c)
	if err != nil {
		return blocklist.Exported{}, err
	}
	lists.tell(messages)
	return lists.Policy().Export(out, exportOptions(c, x.format, x.lists))
}

func exportOptions(c *configs.Config, format string, lists []string) blocklist.ExportOptions {
	return blocklist.ExportOptions{
		Format: blocklist.ExportFormat(format), Lists: lists, Now: time.Now(),
		IPv4: sink(c.Sinkhole.IPv4), IPv6: sink(c.Sinkhole.IPv6), TTL: c.Sinkhole.TTL,
	}
}

// exportTrailer says behind an export that it is whole, and what was left out.
const exportTrailer = "Sinkhole-Exported"

// answerExport streams an export. What breaks off has no trailer.
func (s *server) answerExport(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	w.Header().Set("Trailer", exportTrailer)
	begun := &countingWriter{to: w}
	done, err := s.lists.Policy().Export(begun, exportOptions(s.configNow(), query.Get("format"), query["list"]))
	if err != nil {
		if begun.octets.Load() > 0 {
			panic(http.ErrAbortHandler) // the command sees it break off
		}
		w.Header().Del("Trailer")
		reply(w, nil, err)
		return
	}
	text, err := json.Marshal(done)
	if err == nil {
		w.Header().Set(exportTrailer, string(text))
	}
}

// countingWriter counts what goes through it.
type countingWriter struct {
	to     io.Writer
	octets atomic.Int64
}

// Write implements [io.Writer].
func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.to.Write(b)
	w.octets.Add(int64(n))
	return n, err
}

func (w *countingWriter) text(passed time.Duration) string {
	return fmt.Sprintf("%s written in %s", humanize.IBytes(uint64(w.octets.Load())), passed.Round(time.Second))
}

// writeWhole writes a file beside its place and moves it there when it is whole.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	draft := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	file, err := os.OpenFile(draft, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(draft)
		}
	}()
	err = write(file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(draft, path)
}
