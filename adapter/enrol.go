package adapter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/joinlink"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// enrolTimeout bounds one enrolment: a phone waits 32 s for its REGISTER.
const enrolTimeout = 20 * time.Second

// accept takes over what a join link says: the servers, and its invitation.
func (a *Adapter) accept(j *joinlink.Link) {
	m := a.member
	m.Servers = slices.Clone(j.Addrs)
	if j.User == "" {
		m.Open = true
		return
	}
	if _, enrolled := a.accounts[j.User]; enrolled || j.Secret == [16]byte{} {
		return
	}
	if m.Invited == nil {
		m.Invited = map[string][]byte{}
	}
	m.Invited[j.User] = j.Secret[:]
}

// ensureEnrolled enrols a name unless it is. Phones that ask at the same time
// share one enrolment.
func (a *Adapter) ensureEnrolled(ctx context.Context, aor identity.AOR) (*account, error) {
	if acct := a.account(aor); acct != nil {
		return acct, nil
	}
	_, err, _ := a.enrolling.Do(aor.User(), func() (any, error) {
		if a.account(aor) != nil {
			return nil, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), enrolTimeout)
		defer cancel()
		a.enrolTurn.Lock() // one name after the other: the first one brings the node
		defer a.enrolTurn.Unlock()
		return nil, a.enrol(ctx, aor)
	})
	if err != nil {
		return nil, err
	}
	return a.account(aor), nil
}

