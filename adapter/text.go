package adapter

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// Message carries a phone's MESSAGE (RFC 3428) to the receiver's adapters,
// signed like an INVITE. The first device that takes it is the answer; the others
// get it too.
func (a *Adapter) Message(ctx context.Context, m sipbridge.Message) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	acct := a.account(m.From)
	if acct == nil {
		return sipbridge.Forbidden("the sender is no account of this adapter; register the phone first")
	}
	n, err := a.ready(ctx)
	if err != nil {
		return err
	}
	if err := a.standing(n, acct); err != nil {
		return sipbridge.Forbidden(err.Error())
	}
	if err := a.withoutIssuer(n, acct); err != nil {
		return err
	}
	me := party{m.From, acct, n}
	cached, err := a.textAll(ctx, me, m, directory.Options{})
	if cached && gone(err) {
		_, err = a.textAll(ctx, me, m, directory.Options{Fresh: true})
	}
	return err
}

// textAll resolves the receiver and gives the text to all her devices at once, as
// a proxy that forks does (RFC 3261 §16.6). It returns when one has taken it,
// while others may still be asked, or with the best refusal once all have ended.
func (a *Adapter) textAll(ctx context.Context, me party, m sipbridge.Message, opt directory.Options) (cached bool, err error) {
	res, err := a.resolve(ctx, me.node, m.Target, opt)
	if err != nil {
		return false, err
	}
	exchanges, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTimeout)
	letGo := context.AfterFunc(ctx, cancel)
	var work sync.WaitGroup
	ended := make(chan error, len(res.Devices))
	for _, dev := range res.Devices {
		work.Go(func() { ended <- a.textDevice(exchanges, me, res, dev, m) })
	}
	refused := make([]error, 0, len(res.Devices))
	for range res.Devices {
		if err = <-ended; err != nil {
			refused = append(refused, err)
			continue
		}
		if a.spawn(func(ctx context.Context) {
			defer context.AfterFunc(ctx, cancel)()
			work.Wait()
			cancel()
		}) {
			letGo()
			return false, nil
		}
		break
	}
	cancel()
	work.Wait()
	if len(refused) < len(res.Devices) {
		return false, nil
	}
	if len(refused) == 0 {
		return res.Cached, sipbridge.NotRegistered("")
	}
	return res.Cached, slices.MinFunc(refused, func(x, y error) int { return cmp.Compare(refusalRank(x), refusalRank(y)) })
}

// refusalRank orders the refusals of several devices, that first which says most
// (RFC 3261 §16.7, step 6): for everywhere, a phone's own, nobody there, not reached.
func refusalRank(err error) int {
	refusal, ok := errors.AsType[*sipbridge.Refusal](err)
	switch {
	case !ok || gone(err):
		return 3
	case refusal.Code >= 600:
		return 0
	case refusal.Code == 480:
		return 2
	}
	return 1
}

func (a *Adapter) textDevice(ctx context.Context, me party, res *directory.Resolution, dev directory.Device, m sipbridge.Message) error {
	conn, err := me.node.Reach(ctx, dev)
	if errors.Is(err, link.ErrSelf) {
		m.To = res.AOR
		if err := a.keptOutLocally(me, res.AOR); err != nil {
			return err
		}
		return a.bridge.Deliver(ctx, m)
	}
	if err != nil {
		me.node.Directory().Invalidate(res.AOR)
		return unreached{sipbridge.Unreachable("")}
	}
	exporter, err := conn.Exporter()
	if err != nil {
		return sipbridge.Internal("the link's keys cannot be exported")
	}
	body := wire.TextBody{
		Caller: me.aor.String(), Callee: res.AOR.String(), CallerNode: me.node.ID(), CalleeNode: dev.Node,
		CallID: m.CallID, Time: a.time.Now().UnixMilli(), Exporter: exporter, Device: me.acct.DeviceKey.Public(),
		ContentType: m.ContentType, Body: m.Body,
	}
	for range 2 {
		rand.Read(body.Nonce[:])
		text, err := wire.SignText(body, me.acct.DeviceKey.PrivateKey, me.acct.Delegation, me.acct.Chain)
		if err != nil {
			return &sipbridge.Refusal{Code: 413, Reason: "Request Entity Too Large", Warning: err.Error()}
		}
		answer, err := conn.Call(ctx, text)
		if err != nil {
			me.node.Directory().Invalidate(res.AOR)
			return linkRefusal(err)
		}
		switch got := answer.(type) {
		case *wire.TextAck:
			return a.checkAck(got, text, exporter, a.answering(me.node, res, dev, got.Delegation, got.Chain))
		case *wire.Challenge:
			body.Challenge = got.Nonce
		default:
			return sipbridge.Unreachable("the other adapter answered " + answer.Type().String())
		}
	}
	return sipbridge.Stale("the clocks of the two adapters disagree")
}

