package main

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
)

// proofID is how many bytes name a proof.
const proofID = 8

// eitherKind is the order in which daemons are looked for by commands that the
// operator and a device's owner share.
func eitherKind() []string { return []string{configs.KindBootstrap, configs.KindAdapter} }

func (a *app) revokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke NAME | --evidence ID",
		Short: "Withdraw a name or one of its devices",
		Long: `Withdraw a name, or one device of it, from the whole overlay: within minutes
every node closes its connections to it, drops its records and refuses its
calls. There is no way back but 'secp2psip recover NAME', which gives the name
another key.

On the bootstrap server the operator withdraws whom he likes. On an adapter a
person withdraws a device of her own that this adapter has admitted; that
works while the bootstrap server is down, too.

With --evidence, on the bootstrap server, a proof that 'secp2psip evidence' lists
is checked once more, and the adapter that it convicts is withdrawn with all
devices at it. Everybody has put that one out of the ring already; now it does
not come back, and nobody takes its calls. Its owner may add a device anew.`,
		Example: `  secp2psip revoke mallory --note 'left the house'
  secp2psip devices bob
  secp2psip revoke bob --device 1 --note 'phone lost'
  secp2psip revoke --evidence 5f1c90aa01020304`,
		Args: cobra.MaximumNArgs(1),
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	device := cmd.Flags().Int("device", -1, "number of one device, as 'secp2psip devices' lists them (default: the whole name)")
	proof := cmd.Flags().String("evidence", "", "withdraw the adapter that this proof convicts; 'secp2psip evidence' lists proofs")
	note := cmd.Flags().String("note", "", "why, up to 128 bytes; everybody in the overlay can read it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (len(args) == 1) == (*proof != "") {
			return fail(exitUsage, "secp2psip revoke NAME, or secp2psip revoke --evidence ID", "one NAME is needed, or evidence")
		}
		req := admin.RevokeRequest{Evidence: strings.ToLower(*proof), Note: *note}
		if id, err := hex.DecodeString(req.Evidence); err != nil || *proof != "" && len(id) != proofID {
			return fail(exitUsage, "'secp2psip evidence' lists them", "%q is not the ID of a proof: those are 16 hexadecimal digits", *proof)
		}
		if len(args) == 1 {
			req.User = args[0]
		}
		if cmd.Flags().Changed("device") {
			if *device < 0 {
				return fail(exitUsage, "'secp2psip devices NAME' lists them", "a device has a number from 0 on")
			}
			req.Device = device
		}
		var res admin.RevokeResult
		if err := admin.Dial(a.findState(*state, eitherKind()...)).Call(cmd.Context(), admin.MethodRevoke, req, &res); err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(res)
		}
		what := clean(res.AOR)
		if req.Device != nil {
			what = fmt.Sprintf("device %d of %s", *device, what)
		}
		fmt.Fprintf(a.stdout, "revoked: %s; %s put out of the overlay\n", what, plural(res.Nodes, "adapter"))
		if res.Shared > 0 {
			fmt.Fprintf(a.stdout, "%s served other names, too, and may go on for those\n", plural(res.Shared, "adapter"))
		}
		if res.Warn != "" {
			fmt.Fprintf(a.stderr, "secp2psip: warning: %s\n", clean(res.Warn))
		}
		return nil
	}
	return cmd
}

func (a *app) devicesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "devices [NAME]",
		Short: "List the devices of a name",
		Long: `List the devices of a name with their numbers. On the bootstrap server those
that are enrolled; on an adapter, with or without NAME, this one and those that
the account key here has admitted, and when each registered last. A call rings
all that are registered.

With --name, on an adapter, this device gets a name to tell it apart by. It
stands in the registration, so whoever can look the person up sees it.`,
		Example: "  secp2psip devices bob\n  secp2psip devices\n  secp2psip devices --name laptop",
		Args:    cobra.MaximumNArgs(1),
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	name := cmd.Flags().String("name", "", "on an adapter: name this device, up to 24 of a-z, 0-9, '-' and '.'; '-' takes the name back")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req := admin.DevicesRequest{Name: *name}
		if len(args) > 0 {
			req.User = args[0]
		}
		var res admin.Devices
		if err := admin.Dial(a.findState(*state, eitherKind()...)).Call(cmd.Context(), admin.MethodDevices, req, &res); err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(res)
		}
		t := a.table("NAME", "DEVICE", "KEY", "NODE", "ADMITTED", "CALLED", "LAST SEEN", "")
		for _, d := range res.Devices {
			note := ""
			switch {
			case d.Revoked:
				note = "revoked"
			case d.Here:
				note = "this one"
			case d.Account:
				note = "the first"
			}
			t.row(d.User, strconv.Itoa(d.Number), d.Fingerprint, d.Node, day(d.Admitted), d.Name, moment(d.Seen), note)
		}
		return t.flush()
	}
	return cmd
}

