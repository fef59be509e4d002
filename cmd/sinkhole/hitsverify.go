package main

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sinkhole/hits"
)

func newVerify(file *string) *cobra.Command {
	var head, public string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Show whether the journal is whole",
		Long: "Compares the closed segments of the hit journal with the chain of their hashes and its signatures,\n" +
			"and shows what was altered, cut or removed. Without a head, or a public key, that was kept elsewhere\n" +
			"this finds damage, not fraud: whoever can write the journal can sign it anew.",
		Example: "  sinkhole hits verify\n" +
			"  sinkhole hits verify --public-key /media/safe/chain.pub --head 5f0c...",
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			head = strings.ToLower(head)
			if sum, err := hex.DecodeString(head); head != "" && (err != nil || len(sum) != 32) {
				return usageError(fmt.Errorf("--head: found %q, expected 64 hexadecimal digits, as this command and the log show them", head))
			}
			var keys map[string]ed25519.PublicKey
			if public != "" {
				var err error
				if keys, err = hits.PublicKeys(public); err != nil {
					return usageError(fmt.Errorf("--public-key: %w", err))
				}
			}
			journal, err := journalPath(*file, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			v, err := hits.Verify(ctx, journal, keys, head)
			if err != nil {
				return err
			}
			return showVerification(cmd.OutOrStdout(), v)
		},
	}
	cmd.Flags().StringVar(&head, "head", "", "a head that was kept elsewhere: it must be in the chain")
	cmd.Flags().StringVar(&public, "public-key", "", "file of the public keys to believe; without it chain.pub beside the journal")
	return cmd
}

// showVerification is an error where something was found.
func showVerification(w io.Writer, v *hits.Verification) error {
	for _, d := range v.Faults {
		if d.Line > 0 {
			fmt.Fprintln(w, d)
		} else {
			fmt.Fprintf(w, "%s: %v\n", d.File, d.Reason)
		}
	}
	if v.Removed > 0 {
		fmt.Fprintf(w, "removed by retention: the segments up to %d, at %s\n", v.Removed, v.Removal.UTC().Format(time.RFC3339))
	}
	if v.Before > 0 {
		fmt.Fprintf(w, "not covered: %s older than the chain\n", plural(v.Before, "segment", "segments"))
	}
	if v.Head.Head == "" {
		fmt.Fprintln(w, "no segment is closed yet: nothing to compare with")
	} else {
		fmt.Fprintf(w, "head: %s (segment %d, up to line %d, %s, key %s)\n",
			v.Head.Head, v.Head.Segment, v.Head.Last, v.Head.Time.UTC().Format(time.RFC3339), v.Head.Key)
	}
	whole := fmt.Sprintf("%s as when closed, %d open", plural(v.Linked, "segment", "segments"), v.Open)
	if v.Whole() {
		fmt.Fprintf(w, "whole: %s\n", whole)
		return nil
	}
	fmt.Fprintf(w, "not whole: %s; %s\n", plural(len(v.Faults), "fault", "faults"), whole)
	return &exitError{code: exitFault, err: errors.New("the hit journal was altered, cut or damaged")}
}