// checkAck verifies that the receiver's device signed the acknowledgement of
// this very text on this link.
func (a *Adapter) checkAck(m *wire.TextAck, sent *wire.Text, exporter [32]byte, device identity.PublicKey) error {
	body, err := m.Open(device)
	if err != nil || body.TextHash != sent.Hash() || body.Exporter != exporter || body.Status != 200 && (body.Status < 300 || body.Status > 699) {
		a.refusals.Count("adapter", reasonBadRedirect)
		return sipbridge.KeyUnverified("the acknowledgement of the other adapter does not verify")
	}
	if body.Status == 200 {
		return nil
	}
	return &sipbridge.Refusal{Code: int(body.Status), Reason: body.Reason}
}

// serveText validates a signed text as serveInvite does and hands it to the phones.
func (a *Adapter) serveText(ctx context.Context, from *link.Conn, m *wire.Text) wire.Message {
	body, err := m.Body()
	if err != nil {
		return a.refuse(reasonBadInvite, wire.CodeMalformed, "the text cannot be read")
	}
	r, answer := a.admit(from, claims{body.Caller, body.Callee, body.CallerNode, body.CalleeNode, body.CallID, body.Nonce, body.Challenge, body.Time, body.Exporter})
	if answer != nil {
		return answer
	}
	ack := wire.TextAckBody{
		TextHash: m.Hash(), Time: a.time.Now().UnixMilli(), Exporter: body.Exporter, Device: r.acct.DeviceKey.Public(),
		Status: 200, Reason: "OK",
	}
	if err := a.deliver(ctx, r, m); err != nil {
		refusal, ok := errors.AsType[*sipbridge.Refusal](err)
		if !ok || refusal.Code < 300 || refusal.Code > 699 {
			refusal = sipbridge.Internal("")
		}
		ack.Status, ack.Reason = uint16(refusal.Code), clip(refusal.Reason, wire.MaxReason)
	}
	signed, err := wire.SignTextAck(ack, r.acct.DeviceKey.PrivateKey, r.acct.Delegation, r.acct.Chain)
	if err != nil {
		a.log.Error().Err(err).Msg("an acknowledgement cannot be signed")
		return wire.Errorf(wire.CodeInternal, "the answer cannot be signed")
	}
	return signed
}

// deliverTimeout bounds how long the phones may take to accept a text.
const deliverTimeout = 3 * time.Second

// deliver verifies the sender and hands the text to the phones.
func (a *Adapter) deliver(ctx context.Context, r request, m *wire.Text) error {
	device, _, err := a.callerDevice(ctx, r, m.Delegation, m.Chain)
	if err != nil {
		a.countUnverified(r.from, err)
		return err
	}
	body, err := m.Open(device)
	if err != nil {
		err = sipbridge.CallerForged("the sender's signature is wrong")
		a.countUnverified(r.from, err)
		return err
	}
	if out := a.screen(r.aor, r.caller, r.from.Owner()); out != nil {
		return out.answer
	}
	ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	return a.bridge.Deliver(ctx, sipbridge.Message{
		From: r.caller, To: r.aor, ContentType: body.ContentType, Body: body.Body, CallID: body.CallID,
	})
}
