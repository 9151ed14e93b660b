package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"rsc.io/qr"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
)

func (a *app) inviteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "invite NAME",
		Short: "Make a join link for a person",
		Long: `Make an invitation and print it as a join link, one line that carries address,
root fingerprint and secret. It admits as many devices as you say, once each.
On a terminal a QR code follows. Give it to that person alone: who has it can
take the name.`,
		Example: `  secp2psip invite bob
  secp2psip invite bob --number 101 --devices 2 --expires 7d
  secp2psip invite bob --json`,
		Args: one("NAME"),
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	number := cmd.Flags().String("number", "", "digits that reach this person too, such as 101")
	devices := cmd.Flags().Int("devices", 1, "how many devices it admits, once each")
	expires := 24 * configs.Hour
	cmd.Flags().TextVar(&expires, "expires", expires, "how long it can be used")
	withQR := cmd.Flags().Bool("qr", false, "print the QR code even if this is not a terminal")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req := admin.InviteRequest{User: args[0], Number: *number, Devices: *devices, ExpiresSeconds: int64(expires.Std().Seconds())}
		if req.Devices < 1 || req.ExpiresSeconds < 1 {
			return fail(exitUsage, "", "an invitation must admit at least one device and last at least a second")
		}
		var res admin.InviteResult
		if err := admin.Dial(a.findState(*state, configs.KindBootstrap)).Call(cmd.Context(), admin.MethodInvite, req, &res); err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(res)
		}
		return a.printInvite(res, *withQR)
	}
	return cmd
}

// printInvite prints the link alone where a program reads it.
func (a *app) printInvite(res admin.InviteResult, withQR bool) error {
	if _, err := fmt.Fprintln(a.stdout, clean(res.Link)); err != nil {
		return err
	}
	if !withQR && !terminal(a.stdout) {
		return nil
	}
	code, err := qr.Encode(res.Link, qr.L)
	if err != nil {
		return fmt.Errorf("draw the QR code: %w", err)
	}
	fmt.Fprintf(a.stdout, "\n%s\nfor %s, %s, until %s; on that person's host:\n  secp2psip adapter --join '%s'\n",
		drawQR(code), clean(res.AOR), plural(res.Devices, "device"), moment(res.Expires), clean(res.Link))
	return nil
}

func (a *app) peopleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "people",
		Short:   "List the enrolled names",
		Long:    "List the names that the bootstrap server has enrolled, with their keys' fingerprints.",
		Example: "  secp2psip people\n  secp2psip people --json",
		Args:    none,
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var res admin.People
		if err := admin.Dial(a.findState(*state, configs.KindBootstrap)).Call(cmd.Context(), admin.MethodPeople, nil, &res); err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(res)
		}
		t := a.table("NAME", "NUMBER", "KEY", "VERSION", "DEVICES", "ENROLLED", "CERTIFICATE UNTIL", "REVOKED")
		for _, p := range res.People {
			t.row(p.AOR, p.Number, p.Fingerprint, strconv.FormatUint(uint64(p.KeyVersion), 10), strconv.Itoa(p.Devices), day(p.Enrolled), day(p.CertificateExpires), day(p.Revoked))
		}
		return t.flush()
	}
	return cmd
}
