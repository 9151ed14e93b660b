package adapter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// accept takes over what a join link says, the servers and its invitation, and
// keeps it: for a name enrolled here already, the invitation admits further
// devices of that person.
func (a *Adapter) accept(m *member, j *joinlink.Link) (*member, error) {
	next := *m
	next.Servers = slices.Clone(j.Addrs)
	entries := []entry{{bucketMeta, metaMember, &next}}
	acct := a.accounts[j.User]
	switch {
	case j.User == "":
		next.Open = true
	case j.Secret == [joinlink.SecretLen]byte{}:
	case acct == nil:
		next = *next.withInvitation(j.User, j.Secret[:])
	default:
		more := *acct
		more.Invitations = withInvitation(acct.Invitations, j.Secret[:])
		a.accounts[j.User] = &more
		entries = append(entries, entry{bucketAccounts, []byte(j.User), &more})
	}
	return &next, a.state.put(entries...)
}

// ensureEnrolled enrols a name unless it is. Phones that ask at the same time
// share one enrolment.
func (a *Adapter) ensureEnrolled(ctx context.Context, aor identity.AOR) (*account, error) {
	if acct := a.account(aor); acct != nil {
		return acct, nil
	}
	_, err, _ := a.enrolling.Do(aor.User(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), enrolTimeout)
		defer cancel()
		defer context.AfterFunc(a.life(), cancel)()
		return nil, a.enrolInTurn(ctx, aor)
	})
	if err != nil {
		return nil, err
	}
	return a.account(aor), nil
}

// life is the context of Run; before it, one that does not end.
func (a *Adapter) life() context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.runCtx == nil {
		return context.Background()
	}
	return a.runCtx
}

// enrolInTurn enrols one name after the other: the first makes the node.
func (a *Adapter) enrolInTurn(ctx context.Context, aor identity.AOR) error {
	select {
	case a.enrolTurn <- struct{}{}:
		defer func() { <-a.enrolTurn }()
	case <-ctx.Done():
		return sipbridge.OverlayDown("the enrolment before this one takes long", 5*time.Second)
	}
	if a.account(aor) != nil {
		return nil
	}
	err := a.enrol(ctx, aor)
	if refusal, ok := errors.AsType[*sipbridge.Refusal](err); ok {
		a.log.Warn().Int("status", refusal.Code).Str("why", refusal.Warning).Msg("a name could not be enrolled")
	} else if err != nil {
		a.log.Error().Err(err).Msg("a name could not be enrolled")
		return sipbridge.Internal("the name could not be enrolled: " + err.Error())
	}
	return err
}

// enrol runs SECP2PSIP REGISTER with the first bootstrap server that answers:
// as the name's first device, or, where the name exists already and we hold
// an invitation to it, as a further one. The keys are on disk before they are
// shown: should the answer be lost, asking again with them gives it again.
func (a *Adapter) enrol(ctx context.Context, aor identity.AOR) error {
	acct, err := a.pendingAccount(aor)
	if err != nil {
		return err
	}
	secret := a.membership().invitation(aor.User())
	acct.Invitations = withInvitation(nil, secret)
	answer, root, err := a.requestEnrolment(ctx, aor, acct, secret)
	if errors.Is(err, link.ErrLost) {
		answer, root, err = a.requestEnrolment(ctx, aor, acct, secret) // the server has restarted, or the network hiccuped
	}
	if err != nil {
		return enrolRefusal(err)
	}
	if err := a.adopt(aor, acct, root, answer); err != nil {
		return err
	}
	a.log.Info().Stringer("node", a.Node().ID()).Msg("enrolled")
	return nil
}

