package adapter_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// command asks an adapter what the command line would.
func command[T any](t *testing.T, m *testnet.Member, method string, req any) (res T, err error) {
	t.Helper()
	raw, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.It.Handlers()[method](limited(), raw)
	if err != nil {
		return res, err
	}
	res, ok := got.(T)
	if !ok && got != nil {
		t.Fatalf("%s answers %T", method, got)
	}
	return res, nil
}

// TestMatrixH7StolenDeviceIsRevokedByItsOwner: the keys of a device and its
// adapter are in a thief's hands, who goes on with them. The owner, who has the
// account key elsewhere, revokes them while no bootstrap server is there.
func TestMatrixH7StolenDeviceIsRevokedByItsOwner(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", many), l.Add("bob", many)
	a.Phone(toneA)
	b.Phone(toneB)
	thief := newRogue(t, l, "mallory")
	own := thief.registration(t)
	if status, _ := thief.ask(thief.to(b), thief.sign(thief.body(thief.to(b), "bob"))); status != 302 {
		t.Fatalf("before: the thief's INVITE is answered %d", status)
	}
	testnet.Eventually(t, "mallory is found", func() bool { return a.Lookup("mallory").Outcome == admin.OutcomeVerified })
	l.Server.Stop(t)

	now := time.Now()
	sign := func(b identity.Bulletin, by identity.PrivateKey) identity.SignedBulletin {
		b.Overlay, b.Issued, b.Until = testnet.Overlay, now.UnixMilli(), now.Add(time.Hour).UnixMilli()
		s, err := identity.SignBulletin(b, by, thief.chain...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	device := identity.Bulletin{Kind: identity.RevokeDevice, Subject: thief.device.Public().Digest(), Account: thief.account.Public().Digest()}
	machine := identity.Bulletin{Kind: identity.RevokeNode, Subject: thief.key.Public().Digest()}
	// The thief has no account key and cannot revoke bob in return.
	hers := device
	hers.Subject = identity.KeyDigest{1}
	if err := a.It.Node().Announce(sign(hers, thief.device)); !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("a bulletin signed by the device key: %v", err)
	}
	if err := a.It.Node().Announce(sign(machine, thief.account), sign(device, thief.account)); err != nil {
		t.Fatal(err)
	}
	there := []*node.Node{a.It.Node(), b.It.Node()}
	testnet.Eventually(t, "nobody has a link to the stolen device", func() bool {
		return !slices.ContainsFunc(there, func(n *node.Node) bool { return knows(n, thief.node.ID(), "") != "" })
	})
	took := time.Since(now)
	testnet.Eventually(t, "its registration is gone", func() bool {
		res := a.Lookup("mallory")
		return res.Outcome != admin.OutcomeVerified && len(res.Devices) == 0
	})
	attempts, served := 0, 0
	for i, n := range there {
		tried, got := thief.goesOn(n, []string{"alice", "bob"}[i], own)
		attempts, served = attempts+tried, served+got
	}
	if served != 0 || attempts == 0 || refusals(b, "bad_invite")+b.It.Status().Refusals["link/certificate_revoked"] == 0 {
		t.Errorf("%d of %d attempts were served; refusals %v", served, attempts, b.It.Status().Refusals)
	}
	if res := a.Lookup("mallory"); res.Outcome == admin.OutcomeRevoked {
		t.Error("the name is revoked, not only its device")
	}
	t.Logf("matrix: H7 a stolen device that its owner has revoked, no server being there, is served: %d of %d; refused within 5 min: %v", served, attempts, took < 5*time.Minute)
}

// A person's first device revokes the second by command; the second then says so
// and calls nobody, and another device can take its place.
func TestOwnDeviceIsRevokedByCommand(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	link := l.Invite("bob", 2)
	a, first := l.Add("alice", many), l.AddWith("bob", "bob-desk", link, nil)
	a.Phone(toneA)
	first.Phone(toneB)
	second := l.AddWith("bob", "bob-mobile", link, nil)
	second.Phone(toneB)
	testnet.Eventually(t, "both devices are registered", func() bool { return len(a.Lookup("bob").Devices) == 2 })
	list, err := command[*admin.Devices](t, first, admin.MethodDevices, admin.DevicesRequest{})
	if err != nil || len(list.Devices) != 2 || !list.Devices[0].Here || list.Devices[1].Number != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	nr, none, self := 1, 7, 0
	for what, req := range map[string]admin.RevokeRequest{
		"a whole name": {User: "bob"}, "another's": {User: "alice", Device: &nr}, "a device that is not there": {User: "bob", Device: &none}, "itself": {User: "bob", Device: &self},
	} {
		if _, err := command[*admin.RevokeResult](t, first, admin.MethodRevoke, req); err == nil {
			t.Errorf("an adapter revokes %s", what)
		}
	}
	if _, err := command[*admin.RevokeResult](t, second, admin.MethodRevoke, admin.RevokeRequest{User: "bob", Device: &self}); err == nil {
		t.Error("a device without the account key revokes the one with it")
	}
	if _, err := command[*admin.RevokeResult](t, first, admin.MethodRevoke, admin.RevokeRequest{User: "bob", Device: &nr, Note: "lost"}); err != nil {
		t.Fatal(err)
	}
	testnet.Eventually(t, "one device is left", func() bool { return len(a.Lookup("bob").Devices) == 1 })
	testnet.Eventually(t, "the second knows", func() bool { status, _ := call(t, second, "alice"); return status == 403 })
	if list, err = command[*admin.Devices](t, first, admin.MethodDevices, admin.DevicesRequest{User: "bob"}); err != nil || !list.Devices[1].Revoked {
		t.Errorf("%+v, %v", list, err)
	}
	testnet.Eventually(t, "the server has dropped it", func() bool {
		raw, _ := json.Marshal(admin.DevicesRequest{User: "bob"})
		got, err := l.Server.It.Handlers()[admin.MethodDevices](limited(), raw)
		return err == nil && len(got.(*admin.Devices).Devices) == 1
	})
	bulletins, err := command[*admin.Bulletins](t, a, admin.MethodBulletins, nil)
	if err != nil || len(bulletins.Bulletins) != 2 || bulletins.Bulletins[0].Note != "lost" {
		t.Errorf("%+v, %v", bulletins, err)
	}
	if status, err := call(t, a, "bob"); status != 302 {
		t.Errorf("alice calls bob's other device: %d, %v", status, err)
	}
}
