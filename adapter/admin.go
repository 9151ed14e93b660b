package adapter

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// Handlers answer on the admin socket.
func (a *Adapter) Handlers() admin.Handlers {
	all := admin.Handlers{
		admin.MethodStatus:   func(context.Context, json.RawMessage) (any, error) { return a.Status(), nil },
		admin.MethodLookup:   admin.Handle(a.lookup),
		admin.MethodEvidence: admin.Handle(a.evidence),
		admin.MethodAccept:   admin.Handle(a.acceptKey),
		admin.MethodVerify:   admin.Handle(a.verifyKey),
		admin.MethodCallers:  admin.Handle(a.callers),
		admin.MethodRotate:   admin.Handle(a.rotate),
		admin.MethodCalls:    func(context.Context, json.RawMessage) (any, error) { return admin.Stream(a.writeRecords), nil },
		admin.MethodDoctor: func(ctx context.Context, _ json.RawMessage) (any, error) {
			return admin.DoctorReport{Checks: a.Checks(ctx)}, nil
		},

		admin.MethodVisible: admin.Handle(a.visible),
		admin.MethodCharter: admin.Handle(a.charter),
	}
	maps.Copy(all, a.admission())
	return all
}

// Status is the state of the adapter for people and scripts.
func (a *Adapter) Status() *admin.Status {
	s := &admin.Status{
		Kind: admin.KindAdapter, Version: a.cfg.Version, Overlay: a.membership().Overlay, State: a.cfg.State, KeysSealed: a.state.file.Box != nil, Phase: "not enrolled",
		Started: a.started, UptimeSeconds: time.Since(a.started).Seconds(), SIP: a.sipAddrs(),
		Refusals: a.refusals.Counts(), Calls: a.calls.last(), Live: a.live(), Links: []admin.Link{},
	}
	s.Ring.Phase = s.Phase
	n := a.Node()
	if n != nil {
		n.FillStatus(s)
		s.Warnings = append(s.Warnings, a.announced()...)
	} else {
		s.Warnings = append(s.Warnings, "not enrolled yet: register a phone as "+a.expected()+" at one of the SIP addresses")
	}
	if w := a.records.warning(); w != "" {
		s.Warnings = append(s.Warnings, w)
	}
	for _, acct := range a.allAccounts() {
		s.Accounts = append(s.Accounts, a.accountStatus(acct))
	}
	slices.SortFunc(s.Accounts, func(x, y admin.Account) int { return strings.Compare(x.AOR, y.AOR) })
	return s
}

// sipAddrs is where phones are served.
func (a *Adapter) sipAddrs() []string {
	var out []string
	select {
	case <-a.bridge.Ready():
	default:
		return nil
	}
	for _, at := range a.bridge.Addrs() {
		out = append(out, at.Network+":"+at.Addr.String())
	}
	return out
}

// expected names whom a phone may register as before anybody is enrolled.
func (a *Adapter) expected() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := make([]string, 0, len(a.member.Invited))
	for _, i := range a.member.Invited {
		names = append(names, i.User)
	}
	if len(names) == 0 {
		return "any free name"
	}
	slices.Sort(names)
	return strings.Join(names, " or ")
}

func (a *Adapter) accountStatus(acct *account) admin.Account {
	out := admin.Account{AOR: acct.User, Number: acct.Number, Enrolled: true, Phones: []admin.Phone{}}
	n := a.Node()
	aor, err := identity.NewAOR(acct.User, a.membership().Overlay)
	if err != nil || n == nil {
		return out
	}
	out.AOR = aor.String()
	if cert, err := n.Trust().VerifyAccount(acct.Chain, time.Time{}); err == nil {
		out.Fingerprint, out.CertificateExpires = cert.Key.Fingerprint(), cert.NotAfter
		out.URI, out.Dial = identity.KeyedURI(aor, cert.Key), identity.KeyedDial(cmp.Or(acct.Number, acct.User), cert.Key)
	}
	for _, b := range shiftExpiry(a.bridge.Bindings(aor), a.time.Correction()) {
		out.Phones = append(out.Phones, admin.Phone{Contact: b.Contact, UserAgent: b.UserAgent, Expires: b.Expires, Direct: b.Direct, DirectWhy: b.DirectWhy})
	}
	out.Callers = a.callersOf(acct.User)
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.published[acct.User]; p != nil {
		out.Published, out.PublishedAt, out.Problem = p.live, p.at, p.problem
	}
	return out
}

