package adapter

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// Reasons for refusals in the room "adapter".
const (
	reasonBadRedirect   = "bad_redirect"
	reasonBadInvite     = "bad_invite"
	reasonReplay        = "replay"
	reasonStale         = "stale"
	reasonRate          = "invite_rate"
	reasonCallerUnknown = "caller_not_verified"
	reasonBadToken      = "bad_token"
	reasonNotOurs       = "callee_not_ours"
	reasonBadDelegate   = "delegation_refused"
)

// ServeExtra answers the messages of other adapters that concern calls.
func (a *Adapter) ServeExtra(ctx context.Context, from *link.Conn, req wire.Message) wire.Message {
	switch m := req.(type) {
	case *wire.Invite:
		return a.serveInvite(ctx, from, m)
	case *wire.Text:
		return a.serveText(ctx, from, m)
	case *wire.Delegate:
		return a.serveDelegate(from, m)
	}
	return nil
}

// claims is what INVITE and text have in common: who says what to whom, over
// which link.
type claims struct {
	Caller, Callee         string
	CallerNode, CalleeNode identity.NodeID
	CallID                 string
	Nonce, Challenge       [16]byte
	Time                   int64
	Exporter               [32]byte
}

// serveInvite validates a SECP2PSIP INVITE: form, link, time, replay and rate
// first, for they are cheap; then the caller's key, rebuilt from the ring as
// the caller rebuilt ours; then the signature. Only a verified caller gets a
// signed answer.
func (a *Adapter) serveInvite(ctx context.Context, from *link.Conn, m *wire.Invite) wire.Message {
	body, err := m.Body()
	if err != nil || body.Version != wire.InviteVersion {
		return a.refuse(reasonBadInvite, wire.CodeMalformed, "the INVITE cannot be read")
	}
	c := claims{body.Caller, body.Callee, body.CallerNode, body.CalleeNode, body.CallID, body.Nonce, body.Challenge, body.Time, body.Exporter}
	me, answer := a.admit(from, c)
	if answer != nil {
		return answer
	}
	caller, err := identity.ParseAOR(c.Caller)
	if err != nil {
		return a.refuse(reasonBadInvite, wire.CodeMalformed, "the caller's name cannot be read")
	}
	entry := a.calls.begin(a.clock.Now(), callIn, caller.User(), me.aor.User(), c.CallID)
	body, res, err := a.verifyInvite(ctx, me.node, caller, from, m)
	entry.evidence(res)
	if err == nil {
		entry.verified()
	}
	redirect := a.answerInvite(ctx, from, me, caller, body, err)
	redirect.InviteHash = m.Hash()
	a.calls.finish(entry, statusError(redirect))
	if redirect.Status == 302 && len(redirect.Paths) > 0 {
		entry.onPath(redirect.Paths[0])
	}
	signed, err := wire.SignRedirect(*redirect, me.acct.DeviceKey.PrivateKey, me.acct.Delegation, me.acct.Chain)
	if err != nil {
		a.log.Error().Err(err).Msg("a REDIRECT cannot be signed")
		return wire.Errorf(wire.CodeInternal, "the answer cannot be signed")
	}
	return signed
}

// admit does the checks that need no look-up and returns the account that is
// called, or the answer that ends it.
func (a *Adapter) admit(from *link.Conn, c claims) (party, wire.Message) {
	n := a.Node()
	exporter, err := from.Exporter()
	if err != nil || c.Exporter != exporter || c.CallerNode != from.ID() || c.CalleeNode != n.Self().ID {
		return party{}, a.refuse(reasonBadInvite, wire.CodeUnauthorized, "this was signed for another link")
	}
	callee, err := identity.ParseAOR(c.Callee)
	if err != nil {
		return party{}, a.refuse(reasonBadInvite, wire.CodeMalformed, "the callee's name cannot be read")
	}
	acct := a.account(callee)
	if acct == nil || callee.Overlay() != n.Trust().Overlay() {
		return party{}, a.refuse(reasonNotOurs, wire.CodeNotFound, "this adapter does not serve that name")
	}
	if !a.gate.allow(c.Caller, c.Callee) {
		e := wire.Errorf(wire.CodeTooMany, "too many calls from this caller")
		e.Retry = 1000
		a.refusals.Count("adapter", reasonRate)
		return party{}, e
	}
	switch a.gate.check(c.Nonce, c.Challenge, from.ID(), c.Time) {
	case verdictReplay:
		return party{}, a.refuse(reasonReplay, wire.CodeUnauthorized, "this was seen before")
	case verdictStale:
		a.refusals.Count("adapter", reasonStale)
		return party{}, &wire.Challenge{Nonce: a.gate.challenge(from.ID()), Now: a.clock.Now().UnixMilli()}
	}
	return party{callee, acct, n}, nil
}

func (a *Adapter) refuse(reason string, code wire.Code, text string) wire.Message {
	a.refusals.Count("adapter", reason)
	return wire.Errorf(code, "%s", text)
}

// verifyInvite rebuilds the caller's key and checks the chain key →
// delegation → device key → signature, and that the delegated node is the one
// at the other end of the link.
func (a *Adapter) verifyInvite(ctx context.Context, n *node.Node, caller identity.AOR, from *link.Conn, m *wire.Invite) (wire.InviteBody, *directory.Resolution, error) {
	device, res, err := a.callerDevice(ctx, n, caller, from, m.Delegation)
	if err != nil {
		body, _ := m.Body()
		return body, res, err
	}
	body, err := m.Open(device)
	if err != nil {
		err = sipbridge.CallerForged("the caller's signature is wrong")
	}
	return body, res, err
}

