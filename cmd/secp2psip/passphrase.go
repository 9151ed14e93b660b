package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/seal"
)

// credential is the name under which systemd hands the passphrase over.
const credential = "secp2psip.passphrase" // #nosec G101 -- the name under which systemd hands one over

func (a *app) passphraseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "passphrase",
		Short: "Lock the private keys in a state folder with a passphrase",
		Long: `Lock the private keys in a state folder, of an adapter or of the bootstrap
server, with a passphrase; change it, remove it, or try whether you know it. The
daemon must not run meanwhile. With a passphrase, who steals the folder has no
key, no invitation, and no names of the people you called or were called by.

The daemon needs the passphrase at each start: on a terminal it asks. Elsewhere
name a file with passphrase_file (or --passphrase-file), which may be fd:3 for a
descriptor, or let systemd hand it over with LoadCredentialEncrypted. There is
no way back for who forgets it.`,
		Example: `  secp2psip passphrase set
  secp2psip passphrase change --state /var/lib/secp2psip/adapter
  secp2psip passphrase remove --passphrase-file /run/secrets/phrase
  printf %s "$PHRASE" | secp2psip passphrase set --new-passphrase-file fd:0`,
	}
	group(cmd, "say what to do with the passphrase: set, change, remove or check")
	p := phrases{app: a}
	p.state = cmd.PersistentFlags().String("state", "", "state folder (default: this user's adapter's, else the bootstrap server's)")
	p.old = cmd.PersistentFlags().String("passphrase-file", "", "file with the present passphrase, or fd:N; default: ask")
	p.fresh = cmd.PersistentFlags().String("new-passphrase-file", "", "file with the new passphrase, or fd:N; default: ask")
	cmd.AddCommand(
		p.phraseCommand("set", "Give the keys a passphrase", "the keys are sealed; the daemon needs the passphrase from now on", p.set),
		p.phraseCommand("change", "Give the keys another passphrase", "the passphrase is another now; copies of the folder made before still open with the old one", p.change),
		p.phraseCommand("remove", "Put the keys in the clear", "the keys are in the clear, for who can read the folder", p.remove),
		p.phraseCommand("check", "Try whether a passphrase is the one", "that is the passphrase", p.check),
	)
	return cmd
}

// phrases are the subcommands of passphrase.
type phrases struct {
	app               *app
	state, old, fresh *string
}

func (p phrases) phraseCommand(use, short, done string, do func(node.StateFile) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: short + ". The daemon on that state folder must not run.", Args: none,
		Example: "  secp2psip passphrase " + use + "\n  secp2psip passphrase " + use + " --state /var/lib/secp2psip/bootstrap",
		RunE: func(*cobra.Command, []string) error {
			file, err := p.app.stateFile(*p.state)
			if err != nil {
				return err
			}
			dir := filepath.Dir(file.Path)
			if err := identity.MakeStateDir(dir); err != nil {
				return err
			}
			door, err := admin.Listen(dir) // nobody starts meanwhile
			if err != nil {
				return err
			}
			defer door.Close()
			if err := do(file); err != nil {
				return err
			}
			fmt.Fprintln(p.app.stderr, clean(dir+": "+done))
			return nil
		},
	}
}

func (p phrases) set(f node.StateFile) error {
	pass, err := p.newOne()
	if err != nil {
		return err
	}
	return node.SetPassphrase(f, pass, seal.DefaultParams())
}

func (p phrases) change(f node.StateFile) error {
	old, err := p.present()
	if err != nil {
		return err
	}
	pass, err := p.newOne()
	if err != nil {
		return err
	}
	return node.ChangePassphrase(f, old, pass, seal.DefaultParams())
}

func (p phrases) remove(f node.StateFile) error {
	old, err := p.present()
	if err != nil {
		return err
	}
	return node.RemovePassphrase(f, old)
}

func (p phrases) check(f node.StateFile) error {
	old, err := p.present()
	if err != nil {
		return err
	}
	return node.CheckPassphrase(f, old)
}

func (p phrases) present() ([]byte, error) { return p.app.passphraseSource(*p.old).Passphrase() }