// requestEnrolment asks on a connection of its own, first as the name's first
// device, and returns the answer and the server's root certificate.
func (a *Adapter) requestEnrolment(ctx context.Context, aor identity.AOR, acct *account, secret []byte) (*wire.Registered, []byte, error) {
	conn, err := a.dialServer(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close()
	answer, err := a.askRegister(ctx, conn, aor, acct, secret)
	if remote, ok := errors.AsType[*link.RemoteError](err); ok && remote.Code == wire.CodeConflict && secret != nil {
		acct.AccountKey = storedKey{} // somebody's first device holds it: join as a further one
		answer, err = a.askRegister(ctx, conn, aor, acct, secret)
	}
	return answer, conn.RootDER(), err
}

// pendingAccount returns the keys of an enrolment that was begun before, or
// makes and keeps new ones.
func (a *Adapter) pendingAccount(aor identity.AOR) (*account, error) {
	acct := &account{}
	known, err := a.state.get(bucketPending, []byte(aor.User()), acct)
	if err != nil || known {
		return acct, err
	}
	if acct, err = newAccount(aor); err != nil {
		return nil, err
	}
	return acct, a.state.put(entry{bucketPending, []byte(aor.User()), acct})
}

// dialTries is how often the bootstrap servers are dialled: a handshake has three
// seconds, which a busy host or a lossy network can take up.
const dialTries = 2

// dialServer connects to the first bootstrap server that answers and whose
// root certificate is the pinned one.
func (a *Adapter) dialServer(ctx context.Context) (*link.EnrolConn, error) {
	m := a.membership()
	var err error
	for range dialTries {
		var errs []error
		for _, addr := range m.Servers {
			conn, err := link.DialEnrol(ctx, addr, m.RootHash, a.cfg.Socket)
			if err == nil {
				return conn, nil
			}
			errs = append(errs, fmt.Errorf("%s: %w", addr, err))
		}
		if err = errors.Join(errs...); !errors.Is(err, link.ErrUnreachable) || ctx.Err() != nil {
			break
		}
	}
	if errors.Is(err, link.ErrWrongRoot) {
		return nil, sipbridge.Forbidden("the bootstrap server shows another root key than the join link: the link is old, or somebody poses as the server")
	}
	a.log.Debug().Err(err).Msg("no bootstrap server answers")
	return nil, sipbridge.OverlayDown("no bootstrap server answers at "+strings.Join(m.Servers, ", ")+"; a new name needs one", 10*time.Second)
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

// askChallenge begins an enrolment.
func askChallenge(ctx context.Context, conn *link.EnrolConn) (*wire.EnrolChallenge, error) {
	answer, err := conn.Call(ctx, &wire.EnrolStart{})
	if err != nil {
		return nil, err
	}
	challenge, ok := answer.(*wire.EnrolChallenge)
	if !ok {
		return nil, fmt.Errorf("%w: %s instead of a challenge", link.ErrProtocol, answer.Type())
	}
	return challenge, nil
}

// askRegister fetches a challenge and sends the proof of possession.
func (a *Adapter) askRegister(ctx context.Context, conn *link.EnrolConn, aor identity.AOR, acct *account, secret []byte) (*wire.Registered, error) {
	challenge, err := askChallenge(ctx, conn)
	if err != nil {
		return nil, err
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
		Nonce: challenge.Nonce, Exporter: exporter, Invitation: secret,
		Addrs: node.AdvertisedAddrs(a.cfg.Listen, a.cfg.Advertise, conn.LocalAddr().Addr()), Software: "secp2psip/" + a.cfg.Version,
	}
	key := &acct.AccountKey.PrivateKey
	if key.IsZero() {
		key = nil
		body.MAC = wire.InvitationMAC(secret, body.Device, body.Node, body.Nonce)
	}
	req, err := wire.SignRegister(body, key, acct.DeviceKey.PrivateKey, a.nodeKey)
	if err != nil {
		return nil, err
	}
	answer, err := conn.Call(ctx, req)
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
	sample, err := node.AskTime(ctx, conn, a.time)
	if err != nil {
		return err
	}
	sample.Issuer = true
	a.time.Learn([]identity.TimeSample{sample}, false)
	return nil
}

// adopt verifies everything in the answer before any of it is used, writes
// it to the state file and, for the first account, starts the node.
func (a *Adapter) adopt(aor identity.AOR, acct *account, rootDER []byte, r *wire.Registered) error {
	a.saving.Lock()
	defer a.saving.Unlock()
	m, n := *a.membership(), a.Node()
	first := n == nil
	if first {
		m.Root, m.Charter, m.Chain = rootDER, r.Charter, [][]byte{r.Node, r.Issuer}
	}
	err := a.checkAnswer(&m, n, aor, acct, r)
	if err != nil {
		return fmt.Errorf("the bootstrap server's answer is refused: %w", err)
	}
	if first {
		if n, err = a.newNode(&m); err != nil {
			return err
		}
	}
	if err := a.keepLocked(acct, m.withInvitation(acct.User, nil)); err != nil {
		return err
	}
	if first {
		n.SeedPeers(r.Peers)
		a.startNode(n)
	}
	return nil
}

// checkAnswer verifies an enrolment and takes it into acct. n is nil for the
// first one.
func (a *Adapter) checkAnswer(m *member, n *node.Node, aor identity.AOR, acct *account, r *wire.Registered) error {
	trust, err := m.trust()
	if err != nil {
		return err
	}
	now := a.time.Now()
	cert, err := trust.VerifyNode([][]byte{r.Node, r.Issuer}, now)
	switch {
	case err != nil:
		return fmt.Errorf("node certificate: %w", err)
	case !cert.Key.Equal(a.nodeKey.Public()):
		return errors.New("the node certificate is for another key")
	case n != nil && cert.ID != n.ID():
		return errors.New("the node certificate gives this node another Node-ID")
	}
	return a.fillAccount(trust, aor, acct, cert.ID, r, now)
}

// startNode makes a new node known and runs it.
func (a *Adapter) startNode(n *node.Node) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.node = n
	close(a.nodeUp)
	if a.start != nil {
		ctx := a.runCtx
		a.start(func() error { return n.Run(ctx) })
	}
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
	if before, err := trust.AccountOf(acct.Chain); err == nil && !cert.Follows(before.Key) {
		return errors.New("the account certificate is for another key than before")
	}
	if len(r.Shares) != int(trust.Charter().N) || r.Lookup == nil {
		return fmt.Errorf("%d key shares came instead of %d", len(r.Shares), trust.Charter().N)
	}
	if err := checkRecords(trust, aor, cert, r, now); err != nil {
		return err
	}
	if len(r.Delegation) > 0 { // else that of before: what delegates is the account key, whoever certifies it
		acct.Delegation = r.Delegation
	}
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

// checkRecords verifies the shares and the look-up records of an answer.
func checkRecords(trust *identity.Trust, aor identity.AOR, cert *identity.AccountCertificate, r *wire.Registered, now time.Time) error {
	for _, rec := range append(slices.Clone(r.Shares), *r.Lookup) {
		v, err := record.Verify(rec, trust, now)
		if err != nil {
			return fmt.Errorf("key share: %w", err)
		}
		if v.AOR != aor {
			return errors.New("a key share is for another name")
		}
	}
	if r.Number == nil {
		return nil
	}
	v, err := record.Verify(*r.Number, trust, now)
	if err != nil {
		return fmt.Errorf("number record: %w", err)
	}
	if v.AOR != cert.Number {
		return errors.New("the number record is for another number than the certificate says")
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
	if refusal, ok := errors.AsType[*sipbridge.Refusal](err); ok {
		return refusal
	}
	remote, ok := errors.AsType[*link.RemoteError](err)
	if !ok {
		return sipbridge.OverlayDown("the bootstrap server did not answer the enrolment", 10*time.Second)
	}
	switch remote.Code {
	case wire.CodeUnavailable, wire.CodeTooMany, wire.CodeTimeout, wire.CodeInternal:
		return sipbridge.OverlayDown("the bootstrap server: "+remote.Reason, 10*time.Second)
	}
	return sipbridge.Forbidden("the bootstrap server refuses: " + remote.Reason)
}
