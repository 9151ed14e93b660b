package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
)

func (a *app) visibleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "visible-to [NAME…]",
		Short: "Show or set who can find your phones",
		Long: `Seal the registration of an account of the running adapter for the people that
you name, at most 8, by name or number. Others, and the nodes that hold it, find
that the name exists, but not where its phones are nor whether any is there:
their calls end with 480. Without names it shows who can; --nobody seals it for
nobody, --everybody ends it. The names given replace those before.

Who knew where your adapter is can still call it; 'secp2psip callers' says who
may. Only the first device of a person can seal.`,
		Example: `  secp2psip visible-to
  secp2psip visible-to bob carol
  secp2psip visible-to --nobody --account alice
  secp2psip visible-to --everybody`,
	}
	state, asJSON, account := stateFlag(cmd), jsonFlag(cmd), accountFlag(cmd)
	everybody := cmd.Flags().Bool("everybody", false, "seal it no more")
	nobody := cmd.Flags().Bool("nobody", false, "seal it for nobody")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (*everybody || *nobody) && len(args) > 0 || *everybody && *nobody {
			return fail(exitUsage, "", "give names, or --everybody, or --nobody")
		}
		req := admin.VisibleRequest{Account: *account, Change: *everybody || *nobody || len(args) > 0, Everybody: *everybody, Readers: args}
		var res admin.Visible
		if err := admin.Dial(a.findState(*state, configs.KindAdapter)).Call(cmd.Context(), admin.MethodVisible, req, &res); err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(res)
		}
		return a.printVisible(res)
	}
	return cmd
}

func (a *app) printVisible(v admin.Visible) error {
	switch {
	case v.Everybody:
		fmt.Fprintln(a.stdout, clean("every member can find the phones of "+v.Account))
		return nil
	case len(v.Readers) == 0:
		fmt.Fprintln(a.stdout, clean("nobody can find the phones of "+v.Account))
		return nil
	}
	fmt.Fprintln(a.stdout, clean(fmt.Sprintf("the registration of %s is sealed for\n", v.Account)))
	t := a.table("NAME", "KEY")
	for _, r := range v.Readers {
		key := r.Fingerprint
		if key == "" {
			key = "not known at the moment, so that this person is left out"
		}
		t.row(r.AOR, key)
	}
	return t.flush()
}
