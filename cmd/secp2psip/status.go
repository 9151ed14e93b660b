package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
)

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what a running daemon does",
		Long: `Show overlay, node, ring neighbours, accounts with their phones, and the last
calls with the reason of each failure.`,
		Example: "  secp2psip status\n  secp2psip status --json\n  sudo secp2psip status --state /var/lib/secp2psip/bootstrap",
		Args:    none,
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var s admin.Status
		dir := a.findState(*state, anyKind()...)
		if err := admin.Dial(dir).Call(cmd.Context(), admin.MethodStatus, nil, &s); err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(s)
		}
		return a.printStatus(s)
	}
	return cmd
}

func (a *app) printStatus(s admin.Status) error {
	name := s.Kind
	if s.Kind == configs.KindBootstrap {
		name = "bootstrap server"
	}
	up := configs.Duration(time.Duration(s.UptimeSeconds * float64(time.Second)).Truncate(time.Second))
	fmt.Fprintln(a.stdout, clean(fmt.Sprintf("%s %s of %s, %s, up %s\n", name, s.Version, s.Overlay, s.Phase, up)))
	t := a.table()
	t.row("node", s.NodeID.String())
	t.row("link", strings.Join(append([]string{s.Listen}, s.Advertised...), "  "))
	if len(s.SIP) > 0 {
		t.row("phones at", strings.Join(s.SIP, "  "))
	}
	t.row("ring", ringLine(s.Ring))
	if r := s.Reach; r != nil {
		t.row("reach", reachLine(r))
		if m := r.PortMapping; m != nil && m.Asked {
			t.row("port mapping", mappingLine(m))
		}
	}
	t.row("neighbours", neighbours(s))
	t.row("links", plural(len(s.Links), "open connection"))
	t.row("store", fmt.Sprintf("%s, %s of %s", plural(s.Store.Records, "record"), size(s.Store.Bytes), size(s.Store.MaxBytes)))
	t.row("clock", clockLine(s))
	t.row("state", s.State+map[bool]string{true: ", keys sealed by a passphrase", false: ", keys in the clear"}[s.KeysSealed])
	if e := s.Enrolment; e != nil {
		t.row("enrolment", fmt.Sprintf("%s, %d of %d names, %s", e.Mode, e.Names, e.MaxNames, plural(e.Invitations, "open invitation")))
		t.row("issuing key", "until "+day(e.IssuerExpires)+", root key "+map[bool]string{true: "offline", false: "in the state folder"}[e.RootOffline])
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := a.printAccounts(s.Accounts); err != nil {
		return err
	}
	if err := a.printLive(s.Live); err != nil {
		return err
	}
	if err := a.printCalls(s.Calls); err != nil {
		return err
	}
	return a.printRefusals(s)
}

func ringLine(r admin.Ring) string {
	line := r.Phase + ", " + plural(r.Members, "member")
	if r.SmallRing {
		line += ", small ring: trust rests on certificate and pin"
	}
	return line
}

func reachLine(r *admin.Reach) string {
	var who []string
	if r.Client {
		for _, a := range r.Attached {
			who = append(who, a.ID.Short())
		}
		line := "client since " + moment(r.Since) + ": " + r.Why
		if len(who) > 0 {
			line += "; called through " + strings.Join(who, ", ")
		}
		if r.Mapping != "" {
			line += "; address translation: " + r.Mapping
		}
		return line
	}
	for _, v := range r.By {
		who = append(who, v.ID.Short()+" at "+v.Addr)
	}
	line := "member since " + moment(r.Since)
	if len(who) > 0 {
		line += ", dialled back by " + strings.Join(who, ", ")
	}
	if r.Clients > 0 {
		line += ", passes on to " + plural(r.Clients, "client")
	}
	return line
}

func mappingLine(m *admin.PortMapping) string {
	line := m.Text(time.Now())
	switch {
	case m.External == "":
	case m.Proven:
		line += "; others have called this node there"
	default:
		line += "; nobody has called this node there, so it is not published"
	}
	return line
}

// neighbours leaves out the node itself, which is its own neighbour while it
// is alone.
func neighbours(s admin.Status) string {
	var parts []string
	if p := s.Ring.Pred; p != nil && p.ID != s.NodeID {
		parts = append(parts, p.ID.Short()+" before")
	}
	where := " after"
	for _, n := range s.Ring.Succ {
		if n.ID != s.NodeID {
			parts = append(parts, n.ID.Short()+where)
			where = ""
		}
	}
	return strings.Join(parts, ", ")
}

func clockLine(s admin.Status) string {
	if !s.ClockSynced {
		return "not compared with other nodes yet"
	}
	return fmt.Sprintf("overlay time is %+d ms from this host's", s.ClockOffsetMS)
}

func (a *app) printAccounts(accounts []admin.Account) error {
	if len(accounts) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	t := a.table("ACCOUNT", "NUMBER", "KEY", "PUBLISHED", "CERTIFICATE", "CALLERS", "PHONE", "UNTIL", "DIRECT")
	for _, acc := range accounts {
		published := yesNo(acc.Published)
		if acc.Problem != "" {
			published += ": " + acc.Problem
		}
		row := []string{acc.AOR, acc.Number, acc.Fingerprint, published, day(acc.CertificateExpires), callersCell(acc.Callers)}
		if len(acc.Phones) == 0 {
			t.row(append(row, "none", "", "")...)
		}
		for _, p := range acc.Phones {
			direct := p.Direct
			if direct == "" {
				direct = "no: " + p.DirectWhy
			}
			t.row(append(slices.Clone(row), strings.TrimSpace(p.Contact+" "+p.UserAgent), moment(p.Expires), direct)...)
			row = []string{"", "", "", "", "", ""}
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	t = a.table("ADDRESS THAT SAYS ITS KEY", "TO DIAL")
	some := false
	for _, acc := range accounts {
		if acc.URI != "" {
			t.row(acc.URI, acc.Dial)
			some = true
		}
	}
	if !some {
		return nil
	}
	fmt.Fprintln(a.stdout)
	return t.flush()
}

// printLive shows the calls of this moment. Loss and jitter are those of what
// the phone here gets and of what it sends, in that order.
func (a *app) printLive(calls []admin.LiveCall) error {
	if len(calls) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	t := a.table("NOW", "", "FROM", "TO", "PATH", "STATE", "PEER", "THEIR KEY", "RTT", "GOT", "SENT", "LOST", "JITTER")
	for _, c := range calls {
		row := []string{moment(c.Started), c.Direction, c.From, c.To, c.Path, c.State, c.Peer, c.Key}
		if m := c.Media; m != nil {
			row = append(row, millis(m.RTTMS), size(int64(m.Received.Bytes)), size(int64(m.Sent.Bytes)),
				fmt.Sprintf("%d / %d", m.Received.Lost, m.Sent.Lost), millis(m.Received.JitterMS)+" / "+millis(m.Sent.JitterMS))
		}
		t.row(row...)
	}
	return t.flush()
}

func (a *app) printCalls(calls []admin.Call) error {
	if len(calls) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	t := a.table("CALL", "", "FROM", "TO", "PATH", "STATUS", "SETUP", "SHARES", "VERIFIED")
	for _, c := range calls {
		t.row(moment(c.Time), c.Direction, c.From, c.To, c.Path, strings.TrimSpace(strconv.Itoa(c.Status)+" "+c.Reason),
			millis(c.SetupMS), strconv.Itoa(c.SharesUsed), yesNo(c.Verified))
	}
	return t.flush()
}

func (a *app) printRefusals(s admin.Status) error {
	if len(s.Refusals) > 0 {
		fmt.Fprintln(a.stdout)
		t := a.table("REFUSED", "TIMES")
		for _, reason := range slices.Sorted(maps.Keys(s.Refusals)) {
			t.row(reason, strconv.FormatUint(s.Refusals[reason], 10))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	for _, w := range s.Warnings {
		fmt.Fprintln(a.stdout, "\nwarning: "+clean(w))
	}
	return nil
}
