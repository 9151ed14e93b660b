package adapter

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/limits"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/sipbridge"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// callTimeout bounds resolution and exchange of one outgoing call.
const callTimeout = 6 * time.Second

// exchangeTimeout bounds the exchange with one device of the callee.
const exchangeTimeout = 4 * time.Second

// answerLife is how long a REDIRECT may be acted on.
const answerLife = time.Minute

// party is what both directions of an exchange need of a local account.
type party struct {
	aor  identity.AOR
	acct *account
	node *node.Node
}

// Call resolves the callee, exchanges signed INVITE and REDIRECT with her
// adapters and returns how the call goes on: the poster's II.C.
func (a *Adapter) Call(ctx context.Context, c sipbridge.Call) (*sipbridge.Answer, error) {
	entry := a.calls.begin(a.time.Now(), callOut, c.Caller.User(), c.Target, c.CallID)
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := a.call(ctx, c, entry)
	a.calls.finish(entry, err)
	return answer, err
}

func (a *Adapter) call(ctx context.Context, c sipbridge.Call, entry *callEntry) (*sipbridge.Answer, error) {
	acct := a.account(c.Caller)
	if acct == nil {
		return nil, sipbridge.Forbidden("the caller is no account of this adapter; register the phone first")
	}
	n, err := a.ready(ctx)
	if err != nil {
		return nil, err
	}
	me := party{c.Caller, acct, n}
	if err := a.standing(n, acct); err != nil {
		return nil, sipbridge.Forbidden(err.Error())
	}
	if err := a.withoutIssuer(n, acct); err != nil {
		return nil, err
	}
	charter := n.Trust().Charter().Paths
	if c.Paths = a.allowedPaths(charter, c.Paths); len(c.Paths) == 0 {
		return nil, noPath(charter)
	}
	res, got, err := a.reach(ctx, me, c, entry, directory.Options{})
	if gone(err) && res != nil && (res.Cached || n.LinksReplaced()) {
		// The callee's adapter may have moved since we last asked where it is, or the
		// link to it was closed under our request, with the issuing key of its certificates.
		res, got, err = a.reach(ctx, me, c, entry, directory.Options{Fresh: true})
	}
	if err != nil {
		return nil, err
	}
	entry.verified()
	best := got.best
	if best.body.Status != 302 {
		return nil, best.refusal()
	}
	a.spawn(func(context.Context) { a.noteCalled(acct.User, res.AOR) }) // the phone need not wait for the disk
	answer, err := a.choosePath(got, res.AOR, c)
	if err == nil {
		entry.onPath(answer.Path)
	}
	return answer, err
}

// reach resolves the callee and exchanges INVITE and REDIRECT with her devices.
func (a *Adapter) reach(ctx context.Context, me party, c sipbridge.Call, entry *callEntry, opt directory.Options) (*directory.Resolution, *answers, error) {
	res, err := a.resolve(ctx, me.node, c.Target, opt)
	entry.evidence(res)
	if err != nil {
		return res, nil, err
	}
	got, err := a.inviteAll(ctx, me, res, c)
	return res, got, err
}

// unreached is a device that could not be asked: not there, or not hers any
// more. No answer of the callee's.
type unreached struct{ *sipbridge.Refusal }

// Unwrap gives the phone's answer.
func (u unreached) Unwrap() error { return u.Refusal }

func gone(err error) bool {
	_, ok := errors.AsType[unreached](err)
	return ok
}

// redirected is one device's verified answer.
type redirected struct {
	body    wire.RedirectBody
	conn    *link.Conn                   // the link that the exchange crossed
	binding binding                      // of a call to it
	lasts   func(*link.Stream) *lasting  // makes the tunnel of a call
	local   func(path string) (o opener) // instead, where the callee is on this adapter
}

// opener opens the tunnel of a call.
type opener = func(context.Context) (carry.Tunnel, error)

// inviteDevice exchanges INVITE and REDIRECT with one device over the link to
// its node. Only what the device signed counts; anything else is a failure to
// reach it.
func (a *Adapter) inviteDevice(ctx context.Context, me party, res *directory.Resolution, dev directory.Device, c sipbridge.Call) (*redirected, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	conn, err := me.node.Reach(ctx, dev)
	if errors.Is(err, link.ErrSelf) {
		return a.inviteSelf(ctx, me, res, dev, c)
	}
	if err != nil {
		me.node.Directory().Invalidate(res.AOR)
		a.log.Debug().Err(err).Stringer("node", dev.Node).Msg("callee's adapter not reached")
		return nil, unreached{sipbridge.Unreachable("")}
	}
	exporter, err := conn.Exporter()
	if err != nil {
		return nil, sipbridge.Internal("the link's keys cannot be exported")
	}
	sent, answer, err := a.sendInvite(ctx, conn, me, newInviteBody(me, res.AOR, dev.Node, exporter, c, a.time.Now()))
	if err != nil {
		me.node.Directory().Invalidate(res.AOR)
		return nil, err
	}
	got, err := checkRedirect(answer, sent, a.answering(me.node, res, dev, answer.Delegation, answer.Chain), a.time.Now())
	if err != nil {
		a.refusals.Count("adapter", reasonBadRedirect)
		if !a.isLeaving() {
			a.log.Warn().Err(err).Stringer("node", dev.Node).Msg("a REDIRECT is refused")
		}
		return nil, sipbridge.KeyUnverified("the answer of the called name's adapter does not verify: " + err.Error())
	}
	to := bind(exporter, sent.hash, answer.Hash())
	lasts := func(s *link.Stream) *lasting {
		l := a.last(me.node, s, res.AOR, to, true)
		l.revoked = func() bool { return revoked(me.node, res, got.Device) }
		return l
	}
	return &redirected{body: got, conn: conn, binding: to, lasts: lasts}, nil
}

