package adapter

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// Message carries a phone's MESSAGE (RFC 3428) to the receiver's adapters,
// signed like an INVITE. One device that takes it is enough.
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
	res, err := a.resolve(ctx, n, m.Target)
	if err != nil {
		return err
	}
	var last error = sipbridge.NotRegistered("")
	for _, dev := range res.Devices {
		if last = a.textDevice(ctx, party{m.From, acct, n}, res, dev, m); last == nil {
			return nil
		}
	}
	return last
}

func (a *Adapter) textDevice(ctx context.Context, me party, res *directory.Resolution, dev directory.Device, m sipbridge.Message) error {
	conn, err := me.node.Link().Connect(ctx, wire.Peer{ID: dev.Node, Addrs: dev.Addrs})
	if errors.Is(err, link.ErrSelf) {
		m.To = res.AOR
		return a.bridge.Deliver(ctx, m)
	}
	if err != nil {
		me.node.Directory().Invalidate(res.AOR)
		return sipbridge.Unreachable("")
	}
	exporter, err := conn.Exporter()
	if err != nil {
		return sipbridge.Internal("the link's keys cannot be exported")
	}
	body := wire.TextBody{
		Caller: me.aor.String(), Callee: res.AOR.String(), CallerNode: me.node.Self().ID, CalleeNode: dev.Node,
		CallID: m.CallID, Time: a.clock.Now().UnixMilli(), Exporter: exporter, Device: me.acct.DeviceKey.Public(),
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
			return linkRefusal(err)
		}
		switch got := answer.(type) {
		case *wire.TextAck:
			return a.checkAck(got, text, exporter, dev)
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
func (a *Adapter) checkAck(m *wire.TextAck, sent *wire.Text, exporter [32]byte, dev directory.Device) error {
	body, err := m.Open(dev.Key)
	if err != nil || body.TextHash != sent.Hash() || body.Exporter != exporter {
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
	me, answer := a.admit(from, claims{body.Caller, body.Callee, body.CallerNode, body.CalleeNode, body.CallID, body.Nonce, body.Challenge, body.Time, body.Exporter})
	if answer != nil {
		return answer
	}
	ack := wire.TextAckBody{
		TextHash: m.Hash(), Time: a.clock.Now().UnixMilli(), Exporter: body.Exporter, Device: me.acct.DeviceKey.Public(),
		Status: 200, Reason: "OK",
	}
	if err := a.deliver(ctx, from, me, m); err != nil {
		refusal, ok := errors.AsType[*sipbridge.Refusal](err)
		if !ok {
			refusal = sipbridge.Internal("")
		}
		ack.Status, ack.Reason = uint16(refusal.Code), clip(refusal.Error())
	}
	signed, err := wire.SignTextAck(ack, me.acct.DeviceKey.PrivateKey, me.acct.Delegation, me.acct.Chain)
	if err != nil {
		return wire.Errorf(wire.CodeInternal, "the answer cannot be signed")
	}
	return signed
}

// deliverTimeout bounds how long the phones may take to accept a text.
const deliverTimeout = 3 * time.Second

func (a *Adapter) deliver(ctx context.Context, from *link.Conn, me party, m *wire.Text) error {
	peeked, err := m.Body()
	if err != nil {
		return err
	}
	sender, err := identity.ParseAOR(peeked.Caller)
	if err != nil {
		return sipbridge.Malformed("the sender's name cannot be read")
	}
	device, _, err := a.callerDevice(ctx, me.node, sender, from, m.Delegation)
	if err != nil {
		return err
	}
	body, err := m.Open(device)
	if err != nil {
		return sipbridge.CallerForged("the sender's signature is wrong")
	}
	ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	return a.bridge.Deliver(ctx, sipbridge.Message{
		From: sender, To: me.aor, ContentType: body.ContentType, Body: body.Body, CallID: body.CallID,
	})
}