// newOne asks twice, for nobody sees what was typed.
func (p phrases) newOne() ([]byte, error) {
	if *p.fresh != "" {
		return p.app.readPassphrase(*p.fresh)
	}
	ask := p.app.passphraseSource("").Ask
	if ask == nil {
		return nil, fail(exitUsage, "give it with --new-passphrase-file FILE, or fd:0 for the standard input", "there is no terminal to type a new passphrase")
	}
	pass, err := ask("New passphrase: ")
	if err != nil {
		return nil, err
	}
	again, err := ask("Once more: ")
	if err == nil && !bytes.Equal(pass, again) {
		err = fail(exitUsage, "", "the two were not the same; nothing was changed")
	}
	return pass, err
}

// stateFile finds the state file in a folder, or in this user's default ones.
func (a *app) stateFile(dir string) (node.StateFile, error) {
	if dir == "" {
		dir = a.getenv(configs.EnvPrefix + "STATE")
	}
	dirs := []string{dir}
	if dir == "" {
		dirs = []string{a.defaultState(configs.KindAdapter), a.defaultState(configs.KindBootstrap)}
	}
	for _, dir := range dirs {
		for _, f := range []node.StateFile{adapter.State(dir), bootstrap.State(dir)} {
			if _, err := os.Lstat(f.Path); !errors.Is(err, fs.ErrNotExist) {
				return f, err
			}
		}
	}
	return node.StateFile{}, fail(exitNotFound, "name the folder with --state; a daemon that starts for the first time with passphrase_file set seals its keys by itself",
		"no state file in %s", strings.Join(dirs, " or "))
}

// passphraseSource is where a daemon gets its passphrase: the file that is
// configured, what systemd hands over, or the person at the terminal.
func (a *app) passphraseSource(file string) seal.Source {
	var s seal.Source
	switch dir := a.getenv("CREDENTIALS_DIRECTORY"); {
	case file != "":
		s.Configured = func() ([]byte, error) { return a.readPassphrase(file) }
	case dir != "":
		path := filepath.Join(dir, credential)
		if _, err := os.Stat(path); err == nil {
			s.Configured = func() ([]byte, error) { return readCredential(path) }
		}
	}
	if in, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		s.Ask = func(question string) ([]byte, error) {
			fmt.Fprint(a.stderr, question)
			defer fmt.Fprintln(a.stderr)
			return term.ReadPassword(int(in.Fd()))
		}
	}
	return s
}

// readPassphrase reads a file that only its owner can read, or a descriptor.
// Line feeds at the end do not count.
func (a *app) readPassphrase(name string) ([]byte, error) {
	number, ok := strings.CutPrefix(name, "fd:")
	if !ok {
		text, err := identity.ReadSecretFile(name)
		if err != nil {
			return nil, fmt.Errorf("the passphrase's file: %w", err)
		}
		return onePassphrase(text, name)
	}
	fd, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return nil, fail(exitUsage, "write fd:0 for the standard input, fd:3 for the first one beyond", "%q is no descriptor", name)
	}
	in := a.stdin
	if fd != 0 {
		f := os.NewFile(uintptr(fd), name)
		defer f.Close()
		in = f
	}
	return readBoundedPassphrase(in, name)
}

// readCredential reads what systemd has put in place: the folder is its own
// and closed, the file root's with an access list for this user, so that its
// mode says nothing.
func readCredential(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBoundedPassphrase(f, path)
}

func readBoundedPassphrase(in io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(in, seal.MaxPassphrase+3))
	if err != nil {
		return nil, fmt.Errorf("read the passphrase from %s: %w", name, err)
	}
	return onePassphrase(text, name)
}

func onePassphrase(text []byte, name string) ([]byte, error) {
	text = bytes.TrimRight(text, "\r\n")
	if len(text) == 0 || len(text) > seal.MaxPassphrase {
		return nil, fail(exitUsage, "write the passphrase alone into it", "%s holds no passphrase of 1 to %d bytes", name, seal.MaxPassphrase)
	}
	return text, nil
}
