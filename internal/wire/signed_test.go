package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Whoever changes one bit of a signed body, or of its signature, is found out.
func TestTamper(t *testing.T) {
	alice, bob := key(t, "alice's device"), key(t, "bob's device")
	invite := must[*wire.Invite](t)(wire.SignInvite(inviteBody(t), alice, delegation, chain))
	redirect := must[*wire.Redirect](t)(wire.SignRedirect(redirectBody(t), bob, delegation, chain))
	text := must[*wire.Text](t)(wire.SignText(textBody(t), alice, delegation, chain))
	ack := must[*wire.TextAck](t)(wire.SignTextAck(textAckBody(t), bob, delegation, chain))
	renew := must[*wire.Renew](t)(wire.SignRenew(renewBody(t), key(t, "alice")))
	for name, c := range map[string]struct {
		signed []byte
		open   func([]byte) error
	}{
		"invite": {invite.Signed, func(b []byte) error {
			_, err := (&wire.Invite{Signed: b}).Open(alice.Public())
			return err
		}},
		"redirect": {redirect.Signed, func(b []byte) error {
			_, err := (&wire.Redirect{Signed: b}).Open(bob.Public())
			return err
		}},
		"text": {text.Signed, func(b []byte) error {
			_, err := (&wire.Text{Signed: b}).Open(alice.Public())
			return err
		}},
		"text ack": {ack.Signed, func(b []byte) error {
			_, err := (&wire.TextAck{Signed: b}).Open(bob.Public())
			return err
		}},
		"renew": {renew.Signed, func(b []byte) error {
			_, err := (&wire.Renew{Signed: b}).Verify(exporter)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.open(c.signed); err != nil {
				t.Fatal(err)
			}
			for i := range c.signed {
				for bit := range 8 {
					bad := bytes.Clone(c.signed)
					bad[i] ^= 1 << bit
					if err := c.open(bad); !errors.Is(err, wire.ErrForged) && !errors.Is(err, wire.ErrMalformed) {
						t.Fatalf("byte %d bit %d: %v", i, bit, err)
					}
				}
			}
		})
	}
}

