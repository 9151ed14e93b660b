package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
)

// callerCommands say who may call an account of a running adapter, and who can
// find it.
func (a *app) callerCommands() []*cobra.Command {
	block := a.ruleCommand(admin.CallersBlock, "block WHO", "Keep a caller out",
		`Refuse calls and texts of somebody, at once and until 'unblock'. WHO is a name, a
number, owner: and a tag (every name at adapters of that person; 'secp2psip
calls' shows the tags of callers) or @ and an overlay. The caller gets a signed
603 Decline; with --quiet what it would get if no phone were registered. No
phone rings. A rule about a name counts before one about an owner, and that
before one about an overlay.`,
		"  secp2psip block mallory\n  secp2psip block mallory --quiet --account alice\n  secp2psip block owner:0123456789abcdef\n  secp2psip block @lan.example")
	block.Flags().Bool("quiet", false, "tell the caller what it would hear if no phone were registered")
	allow := a.ruleCommand(admin.CallersAllow, "allow WHO", "Let a caller in, whatever else says no",
		`Let calls and texts of somebody through, also while only contacts may call, or
while a rule about the person's owner or overlay keeps others out. WHO is as
for 'secp2psip block'.`,
		"  secp2psip allow bob\n  secp2psip allow @lan.example --account alice")
	unblock := a.ruleCommand(admin.CallersForget, "unblock WHO", "Remove the rule about a caller",
		"Remove what 'block' or 'allow' has said of somebody. WHO is as 'secp2psip callers'\nshows it, or as it was given.",
		"  secp2psip unblock mallory\n  secp2psip unblock owner:0123456789abcdef")
	return []*cobra.Command{block, allow, unblock, a.callersCommand(), a.visibleCommand()}
}

func (a *app) ruleCommand(do, use, short, long, example string) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: one("WHO")}
	state, account := stateFlag(cmd), accountFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		quiet, _ := cmd.Flags().GetBool("quiet") // only block has it
		req := admin.CallersRequest{Account: *account, Do: do, Who: args[0], Quiet: quiet}
		var res admin.Callers
		if err := admin.Dial(a.findState(*state, configs.KindAdapter)).Call(cmd.Context(), admin.MethodCallers, req, &res); err != nil {
			return err
		}
		return a.printCallers(res)
	}
	return cmd
}

func accountFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("account", "", "which name of this adapter; needed where it serves several")
}

func (a *app) callersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "callers",
		Short: "Show or set who may call",
		Long: `Show who may call an account of the running adapter: the rules that 'block' and
'allow' have made, and how many were kept out. With --only contacts nobody else
may call than who is allowed by a rule or was called from here before; others
get a signed 403, or with --quiet what they would get if no phone were
registered. --only anybody ends that.`,
		Example: "  secp2psip callers\n  secp2psip callers --only contacts --quiet\n  secp2psip callers --only anybody --account alice\n  secp2psip callers --json",
		Args:    none,
	}
	state, asJSON, account := stateFlag(cmd), jsonFlag(cmd), accountFlag(cmd)
	only := cmd.Flags().String("only", "", "who may call: contacts or anybody")
	quiet := cmd.Flags().Bool("quiet", false, "with --only contacts: tell others what they would hear if no phone were registered")
	_ = cmd.RegisterFlagCompletionFunc("only", cobra.FixedCompletions([]string{admin.CallersContacts, admin.CallersAnybody}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *only != "" && *only != admin.CallersContacts && *only != admin.CallersAnybody {
			return fail(exitUsage, "write --only contacts or --only anybody", "%q is not who may call", *only)
		}
		if *quiet && *only != admin.CallersContacts {
			return fail(exitUsage, "write --only contacts --quiet, or 'secp2psip block NAME --quiet'", "--quiet goes with --only contacts")
		}
		var res admin.Callers
		req := admin.CallersRequest{Account: *account, Do: *only, Quiet: *quiet}
		if err := admin.Dial(a.findState(*state, configs.KindAdapter)).Call(cmd.Context(), admin.MethodCallers, req, &res); err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(res)
		}
		return a.printCallers(res)
	}
	return cmd
}

func (a *app) printCallers(c admin.Callers) error {
	line := "anybody may call " + c.Account + ", but for who is blocked"
	if c.Only == admin.CallersContacts {
		line = fmt.Sprintf("only contacts may call %s: who is allowed, and %s who was called from here", c.Account, plural(len(c.Contacts), "person"))
		if c.Quiet {
			line += "; others are told that no phone is registered"
		}
	}
	fmt.Fprintln(a.stdout, clean(line))
	if len(c.Rules) > 0 {
		fmt.Fprintln(a.stdout)
		t := a.table("CALLER", "RULE", "SINCE")
		for _, r := range c.Rules {
			what := map[bool]string{true: "allowed", false: "blocked"}[r.Allow]
			if r.Quiet {
				what += ", quietly"
			}
			t.row(r.Who, what, moment(r.Added))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.stdout, "\nkept out since the start: "+strconv.FormatUint(c.Refused, 10))
	return nil
}

// callersCell is what status says of it.
func callersCell(c *admin.Callers) string {
	if c == nil {
		return ""
	}
	cell := c.Only
	blocked, allowed := 0, 0
	for _, r := range c.Rules {
		if r.Allow {
			allowed++
		} else {
			blocked++
		}
	}
	if blocked > 0 {
		cell += fmt.Sprintf(", %d blocked", blocked)
	}
	if allowed > 0 {
		cell += fmt.Sprintf(", %d allowed", allowed)
	}
	if c.Refused > 0 {
		cell += fmt.Sprintf(", %d kept out", c.Refused)
	}
	return cell
}