func (a *Adapter) lookup(ctx context.Context, req admin.LookupRequest) (*admin.LookupResult, error) {
	n, err := a.enrolledNode()
	if err != nil {
		return nil, err
	}
	return n.Lookup(ctx, req)
}

func (a *Adapter) evidence(ctx context.Context, req admin.EvidenceRequest) (*admin.EvidenceResult, error) {
	n := a.Node()
	if n == nil {
		return nil, admin.Errorf(admin.CodeUnavailable, "this adapter is not enrolled yet, so it keeps no evidence")
	}
	return n.Evidence(ctx, req)
}

// Checks are what doctor says about this adapter.
func (a *Adapter) Checks(ctx context.Context) []admin.Check {
	checks := []admin.Check{{Name: "sip", Result: admin.CheckOK, Detail: "phones are served at " + strings.Join(a.sipAddrs(), ", ")}}
	n := a.Node()
	if n == nil {
		return append(checks, admin.Check{Name: "enrolment", Result: admin.CheckFail, Detail: "nobody is enrolled here yet",
			Mend: "register a phone as " + a.expected() + " at " + strings.Join(a.sipAddrs(), " or ")})
	}
	checks = append(checks, n.Checks(ctx)...)
	checks = append(checks, a.bootstrapCheck(ctx))
	for _, acct := range a.allAccounts() {
		checks = append(checks, phoneChecks(acct.User, a.accountStatus(acct))...)
	}
	return checks
}

// bootstrapCheck tells whether a bootstrap server answers. Calls do without.
func (a *Adapter) bootstrapCheck(ctx context.Context) admin.Check {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn, err := a.bootstrapConn(ctx, a.Node())
	if err == nil { // a connection that stands is no answer
		_, err = node.AskTime(ctx, conn, a.time)
	}
	if err != nil {
		return admin.Check{Name: "bootstrap", Result: admin.CheckWarn, Detail: "no bootstrap server answers: " + err.Error(),
			Mend: "calls go on without it; new names and renewals need it, so start it when you can"}
	}
	return admin.Check{Name: "bootstrap", Result: admin.CheckOK, Detail: "a bootstrap server answers"}
}

// phoneChecks are about one account's phones: registered, published, reachable.
func phoneChecks(user string, s admin.Account) []admin.Check {
	name := "phone " + user
	if len(s.Phones) == 0 {
		return []admin.Check{{Name: name, Result: admin.CheckWarn, Detail: "no phone is registered as " + user,
			Mend: "start the phone; its registrar is this adapter's SIP address"}}
	}
	check := admin.Check{Name: name, Result: admin.CheckOK, Detail: fmt.Sprintf("%d registered, published on the ring", len(s.Phones))}
	if !s.Published {
		check.Result, check.Detail = admin.CheckFail, "registered here, but not published on the ring: "+s.Problem
		check.Mend = "see the ring check above"
	}
	checks := []admin.Check{check}
	for _, p := range s.Phones {
		if p.Direct == "" {
			checks = append(checks, admin.Check{Name: "direct " + user, Result: admin.CheckWarn, Detail: p.DirectWhy + "; calls to it are carried by the adapters",
				Mend: "nothing has to be done; to be called directly, let the phone listen on the network's address"})
		}
	}
	return checks
}

// Health says why calls cannot be served now, nil if they can.
func (a *Adapter) Health() error {
	n := a.Node()
	if n == nil {
		return fmt.Errorf("nobody is enrolled here yet")
	}
	select {
	case <-n.Joined():
		return nil
	default:
		return fmt.Errorf("not a member of the ring yet")
	}
}

var _ sipbridge.Directory = (*Adapter)(nil)