// callerDevice returns the verified device key of a caller. It does not take
// the caller to be registered: who only calls out has no registration.
func (a *Adapter) callerDevice(ctx context.Context, n *node.Node, caller identity.AOR, from *link.Conn, signed identity.SignedDelegation) (identity.PublicKey, *directory.Resolution, error) {
	if caller.Overlay() != n.Trust().Overlay() {
		return identity.PublicKey{}, nil, sipbridge.CallerUntrusted("the caller belongs to another overlay")
	}
	res, err := n.Directory().Resolve(ctx, caller, directory.Options{})
	switch {
	case err == nil, errors.Is(err, directory.ErrNotRegistered):
	case errors.Is(err, directory.ErrKeyChanged), errors.Is(err, directory.ErrKeyConflict):
		return identity.PublicKey{}, res, sipbridge.CallerUntrusted(err.Error())
	case errors.Is(err, directory.ErrNoSuchName):
		return identity.PublicKey{}, res, sipbridge.CallerUntrusted("nobody is enrolled under the caller's name")
	default:
		return identity.PublicKey{}, res, sipbridge.CallerUnfetchable("the caller's key could not be fetched: " + err.Error())
	}
	d, err := n.Trust().VerifyDelegation(signed, res.Key, a.clock.Now())
	if err != nil || d.AOR != caller.String() || d.Node != from.ID() {
		return identity.PublicKey{}, res, sipbridge.CallerForged("the caller's device is not admitted by the caller's key")
	}
	return d.Device, res, nil
}

// answerInvite asks the phones and writes the REDIRECT: 302 with the paths
// that are open, or the refusal.
func (a *Adapter) answerInvite(ctx context.Context, from *link.Conn, me party, caller identity.AOR, b wire.InviteBody, failed error) *wire.RedirectBody {
	r := &wire.RedirectBody{
		Caller: b.Caller, Callee: b.Callee, CallerNode: b.CallerNode, CalleeNode: b.CalleeNode, CallID: b.CallID,
		Nonce: b.Nonce, Time: a.clock.Now().UnixMilli(), Exporter: b.Exporter, Device: me.acct.DeviceKey.Public(),
	}
	if failed != nil {
		a.refusals.Count("adapter", reasonCallerUnknown)
		return fillRefusal(r, failed)
	}
	in := inbound(from, caller, me.aor, b.CallID)
	in.Paths = b.Paths
	offer, err := a.bridge.Offer(ctx, in)
	if err != nil {
		return fillRefusal(r, err)
	}
	r.Status, r.Reason = 302, "Moved Temporarily"
	if offer.Direct != "" && len(offer.Direct) <= wire.MaxContact {
		r.Contact, r.Paths = offer.Direct, append(r.Paths, sipbridge.PathDirect)
	}
	if offer.Carried {
		if token, ok := a.gate.issueToken(in, from.ID()); ok {
			r.Token, r.Paths = token, append(r.Paths, sipbridge.PathCarried)
		}
	}
	if len(r.Paths) == 0 {
		return fillRefusal(r, sipbridge.NoCommonMedia(offer.Why))
	}
	return r
}

func inbound(from *link.Conn, caller, callee identity.AOR, callID string) sipbridge.Inbound {
	return sipbridge.Inbound{
		Caller: caller, Callee: callee, CallID: callID,
		LocalIP: from.LocalAddr().Addr().Unmap(), RemoteIP: from.RemoteAddr().Addr().Unmap(),
	}
}

// fillRefusal writes a refusal into the REDIRECT.
func fillRefusal(r *wire.RedirectBody, err error) *wire.RedirectBody {
	refusal, ok := errors.AsType[*sipbridge.Refusal](err)
	if !ok {
		refusal = sipbridge.Internal("")
	}
	r.Status, r.Reason, r.Warning = uint16(refusal.Code), clip(refusal.Reason), clip(refusal.Warning)
	r.Retry = uint32(refusal.RetryAfter / time.Second)
	r.Contact, r.Paths, r.Token = "", nil, [16]byte{}
	return r
}

// clip cuts a text to what a REDIRECT may carry.
func clip(s string) string {
	if len(s) > wire.MaxReason {
		s = s[:wire.MaxReason]
	}
	return s
}

func statusError(r *wire.RedirectBody) error {
	if r.Status == 302 {
		return nil
	}
	return &sipbridge.Refusal{Code: int(r.Status), Reason: r.Reason, Warning: r.Warning}
}

// ServeStream takes a carried call in, if it brings the token of a REDIRECT
// that we gave to this very node.
func (a *Adapter) ServeStream(ctx context.Context, from *link.Conn, open wire.Message, s *link.Stream) {
	defer s.Close()
	m, ok := open.(*wire.Carry)
	if !ok {
		a.refusals.Count("adapter", reasonBadToken)
		return
	}
	in, ok := a.gate.redeemToken(m.Token, from.ID())
	if !ok {
		a.refusals.Count("adapter", reasonBadToken)
		return
	}
	if err := a.bridge.Ring(ctx, in, newTunnel(s, from)); err != nil {
		a.log.Debug().Err(err).Msg("a carried call ended")
	}
}

// newToken returns 128 random bits.
func newToken() (t [16]byte) {
	rand.Read(t[:])
	return t
}
