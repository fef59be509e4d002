package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sinkhole/hits/console"
)

func newConsole() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "console",
		Short: "Give access to the console",
		Args:  noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.Help(); err != nil {
				return err
			}
			return &exitError{code: exitUsage}
		},
	}
	cmd.AddCommand(newConsoleToken())
	return cmd
}

func newConsoleToken() *cobra.Command {
	return &cobra.Command{
		Use:   "token NAME {viewer|responder|admin}",
		Short: "Make an access token, and the line of console.tokens_file that knows it",
		Long: "Makes a random token. The line for console.tokens_file goes to stdout, the token itself to\n" +
			"stderr: it is shown once, and kept nowhere. A viewer reads, a responder exports, fetches lists\n" +
			"and allows what is blocked by mistake, an admin lets in what is held. To take a token back,\n" +
			"remove its line; the server reads the file again by itself.",
		Example: "  sinkhole console token alice responder >> /etc/sinkhole/tokens",
		Args:    arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			role, err := console.ParseRole(args[1])
			if err != nil {
				return usageError(fmt.Errorf("as the role %w", err))
			}
			token, line, err := console.NewToken(args[0], role)
			if err != nil {
				return usageError(err)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "the token of %s, shown this once:\n%s\n", args[0], token)
			fmt.Fprintln(cmd.OutOrStdout(), line)
			return nil
		},
	}
}
