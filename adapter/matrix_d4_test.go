package adapter_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// twoDevices starts two devices of bob's, both registered.
func twoDevices(t *testing.T, l *testnet.LAN) (first, second *testnet.Member) {
	t.Helper()
	link := l.Invite("bob", 2)
	first = l.AddWith("bob", "bob", link, many)
	first.Phone(toneA)
	second = l.AddWith("bob", "bob-mobile", link, many)
	second.Phone(toneB)
	testnet.Eventually(t, "both devices are found", func() bool { return len(second.Lookup("bob").Devices) == 2 })
	return first, second
}

// TestMatrixD4DevicesKeepTheirParts: bob's second device, which has papers of its
// own for the name, tries to delete and to change what the first one has
// registered, and shares and look-up record with it. Nothing of that is stored.
func TestMatrixD4DevicesKeepTheirParts(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a := l.Add("alice", many)
	a.Phone(toneA)
	first, second := twoDevices(t, l)
	key, delegation, chain, own := second.It.Papers("bob")
	aor, err := second.It.Account("bob")
	if err != nil {
		t.Fatal(err)
	}
	d := second.It.Node().Directory()
	var attacks, stored atomic.Int64
	var work sync.WaitGroup
	attack := func(b record.Body, delegation identity.SignedDelegation) {
		now := time.Now()
		b.AOR, b.Seq, b.Time = aor.String(), uint64(now.Add(time.Hour).UnixMilli()), now.UnixMilli()
		if b.Lifetime == 0 {
			b.Lifetime = 900
		}
		rec, err := record.Sign(b, key, record.Chain{Certificates: chain, Delegation: delegation})
		if err != nil {
			t.Error(err)
			return
		}
		attacks.Add(1)
		if receipt, err := d.Publish(limited(), rec); err == nil || receipt.Stored > 0 {
			stored.Add(1)
			t.Errorf("%s, part %d: stored at %d positions", b.Kind, b.Part, receipt.Stored)
		}
	}
	data, err := canon.Marshal(record.Registration{Node: second.It.Node().ID(), Addrs: second.It.Node().Self().Addrs, Device: key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	// Delegations that it makes for itself, since it has not the account key.
	var forged []identity.SignedDelegation
	for part := range uint64(2) {
		s, err := identity.Delegation{
			AOR: aor.String(), Device: key.Public(), Node: second.It.Node().ID(), Part: part,
			Issued: time.Now().UnixMilli(), Expires: time.Now().Add(time.Hour).UnixMilli(),
		}.Sign(key)
		if err != nil {
			t.Fatal(err)
		}
		forged = append(forged, s)
	}
	for _, part := range []uint64{1 - own, 2, 7} {
		for _, papers := range append(forged, delegation) {
			work.Go(func() {
				attack(record.Body{Kind: record.KindRegistration, Part: part, Tombstone: true}, papers)
			})
			work.Go(func() {
				attack(record.Body{Kind: record.KindRegistration, Part: part, Data: data}, papers)
			})
		}
	}
	work.Wait()
	for range 3 {
		res := a.Lookup("bob")
		if len(res.Devices) != 2 || res.Outcome != admin.OutcomeVerified {
			t.Errorf("after the attacks: %+v", res.Devices)
		}
	}
	if got := first.Lookup("bob"); len(got.Devices) != 2 {
		t.Errorf("%+v", got.Devices)
	}
	// What is its own it may take back: the defence is for the part alone.
	if err := second.It.Register(limited(), sipbridge.Registration{AOR: aor}); err != nil {
		t.Error(err)
	}
	testnet.Eventually(t, "the second device is gone", func() bool { return len(a.Lookup("bob").Devices) == 1 })
	t.Logf("matrix: D4 entries of another device that are deleted or changed: %d of %d", stored.Load(), attacks.Load())
	if attacks.Load() == 0 {
		t.Error("nobody attacked")
	}
}

// TestTwoDevicesChangeTheirKeys: each has a name and is listed; a call rings
// both; the second one changes its key by the word of the first, and goes along
// with a new account key.
func TestTwoDevicesChangeTheirKeys(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, often)
	a := l.Add("alice", many)
	a.Phone(toneA)
	first, second := twoDevices(t, l)
	for m, name := range map[*testnet.Member]string{first: "laptop", second: "mobile"} {
		if _, err := ask[admin.Devices](t, m, admin.MethodDevices, admin.DevicesRequest{User: "bob", Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	list := func(m *testnet.Member) map[string]admin.PersonDevice {
		t.Helper()
		res, err := ask[admin.Devices](t, m, admin.MethodDevices, admin.DevicesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]admin.PersonDevice{}
		for _, d := range res.Devices {
			if !d.Seen.IsZero() {
				out[d.Name] = d
			}
		}
		return out
	}
	for _, m := range []*testnet.Member{first, second} {
		testnet.Eventually(t, "both are listed by name", func() bool {
			got := list(m)
			return len(got) == 2 && got["laptop"].Here == (m == first) && got["mobile"].Here == (m == second) && got["laptop"].Number != got["mobile"].Number
		})
	}
	before := list(first)["mobile"].Fingerprint
	for range 2 { // the second time it is another key again
		got := rotate(t, second, admin.RotateRequest{Device: true})
		if got.Old != before || got.New == before {
			t.Errorf("%+v, from %s", got, before)
		}
		before = got.New
	}
	testnet.Eventually(t, "the second device is found with its new key", func() bool { return list(first)["mobile"].Fingerprint == before })
	if status, err := call(t, a, "bob"); status != 302 {
		t.Errorf("%d (%v)", status, err)
	}
	none := int64(0) // the old account key ends at once
	rotate(t, first, admin.RotateRequest{OverlapSeconds: &none})
	if _, err := ask[admin.RotateResult](t, second, admin.MethodRotate, admin.RotateRequest{}); err == nil {
		t.Error("a device without the account key changes it")
	}
	aor, err := second.It.Account("bob")
	if err != nil {
		t.Fatal(err)
	}
	second.It.PublishAgain(t, "bob") // its next refresh
	testnet.Eventually(t, "the second device goes along", func() bool {
		second.It.PublishAgain(t, aor.User())
		second.It.TendNow("bob")
		return len(a.Lookup("bob").Devices) == 2
	})
	if status, err := call(t, second, "alice"); status != 302 {
		t.Errorf("the second device calls: %d (%v)", status, err)
	}
	if status, err := call(t, a, "bob"); status != 302 {
		t.Errorf("%d (%v)", status, err)
	}
}

// TestDialledKeys: a phone that dials the address that names the key is
// put through, in letters and in digits; with another key it is refused with the
// reason, and nobody is called.
func TestDialledKeys(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", many), l.Add("bob", many)
	a.Phone(toneA)
	b.Phone(toneB)
	right := a.Lookup("bob")
	key, err := identity.ParsePublicKey(right.Key)
	if err != nil {
		t.Fatal(err)
	}
	other, err := identity.ParsePublicKey(a.Lookup("alice").Key)
	if err != nil {
		t.Fatal(err)
	}
	for dialled, want := range map[string]int{
		right.Dial: 302, "bob*" + key.Tag().Digits(): 302, "bob*" + key.Fingerprint(): 302,
		"bob*" + string(other.Tag()): 403, "bob*" + other.Tag().Digits(): 403, "bob*123": 404, "nobody*" + string(key.Tag()): 404,
	} {
		if status, err := call(t, a, dialled); status != want {
			t.Errorf("%s: %d (%v), want %d", dialled, status, err, want)
		}
	}
	if res := a.Lookup(right.URI); res.Outcome != admin.OutcomeVerified || res.Key != right.Key {
		t.Errorf("%+v", res)
	}
	if res := a.Lookup("sip:bob@" + testnet.Overlay + ";key=" + string(other.Tag())); res.Outcome != admin.OutcomeOtherKey || res.Key != "" {
		t.Errorf("%+v", res)
	}
	if got := a.It.Status().Accounts[0]; got.URI != a.Lookup("alice").URI {
		t.Errorf("%+v", got)
	}
}
