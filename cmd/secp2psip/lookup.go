package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
)

func (a *app) lookupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lookup NAME",
		Short: "Resolve a name on the ring and show the evidence",
		Long: `Resolve a name or number as a call would, and show on what the answer rests:
the positions that were asked, who answered, which shares rebuilt the key, and
which were bad and why.`,
		Example: "  secp2psip lookup bob\n  secp2psip lookup 101 --fresh\n  secp2psip lookup 'sip:bob@lan.example;key=s23rirmimiv3drznkbhw'\n  secp2psip lookup bob@lan.example --json",
		Args:    one("NAME"),
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	fresh := cmd.Flags().Bool("fresh", false, "ask the ring even if the answer is cached")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var r admin.LookupResult
		req := admin.LookupRequest{Name: args[0], Fresh: *fresh}
		if err := admin.Dial(a.findState(*state, anyKind()...)).Call(cmd.Context(), admin.MethodLookup, req, &r); err != nil {
			return err
		}
		print := a.printLookup
		if *asJSON {
			print = func(r admin.LookupResult) error { return a.printJSON(r) }
		}
		if err := print(r); err != nil {
			return err
		}
		return lookupError(r)
	}
	return cmd
}

// lookupError gives each outcome its exit code. A person without a phone at
// the moment was found.
func lookupError(r admin.LookupResult) error {
	message := r.Message
	if message == "" {
		message = "the outcome is " + r.Outcome
	}
	switch r.Outcome {
	case admin.OutcomeVerified, admin.OutcomeNotRegistered:
		return nil
	case admin.OutcomeNotFound:
		return fail(exitNotFound, "the names of this overlay are listed by 'secp2psip people' on the bootstrap server", "%s", message)
	case admin.OutcomeKeyConflict, admin.OutcomeKeyChanged, admin.OutcomeOtherKey:
		return fail(exitRefused, "do not call before you have compared the key's fingerprint with that person", "%s", message)
	}
	return fail(exitNotNow, "see 'secp2psip doctor'", "%s", message)
}

func (a *app) printLookup(r admin.LookupResult) error {
	t := a.table()
	t.row("asked", r.Asked)
	t.row("outcome", strings.TrimSuffix(strings.ReplaceAll(r.Outcome, "_", " ")+": "+r.Message, ": "))
	if r.AOR != "" {
		t.row("name", r.AOR)
	}
	if r.Number != "" {
		t.row("number", r.Number)
	}
	if r.Key != "" {
		t.row("key", fmt.Sprintf("%s (version %d)", r.Key, r.KeyVersion))
		t.row("fingerprint", r.Fingerprint)
		t.row("address", r.URI)
		t.row("to dial", r.Dial)
	}
	if !r.Pinned.IsZero() {
		t.row("known since", moment(r.Pinned))
	}
	if !r.Compared.IsZero() {
		t.row("compared", comparedLine(r))
	}
	e := r.Evidence
	t.row("shares", sharesLine(e))
	t.row("took", millis(e.ElapsedMS)+map[bool]string{true: ", from the cache"}[r.Cached])
	for _, d := range r.Devices {
		t.row("device", fmt.Sprintf("node %s at %s, until %s", d.Node.Short(), strings.Join(d.Addrs, " "), moment(d.Expires)))
	}
	if err := t.flush(); err != nil {
		return err
	}
	return a.printEvidence(e)
}

// comparedLine says when two people have compared the key, and what came after.
func comparedLine(r admin.LookupResult) string {
	line := moment(r.Compared)
	if r.ComparedKey < r.KeyVersion {
		line += fmt.Sprintf(", version %d; changed since, each key signed by the one before", r.ComparedKey)
	}
	return line
}

func sharesLine(e admin.Evidence) string {
	used := make([]string, len(e.SharesUsed))
	for i, x := range e.SharesUsed {
		used[i] = strconv.Itoa(x)
	}
	line := fmt.Sprintf("%d of %d used, %d needed", len(used), e.N, e.K)
	if len(used) > 0 {
		line += fmt.Sprintf(" (%s), from %s", strings.Join(used, " "), plural(e.DistinctOwners, "owner"))
	}
	if e.SmallRing {
		line += "; small ring: trust rests on certificate and pin"
	}
	return line
}

func (a *app) printEvidence(e admin.Evidence) error {
	if len(e.Positions) > 0 {
		fmt.Fprintln(a.stdout)
		t := a.table("ASKED FOR", "PLACE", "AT", "HOLDER", "OWNER", "ANSWER", "RTT")
		for _, p := range e.Positions {
			holder, rtt := "", ""
			if p.Holder != (identity.NodeID{}) {
				holder, rtt = p.Holder.Short(), millis(p.RTTMS)
			}
			t.row(p.Kind, strconv.Itoa(p.Index), p.At.Short(), holder, p.Owner, p.Outcome, rtt)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if len(e.BadShares) > 0 {
		fmt.Fprintln(a.stdout)
		t := a.table("BAD SHARE", "HOLDER", "WHY")
		for _, b := range e.BadShares {
			t.row(strconv.Itoa(b.X), b.Holder.String(), b.Reason)
		}
		return t.flush()
	}
	return nil
}
