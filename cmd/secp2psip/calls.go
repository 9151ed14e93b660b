package main

import (
	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
)

func (a *app) callsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "calls",
		Short: "Print the calls that have ended, as JSON lines",
		Long: `Print the calls that have ended, oldest first, one line of JSON each: what the
adapter keeps in calls.jsonl of its state folder, also where a passphrase seals
that.`,
		Example: "  secp2psip calls\n  secp2psip calls | jq -r 'select(.direction==\"in\").from'",
		Args:    none,
	}
	state := stateFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		_, err := admin.Dial(a.findState(*state, configs.KindAdapter)).Stream(cmd.Context(), admin.MethodCalls, nil, a.stdout)
		return err
	}
	return cmd
}
