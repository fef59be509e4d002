package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"sinkhole/blocklist"
)

func newLists(file *string) *cobra.Command {
	var asJSON bool
	show := func(cmd *cobra.Command, args []string) error {
		var all []blocklist.Status
		if err := ask(*file, http.MethodGet, "/lists", nil, &all); err != nil {
			return err
		}
		all, err := chosen(all, args)
		if err != nil {
			return err
		}
		if asJSON {
			encoder := json.NewEncoder(cmd.OutOrStdout())
			encoder.SetIndent("", "  ")
			return encoder.Encode(all)
		}
		return printLists(cmd.OutOrStdout(), all, len(args) > 0)
	}
	cmd := &cobra.Command{
		Use:   "lists",
		Short: "Show the running server's lists, or read them again",
		Args:  noCommand,
		RunE:  show,
	}
	showCmd := &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show the lists; with a name, its files and the lines left out as well",
		Args:  arguments(0, 1),
		RunE:  show,
	}
	refresh := &cobra.Command{
		Use:   "refresh [NAME]",
		Short: "Read the lists again, or one of them",
		Args:  arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var answer reloadAnswer
			if err := ask(*file, http.MethodPost, "/lists/refresh", url.Values{"name": args}, &answer); err != nil {
				return err
			}
			return printReload(cmd.OutOrStdout(), cmd.ErrOrStderr(), answer)
		},
	}
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(showCmd, refresh)
	return cmd
}

func chosen(all []blocklist.Status, names []string) ([]blocklist.Status, error) {
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, s := range all {
		if s.Name == names[0] {
			return []blocklist.Status{s}, nil
		}
		known = append(known, s.Name)
	}
	return nil, fmt.Errorf("no list is named %q: expected one of %q", names[0], known)
}

func printLists(out io.Writer, all []blocklist.Status, whole bool) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "LIST\tSTATE\tENTRIES\tMALFORMED\tLEFT OUT\tAGE\tVERSION\tSOURCE")
	for _, s := range all {
		age := "never read"
		if !s.Loaded.IsZero() {
			age = time.Since(s.Loaded).Round(time.Second).String()
		}
		name := s.Name
		if s.Allow {
			name += " (allow)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%.15s\t%s\n", name, s.State, humanize.Comma(int64(s.Entries)),
			humanize.Comma(int64(s.Malformed)), humanize.Comma(int64(s.Refused)), age, s.Version, shortPath(s.Source))
	}
	errs := []error{w.Flush()}
	for i := range all {
		errs = append(errs, printTrouble(out, &all[i], whole))
	}
	return errors.Join(errs...)
}

// shownFaults is how many left-out lines the short form shows of a list.
const shownFaults = 3

func printTrouble(out io.Writer, s *blocklist.Status, whole bool) (err error) {
	say := func(text string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(out, text, args...)
		}
	}
	if s.Error != "" {
		say("\n%s: %s\n", s.Name, s.Error)
	}
	shown := s.Faults
	if !whole && len(shown) > shownFaults {
		shown = shown[:shownFaults]
	}
	if len(shown) > 0 {
		say("\n%s: lines left out\n", s.Name)
	}
	for i := range shown {
		say("  %s\n", &shown[i])
	}
	if left := s.Malformed + s.Refused - len(shown); len(shown) > 0 && left > 0 {
		say("  and %s more\n", humanize.Comma(int64(left)))
	}
	if !whole {
		return err
	}
	for _, f := range s.Files {
		say("  %s: %s, %s lines, %s\n", f.Name, f.Format, humanize.Comma(int64(f.Lines)), f.Digest)
	}
	for _, w := range s.Warnings {
		say("  warning: %s\n", w)
	}
	return err
}
