package main

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// Commands about other people's keys.

func (a *app) acceptCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accept NAME",
		Short: "Accept the new key of a person whose key has changed",
		Long: `Show how the key of a person has changed: the one of earlier calls, the new
one, and which nodes spoke for it. After you have compared the new fingerprint
with that person by another way (in person, by a voice that you know), say yes,
and calls go on with the new key. Until then calls from and to the name are
refused.`,
		Example: `  secp2psip accept bob
  secp2psip accept bob --fingerprint s23r-irmi-miv3-drzn-kbhw
  secp2psip accept bob --yes`,
		Args: one("NAME"),
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	yes := cmd.Flags().Bool("yes", false, "accept the new key without asking")
	fingerprint := cmd.Flags().String("fingerprint", "", "the new key's fingerprint, as its owner has read it to you; another one is refused")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		daemon := admin.Dial(a.findState(*state, configs.KindAdapter))
		var r admin.AcceptResult
		ask := func(fingerprint string) error {
			return daemon.Call(cmd.Context(), admin.MethodAccept, admin.AcceptRequest{Name: args[0], Fingerprint: fingerprint}, &r)
		}
		if err := ask(*fingerprint); err != nil {
			return err
		}
		if !*asJSON {
			if err := a.printChange(r); err != nil {
				return err
			}
		}
		if !r.Accepted {
			if !*yes && !a.confirm("Has its owner read you the new fingerprint, and is it the same?") {
				return fail(exitRefused, "compare the fingerprints, then run it again", "nothing was accepted")
			}
			if err := ask(r.NewFingerprint); err != nil {
				return err
			}
		}
		if *asJSON {
			return a.printJSON(r)
		}
		_, err := fmt.Fprintln(a.stdout, clean("\nthe new key of "+r.AOR+" counts from now on"))
		return err
	}
	return cmd
}

// confirm asks a question on the terminal; only yes is a yes.
func (a *app) confirm(question string) bool {
	fmt.Fprint(a.stdout, "\n"+question+" [yes/no] ")
	line, _ := bufio.NewReader(a.stdin).ReadString('\n') // none is a no
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "yes" || answer == "y"
}

func (a *app) printChange(r admin.AcceptResult) error {
	t := a.table()
	t.row("name", r.AOR)
	if r.OldFingerprint != "" {
		t.row("key of earlier calls", fmt.Sprintf("%s (version %d)", r.OldFingerprint, r.OldVersion))
	}
	t.row("key now", fmt.Sprintf("%s (version %d)", r.NewFingerprint, r.NewVersion))
	t.row("met first", moment(r.First))
	for _, s := range r.Seen {
		what := s.Kind
		if s.X > 0 {
			what += " " + strconv.Itoa(s.X)
		}
		t.row("said by", fmt.Sprintf("node %s of owner %s: %s", s.Node.Short(), s.Owner, what))
	}
	return t.flush()
}

func (a *app) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify NAME",
		Short: "Compare keys with a person, by a number that both see",
		Long: `Show a number of 60 digits. The other person runs the same command with your
name. Read it to each other, in person or by a voice that you know: if it is the
same on both sides, each has the other's right key, and nobody stands between
you. Say yes, and it is kept with the key.

The number is made of both names and both account keys. Who wants another key
to show the same number must find one whose 30 digits are the same, which takes
about 2^99 tries.`,
		Example: `  secp2psip verify bob
  secp2psip verify bob --number "61820 33907 … 40512"
  secp2psip verify bob --as alice --json`,
		Args: one("NAME"),
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	yes := cmd.Flags().Bool("yes", false, "note that you have compared it, without asking")
	number := cmd.Flags().String("number", "", "the number that the other side shows; the program compares")
	as := cmd.Flags().String("as", "", "which name of this adapter compares, if it serves several")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		daemon := admin.Dial(a.findState(*state, configs.KindAdapter))
		req := admin.VerifyRequest{Name: args[0], As: *as, Number: *number, Same: *yes || *number != ""}
		var r admin.VerifyResult
		if err := daemon.Call(cmd.Context(), admin.MethodVerify, req, &r); err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(r)
		}
		if err := a.printNumber(r); err != nil {
			return err
		}
		if !req.Same {
			if !a.confirm("Does the other side show the same number?") {
				return fail(exitRefused, "if it is another one, trust no call to that name, and tell the operator", "not compared")
			}
			req.Number, req.Same = r.Number, true
			if err := daemon.Call(cmd.Context(), admin.MethodVerify, req, &r); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintln(a.stdout, clean("\nthe key of "+r.AOR+" is compared"))
		return err
	}
	return cmd
}

func (a *app) printNumber(r admin.VerifyResult) error {
	t := a.table()
	t.row("between", r.Own+" and "+r.AOR)
	groups := strings.Fields(r.Number)
	half := identity.HalfDigits / 5
	for i, label := 0, "number"; i < len(groups); i, label = i+half, " " {
		t.row(label, strings.Join(groups[i:min(i+half, len(groups))], " "))
	}
	if !r.Compared.IsZero() {
		t.row("compared", moment(r.Compared))
	}
	return t.flush()
}