func (a *app) bulletinsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bulletins",
		Short: "List what is revoked and recovered in the overlay",
		Long: `List the bulletins that the daemon on this host has: who and what is revoked,
which names are to get another key and from when on, and who objects. Every
node of the overlay has the same ones. They name people only to who knows them.`,
		Example: "  secp2psip bulletins\n  secp2psip bulletins --json",
		Args:    none,
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var res admin.Bulletins
		if err := admin.Dial(a.findState(*state, anyKind()...)).Call(cmd.Context(), admin.MethodBulletins, nil, &res); err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(res)
		}
		t := a.table("ISSUED", "WHAT", "WHOSE", "KEY", "STATE", "NOTE")
		for _, b := range res.Bulletins {
			standing := b.State
			if standing == admin.RecoveryWaiting {
				standing += " until " + moment(b.From)
			}
			t.row(moment(b.Issued), b.Kind, b.Name, b.Subject[:min(len(b.Subject), 16)], standing, b.Note)
		}
		return t.flush()
	}
	return cmd
}

func (a *app) recoverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recover NAME",
		Short: "Give a name another key when the old one is lost",
		Long: `On the bootstrap server: make a join link with which one new adapter gives the
name another key. When that adapter's phone registers, the new key is announced
to the whole overlay. It counts after 24 hours in which everybody can see it;
the phone is told to try again until then. Everybody who has called the name
before is warned, and has to accept the new key. Whoever has the old key can
object all that time, and then nothing changes: where that is a thief, revoke
the name first.

With --object, on the adapter that has the old key: object.`,
		Example: `  secp2psip recover bob
  secp2psip recover bob --expires 3d
  secp2psip recover bob --object`,
		Args: one("NAME"),
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	expires := 7 * configs.Day
	cmd.Flags().TextVar(&expires, "expires", expires, "how long the join link can be used first")
	withQR := cmd.Flags().Bool("qr", false, "print the QR code even if this is not a terminal")
	object := cmd.Flags().Bool("object", false, "object to the key that was announced for a name of this host's adapter")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *object {
			err := admin.Dial(a.findState(*state, configs.KindAdapter)).Call(cmd.Context(), admin.MethodObject, admin.ObjectRequest{User: args[0]}, nil)
			if err == nil {
				fmt.Fprintf(a.stdout, "objected: %s keeps its key; tell the operator\n", clean(args[0]))
			}
			return err
		}
		req := admin.RecoverRequest{User: args[0], ExpiresSeconds: int64(expires.Std().Seconds())}
		var res admin.InviteResult
		if err := admin.Dial(a.findState(*state, configs.KindBootstrap)).Call(cmd.Context(), admin.MethodRecover, req, &res); err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(res)
		}
		return a.printInvite(res, *withQR)
	}
	return cmd
}

func (a *app) invitationsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "invitations",
		Short: "List the open invitations",
		Long: `List the invitations that could be used yet. Their secrets are nowhere but in the
join links; the ID is for 'secp2psip uninvite'.`,
		Example: "  secp2psip invitations\n  secp2psip invitations --json",
		Args:    none,
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var res admin.Invitations
		if err := admin.Dial(a.findState(*state, configs.KindBootstrap)).Call(cmd.Context(), admin.MethodInvitations, nil, &res); err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(res)
		}
		t := a.table("ID", "NAME", "NUMBER", "DEVICES", "USED", "MADE", "UNTIL", "")
		for _, i := range res.Invitations {
			note := ""
			if i.Recover {
				note = "to recover the name"
			}
			t.row(i.ID, i.User, i.Number, strconv.Itoa(i.Devices), strconv.Itoa(i.Used), moment(i.Made), moment(i.Expires), note)
		}
		return t.flush()
	}
	return cmd
}

func (a *app) uninviteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "uninvite NAME|ID",
		Short: "Withdraw invitations",
		Long: `Withdraw all open invitations of a name, or the one with that ID. Devices that
were admitted stay; 'secp2psip revoke' withdraws those.`,
		Example: "  secp2psip uninvite bob\n  secp2psip invitations\n  secp2psip uninvite 5f3a9c01d2e4",
		Args:    one("NAME or ID"),
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var res admin.UninviteResult
		req := admin.UninviteRequest{What: args[0]}
		if err := admin.Dial(a.findState(*state, configs.KindBootstrap)).Call(cmd.Context(), admin.MethodUninvite, req, &res); err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(res)
		}
		_, err := fmt.Fprintf(a.stdout, "withdrawn: %s\n", plural(res.Withdrawn, "invitation"))
		return err
	}
	return cmd
}