// revoked tells whether a device of a name has been revoked since it was asked,
// or the name has.
func revoked(n *node.Node, res *directory.Resolution, device identity.PublicKey) bool {
	board, account := n.Trust().Board(), res.Key.Digest()
	return board.AccountRevoked(account) || board.DeviceRevoked(account, device)
}

func newInviteBody(me party, callee identity.AOR, to identity.NodeID, exporter [32]byte, c sipbridge.Call, now time.Time) wire.InviteBody {
	b := wire.InviteBody{
		Version: wire.InviteVersion, Caller: me.aor.String(), Callee: callee.String(),
		CallerNode: me.node.ID(), CalleeNode: to, CallID: c.CallID, Time: now.UnixMilli(),
		Exporter: exporter, Paths: c.Paths, Device: me.acct.DeviceKey.Public(),
	}
	rand.Read(b.Nonce[:])
	return b
}

// sentInvite is an INVITE as it was answered.
type sentInvite struct {
	body wire.InviteBody
	hash [32]byte
}

// sendInvite signs and sends the INVITE; a callee whose clock disagrees
// answers a challenge once, and the INVITE goes again with its nonce.
func (a *Adapter) sendInvite(ctx context.Context, conn *link.Conn, me party, body wire.InviteBody) (sentInvite, *wire.Redirect, error) {
	for range 2 {
		msg, err := wire.SignInvite(body, me.acct.DeviceKey.PrivateKey, me.acct.Delegation, me.acct.Chain)
		if err != nil {
			return sentInvite{}, nil, sipbridge.Malformed(err.Error())
		}
		answer, err := conn.Call(ctx, msg)
		if err != nil {
			return sentInvite{}, nil, linkRefusal(err)
		}
		switch m := answer.(type) {
		case *wire.Redirect:
			return sentInvite{body, msg.Hash()}, m, nil
		case *wire.Challenge:
			body.Challenge = m.Nonce
			rand.Read(body.Nonce[:])
		default:
			return sentInvite{}, nil, sipbridge.Unreachable("the other adapter answered " + answer.Type().String())
		}
	}
	return sentInvite{}, nil, sipbridge.Stale("the clocks of the two adapters disagree")
}

// linkRefusal is the phone's answer when the exchange itself failed: no
// refusal of the callee's, for that would be signed.
func linkRefusal(err error) error {
	if remote, ok := errors.AsType[*link.RemoteError](err); ok {
		switch remote.Code {
		case wire.CodeTooMany, wire.CodeUnavailable:
			return sipbridge.Overloaded("the other adapter: "+remote.Reason, max(remote.Retry, time.Second))
		}
		return unreached{sipbridge.Unreachable("the other adapter: " + remote.Reason)}
	}
	return unreached{sipbridge.Unreachable("")}
}

// callWindow is how far the time in an INVITE or REDIRECT may lie from ours.
const callWindow = limits.CallWindow

// checkRedirect verifies the answer against the callee's rebuilt key and
// everything that the INVITE said. Its time counts unless the two clocks are
// known to disagree: then the INVITE's fresh nonce, which it repeats, shows
// that it is no old one.
func checkRedirect(m *wire.Redirect, sent sentInvite, device identity.PublicKey, now time.Time) (wire.RedirectBody, error) {
	got, err := m.Open(device)
	b := sent.body
	switch {
	case err != nil:
		return got, err
	case got.InviteHash != sent.hash, got.CallID != b.CallID, got.Nonce != b.Nonce:
		return got, errors.New("it answers another INVITE")
	case got.Caller != b.Caller, got.Callee != b.Callee:
		return got, errors.New("it names other people")
	case got.CallerNode != b.CallerNode, got.CalleeNode != b.CalleeNode, got.Exporter != b.Exporter:
		return got, errors.New("it belongs to another link")
	case b.Challenge == [16]byte{} && now.Sub(time.UnixMilli(got.Time)).Abs() > callWindow:
		return got, errors.New("it is stale")
	case got.Status < 300 || got.Status > 699:
		return got, fmt.Errorf("it has the impossible status %d", got.Status)
	}
	return got, nil
}

// opens returns what opens the tunnel of a call on that path, nil where nothing
// does.
func (r *redirected) opens(path string) opener {
	switch {
	case r.local != nil:
		return r.local(path)
	case r.body.Token == [16]byte{}:
		return nil
	case path == sipbridge.PathProtected:
		return protectedTo(r)
	}
	return tunnelTo(r)
}

// tunnelTo opens the stream of a carried call with the token of its REDIRECT.
func tunnelTo(r *redirected) opener {
	return func(ctx context.Context) (carry.Tunnel, error) {
		s, err := r.conn.Open(ctx, &wire.Carry{Token: r.body.Token})
		if err != nil {
			return nil, linkRefusal(err)
		}
		return r.lasts(s), nil
	}
}
