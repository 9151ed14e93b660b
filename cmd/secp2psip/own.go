package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
)

// Commands about a person's own keys and devices.

func (a *app) rotateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Change your account key, or this device's key",
		Long: `Make a new account key, signed by the one that you have. Contacts follow it by
themselves, because the old key says so; nobody else can make such a change.
Calls go on while it happens. The bootstrap server must be running, and it is
done on the person's first device, which holds the account key. The old key
counts beside the new one for a while, so that further devices can learn of it.

With --device only the key with which this device signs calls is changed; the
person's first device must be running for that.`,
		Example: `  secp2psip rotate
  secp2psip rotate --overlap 0s
  secp2psip rotate --device
  secp2psip rotate --as alice --json`,
		Args: none,
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	device := cmd.Flags().Bool("device", false, "change the key of this device, not that of the account")
	as := cmd.Flags().String("as", "", "which name of this adapter, if it serves several")
	overlap := configs.Hour
	cmd.Flags().TextVar(&overlap, "overlap", overlap, "how long the old account key counts beside the new one, up to 24h; 0s if somebody may have the old one")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		seconds := int64(overlap.Std().Seconds())
		req := admin.RotateRequest{As: *as, Device: *device, OverlapSeconds: &seconds}
		var r admin.RotateResult
		if err := admin.Dial(a.findState(*state, configs.KindAdapter)).Call(cmd.Context(), admin.MethodRotate, req, &r); err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(r)
		}
		t := a.table()
		t.row("name", r.AOR)
		t.row("old key", r.Old)
		t.row("new key", r.New)
		t.row("version", fmt.Sprintf("%d of the account key", r.KeyVersion))
		return t.flush()
	}
	return cmd
}
