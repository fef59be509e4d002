package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

func newReload(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Make the running server read configuration and lists again",
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := load(*file); err != nil {
				return err // the server would say the same
			}
			var answer reloadAnswer
			if err := ask(*file, http.MethodPost, "/reload", nil, &answer); err != nil {
				return err
			}
			return printReload(cmd.OutOrStdout(), cmd.ErrOrStderr(), answer)
		},
	}
}

// printReload says what a reload did; a list that failed is a fault.
func printReload(out, messages io.Writer, a reloadAnswer) error {
	fmt.Fprintf(out, "%s indicators in force, %s added, %s removed, in %s\n",
		humanize.Comma(int64(a.Indicators)), humanize.Comma(int64(a.Added)), humanize.Comma(int64(a.Removed)), a.Took)
	if len(a.Changed) > 0 {
		fmt.Fprintf(out, "changed: %s\n", strings.Join(a.Changed, ", "))
	}
	if len(a.Restart) > 0 {
		fmt.Fprintf(messages, "sinkhole: these keys take effect at the next start: %s\n", strings.Join(a.Restart, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(a.Held)) {
		say(messages, "sinkhole: list %s is held: it %s; see sinkhole lists diff %s\n", name, a.Held[name], name)
	}
	for _, name := range a.Fetching {
		fmt.Fprintf(out, "list %s is being fetched: sinkhole lists says what came of it\n", name)
	}
	for _, name := range slices.Sorted(maps.Keys(a.Failed)) {
		say(messages, "sinkhole: list %s failed: %s\n", name, oneLine(a.Failed[name]))
	}
	if len(a.Failed) > 0 {
		return &exitError{code: exitFault}
	}
	return nil
}
