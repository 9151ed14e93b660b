package adapter

import (
	"context"
	"errors"
	"slices"
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
	reasonOtherLink     = "other_link"
	reasonReplay        = "replay"
	reasonStale         = "stale"
	reasonRate          = "invite_rate"
	reasonCallerUnknown = "caller_not_verified"
	reasonForged        = "caller_forged"
	reasonRevoked       = "caller_revoked"
	reasonBadToken      = "bad_token"
	reasonBadStream     = "bad_stream"
	reasonOtherPath     = "path_not_offered"
	reasonBadProof      = "bad_proof"
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
	case *wire.Rotate:
		return a.serveRotate(ctx, from, m)
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

// request is a claim that has passed the gate; its signature is not verified.
type request struct {
	party
	caller identity.AOR
	from   *link.Conn
}

// serveInvite validates a SECP2PSIP INVITE: form, link, rate, time and replay
// first, for they are cheap; then the caller's key, rebuilt from the ring as
// the caller rebuilt ours; then the signature. A caller that does not verify
// is told so in a signed answer, and nothing else of the callee.
func (a *Adapter) serveInvite(ctx context.Context, from *link.Conn, m *wire.Invite) wire.Message {
	body, err := m.Body()
	if err != nil || body.Version != wire.InviteVersion {
		return a.refuse(reasonBadInvite, wire.CodeMalformed, "the INVITE cannot be read")
	}
	r, answer := a.admit(from, claims{body.Caller, body.Callee, body.CallerNode, body.CalleeNode, body.CallID, body.Nonce, body.Challenge, body.Time, body.Exporter})
	if answer != nil {
		return answer
	}
	entry := a.calls.begin(a.time.Now(), callIn, r.caller.User(), r.aor.User(), body.CallID)
	entry.ownedBy(from.Owner())
	device, res, err := a.callerDevice(ctx, r, m.Delegation, m.Chain)
	entry.evidence(res)
	if err == nil {
		if _, err = m.Open(device); err != nil {
			err = sipbridge.CallerForged("the caller's signature is wrong")
		}
	}
	var out *keptOut
	if err == nil {
		entry.verified()
		out = a.screen(r.aor, r.caller, from.Owner())
	}
	redirect := a.answerInvite(ctx, r, body, err, out)
	redirect.InviteHash = m.Hash()
	if redirect.Status == 302 && len(redirect.Paths) > 0 {
		entry.onPath(redirect.Paths[0])
	}
	if out != nil {
		a.calls.finish(entry, out.told)
	} else {
		a.calls.finish(entry, statusError(redirect))
	}
	signed, err := wire.SignRedirect(*redirect, r.acct.DeviceKey.PrivateKey, r.acct.Delegation, r.acct.Chain)
	if err != nil {
		a.log.Error().Err(err).Msg("a REDIRECT cannot be signed")
		return wire.Errorf(wire.CodeInternal, "the answer cannot be signed")
	}
	if redirect.Token != [16]byte{} {
		a.gate.bindToken(redirect.Token, bind(body.Exporter, redirect.InviteHash, signed.Hash()))
	}
	return signed
}

// admit does the checks that need no look-up and returns whom the request is
// for, or the answer that ends it.
func (a *Adapter) admit(from *link.Conn, c claims) (request, wire.Message) {
	n := a.Node()
	exporter, err := from.Exporter()
	if err != nil || c.Exporter != exporter || c.CallerNode != from.ID() || c.CalleeNode != n.ID() {
		return request{}, a.refuse(reasonOtherLink, wire.CodeUnauthorized, "this was signed for another link")
	}
	caller, err := canonical(c.Caller)
	if err != nil {
		return request{}, a.refuse(reasonBadInvite, wire.CodeMalformed, "the caller's name cannot be read")
	}
	callee, err := canonical(c.Callee)
	if err != nil {
		return request{}, a.refuse(reasonBadInvite, wire.CodeMalformed, "the callee's name cannot be read")
	}
	acct := a.account(callee)
	if acct == nil {
		return request{}, a.refuse(reasonNotOurs, wire.CodeNotFound, "this adapter does not serve that name")
	}
	if !a.gate.allow(from.ID(), c.Caller, c.Callee) {
		a.refusals.Count("adapter", reasonRate)
		e := wire.Errorf(wire.CodeTooMany, "too many calls from this caller")
		e.Retry = 1000
		return request{}, e
	}
	switch a.gate.check(c.Nonce, c.Challenge, from.ID(), c.Time) {
	case verdictReplay:
		return request{}, a.refuse(reasonReplay, wire.CodeUnauthorized, "this was seen before")
	case verdictStale:
		a.refusals.Count("adapter", reasonStale)
		return request{}, &wire.Challenge{Nonce: a.gate.challenge(from.ID()), Now: a.time.Now().UnixMilli()}
	}
	return request{party{callee, acct, n}, caller, from}, nil
}

// canonical reads a name that must be in its canonical form.
func canonical(text string) (aor identity.AOR, err error) {
	err = aor.UnmarshalText([]byte(text))
	if err == nil && aor.IsZero() {
		err = identity.ErrMalformed
	}
	return aor, err
}

func (a *Adapter) refuse(reason string, code wire.Code, text string) wire.Message {
	a.refusals.Count("adapter", reason)
	return wire.Errorf(code, "%s", text)
}

// callerDevice returns the verified device key of a caller: account key →
// delegation → device key, and the delegated node is the one at the other end
// of the link. It does not take the caller to be registered: who only calls
// out has no registration. The resolution may be nil.
func (a *Adapter) callerDevice(ctx context.Context, r request, signed identity.SignedDelegation, chain [][]byte) (identity.PublicKey, *directory.Resolution, error) {
	if r.caller.Overlay() != r.node.Trust().Overlay() {
		return identity.PublicKey{}, nil, sipbridge.CallerUntrusted("the caller belongs to another overlay")
	}
	// Where look-ups are hidden this one goes through the caller's own node, which
	// knows who is called. Another member would see who looks somebody up.
	res, err := patiently(ctx, r.node, r.caller, directory.Options{Through: r.from.ID(), Within: hiddenWithin})
	if errors.Is(err, directory.ErrNotRegistered) && res != nil && !res.Key.IsZero() {
		err = nil
	}
	if err == nil && res.AOR != r.caller { // a number is no caller
		err = directory.ErrNoSuchName
	}
	if err != nil {
		return identity.PublicKey{}, res, callerRefusal(err)
	}
	d, err := a.delegationOf(r.node, res, signed, chain)
	if errors.Is(err, identity.ErrRevoked) {
		return identity.PublicKey{}, res, revokedCaller()
	}
	if err != nil || d.AOR != r.caller.String() || d.Node != r.from.ID() {
		return identity.PublicKey{}, res, sipbridge.CallerForged("the caller's device is not admitted by the caller's key")
	}
	return d.Device, res, nil
}

// callerRefusal is what the caller is told when its key could not be had.
func callerRefusal(err error) error {
	switch {
	case errors.Is(err, directory.ErrRevoked):
		return revokedCaller()
	case errors.Is(err, directory.ErrKeyChanged), errors.Is(err, directory.ErrKeyConflict):
		return sipbridge.CallerUntrusted(err.Error())
	case errors.Is(err, directory.ErrNoSuchName):
		return sipbridge.CallerUntrusted("nobody is enrolled under the caller's name")
	case errors.Is(err, directory.ErrBusy), errors.Is(err, directory.ErrClosed):
		return sipbridge.Overloaded("the callee's adapter is too busy to verify the caller", 2*time.Second)
	}
	return sipbridge.CallerUnfetchable("the caller's key could not be fetched: " + err.Error())
}

// countUnverified counts a caller that did not verify. A forged request is
// held against the node that sent it; what the ring could not answer is not.
func (a *Adapter) countUnverified(from *link.Conn, err error) {
	refusal, ok := errors.AsType[*sipbridge.Refusal](err)
	if ok && refusal.Code == 403 {
		a.refusals.Count("adapter", reasonRevoked)
		return
	}
	if !ok || refusal.Code != 437 && refusal.Code != 438 {
		a.refusals.Count("adapter", reasonCallerUnknown)
		return
	}
	a.refusals.Count("adapter", reasonForged)
	a.gate.forged(from.ID())
}

// answerInvite asks the phones and writes the REDIRECT: 302 with the paths
// that are open, or the refusal. A caller that did not verify, and one that the
// callee keeps out, hears nothing of the phones, and they nothing of it.
func (a *Adapter) answerInvite(ctx context.Context, q request, b wire.InviteBody, failed error, out *keptOut) *wire.RedirectBody {
	r := &wire.RedirectBody{
		Caller: b.Caller, Callee: b.Callee, CallerNode: b.CallerNode, CalleeNode: b.CalleeNode, CallID: b.CallID,
		Nonce: b.Nonce, Time: a.time.Now().UnixMilli(), Exporter: b.Exporter, Device: q.acct.DeviceKey.Public(),
	}
	if failed != nil {
		a.countUnverified(q.from, failed)
		return fillRefusal(r, failed)
	}
	if out != nil {
		return fillRefusal(r, out.answer)
	}
	in := sipbridge.Inbound{
		Caller: q.caller, Callee: q.aor, CallID: b.CallID, Paths: a.allowedPaths(q.node.Trust().Charter().Paths, b.Paths),
		LocalIP: q.from.LocalAddr().Addr().Unmap(), RemoteIP: q.from.RemoteAddr().Addr().Unmap(),
	}
	if len(in.Paths) == 0 {
		return fillRefusal(r, noPath(q.node.Trust().Charter().Paths))
	}
	offer, err := a.bridge.Offer(ctx, in)
	if err != nil {
		return fillRefusal(r, err)
	}
	r.Status, r.Reason = 302, "Moved Temporarily"
	for _, p := range in.Paths {
		switch {
		case p == sipbridge.PathDirect && offer.Direct != "" && len(offer.Direct) <= wire.MaxContact:
			r.Contact, r.Paths = offer.Direct, append(r.Paths, p)
		case p == sipbridge.PathCarried && offer.Carried, p == sipbridge.PathProtected && offer.Protected:
			r.Paths = append(r.Paths, p)
		}
	}
	if slices.ContainsFunc(r.Paths, func(p string) bool { return p != sipbridge.PathDirect }) {
		r.Token = a.gate.issueToken(in, q.from.ID(), r.Paths)
	}
	if len(r.Paths) == 0 {
		return fillRefusal(r, sipbridge.NoCommonMedia(offer.Why))
	}
	return r
}

// fillRefusal writes a refusal into the REDIRECT.
func fillRefusal(r *wire.RedirectBody, err error) *wire.RedirectBody {
	refusal, ok := errors.AsType[*sipbridge.Refusal](err)
	if !ok || refusal.Code < 300 || refusal.Code > 699 {
		refusal = sipbridge.Internal("")
	}
	r.Status, r.Reason, r.Warning = uint16(refusal.Code), clip(refusal.Reason, wire.MaxReason), clip(refusal.Warning, wire.MaxReason)
	r.Retry = uint32(refusal.RetryAfter / time.Second)
	r.Contact, r.Paths, r.Token = "", nil, [16]byte{}
	return r
}

func statusError(r *wire.RedirectBody) error {
	if r.Status == 302 {
		return nil
	}
	return &sipbridge.Refusal{Code: int(r.Status), Reason: r.Reason, Warning: r.Warning}
}

// ServeStream takes a carried or protected call in, if it brings the token of a
// REDIRECT that we gave to this very node and that offers that path.
func (a *Adapter) ServeStream(ctx context.Context, from *link.Conn, open wire.Message, s *link.Stream) {
	defer s.Close()
	var path string
	var token [16]byte
	var proof [32]byte
	switch m := open.(type) {
	case *wire.Carry:
		path, token = sipbridge.PathCarried, m.Token
	case *wire.Protect:
		path, token, proof = sipbridge.PathProtected, m.Token, m.Proof
	case *wire.Reattach:
		a.serveReattach(ctx, from, m, s)
		return
	default:
		a.refusals.Count("adapter", reasonBadStream)
		return
	}
	in, to, refused := a.gate.redeemToken(token, from.ID(), path, proof)
	if refused != "" {
		a.refusals.Count("adapter", refused)
		s.Refuse(wire.CodeUnauthorized)
		return
	}
	if a.screen(in.Callee, in.Caller, from.Owner()) != nil { // since the REDIRECT
		return
	}
	// The call may outlive this connection; it ends with the adapter.
	t := a.last(a.Node(), s, in.Caller, to, false)
	if err := a.bridge.Ring(context.WithoutCancel(ctx), in, t); err != nil {
		a.log.Debug().Err(err).Msg("a carried call ended")
	}
}

var _ node.Extra = (*Adapter)(nil)