// A signature over one kind of body never passes for another, nor for another
// device's.
func TestCrossContext(t *testing.T) {
	alice, bob := key(t, "alice's device"), key(t, "bob's device")
	invite := must[*wire.Invite](t)(wire.SignInvite(inviteBody(t), alice, delegation, chain))
	if _, err := invite.Open(bob.Public()); !errors.Is(err, wire.ErrForged) {
		t.Error("another key:", err)
	}
	for name, err := range map[string]error{
		"redirect": second((&wire.Redirect{Signed: invite.Signed}).Open(alice.Public())),
		"text":     second((&wire.Text{Signed: invite.Signed}).Open(alice.Public())),
		"ack":      second((&wire.TextAck{Signed: invite.Signed}).Open(alice.Public())),
		"renew":    second((&wire.Renew{Signed: invite.Signed}).Verify(exporter)),
	} {
		if !errors.Is(err, wire.ErrForged) && !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("an invite passes for a %s: %v", name, err)
		}
	}
	// Bob signs a body that names alice's device.
	stolen := must[*wire.Invite](t)(wire.SignInvite(inviteBody(t), bob, delegation, chain))
	if _, err := stolen.Open(bob.Public()); !errors.Is(err, wire.ErrForged) {
		t.Error("a body that names another device:", err)
	}
	if b, err := stolen.Body(); err != nil || b.Caller != "sip:alice@lan.example" {
		t.Error(b, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestHashes(t *testing.T) {
	alice := key(t, "alice's device")
	a := must[*wire.Invite](t)(wire.SignInvite(inviteBody(t), alice, delegation, chain))
	body := inviteBody(t)
	body.Nonce[0]++
	b := must[*wire.Invite](t)(wire.SignInvite(body, alice, delegation, chain))
	if a.Hash() == b.Hash() || a.Hash() == [32]byte{} {
		t.Error("hashes do not tell invites apart")
	}
}

// The enrolment's proofs of possession: each key, the nonce, and the connection.
func TestRegister(t *testing.T) {
	alice, device, node := key(t, "alice"), key(t, "alice's device"), key(t, "alice's node")
	mallory := key(t, "mallory")
	good := func() *wire.Register {
		return must[*wire.Register](t)(wire.SignRegister(registerBody(t), &alice, device, node))
	}
	if b, err := good().Verify(nonce32, exporter); err != nil || b.AOR != "sip:alice@lan.example" {
		t.Fatal(b, err)
	}
	other := registerBody(t)
	other.AOR = "sip:mallory@lan.example"
	forOther := must[*wire.Register](t)(wire.SignRegister(other, &alice, device, node))
	byMallory := must[*wire.Register](t)(wire.SignRegister(registerBody(t), &mallory, mallory, mallory))
	for name, c := range map[string]struct {
		change          func(*wire.Register)
		nonce, exporter [32]byte
	}{
		"another nonce":            {func(*wire.Register) {}, [32]byte{1}, exporter},
		"another connection":       {func(*wire.Register) {}, nonce32, [32]byte{1}},
		"no account proof":         {func(m *wire.Register) { m.ByAccount = nil }, nonce32, exporter},
		"account proof by another": {func(m *wire.Register) { m.ByAccount = byMallory.ByAccount }, nonce32, exporter},
		"device proof by another":  {func(m *wire.Register) { m.ByDevice = byMallory.ByDevice }, nonce32, exporter},
		"node proof by another":    {func(m *wire.Register) { m.ByNode = byMallory.ByNode }, nonce32, exporter},
		"account over other body":  {func(m *wire.Register) { m.ByAccount = forOther.ByAccount }, nonce32, exporter},
		"device over other body":   {func(m *wire.Register) { m.ByDevice = forOther.ByDevice }, nonce32, exporter},
		"node over other body":     {func(m *wire.Register) { m.ByNode = forOther.ByNode }, nonce32, exporter},
		"swapped":                  {func(m *wire.Register) { m.ByDevice, m.ByNode = m.ByNode, m.ByDevice }, nonce32, exporter},
	} {
		m := good()
		c.change(m)
		if _, err := m.Verify(c.nonce, c.exporter); !errors.Is(err, wire.ErrForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRegisterShape(t *testing.T) {
	alice, device, node := key(t, "alice"), key(t, "alice's device"), key(t, "alice's node")
	for name, change := range map[string]func(*wire.RegisterBody){
		"both account and MAC":    func(b *wire.RegisterBody) { b.MAC[0] = 1 },
		"neither":                 func(b *wire.RegisterBody) { b.Account = identity.PublicKey{} },
		"device is the node":      func(b *wire.RegisterBody) { b.Device = b.Node },
		"device is the account":   func(b *wire.RegisterBody) { b.Device = b.Account },
		"node is the account":     func(b *wire.RegisterBody) { b.Node = b.Account },
		"short invitation":        func(b *wire.RegisterBody) { b.Invitation = b.Invitation[:15] },
		"no name":                 func(b *wire.RegisterBody) { b.AOR = "" },
		"line break in the name":  func(b *wire.RegisterBody) { b.AOR = "sip:a\nb@lan.example" },
		"line break in the brand": func(b *wire.RegisterBody) { b.Software = "a\r\nb" },
	} {
		b := registerBody(t)
		change(&b)
		account := &alice
		if b.Account.IsZero() {
			account = nil
		}
		if _, err := wire.SignRegister(b, account, device, node); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := wire.SignRegister(registerBody(t), nil, device, node); !errors.Is(err, wire.ErrMalformed) {
		t.Error("a body with an account key signed without it:", err)
	}
}

// A further device brings no account key; the first device sees from the MAC
// that it holds the invitation.
func TestFurtherDevice(t *testing.T) {
	device, node := key(t, "alice's tablet"), key(t, "tablet's node")
	b := registerBody(t)
	b.Account, b.Device, b.Node = identity.PublicKey{}, device.Public(), node.Public()
	b.MAC = wire.InvitationMAC(invitation, b.Device, b.Node, b.Nonce)
	m := must[*wire.Register](t)(wire.SignRegister(b, nil, device, node))
	got := must[wire.RegisterBody](t)(m.Verify(nonce32, exporter))
	if !got.Further() {
		t.Error("not taken for a further device")
	}
	m.ByAccount = m.ByDevice
	if _, err := m.Verify(nonce32, exporter); !errors.Is(err, wire.ErrForged) {
		t.Error("with a proof too many:", err)
	}
	ask := wire.Delegate{AOR: b.AOR, Device: got.Device, NodeKey: got.Node, Nonce: got.Nonce, MAC: got.MAC}
	if !ask.Proves(invitation) {
		t.Error("the MAC does not prove the invitation")
	}
	if ask.Proves([]byte("another invitation")) {
		t.Error("the MAC proves any invitation")
	}
	ask.Device[0]++
	if ask.Proves(invitation) {
		t.Error("the MAC proves it for any device")
	}
}

func TestRotate(t *testing.T) {
	old, fresh := key(t, "alice's device"), key(t, "bob's device")
	m := must[*wire.Rotate](t)(wire.SignRotate(rotateBody(t), old, fresh))
	if _, err := m.Verify(exporter); err != nil {
		t.Error(err)
	}
	if _, err := m.Verify([32]byte{1}); !errors.Is(err, wire.ErrForged) {
		t.Error("on another link:", err)
	}
	for what, forged := range map[string]*wire.Rotate{
		"signed by the old key alone": {ByOld: m.ByOld, ByNew: m.ByOld},
		"signed by the new key alone": {ByOld: m.ByNew, ByNew: m.ByNew},
		"signed by somebody else":     must[*wire.Rotate](t)(wire.SignRotate(rotateBody(t), key(t, "eve"), fresh)),
	} {
		if _, err := forged.Verify(exporter); !errors.Is(err, wire.ErrForged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	account := rotateBody(t)
	account.Device, account.Rotation = key(t, "eve").Public(), []byte{1}
	m = must[*wire.Rotate](t)(wire.SignRotate(account, identity.PrivateKey{}, fresh))
	if _, err := m.Verify(exporter); err != nil || len(m.ByOld) != 0 {
		t.Error("of an account key:", err)
	}
	same := rotateBody(t)
	same.New = same.Old
	if _, err := wire.SignRotate(same, old, old); err == nil {
		t.Error("to the same key")
	}
}

func TestRenew(t *testing.T) {
	device := key(t, "alice's device")
	m := must[*wire.Renew](t)(wire.SignRenew(renewBody(t), key(t, "alice")))
	if _, err := m.Verify([32]byte{1}); !errors.Is(err, wire.ErrForged) {
		t.Error("on another link:", err)
	}
	byDevice := must[*wire.Renew](t)(wire.SignRenew(renewBody(t), device))
	if _, err := byDevice.Verify(exporter); !errors.Is(err, wire.ErrForged) {
		t.Error("signed by the device for the account:", err)
	}
	b := renewBody(t)
	b.Account = identity.PublicKey{}
	without := must[*wire.Renew](t)(wire.SignRenew(b, device))
	if _, err := without.Verify(exporter); err != nil {
		t.Error("a device without the account key:", err)
	}
}
