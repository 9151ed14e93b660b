package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"github.com/secp2psip/secp2psip/bootstrap"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
)

func (a *app) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Save the bootstrap server's state",
		Long: `Save everything the running bootstrap server needs to start again elsewhere,
its keys included: whoever has the file is the overlay's authority. FILE must
not exist; - writes to the standard output.`,
		Example: "  secp2psip backup overlay.backup\n  secp2psip backup - | age -r … > overlay.age",
		Args:    one("FILE"),
	}
	state := stateFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client := admin.Dial(a.findState(*state, configs.KindBootstrap))
		copyTo := func(w io.Writer) error {
			_, err := client.Stream(cmd.Context(), admin.MethodBackup, admin.BackupRequest{}, w)
			return err
		}
		if args[0] == "-" {
			if terminal(a.stdout) {
				return fail(exitUsage, "give a file, or pipe it on", "a backup is not for a terminal")
			}
			return copyTo(a.stdout)
		}
		if err := writeNew(args[0], copyTo); err != nil {
			return err
		}
		fmt.Fprintln(a.stderr, "saved in "+args[0]+"; keep it as safe as the keys in it")
		return nil
	}
	return cmd
}

func (a *app) restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "restore FILE",
		Short:   "Make a bootstrap server's state out of a backup",
		Long:    "Make a state folder out of a backup. The folder must have no state yet, and no\ndaemon may run on it.",
		Example: "  secp2psip restore overlay.backup\n  secp2psip restore overlay.backup --state /var/lib/secp2psip/bootstrap",
		Args:    one("FILE"),
	}
	state := cmd.Flags().String("state", "", "state folder to make (default: the bootstrap server's)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir := a.findState(*state, configs.KindBootstrap)
		if admin.Answers(dir) {
			return fmt.Errorf("%w: %s", admin.ErrRunning, dir)
		}
		if err := a.daemons.restore(cmd.Context(), args[0], dir); err != nil {
			return err
		}
		fmt.Fprintln(a.stderr, "restored to "+dir)
		return nil
	}
	return cmd
}

func (a *app) rootKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "root",
		Short: "Keep the overlay's root key offline",
		Long: `The root key signs the charter and, once a year, the issuing key; nothing else.
It may lie in a safe. While it is offline, enrolment and renewal go on until the
issuing certificate ends; 'secp2psip root renew' and 'secp2psip root replace'
need the file for a moment.`,
		Example: "  secp2psip root move /media/stick/root.key\n  secp2psip root renew /media/stick/root.key",
	}
	group(cmd, "say what to do with the root key: export, move, renew or replace")
	state := cmd.PersistentFlags().String("state", "", "state folder of the bootstrap server")
	client := func() *admin.Client { return admin.Dial(a.findState(*state, configs.KindBootstrap)) }
	cmd.AddCommand(
		a.rootSubcommand("export FILE", "Copy the root key to a file", "  secp2psip root export root.key",
			func(ctx context.Context, file string) error { _, err := a.exportRoot(ctx, client(), file); return err }),
		a.rootSubcommand("move FILE", "Copy the root key to a file and remove it here", "  secp2psip root move /media/stick/root.key",
			func(ctx context.Context, file string) error { return a.moveRoot(ctx, client(), file) }),
		a.rootSubcommand("renew FILE", "Sign another year's issuing key with a root key that is offline", "  secp2psip root renew /media/stick/root.key",
			func(ctx context.Context, file string) error { return a.renewRoot(ctx, client(), file) }),
		a.replaceIssuerCommand(client),
	)
	return cmd
}

// replaceIssuerCommand makes another issuing key and has the old one revoked.
func (a *app) replaceIssuerCommand(client func() *admin.Client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replace [FILE]",
		Short: "Make another issuing key and revoke the present one",
		Long: `Make another issuing key and revoke the present one, where somebody else may
have it. FILE is the root key if it was moved away. The bootstrap server must run.

Adapters fetch new certificates by themselves, with the keys that they have:
nobody is invited again, and nobody's key changes. During the grace both issuing
keys count, and no call is missed. With --grace 0s the present key is void at once:
adapters are cut off until the bootstrap server has answered them, which takes
seconds; those that are off meanwhile do it when they are back. The same ends a
grace that is under way.`,
		Example: "  secp2psip root replace\n  secp2psip root replace /media/stick/root.key --grace 168h\n  secp2psip root replace /media/stick/root.key --grace 0s",
		Args:    cobra.MaximumNArgs(1),
	}
	grace := cmd.Flags().Duration("grace", bootstrap.ReplaceGrace, "how long the present issuing key still counts, up to 720h; 0s = not at all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req := admin.RootRequest{Replace: true, GraceSeconds: int64(*grace / time.Second)}
		if len(args) == 1 {
			key, err := readBounded(args[0], admin.MaxRequest/2)
			if err != nil {
				return err
			}
			req.Use = key
		}
		var res admin.RootResult
		if err := client().Call(cmd.Context(), admin.MethodRoot, req, &res); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "the issuing key is now %s, signed until %s; the one before is revoked at %s\n", clean(res.Issuer), day(res.IssuerExpires), res.Revokes.Local().Format(time.DateTime))
		return nil
	}
	return cmd
}

func (a *app) rootSubcommand(use, short, example string, do func(ctx context.Context, file string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: short + ". The bootstrap server must run.", Example: example,
		Args: one("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return do(cmd.Context(), args[0]) },
	}
}

// exportRoot writes the key's file and returns its SHA-256.
func (a *app) exportRoot(ctx context.Context, client *admin.Client, file string) (proof string, err error) {
	var res admin.RootResult
	if err := client.Call(ctx, admin.MethodRoot, admin.RootRequest{}, &res); err != nil {
		return "", err
	}
	if len(res.File) == 0 {
		return "", fail(exitRefused, "look for the file that it was moved to", "the root key is offline already")
	}
	if err := writeNew(file, func(w io.Writer) error { _, err := w.Write(res.File); return err }); err != nil {
		return "", err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	fmt.Fprintf(a.stderr, "the root key is in %s; root certificate %s\n", file, clean(res.Fingerprint))
	return hex.EncodeToString(sum[:]), nil
}

// moveRoot removes the daemon's copy only with the proof that the file can be
// read again.
func (a *app) moveRoot(ctx context.Context, client *admin.Client, file string) error {
	proof, err := a.exportRoot(ctx, client, file)
	if err != nil {
		return err
	}
	if err := client.Call(ctx, admin.MethodRoot, admin.RootRequest{Forget: true, Proof: proof}, nil); err != nil {
		return fmt.Errorf("the root key is in %s and still in the state folder: %w", file, err)
	}
	fmt.Fprintln(a.stderr, "and no longer in the state folder; backups made before still hold it")
	return nil
}

func (a *app) renewRoot(ctx context.Context, client *admin.Client, file string) error {
	key, err := readBounded(file, admin.MaxRequest/2)
	if err != nil {
		return err
	}
	var res admin.RootResult
	if err := client.Call(ctx, admin.MethodRoot, admin.RootRequest{Use: key}, &res); err != nil {
		return err
	}
	fmt.Fprintln(a.stderr, "the issuing key is signed until "+day(res.IssuerExpires))
	return nil
}

// writeNew writes a new file that only its owner can read, and leaves nothing
// behind if it fails.
func writeNew(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fail(exitFailure, "choose another name, or move it away first", "%s exists", path)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s is too large to be a key", path)
	}
	return data, err
}