// enrol runs SECP2PSIP REGISTER with the first bootstrap server that answers:
// as the name's first device, or, where the name exists already and we hold
// an invitation to it, as a further one.
func (a *Adapter) enrol(ctx context.Context, aor identity.AOR) error {
	conn, err := a.dialServer(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	acct, err := newAccount(aor)
	if err != nil {
		return err
	}
	a.mu.Lock()
	acct.Invitation = a.member.Invited[aor.User()]
	a.mu.Unlock()
	answer, err := a.askRegister(ctx, conn, aor, acct)
	if remote, ok := errors.AsType[*link.RemoteError](err); ok && remote.Code == wire.CodeConflict && len(acct.Invitation) > 0 {
		acct.AccountKey = storedKey{} // somebody's first device holds it: join as a further one
		answer, err = a.askRegister(ctx, conn, aor, acct)
	}
	if err != nil {
		return enrolRefusal(err)
	}
	if err := a.adopt(aor, acct, conn.RootDER(), answer); err != nil {
		return fmt.Errorf("the bootstrap server's answer is refused: %w", err)
	}
	a.log.Info().Stringer("node", a.Node().Self().ID).Msg("enrolled")
	return nil
}

// dialServer connects to the first bootstrap server that answers and whose
// root certificate is the pinned one.
func (a *Adapter) dialServer(ctx context.Context) (*link.EnrolConn, error) {
	a.mu.Lock()
	servers, root := slices.Clone(a.member.Servers), a.member.RootHash
	a.mu.Unlock()
	var errs []error
	for _, addr := range servers {
		conn, err := link.DialEnrol(ctx, addr, root)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", addr, err))
	}
	err := errors.Join(errs...)
	if errors.Is(err, link.ErrWrongRoot) {
		return nil, sipbridge.Forbidden("the bootstrap server shows another root key than the join link: the link is old, or somebody poses as the server")
	}
	a.log.Warn().Err(err).Msg("no bootstrap server answers")
	return nil, sipbridge.OverlayDown("no bootstrap server answers; a new name needs one", 10*time.Second)
}

func newAccount(aor identity.AOR) (*account, error) {
	accountKey, err := identity.GenerateKey()
	if err != nil {
		return nil, err
	}
	deviceKey, err := identity.GenerateKey()
	if err != nil {
		return nil, err
	}
	return &account{User: aor.User(), AccountKey: storedKey{accountKey}, DeviceKey: storedKey{deviceKey}}, nil
}

// askRegister fetches a challenge and sends the proof of possession.
func (a *Adapter) askRegister(ctx context.Context, conn *link.EnrolConn, aor identity.AOR, acct *account) (*wire.Registered, error) {
	answer, err := conn.Call(ctx, &wire.EnrolStart{})
	if err != nil {
		return nil, err
	}
	challenge, ok := answer.(*wire.EnrolChallenge)
	if !ok {
		return nil, fmt.Errorf("%w: %s instead of a challenge", link.ErrProtocol, answer.Type())
	}
	if err := a.learnTime(ctx, conn); err != nil {
		return nil, err
	}
	exporter, err := conn.Exporter()
	if err != nil {
		return nil, err
	}
	body := wire.RegisterBody{
		AOR: aor.String(), Account: acct.AccountKey.Public(), Device: acct.DeviceKey.Public(), Node: a.nodeKey.Public(),
		Nonce: challenge.Nonce, Exporter: exporter, Invitation: acct.Invitation,
		Addrs: node.AdvertisedAddrs(a.cfg.Listen, a.cfg.Advertise, conn.LocalAddr().Addr()), Software: "secp2psip/" + a.cfg.Version,
	}
	key := &acct.AccountKey.PrivateKey
	if key.IsZero() {
		key = nil
		body.MAC = wire.InvitationMAC(acct.Invitation, body.Device, body.Node, body.Nonce)
	}
	req, err := wire.SignRegister(body, key, acct.DeviceKey.PrivateKey, a.nodeKey)
	if err != nil {
		return nil, err
	}
	answer, err = conn.Call(ctx, req)
	if err != nil {
		return nil, err
	}
	registered, ok := answer.(*wire.Registered)
	if !ok {
		return nil, fmt.Errorf("%w: %s instead of an enrolment", link.ErrProtocol, answer.Type())
	}
	return registered, nil
}

// learnTime sets overlay time by the issuer's clock, so that a board without
// a clock battery can check its certificates.
func (a *Adapter) learnTime(ctx context.Context, conn *link.EnrolConn) error {
	sample, err := node.AskTime(ctx, conn, a.clock)
	if err != nil {
		return err
	}
	sample.Issuer = true
	node.ReportTime(a.log, a.clock.Learn([]identity.TimeSample{sample}))
	return nil
}

// adopt verifies everything in the answer before any of it is used, writes
// it to the state file and, for the first account, builds the node.
func (a *Adapter) adopt(aor identity.AOR, acct *account, rootDER []byte, r *wire.Registered) error {
	trust, err := a.checkOverlay(rootDER, r.Charter)
	if err != nil {
		return err
	}
	now := a.clock.Now()
	nodeCert, err := trust.VerifyNode([][]byte{r.Node, r.Issuer}, now)
	if err != nil {
		return fmt.Errorf("node certificate: %w", err)
	}
	if !nodeCert.Key.Equal(a.nodeKey.Public()) {
		return errors.New("the node certificate is for another key")
	}
	if err := a.fillAccount(trust, aor, acct, nodeCert.ID, r, now); err != nil {
		return err
	}
	a.mu.Lock()
	m, first := a.member, a.node == nil
	if first {
		m.Root, m.Charter, m.Chain = rootDER, r.Charter, [][]byte{r.Node, r.Issuer}
	}
	delete(m.Invited, acct.User)
	saved := *m
	saved.Invited = maps.Clone(m.Invited)
	a.mu.Unlock()
	if err := a.state.put(bucketAccounts, []byte(acct.User), acct); err != nil {
		return err
	}
	if err := a.state.put(bucketMeta, metaMember, saved); err != nil {
		return err
	}
	if first {
		if err := a.buildNode(); err != nil {
			return err
		}
		a.Node().SeedPeers(r.Peers)
	}
	a.mu.Lock()
	a.accounts[acct.User] = acct
	a.mu.Unlock()
	return nil
}

// checkOverlay verifies root and charter against what the join link named.
func (a *Adapter) checkOverlay(rootDER []byte, signed identity.SignedCharter) (*identity.Trust, error) {
	if sha256.Sum256(rootDER) != a.member.RootHash {
		return nil, errors.New("the root certificate is not the one that the join link names")
	}
	root, _, err := identity.RootKey(rootDER)
	if err != nil {
		return nil, err
	}
	charter, err := signed.Verify(root)
	if err != nil {
		return nil, err
	}
	if charter.Overlay != a.member.Overlay {
		return nil, fmt.Errorf("%w: the charter is for %q", identity.ErrOtherOverlay, charter.Overlay)
	}
	return identity.NewTrust(rootDER, charter)
}

// fillAccount takes certificates, shares and delegation into the account,
// each one verified.
func (a *Adapter) fillAccount(trust *identity.Trust, aor identity.AOR, acct *account, id identity.NodeID, r *wire.Registered, now time.Time) error {
	chain := [][]byte{r.Account, r.Issuer}
	cert, err := trust.VerifyAccount(chain, now)
	if err != nil {
		return fmt.Errorf("account certificate: %w", err)
	}
	own := acct.AccountKey.PrivateKey
	if cert.AOR != aor || !own.IsZero() && !cert.Key.Equal(own.Public()) {
		return errors.New("the account certificate is for another name or key")
	}
	if len(r.Shares) != int(trust.Charter().N) || r.Lookup == nil {
		return fmt.Errorf("%d key shares came instead of %d", len(r.Shares), trust.Charter().N)
	}
	for _, rec := range append(slices.Clone(r.Shares), *r.Lookup) {
		v, err := record.Verify(rec, trust, now)
		if err != nil {
			return fmt.Errorf("key share: %w", err)
		}
		if v.AOR != aor {
			return errors.New("a key share is for another name")
		}
	}
	acct.Delegation = r.Delegation
	if !own.IsZero() {
		if acct.Delegation, err = delegate(acct, aor, acct.DeviceKey.Public(), id, r.Part, trust, now); err != nil {
			return err
		}
	}
	d, err := acct.Delegation.Verify(cert.Key, 0, now)
	if err != nil || d.Device != acct.DeviceKey.Public() || d.Node != id || d.Part != r.Part {
		return fmt.Errorf("the delegation is not for this device (%v)", err)
	}
	acct.Part, acct.Chain, acct.Shares, acct.Lookup, acct.Alias, acct.Renewed = r.Part, chain, r.Shares, r.Lookup, r.Number, now
	acct.Number = ""
	if !cert.Number.IsZero() {
		acct.Number = cert.Number.User()
	}
	return nil
}

// delegate lets the account key admit a device for as long as certificates live.
func delegate(acct *account, aor identity.AOR, device identity.PublicKey, id identity.NodeID, part uint64, trust *identity.Trust, now time.Time) (identity.SignedDelegation, error) {
	life := time.Duration(trust.Charter().CertificateLifetime) * time.Second
	return identity.Delegation{
		AOR: aor.String(), Device: device, Node: id, Part: part, Issued: now.UnixMilli(), Expires: now.Add(life).UnixMilli(),
	}.Sign(acct.AccountKey.PrivateKey)
}

// enrolRefusal turns the server's refusal into the phone's answer.
func enrolRefusal(err error) error {
	remote, ok := errors.AsType[*link.RemoteError](err)
	if !ok {
		return sipbridge.OverlayDown("the bootstrap server did not answer the enrolment", 10*time.Second)
	}
	switch remote.Code {
	case wire.CodeUnavailable, wire.CodeTooMany, wire.CodeTimeout, wire.CodeInternal:
		return sipbridge.OverlayDown(remote.Reason, 10*time.Second)
	}
	return sipbridge.Forbidden(remote.Reason)
}
