// Command sinkhole is a DNS sinkhole resolver: it forwards queries, answers
// listed names with a sinkhole address, and records who asked.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"sinkhole/configs"
)

// Exit codes, for scripts.
const (
	exitDone   = 0
	exitFault  = 1 // a fault in what was asked for
	exitUsage  = 2 // wrong usage
	exitListed = 3 // explain: listed
)

// exitError ends the program with a code of its own; without an error inside,
// all has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usageError(err error) error { return &exitError{code: exitUsage, err: err} }

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return exitDone
	}
	code := exitFault
	if exit, ok := errors.AsType[*exitError](err); ok {
		code = exit.code
	}
	complain(err)
	if code == exitUsage && err.Error() != "" {
		fmt.Fprintln(os.Stderr, "sinkhole: see 'sinkhole --help'")
	}
	return code
}

// complain prints what ended the program. Each fault of a configuration begins
// its line with its place, which editors look for there.
func complain(err error) {
	if faults, ok := errors.AsType[configs.Faults](err); ok {
		fmt.Fprintln(os.Stderr, faults.Error())
		err = errors.New("the configuration cannot be used")
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(os.Stderr, "sinkhole: %s\n", text)
	}
}

// newRoot is the command with all its subcommands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "sinkhole",
		Short: "DNS sinkhole resolver: finds machines that ask for malicious names, and cuts them off",
		Long: "sinkhole is a forwarding DNS resolver. It answers names on threat lists with a sinkhole\n" +
			"address, judges the addresses in all other answers, and records who asked for what.",
		SilenceErrors: true, SilenceUsage: true,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.Help(); err != nil {
				return err
			}
			return &exitError{code: exitUsage}
		},
	}
	var file string
	root.PersistentFlags().StringVarP(&file, "config", "c", "", "configuration file (default: the embedded reference configuration)")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(err) })
	root.AddCommand(newServe(&file), newCheck(&file), newExplain(&file), newLists(&file), newHits(&file), newCache(&file), newConsole(), newReload(&file), newVersion())
	return root
}

// noCommand refuses a word that is no subcommand, with the likely one.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	cmd.SuggestionsMinimumDistance = 2
	if likely := cmd.SuggestionsFor(args[0]); len(likely) > 0 {
		hint = fmt.Sprintf(": did you mean %q", likely[0])
	}
	return usageError(fmt.Errorf("found unknown command %q for %q%s", args[0], cmd.CommandPath(), hint))
}

// arguments is a count of positional arguments, as a usage error.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > most:
			return usageError(fmt.Errorf("found %q, expected nothing there: usage: %s", args[most], cmd.UseLine()))
		case len(args) < least:
			return usageError(fmt.Errorf("something is missing: usage: %s", cmd.UseLine()))
		}
		return nil
	}
}
