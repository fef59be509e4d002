package main

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"sinkhole/configs"
)

// maxAddresses of one call.
const maxAddresses = 1000

func newPseudonym(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "pseudonym ADDRESS...",
		Short: "Show what stands for an address where hits.identity is pseudonym",
		Long: "Shows the pseudonym of each client address, by the key of hits.identity_key_file, to look it up in\n" +
			"hits. Who has only the pseudonym has to try the addresses that it may be of.",
		Example: "  sinkhole hits events --client $(sinkhole hits pseudonym 192.0.2.7)",
		Args:    arguments(1, maxAddresses),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := load(*file)
			if err != nil {
				return err
			}
			if c.Hits.Identity != configs.IdentityPseudonym {
				return usageError(fmt.Errorf("hits.identity is %s: there are no pseudonyms", c.Hits.Identity))
			}
			v, err := veil(&c.Hits)
			if err != nil {
				return fmt.Errorf("hits.identity_key_file: %w", err)
			}
			var wrong error
			for _, text := range args {
				addr, err := netip.ParseAddr(text)
				if err != nil {
					wrong = errors.Join(wrong, fmt.Errorf("found %q, expected an address", text))
					continue
				}
				fmt.Fprintln(cmd.OutOrStdout(), v.Addr(addr))
			}
			if wrong != nil {
				return usageError(wrong)
			}
			return nil
		},
	}
}
