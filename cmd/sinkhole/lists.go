package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sinkhole/blocklist"
	"sinkhole/blocklist/format"
)

func newLists(file *string) *cobra.Command {
	show := listsShow{file: file}
	cmd := &cobra.Command{
		Use:   "lists",
		Short: "Show the running server's lists, fetch them again, let in what is held, export them",
		Args:  noCommand,
		RunE:  show.run,
	}
	cmd.PersistentFlags().BoolVar(&show.asJSON, "json", false, "print JSON")
	cmd.AddCommand(show.command(), newListsRefresh(file, &show.asJSON), newListsDiff(file, &show.asJSON), newListsApprove(file, &show.asJSON), newListsExport(file))
	return cmd
}

// chosenLists are those of some names, all without one.
func chosenLists(all []blocklist.Status, names []string) (chosen []blocklist.Status, err error) {
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		i := slices.IndexFunc(all, func(l blocklist.Status) bool { return l.Name == name })
		if i < 0 {
			var known []string
			for _, l := range all {
				known = append(known, l.Name)
			}
			return nil, fmt.Errorf("no list is named %q: expected one of %q", name, known)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func newListsRefresh(file *string, asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "refresh [NAME...]",
		Short: "Ask the sources of all lists, or of some, now",
		Long: "Asks the sources of all lists, or of some, now: URLs and zones are fetched, files are read.\n" +
			"Waits for what comes of it; interrupted, the server goes on by itself.",
		RunE: func(cmd *cobra.Command, names []string) error {
			done := progress(os.Stderr, func(passed time.Duration) string {
				return fmt.Sprintf("waiting for the sources, %s", passed.Round(time.Second))
			})
			var answer refreshAnswer
			err := ask(*file, http.MethodPost, "/lists/refresh", url.Values{"name": names}, &answer)
			done()
			if err != nil {
				return err
			}
			return printRefresh(cmd.OutOrStdout(), cmd.ErrOrStderr(), answer, *asJSON)
		},
	}
}

// printRefresh says what came of each list; one that failed is a fault.
func printRefresh(out, messages io.Writer, a refreshAnswer, asJSON bool) error {
	failed := a.Error != ""
	if asJSON {
		if err := printJSON(out, a); err != nil {
			return err
		}
	}
	for _, l := range a.Lists {
		failed = failed || l.Error != ""
		switch {
		case asJSON:
		case l.Error != "":
			say(messages, "sinkhole: list %s failed, its state is %s: %s\n", l.Name, l.State, oneLine(l.Error))
		case l.Held != "":
			say(out, "%s: held: it %s; see sinkhole lists diff %s\n", l.Name, l.Held, l.Name)
		case l.Changed:
			say(out, "%s: changed, %s\n", l.Name, plural(l.Entries, "entry", "entries"))
		default:
			say(out, "%s: unchanged, %s\n", l.Name, plural(l.Entries, "entry", "entries"))
		}
	}
	if !asJSON {
		if a.Error != "" {
			say(messages, "sinkhole: %s\n", oneLine(a.Error))
		}
		say(out, "%s in force\n", plural(a.Indicators, "indicator", "indicators"))
	}
	if failed {
		return &exitError{code: exitFault}
	}
	return nil
}

func newListsApprove(file *string, asJSON *bool) *cobra.Command {
	var version string
	cmd := &cobra.Command{
		Use:   "approve NAME {--version DIGEST | ENTRY...}",
		Short: "Let in a list that is held, or entries that the guard keeps out",
		Long: "Lets in the content of a list that is held as a whole, or, with entries, those that the guard\n" +
			"refused or holds, by the name, address or prefix that `sinkhole lists show NAME` gives. Which\n" +
			"content is meant is said by its digest, as `sinkhole lists diff NAME` gives it below what it\n" +
			"changes: if the source has given another since, nothing is let in. An approval acts at once and\n" +
			"stays, and is recorded with the time and the user who runs this command.",
		Example: "  sinkhole lists approve police --version sha256:9f86d081884c7d659a2feaa0c55ad015\n" +
			"  sinkhole lists approve police storage.example 192.0.2.0/24",
		Args: arguments(1, maxApproved),
		RunE: func(cmd *cobra.Command, args []string) error {
			if version != "" && len(args) > 1 {
				return usageError(errors.New("--version means the content as a whole: expected it, or entries"))
			}
			var answer approveAnswer
			query := url.Values{"name": args[:1], "entry": args[1:], "version": {version}}
			if err := ask(*file, http.MethodPost, "/lists/approve", query, &answer); err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), answer)
			}
			what := args[1:]
			if len(what) == 0 {
				what = []string{"the content " + answer.Version}
			}
			for _, entry := range what {
				say(cmd.OutOrStdout(), "%s: %s approved by %s%s\n", args[0], entry, answer.User, approvedBeside(entry))
			}
			if len(answer.Failed) > 0 {
				say(cmd.ErrOrStderr(), "sinkhole: the approval is kept, and acts as soon as the list can be read\n")
			}
			return printReload(cmd.OutOrStdout(), cmd.ErrOrStderr(), answer.reloadAnswer)
		},
	}
	cmd.Flags().StringVar(&version, "version", "", "digest of the content that is let in, or 32 digits of it or more: sha256:...")
	return cmd
}

// approvedBeside is what is let in with an entry: an approval is of the name, with
// and without those below it.
func approvedBeside(entry string) string {
	name, below := strings.CutPrefix(entry, "*.")
	if _, err := format.Name(nil, name); err != nil || strings.ContainsAny(name, " :/") || isAddress(name) {
		return ""
	}
	if below {
		return fmt.Sprintf(", and %s itself if the list has it", name)
	}
	return fmt.Sprintf(", and *.%s if the list has it", name)
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// maxApproved bounds the entries of one command.
const maxApproved = 1000
