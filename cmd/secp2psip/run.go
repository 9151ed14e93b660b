package main

import (
	"context"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/secp2psip/secp2psip/configs"
)

// app is one run of the program.
type app struct {
	env            []string
	stdin          io.Reader
	stdout, stderr io.Writer
	daemons        daemons
	started        bool // the arguments are understood and a command runs
}

// run is the program: arguments without the program's name, environment as
// os.Environ gives it, exit code back.
func run(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{env: env, stdin: stdin, stdout: stdout, stderr: stderr, daemons: theDaemons()}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if !a.started {
		err = usageError(cmd, err)
	}
	return report(ctx, a.stderr, err)
}

const longHelp = `secp2psip lets people on a LAN, a VPN or a mesh call each other by name with
the SIP phones they have. No SIP server stands in between: beside each phone
runs an adapter, and the adapters form a ring that finds names and proves keys.

Try it:      secp2psip demo
Set it up:   secp2psip bootstrap                  on one host
             secp2psip invite bob                 there, for each person
             secp2psip adapter --join 'LINK'      on each person's host
             and point the phone's registrar and proxy at 127.0.0.1:5060

Settings come from flags, SECP2PSIP_… variables, a TOML file (--config) and
defaults, in that order; see "secp2psip config sample".

Exit codes:
  0  done
  1  failed
  2  wrong usage or configuration
  3  no daemon answers
  4  no such name
  5  refused
  6  not now: the ring or a server cannot be reached; try again
  130  interrupted`

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:               "secp2psip",
		Short:             "Call by name with SIP phones, without a SIP server",
		Long:              longHelp,
		Example:           "  secp2psip demo\n  secp2psip status\n  secp2psip lookup bob",
		SilenceUsage:      true,
		SilenceErrors:     true,
		DisableAutoGenTag: true,
		PersistentPreRun:  func(*cobra.Command, []string) { a.started = true },
	}
	groups := []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"run", "Run:", []*cobra.Command{a.bootstrapCommand(), a.adapterCommand(), a.demoCommand()}},
		{"people", "People (on the bootstrap server):", []*cobra.Command{a.inviteCommand(), a.invitationsCommand(), a.uninviteCommand(), a.peopleCommand(), a.recoverCommand(), a.backupCommand(), a.restoreCommand(), a.rootKeyCommand(), a.charterCommand()}},
		{"keys", "Keys (on an adapter):", []*cobra.Command{a.acceptCommand(), a.verifyCommand(), a.rotateCommand()}},
		{"devices", "Devices (on the bootstrap server, or on an adapter for its own):", []*cobra.Command{a.devicesCommand(), a.revokeCommand()}},
		{"privacy", "Privacy:", append(a.callerCommands(), a.passphraseCommand())},
		{"look", "Look:", []*cobra.Command{a.statusCommand(), a.callsCommand(), a.lookupCommand(), a.bulletinsCommand(), a.doctorCommand(), a.evidenceCommand()}},
		{"tools", "Tools:", []*cobra.Command{a.simCommand(), a.configCommand(), a.manCommand(), a.versionCommand()}},
	}
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	root.SetHelpCommandGroupID("tools")
	root.SetCompletionCommandGroupID("tools")
	return root
}

// getenv returns a variable; the last one of a name counts.
func (a *app) getenv(name string) string {
	value := ""
	for _, kv := range a.env {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			value = v
		}
	}
	return value
}

func (a *app) defaultState(kind string) string {
	return configs.DefaultState(kind, configs.Host{OS: runtime.GOOS, UID: os.Getuid(), Getenv: a.getenv})
}

// terminal tells whether w is one.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
