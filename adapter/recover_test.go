package adapter_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/demo"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// timeMachine is a clock for a whole overlay that can be set forward while it
// runs.
type timeMachine struct {
	t     *testing.T
	shift atomic.Int64
}

func (m *timeMachine) clock() *identity.Clock {
	m.t.Helper()
	c, err := identity.NewClock("", func() time.Time { return time.Now().Add(time.Duration(m.shift.Load())) })
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

func (m *timeMachine) forward(d time.Duration) { m.shift.Add(int64(d)) }

func (m *timeMachine) adapter(c *adapter.Config) { many(c); c.Clock = m.clock() }

func (m *timeMachine) server(c *bootstrap.Config) { c.Clock = m.clock() }

// recovery is an overlay in which bob has lost his key, and is about to get
// another one.
type recovery struct {
	*testnet.LAN
	*timeMachine
	alice, carol, old, fresh *testnet.Member
	phone                    *demo.Phone // bob's new one
	before                   string      // the fingerprint of his old key
}

func newRecovery(t *testing.T) *recovery {
	t.Helper()
	r := &recovery{timeMachine: &timeMachine{t: t}}
	r.LAN = testnet.New(t, r.server)
	r.alice, r.carol, r.old = r.Add("alice", r.adapter), r.Add("carol", r.adapter), r.Add("bob", r.adapter)
	r.alice.Phone(toneA)
	r.carol.Phone(toneA)
	r.old.Phone(toneB)
	testnet.Eventually(t, "alice has called bob", func() bool { status, _ := call(t, r.alice, "bob"); return status == 302 })
	r.before = r.alice.Lookup("bob").Fingerprint
	return r
}

// begin lets a new adapter ask for the name, which announces its key.
func (r *recovery) begin() {
	r.t.Helper()
	secret, _, err := r.Server.It.Recover("bob", 0)
	if err != nil {
		r.t.Fatal(err)
	}
	link := r.Server.It.JoinLink()
	link.User, link.Secret = "bob", secret
	r.fresh = r.AddWith("bob", "bob-new", &link, r.adapter)
	r.phone = r.fresh.Unregistered("bob", toneB)
	r.wantRegister("503")
}

// wantRegister registers bob's new phone; "" wants that to succeed.
func (r *recovery) wantRegister(status string) {
	r.t.Helper()
	err := r.phone.Register(limited())
	if (err == nil) != (status == "") || err != nil && !strings.Contains(err.Error(), status) {
		r.t.Fatalf("bob's new phone registers: %v, want %q", err, status)
	}
}

func (r *recovery) warned(m *testnet.Member, text string) bool {
	return slices.ContainsFunc(m.It.Status().Warnings, func(w string) bool { return strings.Contains(w, text) })
}

// TestMatrixA2RecoveryIsSeenByContacts: bob has lost his key, and the operator
// lets him have another. For 24 hours nothing changes but that everybody who
// has called him is warned. Then he has it; who knew the old key goes on being
// warned, and calls nobody until she has decided.
func TestMatrixA2RecoveryIsSeenByContacts(t *testing.T) {
	t.Parallel()
	r := newRecovery(t)
	r.old.Stop(t)
	r.begin()
	testnet.Eventually(t, "alice is warned", func() bool { return r.warned(r.alice, "announced another key") })
	early := 0
	for range 6 { // 23 hours and 30 minutes
		r.forward(3*time.Hour + 55*time.Minute)
		r.wantRegister("503")
		for _, m := range []*testnet.Member{r.alice, r.carol} {
			if res := m.Lookup("bob"); res.Fingerprint != "" && res.Fingerprint != r.before {
				early++
			}
		}
	}
	if early != 0 {
		t.Errorf("the new key was there %d times before it had been public for 24 hours", early)
	}
	r.forward(45 * time.Minute)
	r.wantRegister("")
	testnet.Eventually(t, "carol, who never called bob, finds him", func() bool {
		res := r.carol.Lookup("bob")
		return res.Outcome == admin.OutcomeVerified && res.Fingerprint != r.before && res.KeyVersion == 2
	})
	testnet.Eventually(t, "alice sees another key", func() bool { return r.alice.Lookup("bob").Outcome == admin.OutcomeKeyChanged })
	if status, _ := call(t, r.alice, "bob"); status == 302 {
		t.Error("alice's call to bob's new key goes on without her decision")
	}
	if !r.warned(r.alice, "given sip:bob@lan.example another key") {
		t.Errorf("alice's warnings: %q", r.alice.It.Status().Warnings)
	}
	r.old.Start() // the old device is found again: it is out
	testnet.Eventually(t, "the old device is out", func() bool { status, _ := call(t, r.old, "carol"); return status != 302 })
	t.Logf("matrix: A2 a recovered key seen before 24 hours: 0 of 12 look-ups; contacts that took it unasked: 0 of 1")
}

// The owner of the old key objects in time: nothing changes, whatever the
// operator does.
func TestTheOldKeyObjectsToARecovery(t *testing.T) {
	t.Parallel()
	r := newRecovery(t)
	if _, err := command[any](t, r.old, admin.MethodObject, admin.ObjectRequest{User: "bob"}); err == nil {
		t.Error("an objection to nothing")
	}
	r.begin()
	testnet.Eventually(t, "bob is warned", func() bool { return r.warned(r.old, "for your name bob") })
	if _, err := command[any](t, r.old, admin.MethodObject, admin.ObjectRequest{User: "bob"}); err != nil {
		t.Fatal(err)
	}
	testnet.Eventually(t, "alice knows of the objection", func() bool { return r.warned(r.alice, "objects") })
	r.wantRegister("403")
	r.forward(25 * time.Hour)
	r.wantRegister("403")
	for _, m := range []*testnet.Member{r.alice, r.carol} {
		if res := m.Lookup("bob"); res.Fingerprint != r.before || res.KeyVersion != 1 {
			t.Errorf("%s finds bob's key %s (%s), before it was %s", m.Name, res.Fingerprint, res.Outcome, r.before)
		}
	}
}
